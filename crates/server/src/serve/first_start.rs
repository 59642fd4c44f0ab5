//! The root account and its credentials. Every step can be cut short and is done again by the next start.

use creel_control::account::{Account, AccountError, Accounts};
use creel_control::id_gen::{IdGen, random_text};
use creel_wire::secret::Secret;

use super::{ROOT_ACCOUNT, ServeError};
use crate::config::{Config, DataDir, RootCredentials};

/// Characters of a generated secret or password; 178 bits.
const SECRET_CHARS: usize = 30;

/// Makes sure that the root account has an access key and a console password that the operator can find.
pub(super) async fn ensure_root(
    accounts: &Accounts,
    ids: &IdGen,
    config: &Config,
    data_dir: &DataDir,
) -> Result<Account, ServeError> {
    let root = ensure_account(accounts).await?;
    check_master_key(accounts, &root).await?;
    let found = data_dir.root_credentials()?;
    let mut credentials = found.clone().unwrap_or_default();
    if let Some((id, secret)) = &config.environment.root_access_key {
        accounts.ensure_key(&root.id, id.clone(), secret.clone()).await?;
    } else if credentials.access_key_id.is_none() {
        credentials.access_key_id = Some(ids.access_key());
        credentials.access_key_secret = Some(Secret::new(random_text(SECRET_CHARS)));
    }
    if config.environment.console_password.is_none() && credentials.console_password.is_none() {
        credentials.console_password = Some(Secret::new(random_text(SECRET_CHARS)));
    }
    // The file comes before the row, so that no key exists whose secret nobody has.
    if changed(found.as_ref(), &credentials) {
        data_dir.set_root_credentials(&credentials)?;
        let path = data_dir.root_credentials_path();
        tracing::info!("wrote the root account's credentials to {}", path.display());
    }
    if let RootCredentials { access_key_id: Some(id), access_key_secret: Some(secret), .. } = credentials
        && config.environment.root_access_key.is_none()
    {
        accounts.ensure_key(&root.id, id, secret).await?;
    }
    Ok(root)
}

/// Nothing is ever replaced, so a change is something that was added.
fn changed(found: Option<&RootCredentials>, credentials: &RootCredentials) -> bool {
    let filled = |c: &RootCredentials| {
        [c.access_key_id.is_some(), c.access_key_secret.is_some(), c.console_password.is_some()]
    };
    filled(credentials) != found.map_or([false; 3], filled)
}

async fn ensure_account(accounts: &Accounts) -> Result<Account, AccountError> {
    if let Some(root) = accounts.find_by_name(ROOT_ACCOUNT).await? {
        return Ok(root);
    }
    match accounts.create(ROOT_ACCOUNT).await {
        // Another replica was faster.
        Err(AccountError::NameTaken(name)) => {
            accounts.find_by_name(ROOT_ACCOUNT).await?.ok_or(AccountError::NameTaken(name))
        }
        other => other,
    }
}

/// Opens one sealed secret, so that a wrong master key is told at the start and not at the first request.
async fn check_master_key(accounts: &Accounts, root: &Account) -> Result<(), AccountError> {
    if let Some(key) = accounts.list_keys(&root.id).await?.first() {
        accounts.find_key(&key.id).await?;
    }
    Ok(())
}
