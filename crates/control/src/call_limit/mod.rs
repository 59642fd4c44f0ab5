//! Call limits: how many calls and tokens a minute agents may ask of the gateway, how many calls at once, and how long an
//! answer may be. An account, a resource group and a runtime have one each; every one of them that applies to a call must
//! admit it.
//!
//! They are kept to by the ledger, which sees all calls of all gateways: it is the one place that knows the traffic.

mod traffic;

use std::collections::HashMap;
use std::sync::Arc;

use creel_wire::id::{AccountId, ResourceGroupId, RuntimeId};
use serde::{Deserialize, Serialize};

use crate::access::{AccessError, Actor};
use crate::page::{Cursor, Page};
use crate::store::{Store, StoreError, Topic, Tx};

pub(crate) use traffic::Traffic;
pub use traffic::{Excess, LimitKind};

/// The highest of each figure: more is no limit.
const FIGURE_MAX: i64 = 1_000_000_000;

/// What limits apply to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LimitScope {
    /// All calls of an account together.
    Account(AccountId),
    /// All calls of the runtimes in a resource group together.
    ResourceGroup(ResourceGroupId),
    /// The calls of one runtime, its agent's and those with keys that people have for it.
    Runtime(RuntimeId),
}

impl LimitScope {
    /// As it stands in the store and in the API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "Account",
            Self::ResourceGroup(_) => "ResourceGroup",
            Self::Runtime(_) => "Runtime",
        }
    }

    /// The id of what it names.
    pub fn id(&self) -> &str {
        match self {
            Self::Account(id) => id.as_str(),
            Self::ResourceGroup(id) => id.as_str(),
            Self::Runtime(id) => id.as_str(),
        }
    }

    /// Where it stands in lists: the account, resource groups, runtimes.
    pub(crate) fn rank(&self) -> i64 {
        match self {
            Self::Account(_) => 0,
            Self::ResourceGroup(_) => 1,
            Self::Runtime(_) => 2,
        }
    }

    /// What is stored; `None` for what this version does not know.
    pub(crate) fn from_row(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "Account" => AccountId::parse(id).ok().map(Self::Account),
            "ResourceGroup" => ResourceGroupId::parse(id).ok().map(Self::ResourceGroup),
            "Runtime" => RuntimeId::parse(id).ok().map(Self::Runtime),
            _ => None,
        }
    }
}

/// The figures of one scope; what is `None` is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Figures {
    /// Calls in any 60 seconds.
    pub requests_per_minute: Option<i64>,
    /// Tokens, input and output of all classes, in any 60 seconds. They are known when a call ends: calls that began
    /// before the limit was reached run to their end.
    pub tokens_per_minute: Option<i64>,
    /// Calls that run at the same time.
    pub concurrent_calls: Option<i64>,
    /// Output tokens of one answer; a request for more is lowered to it.
    pub output_tokens_max: Option<i64>,
}

impl Figures {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self) -> Result<(), CallLimitError> {
        let figures = [
            (self.requests_per_minute, "RequestsPerMinute"),
            (self.tokens_per_minute, "TokensPerMinute"),
            (self.concurrent_calls, "ConcurrentCalls"),
            (self.output_tokens_max, "OutputTokensMax"),
        ];
        let wrong = |(figure, _): &(Option<i64>, _)| figure.is_some_and(|it| !(1..=FIGURE_MAX).contains(&it));
        match figures.into_iter().find(wrong) {
            Some((_, name)) => Err(CallLimitError::Figure { name }),
            None => Ok(()),
        }
    }
}

/// Limits of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLimit {
    pub scope: LimitScope,
    pub figures: Figures,
}

/// A limit as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLimitView {
    pub limit: CallLimit,
    pub updated_at_ms: i64,
}

/// Which scope a request names; neither: the account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedScope {
    pub resource_group_id: Option<String>,
    /// `ecd-…` or `jvs-…`.
    pub runtime_id: Option<String>,
}

/// Why limits were not set.
#[derive(Debug, thiserror::Error)]
pub enum CallLimitError {
    #[error("a limit is for a resource group or for a runtime, not for both")]
    TwoScopes,
    /// `name` is the parameter's.
    #[error("{name} must be between 1 and {FIGURE_MAX}")]
    Figure { name: &'static str },
    #[error("no resource group {0} in this account")]
    ResourceGroupNotFound(String),
    #[error("no runtime {0} in this account")]
    RuntimeNotFound(String),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing call limits")]
    Store(#[from] StoreError),
}

/// Call limits.
#[derive(Debug, Clone)]
pub struct CallLimits {
    store: Store,
}

impl CallLimits {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Sets all figures of a scope; those that are not given are not limited any more. Gateways follow within a second,
    /// with calls that begin then.
    pub async fn set(
        &self,
        actor: Actor,
        named: NamedScope,
        figures: Figures,
    ) -> Result<CallLimit, CallLimitError> {
        figures.check()?;
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let scope = find_scope(tx, &actor.account_id, named).await?;
                    actor.audit(tx, &[scope.id()], now_ms).await?;
                    let limit = CallLimit { scope, figures };
                    if figures.is_empty() {
                        tx.delete_call_limit(&actor.account_id, &limit.scope).await?;
                    } else {
                        tx.put_call_limit(&actor.account_id, &limit, now_ms).await?;
                    }
                    tx.raise(Topic::Directory).await?;
                    Ok(limit)
                })
            })
            .await
    }

    /// One page of an account's limits: the account's own, then resource groups', then runtimes', by id; not counted.
    pub async fn list(
        &self,
        account_id: &AccountId,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<CallLimitView>, CallLimitError> {
        Ok(self.store.list_call_limits(account_id, after, limit).await?)
    }

    /// Those of all accounts, for gateways.
    pub async fn in_force(&self) -> Result<InForce, CallLimitError> {
        Ok(InForce(self.store.all_call_limits().await?))
    }
}

/// The limits of all accounts at one moment.
#[derive(Debug, Default)]
pub struct InForce(HashMap<LimitScope, Figures>);

impl InForce {
    /// What applies to the calls of a runtime.
    pub fn of(
        &self,
        account_id: &AccountId,
        resource_group_id: Option<&ResourceGroupId>,
        runtime_id: &RuntimeId,
    ) -> Limits {
        if self.0.is_empty() {
            return Limits::default();
        }
        let scopes = [
            Some(LimitScope::Account(account_id.clone())),
            resource_group_id.cloned().map(LimitScope::ResourceGroup),
            Some(LimitScope::Runtime(runtime_id.clone())),
        ];
        let limit = |scope: LimitScope| {
            let figures = *self.0.get(&scope)?;
            Some(CallLimit { scope, figures })
        };
        Limits::new(scopes.into_iter().flatten().filter_map(limit))
    }
}

pub(crate) async fn find_scope(
    tx: &mut Tx,
    account_id: &AccountId,
    named: NamedScope,
) -> Result<LimitScope, CallLimitError> {
    match (named.resource_group_id, named.runtime_id) {
        (Some(_), Some(_)) => Err(CallLimitError::TwoScopes),
        (None, None) => Ok(LimitScope::Account(account_id.clone())),
        (Some(id), None) => {
            let known = match ResourceGroupId::parse(&id) {
                Ok(parsed) => tx.lock_resource_group(account_id, &parsed).await?.map(|_| parsed),
                Err(_) => None,
            };
            known.map(LimitScope::ResourceGroup).ok_or(CallLimitError::ResourceGroupNotFound(id))
        }
        (None, Some(id)) => {
            let runtimes = tx.lock_runtimes(account_id, std::slice::from_ref(&id)).await?;
            let runtime = runtimes.into_iter().next().ok_or(CallLimitError::RuntimeNotFound(id))?;
            Ok(LimitScope::Runtime(runtime.id))
        }
    }
}

/// What applies to the calls of one runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Each of them must admit a call.
    pub all: Arc<[CallLimit]>,
    /// The lowest of their limits of one answer.
    pub output_tokens_max: Option<i64>,
}

impl Limits {
    /// These together.
    pub fn new(all: impl IntoIterator<Item = CallLimit>) -> Self {
        let all: Arc<[CallLimit]> = all.into_iter().collect();
        let output_tokens_max = all.iter().filter_map(|limit| limit.figures.output_tokens_max).min();
        Self { all, output_tokens_max }
    }
}
