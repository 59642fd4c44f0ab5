//! `creel admin quota`: what agents and resource groups may spend in a cycle, and when somebody is told.

use std::process::ExitCode;

use creel_control::ledger::{Cycle, QuotaChange};
use creel_wire::id::ResourceGroupId;
use creel_wire::money::Micros;
use serde_json::{Value, json};

use super::{Admin, UsageError, print_rows};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Set a quota, or change it
    Set {
        #[command(flatten)]
        whose: Whose,
        /// How much may be spent in a cycle, such as 100 or 0.5
        #[arg(long)]
        credits: Micros,
        /// Day, Week (from Monday) or Month, in UTC [default: as it is; Month at first]
        #[arg(long)]
        cycle: Option<Cycle>,
        /// At which part of it somebody is told, 0 is never [default: as it is; 80 at first]
        #[arg(long, value_parser = clap::value_parser!(i64).range(0..=100))]
        warn_percent: Option<i64>,
    },
    /// Take a quota away
    Remove(Whose),
    /// List quotas and what is used of them
    List {
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
    /// Set at which part of its credit packs an account is told; 80 if it is not set
    WarnPacks {
        /// 0 (never) to 100
        #[arg(value_parser = clap::value_parser!(i64).range(0..=100))]
        percent: i64,
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
}

/// What has a quota.
#[derive(Debug, clap::Args)]
pub(super) struct Whose {
    /// An agent, ecd-… or jvs-…
    #[arg(long, value_name = "ID", required_unless_present = "group", conflicts_with = "group")]
    agent: Option<String>,
    /// A resource group, rg-…: its runtimes together
    #[arg(long, value_name = "ID")]
    group: Option<ResourceGroupId>,
    /// Name of the account
    #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
    account: String,
}

const COLUMNS: [&str; 6] = ["Kind", "SubjectId", "Credits", "UsedCredits", "Cycle", "WarnPercent"];

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Set { whose, credits, cycle, warn_percent } => {
            if *credits < Micros::ZERO {
                return Err(UsageError("a quota must not be negative".to_owned()).into());
            }
            let quota = Some(*credits);
            change(admin, whose, QuotaChange { quota, cycle: *cycle, warn_percent: *warn_percent }).await?;
        }
        Command::Remove(whose) => change(admin, whose, QuotaChange::default()).await?,
        Command::List { account } => list(admin, account).await?,
        Command::WarnPacks { percent, account } => {
            let account = admin.account(Some(account)).await?;
            admin.credits.set_warn_percent(admin.actor(&account, "SetWarnPercent"), *percent).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(admin: &Admin, whose: &Whose, change: QuotaChange) -> anyhow::Result<()> {
    let account = admin.account(Some(&whose.account)).await?;
    let actor = admin.actor(&account, "SetCreditQuota");
    match (&whose.agent, &whose.group) {
        (_, Some(group)) => admin.credits.set_group_quota(actor, group.clone(), change).await?,
        (agent, None) => {
            admin.credits.set_quota(actor, agent.iter().cloned().collect(), change).await?;
        }
    }
    Ok(())
}

async fn list(admin: &Admin, account: &str) -> anyhow::Result<()> {
    let account = admin.account(Some(account)).await?;
    let quotas = admin.credits.list_quotas(&account.id).await?;
    let rows: Vec<Value> = quotas
        .iter()
        .map(|quota| {
            json!({
                "Kind": quota.kind.as_str(),
                "SubjectId": quota.subject_id,
                "Credits": quota.quota.to_string(),
                "UsedCredits": quota.used.to_string(),
                "Cycle": quota.cycle.as_str(),
                "WarnPercent": quota.warn_percent,
            })
        })
        .collect();
    print_rows(admin.output, &COLUMNS, &rows)
}
