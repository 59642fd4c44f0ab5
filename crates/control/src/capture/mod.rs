//! Content capture: the bodies of LLM calls, kept only where an administrator has said so, sealed, for so many days.
//!
//! A runtime's own policy comes before its resource group's, and that before the account's; without any nothing is
//! kept. Reading what was kept is a right of its own and leaves an audit row.

mod content;

use std::collections::HashMap;

use creel_wire::id::{AccountId, ResourceGroupId, RuntimeId};

use crate::access::{AccessError, Actor, Scope};
use crate::call_limit::{CallLimitError, LimitScope, NamedScope, find_scope};
use crate::page::{Cursor, Page};
use crate::secrets::SecretsError;
use crate::store::{Store, StoreError, Topic};

pub(crate) use content::SealedCall;
pub use content::{Captured, CapturedCall, CapturedContent, CapturedFilter, Captures};

/// The longest that content is kept, in days.
pub const RETENTION_DAYS_MAX: i64 = 365;
/// Bytes that are kept of a request, and of an answer: the fewest and the most that a policy can say, and what it says
/// where nothing is given.
pub const BYTES_MIN: i64 = 1_024;
pub const BYTES_MAX: i64 = 1 << 20;
pub const BYTES_DEFAULT: i64 = 64 << 10;

/// How content is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub retention_days: i64,
    /// Of a request, and as many of its answer.
    pub bytes_max: i64,
}

impl Terms {
    /// Of a request; `None` turns capture off.
    ///
    /// # Errors
    /// What is out of its bounds, or bytes without days.
    pub fn new(retention_days: Option<i64>, bytes_max: Option<i64>) -> Result<Option<Self>, CaptureError> {
        let Some(retention_days) = retention_days else {
            return match bytes_max {
                None => Ok(None),
                Some(_) => Err(CaptureError::RetentionDays),
            };
        };
        if !(1..=RETENTION_DAYS_MAX).contains(&retention_days) {
            return Err(CaptureError::RetentionDays);
        }
        let bytes_max = bytes_max.unwrap_or(BYTES_DEFAULT);
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes_max) {
            return Err(CaptureError::Bytes);
        }
        Ok(Some(Self { retention_days, bytes_max }))
    }
}

/// What is kept of the calls of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturePolicy {
    pub scope: LimitScope,
    pub terms: Terms,
    pub updated_at_ms: i64,
}

/// Why capture was not set, or content not read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("content is kept for 1 to {RETENTION_DAYS_MAX} days, which must be said")]
    RetentionDays,
    #[error("{BYTES_MIN} to {BYTES_MAX} bytes are kept of a request, and of an answer")]
    Bytes,
    #[error("finding what the policy is for")]
    Scope(#[from] CallLimitError),
    #[error("no content of call {0} of this runtime is kept")]
    NotFound(String),
    #[error("the content of a call does not open")]
    Secrets(#[from] SecretsError),
    #[error("sealing content did not end: the process is at its end")]
    Stopped,
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing captured calls")]
    Store(#[from] StoreError),
}

/// Capture policies.
#[derive(Debug, Clone)]
pub struct CapturePolicies {
    store: Store,
}

impl CapturePolicies {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Turns capture on for a scope, or off. Gateways follow within a second, with calls that begin then; what was kept
    /// before stays until its own time.
    pub async fn set(
        &self,
        actor: Actor,
        named: NamedScope,
        terms: Option<Terms>,
    ) -> Result<LimitScope, CaptureError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let scope = find_scope(tx, &actor.account_id, named).await?;
                    actor.audit(tx, &[scope.id()], now_ms).await?;
                    match terms {
                        None => tx.delete_capture_policy(&actor.account_id, &scope).await?,
                        Some(terms) => {
                            let policy = CapturePolicy { scope: scope.clone(), terms, updated_at_ms: now_ms };
                            tx.put_capture_policy(&actor.account_id, &policy).await?;
                        }
                    }
                    tx.raise(Topic::Directory).await?;
                    Ok(scope)
                })
            })
            .await
    }

    /// One page of the policies that a caller may know: the account's own, then resource groups', then runtimes', by
    /// id; not counted. An end user sees those that are about its runtimes.
    pub async fn list(
        &self,
        scope: &Scope,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<CapturePolicy>, CaptureError> {
        let entitled = scope.entitled(self.store.clock().now_ms());
        Ok(self.store.list_capture_policies(&scope.account_id, entitled.as_ref(), after, limit).await?)
    }

    /// Those of all accounts, for gateways.
    pub async fn in_force(&self) -> Result<InForce, CaptureError> {
        Ok(InForce(self.store.all_capture_policies().await?))
    }
}

/// The policies of all accounts at one moment.
#[derive(Debug, Default)]
pub struct InForce(HashMap<LimitScope, Terms>);

impl InForce {
    /// What applies to the calls of a runtime; `None`: nothing is kept of them.
    pub fn of(
        &self,
        account_id: &AccountId,
        resource_group_id: Option<&ResourceGroupId>,
        runtime_id: &RuntimeId,
    ) -> Option<Terms> {
        if self.0.is_empty() {
            return None;
        }
        let group = || self.0.get(&LimitScope::ResourceGroup(resource_group_id?.clone()));
        let own = self.0.get(&LimitScope::Runtime(runtime_id.clone()));
        let found = own.or_else(group);
        found.or_else(|| self.0.get(&LimitScope::Account(account_id.clone()))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_policy_counts_and_without_any_nothing_is_kept() {
        let account = AccountId::parse("1000000000000001").expect("an id");
        let group = ResourceGroupId::parse("rg-1").expect("an id");
        let runtime = RuntimeId::parse("ecd-1").expect("an id");
        let days = |retention_days| Terms { retention_days, bytes_max: BYTES_DEFAULT };
        let mut in_force = InForce::default();
        let of = |in_force: &InForce, group| {
            in_force.of(&account, group, &runtime).map(|terms| terms.retention_days)
        };
        assert_eq!(of(&in_force, Some(&group)), None);
        in_force.0.insert(LimitScope::Runtime(RuntimeId::parse("ecd-2").expect("an id")), days(9));
        assert_eq!(of(&in_force, Some(&group)), None, "another's");
        in_force.0.insert(LimitScope::Account(account.clone()), days(1));
        assert_eq!(of(&in_force, None), Some(1));
        in_force.0.insert(LimitScope::ResourceGroup(group.clone()), days(2));
        assert_eq!((of(&in_force, Some(&group)), of(&in_force, None)), (Some(2), Some(1)));
        in_force.0.insert(LimitScope::Runtime(runtime.clone()), days(3));
        assert_eq!(of(&in_force, Some(&group)), Some(3));
    }

    #[test]
    fn days_must_be_said_and_everything_is_bounded() {
        assert!(matches!(Terms::new(None, None), Ok(None)));
        assert_eq!(Terms::new(Some(7), None).expect("terms").expect("on").bytes_max, BYTES_DEFAULT);
        for days in [None, Some(0), Some(RETENTION_DAYS_MAX + 1)] {
            assert!(
                matches!(Terms::new(days, Some(BYTES_MIN)), Err(CaptureError::RetentionDays)),
                "{days:?}"
            );
        }
        for bytes in [BYTES_MIN - 1, BYTES_MAX + 1] {
            assert!(matches!(Terms::new(Some(1), Some(bytes)), Err(CaptureError::Bytes)), "{bytes}");
        }
    }
}
