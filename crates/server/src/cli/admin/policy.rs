//! `creel admin policy`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use creel_control::policy::{DOCUMENT_BYTES_MAX, SYSTEM_POLICIES, find_system_policy};
use serde_json::{Value, json};

use super::{Admin, UsageError, print_line, print_rows, shown_time};

/// Policies in one read of a list.
const PAGE_ROWS: i64 = 1_000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a policy or replace its document
    Put {
        #[command(flatten)]
        which: Which,
        /// The document, JSON in the grammar of RAM
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// What it is for [default: as it was]
        #[arg(long)]
        description: Option<String>,
    },
    /// List an account's policies and the system policies
    List(Whose),
    /// Print the document of a policy
    Show(Which),
    /// Delete a policy that is attached to nobody
    Delete(Which),
    /// Give a user a policy; servers follow within a second
    Attach(Attachment),
    /// Take a policy from a user; servers follow within a second
    Detach(Attachment),
}

/// An account, or one of its principals.
#[derive(Debug, clap::Args)]
pub(super) struct Whose {
    /// Name of the account [default: root]
    #[arg(long)]
    account: Option<String>,
    /// Only what is attached to this principal
    #[arg(long)]
    principal: Option<String>,
}

/// A policy of an account.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Name of the account [default: root]
    #[arg(long)]
    account: Option<String>,
    /// Name of the policy
    name: String,
}

/// A policy and a principal.
#[derive(Debug, clap::Args)]
pub(super) struct Attachment {
    #[command(flatten)]
    which: Which,
    /// Name of the principal
    #[arg(long)]
    principal: String,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    let principals = &admin.principals;
    match command {
        Command::Put { which, file, description } => {
            let account = admin.account(which.account.as_deref()).await?;
            let document =
                std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            if document.len() > DOCUMENT_BYTES_MAX {
                let message = format!("a policy document has at most {DOCUMENT_BYTES_MAX} bytes");
                return Err(UsageError(message).into());
            }
            let actor = admin.actor(&account, "PutPolicy");
            principals.put_policy(actor, which.name.clone(), description.clone(), document).await?;
        }
        Command::List(whose) => list(admin, whose).await?,
        Command::Show(which) => show(admin, which).await?,
        Command::Delete(which) => {
            let account = admin.account(which.account.as_deref()).await?;
            principals.delete_policy(admin.actor(&account, "DeletePolicy"), which.name.clone()).await?;
        }
        Command::Attach(Attachment { which, principal }) => {
            let account = admin.account(which.account.as_deref()).await?;
            let actor = admin.actor(&account, "AttachPolicy");
            principals.attach(actor, principal.clone(), which.name.clone()).await?;
        }
        Command::Detach(Attachment { which, principal }) => {
            let account = admin.account(which.account.as_deref()).await?;
            let actor = admin.actor(&account, "DetachPolicy");
            principals.detach(actor, principal.clone(), which.name.clone()).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(admin: &Admin, which: &Which) -> anyhow::Result<()> {
    let account = admin.account(which.account.as_deref()).await?;
    match find_system_policy(&which.name) {
        Some(policy) => print_line(policy.document),
        None => print_line(&admin.principals.get_policy(&account.id, &which.name).await?.document),
    }
}

async fn list(admin: &Admin, whose: &Whose) -> anyhow::Result<()> {
    let account = admin.account(whose.account.as_deref()).await?;
    if let Some(principal) = &whose.principal {
        let attached = admin.principals.list_attachments(&account.id, principal).await?;
        let rows: Vec<Value> = attached
            .iter()
            .map(|it| json!({"PolicyName": it.policy, "AttachDate": shown_time(it.attached_at_ms)}))
            .collect();
        return print_rows(admin.output, &["PolicyName", "AttachDate"], &rows);
    }
    let system = SYSTEM_POLICIES.iter();
    let mut rows: Vec<Value> = system
        .map(|policy| {
            let (name, description) = (policy.name, policy.description);
            json!({"PolicyName": name, "PolicyType": "System", "Description": description})
        })
        .collect();
    let mut after = None;
    loop {
        let page = admin.principals.list_policies(&account.id, after, PAGE_ROWS).await?;
        rows.extend(page.items.iter().map(|policy| {
            json!({
                "PolicyName": policy.name,
                "PolicyType": "Custom",
                "Principals": policy.attachments,
                "Description": policy.description,
            })
        }));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    print_rows(admin.output, &["PolicyName", "PolicyType", "Principals", "Description"], &rows)
}
