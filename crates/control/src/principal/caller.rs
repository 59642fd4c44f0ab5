//! A caller's principal and what it may do, from memory for at most a second.

use std::sync::{Arc, PoisonError};

use creel_wire::id::PrincipalId;

use super::{CACHE_MAX, CACHE_MS, Principal, PrincipalError, PrincipalKind, Principals};
use crate::policy::{Decision, Policy, Resource, StatementRef, end_user_policy, evaluate};

/// A principal with its policies.
#[derive(Debug)]
pub struct Known {
    pub principal: Principal,
    /// Empty for all but users.
    policies: Vec<Policy>,
}

/// Why a caller may not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The statement that denies it; `None` if no statement allows it.
    pub statement: Option<StatementRef>,
    /// True if it is the policy of temporary credentials that refuses.
    pub by_session: bool,
}

impl Known {
    /// Whether the principal may do `action` on all of `resources`, with credentials that `session` narrows.
    ///
    /// # Errors
    /// Why not.
    pub fn check(
        &self,
        session: Option<&Policy>,
        action: &str,
        resources: &[Resource<'_>],
    ) -> Result<(), Refusal> {
        let own = match self.principal.kind {
            PrincipalKind::Root => Decision::Allowed,
            PrincipalKind::User => evaluate(&self.policies, action, resources),
            PrincipalKind::EndUser => evaluate([end_user_policy()], action, resources),
        };
        if let Decision::Denied(statement) = own {
            return Err(Refusal { statement, by_session: false });
        }
        match session.map(|session| evaluate([session], action, resources)) {
            Some(Decision::Denied(statement)) => Err(Refusal { statement, by_session: true }),
            Some(Decision::Allowed) | None => Ok(()),
        }
    }
}

impl Principals {
    /// The principal of a caller, if it still exists; from memory if it was read within the last second.
    pub async fn find(&self, id: &PrincipalId) -> Result<Option<Arc<Known>>, PrincipalError> {
        let now_ms = self.store.clock().now_ms();
        if let Some((read_at_ms, found)) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(id)
            && now_ms.saturating_sub(*read_at_ms) < CACHE_MS
        {
            return Ok(Some(found.clone()));
        }
        let Some(principal) = self.store.find_principal_by_id(id).await? else { return Ok(None) };
        let policies = match principal.kind {
            PrincipalKind::User => {
                let attached = self.store.list_attachments(id).await?;
                attached.iter().map(super::Attachment::compile).collect::<Result<_, _>>()?
            }
            PrincipalKind::Root | PrincipalKind::EndUser => Vec::new(),
        };
        let found = Arc::new(Known { principal, policies });
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_MAX {
            cache.clear();
        }
        cache.insert(id.clone(), (now_ms, found.clone()));
        Ok(Some(found))
    }

    pub(super) fn forget(&self, id: &PrincipalId) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
