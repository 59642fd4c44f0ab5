//! `creel admin audit`.

mod formats;

use std::process::ExitCode;

use creel_control::audit::{AuditLog, Decision, EventFilter, StoredEvent};
use creel_control::page::Cursor;
use creel_control::sealing::Log;
use jiff::Timestamp;
use serde_json::json;

use super::verify::verify;
use super::{Admin, UsageError, print_rows};
use crate::cli::{Output, print_line};
use formats::Format;

/// Events that are read at once.
const EXPORT_EVENTS: u32 = 1_000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Compare every event with the signed roots; names what was changed, removed or inserted, and fails then
    Verify {
        /// Check signatures with this key instead of that in the data directory
        #[arg(long, value_name = "BASE64")]
        public_key: Option<String>,
    },
    /// Find events of an account, newest first
    Search(Box<Search>),
    /// Print events as JSON Lines, oldest first, account by account
    Export {
        #[arg(long, value_enum, default_value_t = Format::Native)]
        format: Format,
        /// Name of the account [default: all accounts]
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        times: Times,
    },
    /// Print the public key with which the signed roots can be checked
    Key,
}

/// Part of the time.
#[derive(Debug, clap::Args)]
pub(super) struct Times {
    /// From when on, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Before when
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
}

/// What must all match.
#[derive(Debug, clap::Args)]
pub(super) struct Search {
    /// Name of the account
    #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
    account: String,
    #[command(flatten)]
    times: Times,
    /// Who, such as operator
    #[arg(long)]
    principal: Option<String>,
    /// By which access key, LTAI…
    #[arg(long, value_name = "ID")]
    access_key: Option<String>,
    /// What, such as CreateDesktops
    #[arg(long)]
    action: Option<String>,
    /// On what, such as ecd-…; an event is found by it a few seconds after it happened
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// The RequestId of the call
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Allowed or Denied
    #[arg(long)]
    decision: Option<Decision>,
    /// Most events of a page
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
    /// The token that the page before gave
    #[arg(long, value_name = "TOKEN")]
    next_token: Option<String>,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Verify { public_key } => return verify(admin, Log::Audit, public_key.as_deref()).await,
        Command::Search(search) => find(admin, search).await?,
        Command::Export { format, account, times } => {
            export(admin, *format, account.as_deref(), times).await?;
        }
        Command::Key => print_line(&admin.audit_key.public().to_base64())?,
    }
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [&str; 7] =
    ["EventTime", "EventName", "Principal", "AccessKeyId", "Decision", "ErrorCode", "EventId"];

async fn find(admin: &Admin, search: &Search) -> anyhow::Result<()> {
    let account = admin.account(Some(&search.account)).await?;
    let filter = EventFilter {
        account_id: account.id,
        id: search.request_id.clone(),
        principal: search.principal.clone(),
        key_id: search.access_key.clone(),
        action: search.action.clone(),
        resource: search.resource.clone(),
        decision: search.decision,
        from_ms: search.times.from.map(Timestamp::as_millisecond),
        to_ms: search.times.to.map(Timestamp::as_millisecond),
    };
    let after = Cursor::from_token(search.next_token.as_deref())
        .map_err(|error| UsageError(format!("--next-token: {error}")))?;
    let page = AuditLog::new(admin.store.clone()).search(&filter, after.as_ref(), search.limit).await?;
    let events: Vec<_> = page.items.iter().map(formats::native).collect();
    let next = page.next.as_ref().map(Cursor::to_token);
    if admin.output == Output::Json {
        return print_line(&serde_json::to_string_pretty(&json!({"Events": events, "NextToken": next}))?);
    }
    print_rows(admin.output, &COLUMNS, &events)?;
    if let Some(next) = next {
        eprintln!("creel: there are more; --next-token {next}");
    }
    Ok(())
}

async fn export(admin: &Admin, format: Format, account: Option<&str>, times: &Times) -> anyhow::Result<()> {
    let log = AuditLog::new(admin.store.clone());
    if let Some(name) = account {
        let account = admin.account(Some(name)).await?;
        return export_account(admin, &log, format, account.id.as_str(), times).await;
    }
    let mut account = String::new();
    while let Some(next) = log.next_account(&account).await? {
        account = next;
        export_account(admin, &log, format, &account, times).await?;
    }
    Ok(())
}

async fn export_account(
    admin: &Admin,
    log: &AuditLog,
    format: Format,
    account: &str,
    times: &Times,
) -> anyhow::Result<()> {
    let mut after = (times.from.map_or(i64::MIN, Timestamp::as_millisecond), String::new());
    let to_ms = times.to.map_or(i64::MAX, Timestamp::as_millisecond);
    loop {
        let events: Vec<StoredEvent> = log.list(account, &after, to_ms, EXPORT_EVENTS).await?;
        let Some(last) = events.last() else { return Ok(()) };
        after = (last.event.at_ms, last.event.id.clone());
        for event in &events {
            print_line(&format.write(event, &admin.config.region).to_string())?;
        }
    }
}
