//! `creel admin capture`: whose calls are kept with their content, and what was kept.

use std::process::ExitCode;

use creel_control::call_limit::NamedScope;
use creel_control::capture::{CapturePolicies, CapturePolicy, CapturedCall, CapturedFilter, Terms};
use creel_control::page::Cursor;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Admin, print, print_rows, shown_time};

/// Rows in one read of a list.
const PAGE_ROWS: i64 = 1_000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Keep the content of calls that begin from now on, sealed. Servers follow within a second
    On {
        #[command(flatten)]
        scope: ScopeArgs,
        /// Days after which content is removed, 1 to 365
        #[arg(long, value_name = "DAYS")]
        retention_days: i64,
        /// Bytes that are kept of a request, and as many of its answer [default: 65536]
        #[arg(long, value_name = "N")]
        bytes_max: Option<i64>,
    },
    /// Keep no content of calls that begin from now on; what is kept stays until its time
    Off {
        #[command(flatten)]
        scope: ScopeArgs,
    },
    /// List of whose calls content is kept
    Policies {
        /// Name of the account [default: root]
        #[arg(long)]
        account: Option<String>,
    },
    /// List calls whose content is kept, newest first, without the content
    List {
        /// Name of the account [default: root]
        #[arg(long)]
        account: Option<String>,
        /// Only calls of this runtime
        #[arg(long, value_name = "ID")]
        runtime: Option<String>,
        /// Only this call
        #[arg(long, value_name = "ID")]
        call: Option<String>,
        /// Only calls that began then or later, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// Only calls that began before
        #[arg(long, value_name = "TIME")]
        to: Option<Timestamp>,
        /// Calls at the most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=PAGE_ROWS))]
        limit: i64,
    },
    /// Show the content of a call; this is recorded in the audit log
    Show {
        /// The runtime that called
        #[arg(long, value_name = "ID")]
        runtime: String,
        /// The call, as the list has it
        call: String,
        /// Name of the account [default: root]
        #[arg(long)]
        account: Option<String>,
    },
}

/// Whose calls.
#[derive(Debug, clap::Args)]
pub(super) struct ScopeArgs {
    /// Name of the account [default: root]
    #[arg(long)]
    account: Option<String>,
    /// The calls of this resource group, instead of the account's
    #[arg(long, value_name = "ID", conflicts_with = "runtime")]
    resource_group: Option<String>,
    /// The calls of this runtime, instead of the account's
    #[arg(long, value_name = "ID")]
    runtime: Option<String>,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::On { scope, retention_days, bytes_max } => {
            set(admin, scope, Terms::new(Some(*retention_days), *bytes_max)?).await?;
        }
        Command::Off { scope } => set(admin, scope, None).await?,
        Command::Policies { account } => policies(admin, account.as_deref()).await?,
        Command::List { account, runtime, call, from, to, limit } => {
            let account = admin.account(account.as_deref()).await?;
            let filter = CapturedFilter {
                call_ids: call.iter().cloned().collect(),
                runtime_ids: runtime.iter().cloned().collect(),
                from_ms: from.map(Timestamp::as_millisecond),
                until_ms: to.map(Timestamp::as_millisecond),
            };
            let scope = creel_control::access::Scope::account(account.id);
            let page = admin.captures.list(&scope, &filter, None, *limit).await?;
            let rows: Vec<Value> = page.items.iter().map(shown).collect();
            print_rows(admin.output, &CALL_COLUMNS, &rows)?;
        }
        Command::Show { runtime, call, account } => {
            let account = admin.account(account.as_deref()).await?;
            let actor = admin.actor(&account, "ReadCapturedCall");
            let read = admin.captures.read(actor, runtime, call).await?;
            let mut all = shown(&read.call);
            if let Some(members) = all.as_object_mut() {
                members.insert("Request".to_owned(), read.request.expose().into());
                members.insert("Answer".to_owned(), read.answer.expose().into());
            }
            print(&all)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(admin: &Admin, scope: &ScopeArgs, terms: Option<Terms>) -> anyhow::Result<()> {
    let account = admin.account(scope.account.as_deref()).await?;
    let named =
        NamedScope { resource_group_id: scope.resource_group.clone(), runtime_id: scope.runtime.clone() };
    let policies = CapturePolicies::new(admin.store.clone());
    let scope = policies.set(admin.actor(&account, "SetCapturePolicy"), named, terms).await?;
    let row = policy_row(scope.kind(), scope.id(), terms, None);
    print_rows(admin.output, &POLICY_COLUMNS, &[row])
}

async fn policies(admin: &Admin, account: Option<&str>) -> anyhow::Result<()> {
    let scope = creel_control::access::Scope::account(admin.account(account).await?.id);
    let policies = CapturePolicies::new(admin.store.clone());
    let (mut rows, mut after): (_, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = policies.list(&scope, after, PAGE_ROWS).await?;
        rows.extend(page.items.iter().map(|CapturePolicy { scope, terms, updated_at_ms }| {
            policy_row(scope.kind(), scope.id(), Some(*terms), Some(*updated_at_ms))
        }));
        after = page.next;
        if after.is_none() {
            return print_rows(admin.output, &POLICY_COLUMNS, &rows);
        }
    }
}

const POLICY_COLUMNS: [&str; 5] = ["Scope", "ScopeId", "RetentionDays", "BytesMax", "UpdateDate"];

/// Empty days: nothing is kept.
fn policy_row(kind: &str, id: &str, terms: Option<Terms>, updated_at_ms: Option<i64>) -> Value {
    json!({
        "Scope": kind,
        "ScopeId": id,
        "RetentionDays": terms.map(|terms| terms.retention_days),
        "BytesMax": terms.map(|terms| terms.bytes_max),
        "UpdateDate": updated_at_ms.map(shown_time),
    })
}

const CALL_COLUMNS: [&str; 9] = [
    "CallId",
    "RuntimeId",
    "LlmCode",
    "RequestBytes",
    "RequestTruncated",
    "AnswerBytes",
    "AnswerTruncated",
    "CreatedTime",
    "ExpireTime",
];

fn shown(call: &CapturedCall) -> Value {
    json!({
        "CallId": call.call_id,
        "RuntimeId": call.runtime_id,
        "LlmCode": call.model_code,
        "RequestBytes": call.request_bytes,
        "RequestTruncated": call.is_request_truncated(),
        "AnswerBytes": call.answer_bytes,
        "AnswerTruncated": call.is_answer_truncated(),
        "CreatedTime": shown_time(call.created_at_ms),
        "ExpireTime": shown_time(call.expires_at_ms),
    })
}
