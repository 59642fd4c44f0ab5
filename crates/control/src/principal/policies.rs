//! Policies of an account, and which principals they are attached to. A change of either is seen by every server within
//! a second.

use std::sync::PoisonError;

use creel_wire::id::AccountId;

use super::{Principal, PrincipalKind, Principals, audited, is_name};
use crate::access::{AccessError, Actor};
use crate::page::{Cursor, Page};
use crate::policy::{DocumentError, Policy, find_system_policy};
use crate::store::{StoreError, Tx};

/// Policies of its own an account may have.
const POLICIES_MAX: i64 = 1_000;
/// Policies attached to a principal at the most.
const ATTACHMENTS_MAX: i64 = 20;

/// A policy of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    pub name: String,
    pub description: String,
    /// As it was written.
    pub document: String,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    /// Principals that it is attached to.
    pub attachments: i64,
}

/// A policy attached to a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub policy: String,
    pub attached_at_ms: i64,
    /// `None` for a system policy.
    pub document: Option<String>,
}

/// Why an operation on policies failed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("no policy {0} in this account")]
    NotFound(String),
    #[error("{0} is a system policy, which cannot be changed or deleted")]
    System(String),
    #[error("a policy's name is 1 to 64 letters, digits and . _ -")]
    BadName,
    #[error("the document is not a policy")]
    Document(#[source] DocumentError),
    #[error("the account has {POLICIES_MAX} policies, the most it may have")]
    TooMany,
    #[error("policy {0} is attached to principals")]
    InUse(String),
    #[error("no principal {0} in this account")]
    NoPrincipal(String),
    #[error("policies are attached to users only: {name} is {}", kind.as_str())]
    NotAUser { name: String, kind: PrincipalKind },
    #[error("the principal has {ATTACHMENTS_MAX} policies, the most it may have")]
    TooManyAttached,
    #[error("policy {0} is attached to this principal")]
    Attached(String),
    #[error("policy {0} is not attached to this principal")]
    NotAttached(String),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing policies")]
    Store(#[from] StoreError),
}

impl Attachment {
    /// The attached policy, compiled.
    pub(super) fn compile(&self) -> Result<Policy, StoreError> {
        let system = find_system_policy(&self.policy).map(|policy| policy.document);
        // An attached policy cannot be deleted, and a document was read before it was kept.
        let corrupt = || StoreError::Corrupt { what: format!("attached policy {}", self.policy) };
        let document = self.document.as_deref().or(system).ok_or_else(corrupt)?;
        Policy::parse(&self.policy, document).map_err(|_| corrupt())
    }
}

impl Principals {
    /// Makes a policy or replaces its document.
    pub async fn put_policy(
        &self,
        actor: Actor,
        name: String,
        description: Option<String>,
        document: String,
    ) -> Result<(), PolicyError> {
        if !is_name(&name) {
            return Err(PolicyError::BadName);
        }
        check_own(&name)?;
        Policy::parse(&name, &document).map_err(PolicyError::Document)?;
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&audited_policy(&name)], now_ms).await?;
                    let account_id = &actor.account_id;
                    if !tx.lock_policy(account_id, &name).await?
                        && tx.count_policies(account_id).await? >= POLICIES_MAX
                    {
                        return Err(PolicyError::TooMany);
                    }
                    Ok(tx.put_policy(account_id, &name, description.as_deref(), &document, now_ms).await?)
                })
            })
            .await?;
        self.forget_all();
        Ok(())
    }

    /// One page of an account's own policies, oldest first.
    pub async fn list_policies(
        &self,
        account_id: &AccountId,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<PolicyRow>, PolicyError> {
        Ok(self.store.list_policies(account_id, after, limit).await?)
    }

    /// The account's own policy of this name.
    pub async fn get_policy(&self, account_id: &AccountId, name: &str) -> Result<PolicyRow, PolicyError> {
        let found = self.store.find_policy(account_id, name).await?;
        found.ok_or_else(|| PolicyError::NotFound(name.to_owned()))
    }

    /// Deletes a policy that is attached to nobody.
    pub async fn delete_policy(&self, actor: Actor, name: String) -> Result<(), PolicyError> {
        check_own(&name)?;
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&audited_policy(&name)], now_ms).await?;
                    if !tx.lock_policy(&actor.account_id, &name).await? {
                        return Err(PolicyError::NotFound(name));
                    }
                    if tx.count_attachments_of_policy(&actor.account_id, &name).await? > 0 {
                        return Err(PolicyError::InUse(name));
                    }
                    Ok(tx.delete_policy(&actor.account_id, &name).await?)
                })
            })
            .await
    }

    /// What is attached to a principal.
    pub async fn list_attachments(
        &self,
        account_id: &AccountId,
        principal: &str,
    ) -> Result<Vec<Attachment>, PolicyError> {
        let found = self.store.find_principal(account_id, principal).await?;
        let principal = found.ok_or_else(|| PolicyError::NoPrincipal(principal.to_owned()))?;
        Ok(self.store.list_attachments(&principal.id).await?)
    }

    /// Allows, or denies, a user what a policy says.
    pub async fn attach(&self, actor: Actor, principal: String, policy: String) -> Result<(), PolicyError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let user = audited_user(tx, &actor, principal, &policy, now_ms).await?;
                    if find_system_policy(&policy).is_none()
                        && !tx.lock_policy(&actor.account_id, &policy).await?
                    {
                        return Err(PolicyError::NotFound(policy));
                    }
                    if tx.count_attachments(&user.id).await? >= ATTACHMENTS_MAX {
                        return Err(PolicyError::TooManyAttached);
                    }
                    match tx.insert_attachment(&actor.account_id, &user.id, &policy, now_ms).await {
                        Err(StoreError::Unique(_)) => Err(PolicyError::Attached(policy)),
                        other => other.map_err(PolicyError::Store),
                    }
                })
            })
            .await?;
        self.forget_all();
        Ok(())
    }

    /// Takes a policy from a user.
    pub async fn detach(&self, actor: Actor, principal: String, policy: String) -> Result<(), PolicyError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let user = audited_user(tx, &actor, principal, &policy, now_ms).await?;
                    match tx.delete_attachment(&user.id, &policy).await? {
                        0 => Err(PolicyError::NotAttached(policy)),
                        _ => Ok(()),
                    }
                })
            })
            .await?;
        self.forget_all();
        Ok(())
    }

    /// A policy may be attached to many.
    fn forget_all(&self) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn check_own(name: &str) -> Result<(), PolicyError> {
    match find_system_policy(name) {
        Some(_) => Err(PolicyError::System(name.to_owned())),
        None => Ok(()),
    }
}

/// The user that a policy is to be attached to or taken from, once the wish is in the audit log.
async fn audited_user(
    tx: &mut Tx,
    actor: &Actor,
    name: String,
    policy: &str,
    now_ms: i64,
) -> Result<Principal, PolicyError> {
    actor.audit(tx, &[&audited(&name), &audited_policy(policy)], now_ms).await?;
    match tx.lock_principal(&actor.account_id, &name).await? {
        None => Err(PolicyError::NoPrincipal(name)),
        Some(found) if found.kind == PrincipalKind::User => Ok(found),
        Some(found) => Err(PolicyError::NotAUser { name, kind: found.kind }),
    }
}

fn audited_policy(name: &str) -> String {
    format!("policy/{name}")
}
