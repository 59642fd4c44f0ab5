//! `creel admin ledger`.

mod export;
mod reconcile;
mod report;

use std::process::ExitCode;

use creel_control::access::Actor;
use creel_control::account::Account;
use creel_control::ledger::{Grant, PackSource, UsedUpStrategy};
use creel_control::sealing::Log;
use creel_wire::id::CallId;
use creel_wire::money::Micros;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::verify::verify;
use super::{Admin, print, print_rows, shown_time};
use crate::cli::{EXIT_FAILED, Output, print_line};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Re-add every entry and name every sum that disagrees; exit code 1 if one does
    Check,
    /// Give an account credits
    Grant {
        /// How many, such as 100 or 0.5
        #[arg(long)]
        credits: Micros,
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
        /// Only this runtime may spend them [default: every runtime of the account]
        #[arg(long, value_name = "ID")]
        runtime: Option<String>,
        /// When what is left of them ends, such as 2027-01-01T00:00:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<Timestamp>,
    },
    /// List the packs that can be spent now, in the order in which they are, and what happens when they are used up
    Packs {
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
    /// Give back what a call that was cut off counts as spent
    Release {
        /// The call of an unsettled entry, call-…
        call_id: CallId,
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
    /// Print every entry by call, with the version of its price and the formula of its cost
    Export(export::Args),
    /// Compare every entry with the signed roots; names what was changed, removed or inserted, and fails then
    Verify {
        /// Check signatures with this key instead of that in the data directory
        #[arg(long, value_name = "BASE64")]
        public_key: Option<String>,
    },
    /// Add up a month of an account by resource group, tag or user
    Report(report::Args),
    /// Compare what models used with a provider's invoice; exit code 1 if they differ
    Reconcile(reconcile::Args),
    /// Say whether priced calls to Managed and Custom providers take credits from packs, or count for quotas only
    BillAll {
        /// true or false
        #[arg(action = clap::ArgAction::Set)]
        bills_all: bool,
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check => return check(admin).await,
        Command::Grant { credits, account, runtime, expires } => {
            let account = admin.account(Some(account)).await?;
            let grant = Grant {
                runtime_id: runtime.clone(),
                source: PackSource::Granted,
                micros: *credits,
                expires_at_ms: expires.map(Timestamp::as_millisecond),
            };
            let pack = admin.credits.grant(actor(admin, &account, "GrantCredits"), grant).await?;
            print(&json!({
                "CreditPackageId": pack.id.as_str(),
                "AccountId": pack.account_id.as_str(),
                "RuntimeId": pack.runtime_id.as_ref().map(creel_wire::id::RuntimeId::as_str),
                "TotalCredits": pack.total.to_string(),
            }))?;
        }
        Command::Packs { account } => packs(admin, account).await?,
        Command::Release { call_id, account } => {
            let account = admin.account(Some(account)).await?;
            let actor = actor(admin, &account, "ReleaseUnsettledCall");
            let released = admin.credits.release_unsettled(actor, call_id.clone()).await?;
            print(&json!({"CallId": call_id.as_str(), "ReleasedCredits": released.to_string()}))?;
        }
        Command::Export(args) => export::run(admin, args).await?,
        Command::Verify { public_key } => return verify(admin, Log::Ledger, public_key.as_deref()).await,
        Command::Report(args) => report::run(admin, args).await?,
        Command::Reconcile(args) => return reconcile::run(admin, args).await,
        Command::BillAll { bills_all, account } => {
            let account = admin.account(Some(account)).await?;
            admin.credits.set_bills_all(actor(admin, &account, "SetBillsAll"), *bills_all).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

const PACK_COLUMNS: [&str; 7] = [
    "CreditPackageId",
    "RuntimeId",
    "Source",
    "TotalCredits",
    "UsedCredits",
    "ExpiredTime",
    "UsedUpStrategy",
];

async fn packs(admin: &Admin, account: &str) -> anyhow::Result<()> {
    let account = admin.account(Some(account)).await?;
    let packs = admin.credits.list_packs(&account.id).await?;
    let rows: Vec<Value> = packs
        .iter()
        .map(|pack| {
            json!({
                "CreditPackageId": pack.id.as_str(),
                "RuntimeId": pack.runtime_id.as_ref().map(creel_wire::id::RuntimeId::as_str),
                "Source": pack.source.as_str(),
                "TotalCredits": pack.total.to_string(),
                "UsedCredits": pack.used.to_string(),
                "ExpiredTime": pack.expires_at_ms.map(shown_time),
                "UsedUpStrategy": pack.used_up_strategy.map(UsedUpStrategy::as_str),
            })
        })
        .collect();
    print_rows(admin.output, &PACK_COLUMNS, &rows)
}

/// A month as people write it, such as 2026-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Month(jiff::civil::Date);

impl std::str::FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let first = format!("{text}-01").parse();
        first.map(Self).map_err(|_| "give a month such as 2026-01".to_owned())
    }
}

impl Month {
    /// As the ledger numbers it, such as 202601.
    pub(super) fn number(self) -> i64 {
        i64::from(self.0.year()) * 100 + i64::from(self.0.month())
    }
}

fn actor(admin: &Admin, account: &Account, action: &'static str) -> Actor {
    Actor::operator(account.id.clone(), action, admin.ids.request_id())
}

/// The text is `0 differences` alone if the ledger is right, which scripts look for.
async fn check(admin: &Admin) -> anyhow::Result<ExitCode> {
    let checked = admin.credits.check().await?;
    if admin.output == Output::Json {
        let differences: Vec<Value> = checked
            .differences
            .iter()
            .map(|found| {
                json!({"What": found.what, "Subject": found.subject, "Credits": Micros(found.by).to_string()})
            })
            .collect();
        print(&json!({"Entries": checked.entries, "Differences": differences}))?;
    } else {
        for found in &checked.differences {
            print_line(&format!("{} of {}: {} credits", found.what, found.subject, Micros(found.by)))?;
        }
        eprintln!("creel: re-added {} entries", checked.entries);
        print_line(&format!("{} differences", checked.differences.len()))?;
    }
    Ok(if checked.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}
