//! `creel admin principal`.

use std::process::ExitCode;

use creel_control::principal::{NewPrincipal, PrincipalChange, PrincipalFilter};
use serde_json::json;

use super::{Admin, print, print_rows, shown_time};

/// Principals in one read of a list.
const PAGE_ROWS: i64 = 1_000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a user, who may do nothing until it gets a policy, or one who acts for an end user
    Create {
        #[command(flatten)]
        which: Which,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
        /// The end user that it acts for: it sees and uses what that person is entitled to, and needs no policy
        #[arg(long)]
        end_user: Option<String>,
    },
    /// List an account's principals, oldest first
    List {
        /// Name of the account [default: root]
        #[arg(long)]
        account: Option<String>,
    },
    /// Let a principal call again
    Enable(Which),
    /// Refuse every call of a principal; servers follow within a second
    Disable(Which),
    /// Delete a principal with its keys
    Delete(Which),
}

/// A principal of an account.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Name of the account [default: root]
    #[arg(long)]
    account: Option<String>,
    /// Name of the principal
    name: String,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { which, description, end_user } => {
            let account = admin.account(which.account.as_deref()).await?;
            let new = NewPrincipal {
                name: which.name.clone(),
                description: description.clone(),
                end_user: end_user.clone(),
            };
            let made = admin.principals.create(admin.actor(&account, "CreatePrincipal"), new).await?;
            print(&json!({"PrincipalId": made.id.as_str(), "PrincipalName": made.name}))?;
        }
        Command::List { account } => list(admin, account.as_deref()).await?,
        Command::Enable(which) => set_active(admin, which, true).await?,
        Command::Disable(which) => set_active(admin, which, false).await?,
        Command::Delete(which) => {
            let account = admin.account(which.account.as_deref()).await?;
            admin.principals.delete(admin.actor(&account, "DeletePrincipal"), which.name.clone()).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set_active(admin: &Admin, which: &Which, active: bool) -> anyhow::Result<()> {
    let account = admin.account(which.account.as_deref()).await?;
    let change = PrincipalChange { active: Some(active), ..PrincipalChange::default() };
    admin.principals.update(admin.actor(&account, "UpdatePrincipal"), which.name.clone(), change).await?;
    Ok(())
}

async fn list(admin: &Admin, account: Option<&str>) -> anyhow::Result<()> {
    let account = admin.account(account).await?;
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = admin.principals.list(&account.id, &PrincipalFilter::default(), after, PAGE_ROWS).await?;
        rows.extend(page.items.iter().map(|principal| {
            let status = if principal.active { "Active" } else { "Inactive" };
            json!({
                "PrincipalName": principal.name,
                "PrincipalType": principal.kind.as_str(),
                "Status": status,
                "CreateDate": shown_time(principal.created_at_ms),
                "Description": principal.description,
            })
        }));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let columns = ["PrincipalName", "PrincipalType", "Status", "CreateDate", "Description"];
    print_rows(admin.output, &columns, &rows)
}
