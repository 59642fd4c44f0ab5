//! `creel admin order`: orders of credit packs that wait for the operator, and others.

use std::process::ExitCode;

use creel_control::access::Actor;
use creel_control::order::{OrderView, Verdict};
use serde_json::{Value, json};

use super::{Admin, print, print_rows, shown_time};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List orders of an account, newest first
    List {
        /// Only those that wait for approval
        #[arg(long)]
        pending: bool,
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
        /// Most orders that are listed
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Grant the packs of an order that waits
    Approve {
        /// The order's number
        order_id: i64,
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
    /// Deny an order that waits
    Deny {
        /// The order's number
        order_id: i64,
        /// What whoever ordered is told
        #[arg(long, default_value = "")]
        reason: String,
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
}

const COLUMNS: [&str; 9] =
    ["OrderId", "Status", "Principal", "Credits", "Packs", "Term", "Price", "CreatedTime", "Reason"];

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { pending, account, limit } => {
            let account = admin.account(Some(account)).await?;
            let orders = admin.orders.list(&account.id, &[], *pending, None, *limit).await?;
            let rows: Vec<Value> = orders.iter().map(row).collect();
            print_rows(admin.output, &COLUMNS, &rows)?;
        }
        Command::Approve { order_id, account } => {
            decide(admin, account, *order_id, "ApproveOrder", Verdict::Approve).await?;
        }
        Command::Deny { order_id, reason, account } => {
            let verdict = Verdict::Deny { reason: reason.clone() };
            decide(admin, account, *order_id, "DenyOrder", verdict).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn decide(
    admin: &Admin,
    account: &str,
    order_id: i64,
    action: &'static str,
    verdict: Verdict,
) -> anyhow::Result<()> {
    let account = admin.account(Some(account)).await?;
    let actor = Actor::operator(account.id, action, admin.ids.request_id());
    print(&row(&admin.orders.decide(actor, order_id, verdict).await?))
}

fn row(OrderView { order, pack_ids }: &OrderView) -> Value {
    json!({
        "OrderId": order.id,
        "Status": order.status.as_str(),
        "Principal": order.principal,
        "Credits": order.credits.to_string(),
        "Packs": order.packs,
        "Term": order.term.to_string(),
        "Price": format!("{} {}", order.price, order.currency),
        "RuntimeIds": order.runtime_ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "CreditPackageIds": pack_ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "CreatedTime": shown_time(order.created_at_ms),
        "Reason": order.reason,
    })
}
