//! `creel admin ledger export`.

use creel_control::ledger::Entry;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Admin, shown_time};
use crate::cli::print_line;

/// Entries that are read at once.
const PAGE_ENTRIES: i64 = 1_000;

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
}

/// Which entries, and how they are written.
#[derive(Debug, clap::Args)]
pub(in crate::cli::admin) struct Args {
    /// Name of the account [default: all accounts]
    #[arg(long)]
    account: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Only those entered from this moment on, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only those entered before this moment
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
}

const COLUMNS: [&str; 25] = [
    "id",
    "call_id",
    "part",
    "account_id",
    "runtime_id",
    "resource_group_id",
    "end_user_id",
    "provider_id",
    "provider_name",
    "model_code",
    "pack_id",
    "label",
    "postpaid",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "credits",
    "unbilled_credits",
    "price_version",
    "formula",
    "month",
    "hour",
    "time",
];

pub(super) async fn run(admin: &Admin, args: &Args) -> anyhow::Result<()> {
    let account_id = match &args.account {
        Some(name) => Some(admin.account(Some(name)).await?.id),
        None => None,
    };
    let (from_ms, to_ms) = (args.from.map(Timestamp::as_millisecond), args.to.map(Timestamp::as_millisecond));
    let is_meant = |entry: &&Entry| {
        from_ms.is_none_or(|from| entry.created_at_ms >= from)
            && to_ms.is_none_or(|to| entry.created_at_ms < to)
    };
    if args.format == Format::Csv {
        print_line(&csv_line(COLUMNS.iter().map(|column| (*column).to_owned()))?)?;
    }
    let mut after = String::new();
    loop {
        let entries = admin.credits.export_entries(account_id.as_ref(), &after, PAGE_ENTRIES).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        after = last.id.to_string();
        for entry in entries.iter().filter(is_meant) {
            let line = match args.format {
                Format::Jsonl => json_line(entry)?.to_string(),
                Format::Csv => csv_line(cells(entry).into_iter())?,
            };
            print_line(&line)?;
        }
    }
}

/// The formula of what a call cost, on its first part; where nobody knows what it used there is none.
fn formula(entry: &Entry) -> Option<String> {
    use creel_control::ledger::Label;
    let is_known = entry.part == 0 && !matches!(entry.label, Label::Unsettled | Label::Released);
    entry.card.filter(|_| is_known).map(|card| card.formula(&entry.usage))
}

fn json_line(entry: &Entry) -> anyhow::Result<Value> {
    let mut line = serde_json::to_value(entry)?;
    if let Value::Object(fields) = &mut line {
        fields.insert("price_version".to_owned(), json!(entry.card.map(|card| card.version())));
        fields.insert("formula".to_owned(), json!(formula(entry)));
    }
    Ok(line)
}

fn cells(entry: &Entry) -> [String; 25] {
    let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
    [
        entry.id.to_string(),
        entry.call_id.to_string(),
        entry.part.to_string(),
        entry.account_id.to_string(),
        entry.runtime_id.to_string(),
        text(entry.resource_group_id.as_ref().map(creel_wire::id::ResourceGroupId::as_str)),
        text(entry.end_user_id.as_ref().map(creel_wire::id::EndUserId::as_str)),
        entry.provider_id.to_string(),
        entry.provider_name.to_string(),
        entry.model_code.to_string(),
        text(entry.pack_id.as_ref().map(creel_wire::id::CreditPackId::as_str)),
        entry.label.as_str().to_owned(),
        entry.postpaid.to_string(),
        entry.usage.input.to_string(),
        entry.usage.cached_input.to_string(),
        entry.usage.cache_write.to_string(),
        entry.usage.output.to_string(),
        entry.usage.reasoning.to_string(),
        entry.micros.to_string(),
        entry.unbilled_micros.to_string(),
        entry.card.map(|card| card.version()).unwrap_or_default(),
        formula(entry).unwrap_or_default(),
        entry.month.to_string(),
        entry.hour.to_string(),
        shown_time(entry.created_at_ms),
    ]
}

/// One line without its end.
fn csv_line(cells: impl Iterator<Item = String>) -> anyhow::Result<String> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    // What a spreadsheet would take for a formula is a text: names come from tenants.
    writer.write_record(cells.map(|cell| match cell.chars().next() {
        Some('=' | '+' | '@') => format!("'{cell}"),
        _ => cell,
    }))?;
    let line = String::from_utf8(writer.into_inner()?)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
