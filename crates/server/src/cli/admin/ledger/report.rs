//! `creel admin ledger report`.

use creel_control::ledger::{ReportBy, ReportRow};
use creel_wire::money::Micros;
use serde_json::{Value, json};

use super::super::{Admin, print_rows};
use super::Month;
use crate::cli::{Output, print_line};

/// Which month, and by what.
#[derive(Debug, clap::Args)]
pub(in crate::cli::admin) struct Args {
    /// The month in UTC, such as 2026-01; calls count in the month in which they began
    #[arg(long)]
    month: Month,
    /// resource-group, user, or tag:KEY
    #[arg(long, value_parser = report_by)]
    by: ReportBy,
    /// Name of the account
    #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
    account: String,
}

fn report_by(text: &str) -> Result<ReportBy, String> {
    match text {
        "resource-group" => Ok(ReportBy::ResourceGroup),
        "user" => Ok(ReportBy::User),
        _ => match text.strip_prefix("tag:").filter(|key| !key.is_empty()) {
            Some(key) => Ok(ReportBy::Tag(key.to_owned())),
            None => Err("give resource-group, user or tag:KEY".to_owned()),
        },
    }
}

const COLUMNS: [&str; 8] = [
    "Key",
    "Name",
    "Calls",
    "InputTokens",
    "CachedInputTokens",
    "OutputTokens",
    "Credits",
    "UnbilledCredits",
];

pub(super) async fn run(admin: &Admin, args: &Args) -> anyhow::Result<()> {
    let account = admin.account(Some(&args.account)).await?;
    let report = admin.credits.report(&account.id, args.month.number(), &args.by).await?;
    let mut rows: Vec<Value> = report.rows.iter().map(|row| shown(row, &args.by)).collect();
    if admin.output == Output::Json {
        let whole = json!({"Rows": rows, "TotalCredits": report.total.to_string()});
        return print_line(&serde_json::to_string_pretty(&whole)?);
    }
    rows.push(json!({"Key": "TOTAL", "Credits": report.total.to_string()}));
    print_rows(admin.output, &COLUMNS, &rows)
}

fn shown(row: &ReportRow, by: &ReportBy) -> Value {
    let none = match by {
        ReportBy::ResourceGroup => "(no resource group)",
        ReportBy::User => "(no user, or several)",
        ReportBy::Tag(_) => "(without the tag)",
    };
    let credits = |micros: Micros| micros.to_string();
    json!({
        "Key": row.key.as_deref().unwrap_or(none),
        "Name": row.name,
        "Calls": row.calls,
        "InputTokens": row.usage.input.saturating_add(row.usage.cache_write),
        "CachedInputTokens": row.usage.cached_input,
        "OutputTokens": row.usage.output,
        "Credits": credits(row.micros),
        "UnbilledCredits": credits(row.unbilled),
    })
}
