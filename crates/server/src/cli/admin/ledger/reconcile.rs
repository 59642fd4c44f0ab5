//! `creel admin ledger reconcile`: the tokens that a provider bills, beside those that the ledger has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use creel_control::ledger::{ModelUsage, hour_of};
use creel_wire::price::Usage;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde_json::{Value, json};

use super::super::{Admin, UsageError, print_rows};
use super::Month;
use crate::cli::EXIT_FAILED;

/// Lines of an invoice at the most.
const LINES_MAX: usize = 1_000_000;

/// What is compared.
#[derive(Debug, clap::Args)]
pub(in crate::cli::admin) struct Args {
    /// The invoice as CSV with a header: model, period (2026-01 or 2026-01-31), input_tokens, cached_input_tokens,
    /// cache_write_tokens, output_tokens, in any order; classes that the provider does not tell apart may be missing
    #[arg(long, value_name = "FILE")]
    invoice: PathBuf,
    /// The provider: its id, mpt-…, or the name under which calls were made
    #[arg(long)]
    provider: String,
    /// Name of the account [default: all accounts]
    #[arg(long)]
    account: Option<String>,
}

/// The classes of tokens that an invoice may tell.
const CLASSES: [&str; 4] = ["input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens"];

/// A model and a period.
type Key = (String, String);

/// An invoice: which classes it tells, and the tokens of each model and period.
#[derive(Debug, PartialEq, Eq)]
struct Invoice {
    classes: Vec<usize>,
    lines: BTreeMap<Key, [u64; 4]>,
}

pub(super) async fn run(admin: &Admin, args: &Args) -> anyhow::Result<ExitCode> {
    let text = std::fs::read(&args.invoice).with_context(|| format!("reading {}", args.invoice.display()))?;
    let invoice = read(&text)?;
    let account_id = match &args.account {
        Some(name) => Some(admin.account(Some(name)).await?.id),
        None => None,
    };
    let mut periods: Vec<&str> = invoice.lines.keys().map(|(_, period)| period.as_str()).collect();
    periods.sort_unstable();
    periods.dedup();
    let mut ours: BTreeMap<Key, ModelUsage> = BTreeMap::new();
    for period in periods {
        let hours = hours(period)?;
        let found = admin.credits.usage_by_model(account_id.as_ref(), &args.provider, hours).await?;
        ours.extend(found.into_iter().map(|usage| ((usage.model_code.clone(), period.to_owned()), usage)));
    }
    let (rows, differ) = compare(&invoice, &ours);
    print_rows(admin.output, &COLUMNS, &rows)?;
    eprintln!("creel: {differ} of {} lines differ", rows.len());
    Ok(if differ == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

const COLUMNS: [&str; 9] = [
    "Model",
    "Period",
    "InputTokens",
    "CachedInputTokens",
    "CacheWriteTokens",
    "OutputTokens",
    "Calls",
    "EstimatedCalls",
    "UnknownCalls",
];

/// A line for each model and period of either side: invoiced minus ours, by class. Also gives how many differ.
fn compare(invoice: &Invoice, ours: &BTreeMap<Key, ModelUsage>) -> (Vec<Value>, usize) {
    let mut keys: Vec<&Key> = invoice.lines.keys().chain(ours.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut differ = 0;
    let rows = keys.into_iter().map(|key| {
        let theirs = invoice.lines.get(key).copied().unwrap_or_default();
        let own = ours.get(key);
        let counted = classes(own.map(|own| own.usage).unwrap_or_default(), &invoice.classes);
        let differences: Vec<i128> = theirs
            .into_iter()
            .zip(counted)
            .map(|(theirs, ours)| i128::from(theirs) - i128::from(ours))
            .collect();
        differ += usize::from(differences.iter().any(|difference| *difference != 0));
        let shown = |class: usize| match (theirs.get(class), differences.get(class)) {
            _ if !invoice.classes.contains(&class) => "-".to_owned(),
            (Some(theirs), Some(0)) => theirs.to_string(),
            (Some(theirs), Some(difference)) => format!("{theirs} ({difference:+})"),
            _ => String::new(),
        };
        json!({
            "Model": key.0,
            "Period": key.1,
            "InputTokens": shown(0),
            "CachedInputTokens": shown(1),
            "CacheWriteTokens": shown(2),
            "OutputTokens": shown(3),
            "Calls": own.map_or(0, |own| own.calls),
            "EstimatedCalls": own.map_or(0, |own| own.estimated),
            "UnknownCalls": own.map_or(0, |own| own.unknown),
        })
    });
    (rows.collect(), differ)
}

/// Our tokens in the classes of the invoice: what it does not tell apart is in its input tokens.
fn classes(usage: Usage, told: &[usize]) -> [u64; 4] {
    let mut counts = [usage.input, usage.cached_input, usage.cache_write, usage.output];
    for class in [1, 2] {
        if !told.contains(&class) {
            let [input, ..] = &mut counts;
            *input = input.saturating_add(if class == 1 { usage.cached_input } else { usage.cache_write });
            if let Some(count) = counts.get_mut(class) {
                *count = 0;
            }
        }
    }
    counts
}

fn read(text: &[u8]) -> anyhow::Result<Invoice> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let headers = reader.headers().context("reading the header of the invoice")?.clone();
    let find = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    let (Some(model), Some(period)) = (find("model"), find("period")) else {
        bail!(UsageError("the invoice needs the columns model and period".to_owned()));
    };
    let columns: Vec<(usize, usize)> =
        CLASSES.iter().enumerate().filter_map(|(class, name)| Some((class, find(name)?))).collect();
    let told: Vec<usize> = columns.iter().map(|(class, _)| *class).collect();
    if !told.contains(&0) || !told.contains(&3) {
        bail!(UsageError("the invoice needs the columns input_tokens and output_tokens".to_owned()));
    }
    let mut invoice = Invoice { classes: told, lines: BTreeMap::new() };
    for (number, record) in reader.records().enumerate() {
        let line = number + 2;
        let record = record.with_context(|| format!("line {line} of the invoice"))?;
        if number >= LINES_MAX {
            bail!(UsageError(format!("the invoice has more than {LINES_MAX} lines")));
        }
        let cell = |column: usize| record.get(column).unwrap_or_default();
        hours(cell(period)).with_context(|| format!("line {line} of the invoice"))?;
        let tokens = invoice.lines.entry((cell(model).to_owned(), cell(period).to_owned())).or_default();
        for (class, column) in &columns {
            let count: u64 = cell(*column)
                .parse()
                .with_context(|| format!("line {line} of the invoice: {} is no count", cell(*column)))?;
            if let Some(sum) = tokens.get_mut(*class) {
                *sum = sum.saturating_add(count);
            }
        }
    }
    Ok(invoice)
}

/// The hours of a month or day in UTC: its first and the one after its last.
fn hours(period: &str) -> anyhow::Result<(i64, i64)> {
    let wrong =
        || UsageError(format!("{period:?} is neither a month such as 2026-01 nor a day such as 2026-01-31"));
    let (first, next) = match period.len() {
        7 => {
            let first = period.parse::<Month>().map_err(|_| wrong())?.0;
            (first, first.last_of_month().tomorrow())
        }
        10 => {
            let day: Date = period.parse().map_err(|_| wrong())?;
            (day, day.tomorrow())
        }
        _ => return Err(wrong().into()),
    };
    let hour = |date: Date| -> anyhow::Result<i64> {
        let start = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_err(|_| wrong())?;
        Ok(hour_of(start.as_millisecond()))
    };
    Ok((hour(first)?, hour(next.map_err(|_| wrong())?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(model: &str, usage: Usage) -> ModelUsage {
        ModelUsage { model_code: model.to_owned(), calls: 3, estimated: 1, unknown: 0, usage }
    }

    #[test]
    fn lines_differ_by_class_and_what_one_side_lacks_differs_whole() {
        let text =
            "Model, Period, output_tokens, Input_Tokens\na,2026-01,5,30\na,2026-01,5,20\nb,2026-01,1,1\n";
        let invoice = read(text.as_bytes()).unwrap();
        assert_eq!(invoice.lines[&("a".to_owned(), "2026-01".to_owned())], [50, 0, 0, 10]);
        let key = |model: &str| (model.to_owned(), "2026-01".to_owned());
        // The invoice tells no cached tokens: they are input.
        let of_a = Usage { input: 20, cached_input: 25, cache_write: 5, output: 7, reasoning: 2 };
        let of_c = Usage { output: 4, ..Usage::default() };
        let ours = BTreeMap::from([(key("a"), usage("a", of_a)), (key("c"), usage("c", of_c))]);
        let (rows, differ) = compare(&invoice, &ours);
        assert_eq!(differ, 3);
        assert_eq!((&rows[0]["InputTokens"], &rows[0]["OutputTokens"]), (&json!("50"), &json!("10 (+3)")));
        assert_eq!((&rows[0]["CachedInputTokens"], &rows[0]["EstimatedCalls"]), (&json!("-"), &json!(1)));
        assert_eq!((&rows[1]["Model"], &rows[1]["OutputTokens"]), (&json!("b"), &json!("1 (+1)")));
        assert_eq!((&rows[2]["Model"], &rows[2]["OutputTokens"]), (&json!("c"), &json!("0 (-4)")));
    }

    #[test]
    fn periods_are_months_and_days() {
        let day = hours("2026-01-31").unwrap();
        assert_eq!(day.1 - day.0, 24);
        let month = hours("2026-02").unwrap();
        assert_eq!((month.1 - month.0, month.0), (28 * 24, day.1));
        for wrong in ["2026", "2026-13", "2026-02-30", "January"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_invoice_is_refused() {
        for text in
            ["", "model,period\n", "model,period,input_tokens,output_tokens\na,2026-01,x,1\n", "a,b\n1,2\n"]
        {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
