//! `creel admin account`.

use std::process::ExitCode;

use serde_json::json;

use super::{Admin, print, print_rows, shown_time};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an account with an access key, whose secret is shown only now
    Create {
        /// Unique
        #[arg(long)]
        name: String,
    },
    /// List accounts, oldest first
    List,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { name } => {
            let account = admin.accounts.create(name).await?;
            let key = admin.accounts.create_key(&account.id).await?;
            print(&json!({
                "AccountId": account.id.as_str(),
                "Name": account.name,
                "AccessKeyId": key.id.as_str(),
                "AccessKeySecret": key.secret.expose(),
            }))?;
        }
        Command::List => {
            let accounts = admin.accounts.list().await?;
            let rows: Vec<_> = accounts
                .iter()
                .map(|account| {
                    let created = shown_time(account.created_at_ms);
                    json!({"AccountId": account.id.as_str(), "Name": account.name, "CreatedTime": created})
                })
                .collect();
            print_rows(admin.output, &["AccountId", "Name", "CreatedTime"], &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
