//! `creel admin offer`: the price list of credit packs, for all accounts.

use std::process::ExitCode;

use creel_control::access::Actor;
use creel_control::order::{Offer, Term, TermUnit};
use creel_wire::money::Micros;
use serde_json::{Value, json};

use super::{Admin, UsageError, print_rows};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Offer credit packs of a size and term, or change their price; orders of before keep theirs
    Set {
        #[command(flatten)]
        what: What,
        /// Of one pack, such as 160 or 99.90
        #[arg(long)]
        price: Micros,
    },
    /// List what is offered
    List,
    /// Offer something no longer
    Remove(What),
}

/// A kind of pack.
#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// Credits of one pack, such as 2000
    #[arg(long)]
    credits: Micros,
    /// How many months or years it lasts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=6))]
    period: i64,
    /// Month or Year
    #[arg(long, default_value = "Month")]
    unit: TermUnit,
}

impl What {
    fn term(&self) -> Term {
        Term { number: self.period, unit: self.unit }
    }
}

const COLUMNS: [&str; 5] = ["Credits", "Period", "PeriodUnit", "Price", "Currency"];

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Set { what, price } => {
            if what.credits <= Micros::ZERO || *price < Micros::ZERO {
                let message = "a pack has more than 0 credits, and a price of 0 or more";
                return Err(UsageError(message.to_owned()).into());
            }
            let offer = Offer { credits: what.credits, term: what.term(), price: *price };
            admin.orders.set_offer(actor(admin, "SetCreditOffer").await?, offer).await?;
        }
        Command::List => {
            let offers = admin.orders.offers().await?;
            let rows: Vec<Value> = offers
                .iter()
                .map(|offer| {
                    json!({
                        "Credits": offer.credits.to_string(),
                        "Period": offer.term.number,
                        "PeriodUnit": offer.term.unit.as_str(),
                        "Price": offer.price.to_string(),
                        "Currency": admin.orders.currency(),
                    })
                })
                .collect();
            print_rows(admin.output, &COLUMNS, &rows)?;
        }
        Command::Remove(what) => {
            let actor = actor(admin, "RemoveCreditOffer").await?;
            admin.orders.remove_offer(actor, what.credits, what.term()).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The list is the operator's own.
async fn actor(admin: &Admin, action: &'static str) -> anyhow::Result<Actor> {
    let root = admin.account(None).await?;
    Ok(Actor::operator(root.id, action, admin.ids.request_id()))
}
