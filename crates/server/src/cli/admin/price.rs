//! `creel admin price`: what models of an account's own providers and of the operator's cost.

use std::process::ExitCode;

use creel_control::ledger::{MultiplierRange, PeriodUnit, Price, PriceOf, month_of, span_of};
use creel_wire::id::ProviderId;
use creel_wire::money::Micros;
use creel_wire::price::RateCard;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ledger::Month;
use super::{Admin, UsageError, print, print_rows, shown_time};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Price a model; calls that begin before keep the price they had
    Set(Box<Set>),
    /// Say what a month's calls of a model would have cost by another price
    Preview(Box<Preview>),
    /// List the prices of the operator's models and of an account's own, also past and coming ones
    List {
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
}

/// A price; amounts are credits for 1,000 tokens, such as 0.2.
#[derive(Debug, clap::Args)]
pub(super) struct Card {
    /// Price of input tokens
    #[arg(long, value_name = "CREDITS")]
    input: Micros,
    /// Price of input tokens read from a cache [default: that of input]
    #[arg(long, value_name = "CREDITS")]
    cached_input: Option<Micros>,
    /// Price of input tokens written to a cache [default: that of input]
    #[arg(long, value_name = "CREDITS")]
    cache_write: Option<Micros>,
    /// Price of output tokens
    #[arg(long, value_name = "CREDITS")]
    output_tokens: Micros,
    /// Factor on the whole
    #[arg(long, default_value = "1")]
    multiplier: Micros,
}

/// The price of a model from a moment on.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The provider, mpt-…, or the name of one of the operator's
    #[arg(long, value_name = "ID|NAME")]
    provider: String,
    /// The model, as the provider names it
    #[arg(long, value_name = "CODE")]
    model: String,
    #[command(flatten)]
    card: Card,
    /// The least that the factor is ever to be [default: it is fixed]
    #[arg(long, value_name = "FACTOR")]
    multiplier_min: Option<Micros>,
    /// The most that the factor is ever to be [default: no limit]
    #[arg(long, value_name = "FACTOR", requires = "multiplier_min")]
    multiplier_max: Option<Micros>,
    /// From when, such as 2027-01-01T00:00:00Z, not in the past [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Name of the account
    #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
    account: String,
}

/// A price that calls did not have.
#[derive(Debug, clap::Args)]
pub(super) struct Preview {
    /// The provider: its id, mpt-…, or the name of one of the operator's
    #[arg(long)]
    provider: String,
    /// The model, as the provider names it
    #[arg(long, value_name = "CODE")]
    model: String,
    #[command(flatten)]
    card: Card,
    /// The month whose calls are looked at, such as 2026-01 [default: the last one]
    #[arg(long)]
    month: Option<Month>,
    /// Name of the account
    #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
    account: String,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Set(price) => set(admin, price).await?,
        Command::Preview(preview) => self::preview(admin, preview).await?,
        Command::List { account } => list(admin, account).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Card {
    fn checked(&self) -> Result<RateCard, UsageError> {
        let card = RateCard {
            input: self.input.0,
            cached_input: self.cached_input.unwrap_or(self.input).0,
            cache_write: self.cache_write.unwrap_or(self.input).0,
            output: self.output_tokens.0,
            multiplier_micros: self.multiplier.0,
        };
        let all = [card.input, card.cached_input, card.cache_write, card.output, card.multiplier_micros];
        if all.iter().any(|n| *n < 0) {
            return Err(UsageError("a price must not be negative".to_owned()));
        }
        Ok(card)
    }
}

async fn preview(admin: &Admin, args: &Preview) -> anyhow::Result<()> {
    let card = args.card.checked()?;
    let account = admin.account(Some(&args.account)).await?;
    let month = match args.month {
        Some(month) => month.number(),
        None => {
            let (this_month_ms, _) = span_of(PeriodUnit::Month, admin.store.clock().now_ms());
            month_of(this_month_ms - 1)
        }
    };
    let found = admin.credits.preview_price(&account.id, &args.provider, &args.model, month, &card).await?;
    print(&json!({
        "Month": month,
        "Calls": found.calls,
        "UnknownCalls": found.unknown,
        "InputTokens": found.usage.input,
        "CachedInputTokens": found.usage.cached_input,
        "CacheWriteTokens": found.usage.cache_write,
        "OutputTokens": found.usage.output,
        "CreditsBefore": found.before.to_string(),
        "CreditsAfter": found.after.to_string(),
        "Difference": Micros(found.after.0.saturating_sub(found.before.0)).to_string(),
        "PriceVersion": card.version(),
    }))
}

async fn set(admin: &Admin, price: &Set) -> anyhow::Result<()> {
    let card = price.card.checked()?;
    let range = price
        .multiplier_min
        .map(|min| MultiplierRange { min_micros: min.0, max_micros: price.multiplier_max.map(|max| max.0) });
    let account = admin.account(Some(&price.account)).await?;
    let actor = admin.actor(&account, "SetPrice");
    let of = match ProviderId::parse(&price.provider) {
        Ok(provider_id) => PriceOf::Own(account.id, provider_id),
        Err(_) => PriceOf::System(price.provider.clone()),
    };
    let price = Price {
        of,
        model_code: price.model.clone(),
        effective_from_ms: price.from.map_or_else(|| admin.store.clock().now_ms(), Timestamp::as_millisecond),
        card,
        range,
    };
    admin.credits.set_price(actor, price).await?;
    Ok(())
}

const COLUMNS: [&str; 11] = [
    "Provider",
    "Model",
    "Input",
    "CachedInput",
    "CacheWrite",
    "Output",
    "Multiplier",
    "MultiplierMin",
    "MultiplierMax",
    "EffectiveFrom",
    "Version",
];

async fn list(admin: &Admin, account: &str) -> anyhow::Result<()> {
    let account = admin.account(Some(account)).await?;
    let system = admin.credits.list_system_prices().await?;
    let own = admin.credits.list_prices(&account.id).await?;
    let rows: Vec<Value> = system.iter().chain(&own).map(row).collect();
    print_rows(admin.output, &COLUMNS, &rows)
}

fn row(price: &Price) -> Value {
    let credits = |micros: i64| Micros(micros).to_string();
    let provider = match &price.of {
        PriceOf::System(name) => name,
        PriceOf::Own(_, provider_id) => provider_id.as_str(),
    };
    let card = &price.card;
    json!({
        "Provider": provider,
        "Model": price.model_code,
        "Input": credits(card.input),
        "CachedInput": credits(card.cached_input),
        "CacheWrite": credits(card.cache_write),
        "Output": credits(card.output),
        "Multiplier": credits(card.multiplier_micros),
        "MultiplierMin": price.range.map(|range| credits(range.min_micros)),
        "MultiplierMax": price.range.and_then(|range| range.max_micros).map(credits),
        "EffectiveFrom": shown_time(price.effective_from_ms),
        "Version": card.version(),
    })
}
