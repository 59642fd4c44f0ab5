//! `creel admin limit`.

use std::process::ExitCode;

use creel_control::call_limit::{CallLimit, CallLimits, Figures, NamedScope};
use serde_json::{Value, json};

use super::{Admin, print_rows, shown_time};

/// Limits in one read of the list.
const PAGE_ROWS: i64 = 1_000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Set all figures of a scope; those left out are not limited any more. Servers follow within a second
    Set {
        /// Name of the account [default: root]
        #[arg(long)]
        account: Option<String>,
        /// Limit the calls of this resource group together, instead of the account's
        #[arg(long, value_name = "ID", conflicts_with = "runtime")]
        resource_group: Option<String>,
        /// Limit the calls of this runtime, instead of the account's
        #[arg(long, value_name = "ID")]
        runtime: Option<String>,
        /// Calls in any 60 seconds
        #[arg(long, value_name = "N")]
        requests_per_minute: Option<i64>,
        /// Tokens of calls that ended in any 60 seconds
        #[arg(long, value_name = "N")]
        tokens_per_minute: Option<i64>,
        /// Calls that run at the same time
        #[arg(long, value_name = "N")]
        concurrent_calls: Option<i64>,
        /// Output tokens of one answer
        #[arg(long, value_name = "N")]
        output_tokens_max: Option<i64>,
    },
    /// List an account's limits
    List {
        /// Name of the account [default: root]
        #[arg(long)]
        account: Option<String>,
    },
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    let limits = CallLimits::new(admin.store.clone());
    match command {
        Command::Set {
            account,
            resource_group,
            runtime,
            requests_per_minute,
            tokens_per_minute,
            concurrent_calls,
            output_tokens_max,
        } => {
            let account = admin.account(account.as_deref()).await?;
            let named = NamedScope { resource_group_id: resource_group.clone(), runtime_id: runtime.clone() };
            let figures = Figures {
                requests_per_minute: *requests_per_minute,
                tokens_per_minute: *tokens_per_minute,
                concurrent_calls: *concurrent_calls,
                output_tokens_max: *output_tokens_max,
            };
            let limit = limits.set(admin.actor(&account, "SetCallLimit"), named, figures).await?;
            print_rows(admin.output, &COLUMNS, &[row(&limit, None)])?;
        }
        Command::List { account } => {
            let account = admin.account(account.as_deref()).await?;
            let (mut rows, mut after) = (Vec::new(), None);
            loop {
                let page = limits.list(&account.id, after, PAGE_ROWS).await?;
                rows.extend(page.items.iter().map(|view| row(&view.limit, Some(view.updated_at_ms))));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            print_rows(admin.output, &COLUMNS, &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [&str; 7] = [
    "Scope",
    "ScopeId",
    "RequestsPerMinute",
    "TokensPerMinute",
    "ConcurrentCalls",
    "OutputTokensMax",
    "UpdateDate",
];

fn row(limit: &CallLimit, updated_at_ms: Option<i64>) -> Value {
    let figures = &limit.figures;
    json!({
        "Scope": limit.scope.kind(),
        "ScopeId": limit.scope.id(),
        "RequestsPerMinute": figures.requests_per_minute,
        "TokensPerMinute": figures.tokens_per_minute,
        "ConcurrentCalls": figures.concurrent_calls,
        "OutputTokensMax": figures.output_tokens_max,
        "UpdateDate": updated_at_ms.map(shown_time),
    })
}
