//! `creel admin key`.

use std::process::ExitCode;

use creel_wire::id::AccessKeyId;
use serde_json::json;

use super::{Admin, print, print_rows, shown_time};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an access key, whose secret is shown only now
    Create(Whose),
    /// List an account's keys
    List(Whose),
    /// Let a key be used again
    Enable(Which),
    /// Refuse a key; servers follow within a second
    Disable(Which),
}

/// An account.
#[derive(Debug, clap::Args)]
pub(super) struct Whose {
    /// Name of the account [default: root]
    #[arg(long)]
    account: Option<String>,
}

/// A key of an account.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    #[command(flatten)]
    whose: Whose,
    /// The key's id, LTAI…
    access_key_id: AccessKeyId,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(whose) => {
            let account = admin.account(whose.account.as_deref()).await?;
            let key = admin.accounts.create_key(&account.id).await?;
            print(&json!({"AccessKeyId": key.id.as_str(), "AccessKeySecret": key.secret.expose()}))?;
        }
        Command::List(whose) => {
            let account = admin.account(whose.account.as_deref()).await?;
            let keys = admin.accounts.list_keys(&account.id).await?;
            let rows: Vec<_> = keys
                .iter()
                .map(|key| {
                    let status = if key.active { "Active" } else { "Inactive" };
                    let created = shown_time(key.created_at_ms);
                    json!({"AccessKeyId": key.id.as_str(), "Status": status, "CreatedTime": created})
                })
                .collect();
            print_rows(admin.output, &["AccessKeyId", "Status", "CreatedTime"], &rows)?;
        }
        Command::Enable(which) => set_active(admin, which, true).await?,
        Command::Disable(which) => set_active(admin, which, false).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn set_active(admin: &Admin, which: &Which, active: bool) -> anyhow::Result<()> {
    let account = admin.account(which.whose.account.as_deref()).await?;
    admin.accounts.set_key_active(&account.id, &which.access_key_id, active).await?;
    Ok(())
}
