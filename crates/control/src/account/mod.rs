//! Accounts (tenants) and their access keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use creel_wire::id::{AccessKeyId, AccountId, PrincipalId};
use creel_wire::secret::Secret;

use crate::access::{AccessError, Actor};
use crate::id_gen::{IdGen, random_text};
use crate::principal::Principal;
use crate::secrets::{Sealer, SecretsError};
use crate::store::{Store, StoreError};

/// Length of a generated access key secret, in characters; 178 bits.
const SECRET_CHARS: usize = 30;
/// How long a key may be used from memory after it was read, in milliseconds: how fast a disabled key stops.
const KEY_CACHE_MS: i64 = 1_000;
/// Keys held in memory at the most; unknown keys are never held, so strangers cannot fill it.
const KEY_CACHE_MAX: usize = 10_000;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub created_at_ms: i64,
}

/// An access key as the store keeps it.
#[derive(Debug, Clone)]
pub struct AccessKeyRow {
    pub id: AccessKeyId,
    pub account_id: AccountId,
    pub principal_id: PrincipalId,
    pub secret_sealed: String,
    pub active: bool,
    pub created_at_ms: i64,
    /// Up to a minute late; `None` before the first use.
    pub last_used_at_ms: Option<i64>,
}

/// An access key whose secret is in clear, to check or make a signature.
#[derive(Debug)]
pub struct AccessKey {
    pub id: AccessKeyId,
    pub account_id: AccountId,
    pub principal_id: PrincipalId,
    pub secret: Secret,
    pub active: bool,
}

/// Why an account operation failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("an account named {0} exists")]
    NameTaken(String),
    #[error("no account {0}")]
    NotFound(AccountId),
    #[error("no access key {0} in this account")]
    KeyNotFound(AccessKeyId),
    #[error("an access key {0} exists and belongs to another account or has another secret")]
    KeyTaken(AccessKeyId),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("sealing or opening an access key secret")]
    Secrets(#[from] SecretsError),
    #[error("reading or writing accounts")]
    Store(#[from] StoreError),
}

/// Opened keys and when each was read, in milliseconds.
type KeyCache = HashMap<AccessKeyId, (i64, Arc<AccessKey>)>;

/// Accounts and access keys.
#[derive(Debug, Clone)]
pub struct Accounts {
    store: Store,
    sealer: Arc<Sealer>,
    ids: IdGen,
    cache: Arc<Mutex<KeyCache>>,
}

fn secret_context(id: &AccessKeyId) -> String {
    format!("access_key:{id}")
}

impl Accounts {
    /// Over a store.
    pub fn new(store: Store, sealer: Arc<Sealer>, ids: IdGen) -> Self {
        Self { store, sealer, ids, cache: Arc::default() }
    }

    /// All accounts, oldest first; at most 1,000.
    pub async fn list(&self) -> Result<Vec<Account>, AccountError> {
        Ok(self.store.list_accounts().await?)
    }

    /// The account with this name, if any.
    pub async fn find_by_name(&self, name: &str) -> Result<Option<Account>, AccountError> {
        Ok(self.store.find_account_by_name(name).await?)
    }

    /// Makes an account without keys.
    pub async fn create(&self, name: &str) -> Result<Account, AccountError> {
        let account = Account {
            id: self.ids.account(),
            name: name.to_owned(),
            created_at_ms: self.store.clock().now_ms(),
        };
        let row = account.clone();
        let actor = self.operator(&account.id, "CreateAccount");
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[row.id.as_str()], row.created_at_ms).await?;
                    match tx.insert_account(&row).await {
                        Err(StoreError::Unique(_)) => Err(AccountError::NameTaken(row.name.clone()))?,
                        other => other?,
                    }
                    Ok::<_, AccountError>(tx.insert_principal(&Principal::root_of(&row)).await?)
                })
            })
            .await?;
        Ok(account)
    }

    /// Makes an access key of the account's root with a new secret; the only time the secret can be read.
    pub async fn create_key(&self, account_id: &AccountId) -> Result<AccessKey, AccountError> {
        let key = self.new_key(account_id, PrincipalId::of_root(account_id));
        self.insert_key(key).await
    }

    /// A key that is in no row yet.
    pub(crate) fn new_key(&self, account_id: &AccountId, principal_id: PrincipalId) -> AccessKey {
        let secret = Secret::new(random_text(SECRET_CHARS));
        let (id, account_id) = (self.ids.access_key(), account_id.clone());
        AccessKey { id, account_id, principal_id, secret, active: true }
    }

    /// Makes sure that the account has this key with this secret, as the environment of the server says.
    pub async fn ensure_key(
        &self,
        account_id: &AccountId,
        id: AccessKeyId,
        secret: Secret,
    ) -> Result<(), AccountError> {
        match self.find_key(&id).await? {
            None => {
                let (account_id, principal_id) = (account_id.clone(), PrincipalId::of_root(account_id));
                let key = AccessKey { id, account_id, principal_id, secret, active: true };
                self.insert_key(key).await.map(|_| ())
            }
            Some(key) if key.account_id == *account_id && key.secret == secret => Ok(()),
            Some(_) => Err(AccountError::KeyTaken(id)),
        }
    }

    /// Turns a key on or off. Servers follow within a second.
    pub async fn set_key_active(
        &self,
        account_id: &AccountId,
        id: &AccessKeyId,
        active: bool,
    ) -> Result<(), AccountError> {
        let actor = self.operator(account_id, "SetAccessKeyActive");
        let now_ms = self.store.clock().now_ms();
        let (account_id, key_id) = (account_id.clone(), id.clone());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[key_id.as_str()], now_ms).await?;
                    if tx.set_access_key_active(&account_id, &key_id, active).await? == 0 {
                        return Err(AccountError::KeyNotFound(key_id));
                    }
                    Ok(())
                })
            })
            .await?;
        self.forget(std::slice::from_ref(id));
        Ok(())
    }

    /// Drops keys that have changed from memory.
    pub(crate) fn forget(&self, ids: &[AccessKeyId]) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            cache.remove(id);
        }
    }

    /// The keys of an account, without secrets; at most 1,000.
    pub async fn list_keys(&self, account_id: &AccountId) -> Result<Vec<AccessKeyRow>, AccountError> {
        Ok(self.store.list_access_keys(account_id).await?)
    }

    /// A key with its secret opened; from memory if it was read within the last second.
    pub async fn find_key(&self, id: &AccessKeyId) -> Result<Option<Arc<AccessKey>>, AccountError> {
        let now_ms = self.store.clock().now_ms();
        if let Some(key) = self.cached(id, now_ms) {
            return Ok(Some(key));
        }
        let Some(row) = self.store.find_access_key(id).await? else { return Ok(None) };
        let secret = self.sealer.open(&secret_context(id), &row.secret_sealed)?;
        let AccessKeyRow { id: key_id, account_id, principal_id, active, .. } = row;
        let key = Arc::new(AccessKey { id: key_id, account_id, principal_id, secret, active });
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= KEY_CACHE_MAX {
            cache.clear();
        }
        cache.insert(id.clone(), (now_ms, key.clone()));
        Ok(Some(key))
    }

    fn cached(&self, id: &AccessKeyId, now_ms: i64) -> Option<Arc<AccessKey>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at_ms, key) = cache.get(id)?;
        (now_ms.saturating_sub(*read_at_ms) < KEY_CACHE_MS).then(|| key.clone())
    }

    /// A key that is never in a row: a security token goes with it.
    pub(crate) fn new_temporary_key(&self, principal: &Principal) -> AccessKey {
        AccessKey {
            id: self.ids.temporary_key(),
            ..self.new_key(&principal.account_id, principal.id.clone())
        }
    }

    /// Seals the secrets of keys, and what else is about them.
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The row of a new key.
    pub(crate) fn sealed(&self, key: &AccessKey) -> Result<AccessKeyRow, AccountError> {
        Ok(AccessKeyRow {
            id: key.id.clone(),
            account_id: key.account_id.clone(),
            principal_id: key.principal_id.clone(),
            secret_sealed: self.sealer.seal(&secret_context(&key.id), &key.secret)?,
            active: key.active,
            created_at_ms: self.store.clock().now_ms(),
            last_used_at_ms: None,
        })
    }

    async fn insert_key(&self, key: AccessKey) -> Result<AccessKey, AccountError> {
        let row = self.sealed(&key)?;
        let actor = self.operator(&key.account_id, "CreateAccessKey");
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[row.id.as_str()], row.created_at_ms).await?;
                    match tx.insert_access_key(&row).await {
                        Err(StoreError::Unique(_)) => Err(AccountError::KeyTaken(row.id.clone())),
                        Err(StoreError::ForeignKey(_)) => Err(AccountError::NotFound(row.account_id.clone())),
                        other => other.map_err(AccountError::Store),
                    }
                })
            })
            .await?;
        Ok(key)
    }

    fn operator(&self, account_id: &AccountId, action: &'static str) -> Actor {
        Actor::operator(account_id.clone(), action, self.ids.request_id())
    }
}
