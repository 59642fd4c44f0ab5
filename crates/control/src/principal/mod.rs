//! Principals: who calls the API for an account. Its root may do everything; users may do what their policies allow;
//! a principal of an end user is what a program uses that acts for one person.
//!
//! Principals are named, not numbered, by callers: a name is unique in its account, and a name that is used again
//! after a deletion is somebody else, with another id.

mod caller;
mod keys;
mod last_used;
mod policies;
mod temporary;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use creel_wire::id::{AccessKeyId, AccountId, EndUserId, PrincipalId};
use serde::{Deserialize, Serialize};

use crate::access::{AccessError, Actor};
use crate::account::{Account, AccountError, Accounts};
use crate::id_gen::IdGen;
use crate::page::{Cursor, Page};
use crate::policy::DocumentError;
use crate::runtime::text_enum;
use crate::store::{Store, StoreError};
use crate::user;
pub use caller::{Known, Refusal};
pub use last_used::{FLUSH_EVERY, LastUsed};
pub use policies::{Attachment, PolicyError, PolicyRow};
pub use temporary::{SESSION_POLICY_BYTES_MAX, Session, TemporaryCredentials};

/// Name of every account's root.
pub const ROOT_NAME: &str = "root";
/// Principals an account may have.
const PRINCIPALS_MAX: i64 = 10_000;
/// Keys a principal may have: two while one replaces the other, and a few for programs.
const KEYS_MAX: i64 = 10;
/// Characters of a name at the most.
const NAME_CHARS_MAX: usize = 64;
/// How long a principal may be used from memory after it was read, in milliseconds: how fast a change of it, or of what
/// it may do, is seen.
const CACHE_MS: i64 = 1_000;
/// Principals held in memory at the most.
const CACHE_MAX: usize = 10_000;

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalKind {
    /// The account itself.
    Root,
    User,
    /// Bound to an end user, and may do what end users may.
    EndUser,
}
text_enum!(PrincipalKind: Root, User, EndUser);

/// Somebody who may have keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub id: PrincipalId,
    pub account_id: AccountId,
    pub kind: PrincipalKind,
    pub name: String,
    pub description: String,
    pub end_user_id: Option<EndUserId>,
    pub active: bool,
    pub created_at_ms: i64,
}

impl Principal {
    /// The root of an account that is being made.
    pub(crate) fn root_of(account: &Account) -> Self {
        Self {
            id: PrincipalId::of_root(&account.id),
            account_id: account.id.clone(),
            kind: PrincipalKind::Root,
            name: ROOT_NAME.to_owned(),
            description: String::new(),
            end_user_id: None,
            active: true,
            created_at_ms: account.created_at_ms,
        }
    }
}

/// Which principals to list.
#[derive(Debug, Clone, Default)]
pub struct PrincipalFilter {
    pub name: Option<String>,
    pub end_user_id: Option<String>,
}

/// A principal to make.
#[derive(Debug, Clone, Default)]
pub struct NewPrincipal {
    pub name: String,
    pub description: String,
    /// The end user that it acts for; `None` for somebody who gets policies.
    pub end_user: Option<String>,
}

/// What to change; `None` leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct PrincipalChange {
    pub description: Option<String>,
    pub active: Option<bool>,
}

/// Why an operation on principals or their keys failed.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalError {
    #[error("no principal {0} in this account")]
    NotFound(String),
    #[error("no end user {0} in this account")]
    EndUserNotFound(String),
    #[error("a principal named {0} exists")]
    NameTaken(String),
    #[error("a principal's name is 1 to {NAME_CHARS_MAX} letters, digits and . _ -")]
    BadName,
    #[error("the root of an account cannot be turned off or deleted")]
    Root,
    #[error("only the root of an account may change its keys")]
    RootOnly,
    #[error("the account has {PRINCIPALS_MAX} principals, the most it may have")]
    TooMany,
    #[error("the principal has {KEYS_MAX} access keys, the most it may have")]
    TooManyKeys,
    #[error("the principal has no access key {0}")]
    KeyNotFound(AccessKeyId),
    #[error("temporary credentials make no others")]
    Temporary,
    #[error("the policy of temporary credentials has at most {SESSION_POLICY_BYTES_MAX} bytes")]
    SessionPolicyTooLong,
    #[error("the policy of temporary credentials is not one")]
    SessionPolicy(#[source] DocumentError),
    #[error("the security token is not one of ours, or not of this key")]
    Token,
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("making an access key")]
    Account(#[from] AccountError),
    #[error("reading or writing principals")]
    Store(#[from] StoreError),
}

/// When each was read, in milliseconds, and what it was then.
type Cache = HashMap<PrincipalId, (i64, Arc<Known>)>;

/// Principals and their keys.
#[derive(Debug, Clone)]
pub struct Principals {
    store: Store,
    ids: IdGen,
    accounts: Accounts,
    cache: Arc<Mutex<Cache>>,
    last_used: Arc<LastUsed>,
}

impl Principals {
    /// Over a store; `accounts` holds the keys that are in memory.
    pub fn new(store: Store, ids: IdGen, accounts: Accounts) -> Self {
        Self { store, ids, accounts, cache: Arc::default(), last_used: Arc::default() }
    }

    /// Makes a user, or a principal that acts for an end user, without keys.
    pub async fn create(&self, actor: Actor, new: NewPrincipal) -> Result<Principal, PrincipalError> {
        if !is_name(&new.name) {
            return Err(PrincipalError::BadName);
        }
        let end_user_id = match new.end_user {
            None => None,
            Some(name) => Some(EndUserId::parse(&name).map_err(|_| PrincipalError::EndUserNotFound(name))?),
        };
        let principal = Principal {
            id: self.ids.principal(),
            account_id: actor.account_id.clone(),
            kind: if end_user_id.is_some() { PrincipalKind::EndUser } else { PrincipalKind::User },
            name: new.name,
            description: new.description,
            end_user_id,
            active: true,
            created_at_ms: self.store.clock().now_ms(),
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(made) = actor.replayed(tx).await? {
                        return Ok(made);
                    }
                    actor.audit(tx, &[&audited(&principal.name)], principal.created_at_ms).await?;
                    if tx.count_principals(&principal.account_id).await? >= PRINCIPALS_MAX {
                        return Err(PrincipalError::TooMany);
                    }
                    if let Some(end_user) = &principal.end_user_id {
                        let named = [end_user.to_string()];
                        user::lock_named(tx, &principal.account_id, &named)
                            .await?
                            .map_err(PrincipalError::EndUserNotFound)?;
                    }
                    match tx.insert_principal(&principal).await {
                        Err(StoreError::Unique(_)) => {
                            return Err(PrincipalError::NameTaken(principal.name));
                        }
                        other => other?,
                    }
                    actor.remember(tx, &principal, principal.created_at_ms).await?;
                    Ok(principal)
                })
            })
            .await
    }

    /// One page of an account's principals, oldest first: the root is always first.
    pub async fn list(
        &self,
        account_id: &AccountId,
        filter: &PrincipalFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<Principal>, PrincipalError> {
        Ok(self.store.list_principals(account_id, filter, after, limit).await?)
    }

    /// The principal of this name.
    pub async fn get(&self, account_id: &AccountId, name: &str) -> Result<Principal, PrincipalError> {
        let found = self.store.find_principal(account_id, name).await?;
        found.ok_or_else(|| PrincipalError::NotFound(name.to_owned()))
    }

    /// Changes a principal. One that is turned off is refused everywhere within a second, and so are the temporary
    /// credentials made for it.
    pub async fn update(
        &self,
        actor: Actor,
        name: String,
        change: PrincipalChange,
    ) -> Result<Principal, PrincipalError> {
        let now_ms = self.store.clock().now_ms();
        let changed = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&audited(&name)], now_ms).await?;
                    let Some(mut principal) = tx.lock_principal(&actor.account_id, &name).await? else {
                        return Err(PrincipalError::NotFound(name));
                    };
                    if principal.kind == PrincipalKind::Root && change.active == Some(false) {
                        return Err(PrincipalError::Root);
                    }
                    principal.description = change.description.unwrap_or(principal.description);
                    principal.active = change.active.unwrap_or(principal.active);
                    tx.update_principal(&principal).await?;
                    Ok(principal)
                })
            })
            .await?;
        self.forget(&changed.id);
        Ok(changed)
    }

    /// Deletes a principal with its keys and attachments.
    pub async fn delete(&self, actor: Actor, name: String) -> Result<(), PrincipalError> {
        let now_ms = self.store.clock().now_ms();
        let (id, keys) = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&audited(&name)], now_ms).await?;
                    let Some(principal) = tx.lock_principal(&actor.account_id, &name).await? else {
                        return Err(PrincipalError::NotFound(name));
                    };
                    if principal.kind == PrincipalKind::Root {
                        return Err(PrincipalError::Root);
                    }
                    let keys = tx.delete_principal(&principal.id).await?;
                    Ok((principal.id, keys))
                })
            })
            .await?;
        self.forget(&id);
        self.accounts.forget(&keys);
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// How the audit log names a principal that a call is about.
fn audited(name: &str) -> String {
    format!("principal/{name}")
}
