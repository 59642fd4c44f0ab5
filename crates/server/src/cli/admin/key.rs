//! `creel admin key`.

use std::process::ExitCode;

use creel_control::principal::ROOT_NAME;
use creel_wire::id::AccessKeyId;
use serde_json::json;

use super::{Admin, print, print_rows, shown_time};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an access key, whose secret is shown only now
    Create(Whose),
    /// List a principal's keys
    List(Whose),
    /// Let a key be used again
    Enable(Which),
    /// Refuse a key; servers follow within a second
    Disable(Which),
    /// Delete a key; servers follow within a second
    Delete(Which),
}

/// A principal of an account.
#[derive(Debug, clap::Args)]
pub(super) struct Whose {
    /// Name of the account [default: root]
    #[arg(long)]
    account: Option<String>,
    /// Name of the principal
    #[arg(long, default_value = ROOT_NAME)]
    principal: String,
}

/// A key of a principal.
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
            let actor = admin.actor(&account, "CreateAccessKey");
            let key = admin.principals.create_key(actor, whose.principal.clone()).await?;
            print(&json!({"AccessKeyId": key.id.as_str(), "AccessKeySecret": key.secret.expose()}))?;
        }
        Command::List(whose) => list(admin, whose).await?,
        Command::Enable(which) => set_active(admin, which, true).await?,
        Command::Disable(which) => set_active(admin, which, false).await?,
        Command::Delete(which) => {
            let account = admin.account(which.whose.account.as_deref()).await?;
            let actor = admin.actor(&account, "DeleteAccessKey");
            let (name, id) = (which.whose.principal.clone(), which.access_key_id.clone());
            admin.principals.delete_key(actor, name, id).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(admin: &Admin, whose: &Whose) -> anyhow::Result<()> {
    let account = admin.account(whose.account.as_deref()).await?;
    let keys = admin.principals.list_keys(&account.id, &whose.principal).await?;
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            json!({
                "AccessKeyId": key.id.as_str(),
                "Status": if key.active { "Active" } else { "Inactive" },
                "CreatedTime": shown_time(key.created_at_ms),
                "LastUsedTime": key.last_used_at_ms.map(shown_time),
            })
        })
        .collect();
    print_rows(admin.output, &["AccessKeyId", "Status", "CreatedTime", "LastUsedTime"], &rows)
}

async fn set_active(admin: &Admin, which: &Which, active: bool) -> anyhow::Result<()> {
    let account = admin.account(which.whose.account.as_deref()).await?;
    let actor = admin.actor(&account, "UpdateAccessKey");
    let (name, id) = (which.whose.principal.clone(), which.access_key_id.clone());
    admin.principals.set_key_active(actor, name, id, active).await?;
    Ok(())
}
