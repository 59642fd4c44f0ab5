//! Runtimes: the sandboxes that agents live in (desktops, in the provider's words). A change here records a wish;
//! `reconcile` makes it true.

mod create;
mod host_name;
mod power;
mod view;

use std::collections::HashMap;

use creel_wire::guest::AgentProvider;
use creel_wire::id::{AccountId, JvsId, ModelGroupId, OfficeSiteId, ResourceGroupId, RuntimeId};
use creel_wire::words;
use serde::{Deserialize, Serialize};

pub use create::{AssignMode, CreateRuntimes, NameSuffix, RuntimeBatch};
use power::power_after;
pub use power::{Management, PowerChange};
pub use view::{Observed, RuntimeFilter, RuntimeView};

use crate::access::{AccessError, Actor, Scope};
use crate::call_limit::LimitScope;
use crate::command::end_open_runs;
use crate::id_gen::IdGen;
use crate::page::{Cursor, Page, PageNumber};
use crate::store::{Store, StoreError, Topic};
use crate::tag::BadTags;

/// Runtimes that are stopped at once, of those whose credits are used up.
const RUNTIMES_AT_ONCE: usize = 500;

/// What an administrator wants of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    Running,
    Stopped,
    /// Stopped, its files kept, until it is woken up.
    Hibernated,
    /// As Running, for a runtime that was hibernated and does not run again yet.
    Waking,
}

/// What a sandbox is, as reconciliation last saw or made it; the API's DesktopStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxStatus {
    /// Not made yet; `reason` says what it waits for when that is not just its turn.
    Pending,
    /// Its guest was started and has not linked yet.
    Starting,
    Running,
    Stopping,
    Stopped,
}

macro_rules! text_enum {
    ($kind:ident: $($name:ident),+) => {
        impl $kind {
            /// The word that the API and the store use.
            pub fn as_str(self) -> &'static str {
                match self { $($kind::$name => stringify!($name)),+ }
            }
        }
        impl std::str::FromStr for $kind {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $(stringify!($name) => Ok($kind::$name),)+ _ => Err(()) }
            }
        }
    };
}
pub(crate) use text_enum;
text_enum!(Power: Running, Stopped, Hibernated, Waking);
text_enum!(SandboxStatus: Pending, Starting, Running, Stopping, Stopped);

/// A disk as the caller asked for it; disks are the host's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disk {
    pub size_gib: Option<i64>,
    pub category: Option<String>,
    pub performance_level: Option<String>,
}

/// What the caller said of a runtime and reads back; nothing here changes what Creel does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeAttributes {
    pub policy_group_id: Option<String>,
    pub system_disk: Disk,
    /// Its size is set where there is one.
    pub data_disk: Disk,
}

/// A runtime's wish and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    pub id: RuntimeId,
    pub account_id: AccountId,
    pub region_id: String,
    pub jvs_id: Option<JvsId>,
    pub name: String,
    pub host_name: String,
    pub office_site_id: OfficeSiteId,
    pub image_id: String,
    pub bundle_id: Option<String>,
    pub desktop_type: String,
    pub os_type: String,
    pub agent_provider: AgentProvider,
    /// `ENTERPRISE` or `ENTERPRISE_JVS`.
    pub agent_platform: String,
    /// `PostPaid` or `PrePaid`; echoed.
    pub charge_type: String,
    pub resource_group_id: Option<ResourceGroupId>,
    pub model_group_id: Option<ModelGroupId>,
    pub attributes: RuntimeAttributes,
    pub power: Power,
    pub boot_generation: i64,
    pub generation: i64,
    pub sandbox: SandboxStatus,
    pub reason: String,
    pub created_at_ms: i64,
    pub started_at_ms: Option<i64>,
    pub deleted_at_ms: Option<i64>,
}

/// The word for an agent provider on the wire and in the store.
pub fn provider_word(provider: AgentProvider) -> &'static str {
    match provider {
        AgentProvider::OpenClaw => "OpenClaw",
        AgentProvider::HermesAgent => "HermesAgent",
    }
}

impl Runtime {
    /// Whether an `ecd-…` or `jvs-…` id names it.
    pub fn is_named(&self, id: &str) -> bool {
        self.id.as_str() == id || self.jvs_id.as_ref().is_some_and(|jvs_id| jvs_id.as_str() == id)
    }
}

/// The agent provider that a word names, in any of its spellings.
pub fn provider_from_word(word: &str) -> Option<AgentProvider> {
    let word = words::agent_provider(word)?;
    [AgentProvider::OpenClaw, AgentProvider::HermesAgent].into_iter().find(|p| provider_word(*p) == word)
}

/// One number for everything that decides an agent's desired state, growing with each change: the runtime's own
/// generation and, below it, the revision of what it shares: its model group's and its account's skills' together,
/// either of which only grows. Stays below 2^53 for every client language.
pub fn wish_generation(runtime_generation: i64, shared_revision: i64) -> i64 {
    const REVISIONS: i64 = 1_000_000_000;
    runtime_generation.saturating_mul(REVISIONS).saturating_add(shared_revision.min(REVISIONS - 1))
}

/// Why a runtime operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("no runtime {0} in this account")]
    NotFound(String),
    #[error("runtime {id} is {status}, so it cannot be {action}")]
    WrongStatus { id: RuntimeId, status: &'static str, action: &'static str },
    #[error("the credits of runtime {0} are used up, and its pack keeps it stopped then")]
    CreditsUsedUp(RuntimeId),
    #[error("no office site {0} in this account and region")]
    OfficeSiteNotFound(String),
    #[error("no resource group {0} in this account")]
    ResourceGroupNotFound(String),
    #[error("no bundle {0}")]
    BundleNotFound(String),
    #[error("no image {0}")]
    ImageNotFound(String),
    #[error("no desktop type {0}")]
    DesktopTypeNotFound(String),
    #[error("neither a bundle nor an image is named")]
    NothingToMake,
    #[error("{0} runtimes in one request, which is not between 1 and 300")]
    Amount(i64),
    #[error("{amount} runtimes cannot be shared evenly by {users} users")]
    AmountNotTimesOfUsers { amount: i64, users: usize },
    #[error("the name of a runtime must have 1 to 64 characters")]
    Name,
    #[error("the host name of a Linux runtime cannot be chosen")]
    HostNameOfLinux,
    #[error("{0:?} gives no host name of 2 to 15 letters, digits and single hyphens within")]
    HostName(String),
    #[error("a host name is taken in this office site, or given to two runtimes of the request")]
    HostNameTaken,
    #[error("a disk has 40 to 2040 GiB in steps of 10, not {0}")]
    DiskSize(i64),
    #[error("{0}")]
    Tags(#[from] BadTags),
    #[error("no end user {0} in this account")]
    UserNotFound(String),
    #[error("monthly credits must be a positive amount that fits")]
    MonthlyCredits,
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing runtimes")]
    Store(#[from] StoreError),
}

/// Runtimes.
#[derive(Debug, Clone)]
pub struct Runtimes {
    store: Store,
    ids: IdGen,
}

impl Runtimes {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen) -> Self {
        Self { store, ids }
    }

    /// One page by number, newest first, and how many match.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: RuntimeFilter,
        page: PageNumber,
    ) -> Result<(Vec<RuntimeView>, i64), RuntimeError> {
        let now_ms = self.store.clock().now_ms();
        let (account_id, filter) = (&scope.account_id, &seen(scope, filter, now_ms));
        let items =
            self.store.list_runtimes(account_id, filter, None, page.offset(), page.size, now_ms).await?;
        let total = self.store.count_runtimes(account_id, filter, now_ms).await?;
        Ok((items, total))
    }

    /// One page by cursor, newest first, and how many match.
    pub async fn list_after(
        &self,
        scope: &Scope,
        filter: RuntimeFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<RuntimeView>, RuntimeError> {
        let now_ms = self.store.clock().now_ms();
        let (account_id, filter) = (&scope.account_id, &seen(scope, filter, now_ms));
        let mut items =
            self.store.list_runtimes(account_id, filter, after.as_ref(), 0, limit + 1, now_ms).await?;
        let total = self.store.count_runtimes(account_id, filter, now_ms).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items
            .last()
            .filter(|_| more)
            .map(|view| Cursor { key: view.runtime.created_at_ms, id: view.runtime.id.to_string() });
        Ok(Page { items, total, next })
    }

    /// The runtime that an `ecd-…` or `jvs-…` id names, if the scope has it.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<RuntimeView, RuntimeError> {
        let filter = RuntimeFilter { ids: vec![id.to_owned()], ..RuntimeFilter::default() };
        let now_ms = self.store.clock().now_ms();
        let filter = seen(scope, filter, now_ms);
        let found = self.store.list_runtimes(&scope.account_id, &filter, None, 0, 1, now_ms).await?;
        found.into_iter().next().ok_or_else(|| RuntimeError::NotFound(id.to_owned()))
    }

    /// Starts, stops, reboots, hibernates or wakes runtimes: all of them, or none if one does not exist or cannot.
    pub async fn set_power(
        &self,
        actor: Actor,
        ids: Vec<String>,
        change: PowerChange,
    ) -> Result<(), RuntimeError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let runtimes = tx.lock_runtimes(&actor.account_id, &ids).await?;
                    check_all_found(&ids, &runtimes)?;
                    audit(&actor, tx, &runtimes, now_ms).await?;
                    for runtime in &runtimes {
                        let starts = matches!(change, PowerChange::Start | PowerChange::Wake);
                        if starts && tx.is_in_maintenance(&actor.account_id, &runtime.id, now_ms).await? {
                            return Err(RuntimeError::CreditsUsedUp(runtime.id.clone()));
                        }
                        change_power(tx, runtime, change, now_ms).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Stops, or hibernates, those of these runtimes that are to run, because their credits are used up; gives how
    /// many that are. What cannot hibernate yet is stopped.
    pub(crate) async fn stop_spent(
        tx: &mut crate::store::Tx,
        actor: &Actor,
        ids: &[RuntimeId],
        change: PowerChange,
        now_ms: i64,
    ) -> Result<usize, RuntimeError> {
        let mut stopped = Vec::new();
        for ids in ids.chunks(RUNTIMES_AT_ONCE) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let runtimes = tx.lock_runtimes(&actor.account_id, &ids).await?;
            for runtime in runtimes.into_iter().filter(|runtime| runtime.power.is_on()) {
                match change_power(tx, &runtime, change, now_ms).await {
                    Err(RuntimeError::WrongStatus { .. }) => {
                        change_power(tx, &runtime, PowerChange::Stop, now_ms).await?;
                    }
                    other => other?,
                }
                stopped.push(runtime);
            }
        }
        audit(actor, tx, &stopped, now_ms).await?;
        Ok(stopped.len())
    }

    /// Gives runtimes a name: all of them, or none if one does not exist.
    pub async fn rename(&self, actor: Actor, ids: Vec<String>, name: String) -> Result<(), RuntimeError> {
        create::check_name(&name)?;
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let runtimes = tx.lock_runtimes(&actor.account_id, &ids).await?;
                    check_all_found(&ids, &runtimes)?;
                    audit(&actor, tx, &runtimes, now_ms).await?;
                    for runtime in &runtimes {
                        tx.set_runtime_name(&runtime.id, &name).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Deletes runtimes, their agents and homes: all of them, or none if one does not exist.
    pub async fn delete(&self, actor: Actor, ids: Vec<String>) -> Result<(), RuntimeError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let runtimes = tx.lock_runtimes(&actor.account_id, &ids).await?;
                    check_all_found(&ids, &runtimes)?;
                    audit(&actor, tx, &runtimes, now_ms).await?;
                    for runtime in &runtimes {
                        tx.delete_runtime(&runtime.id, now_ms).await?;
                        tx.delete_channels(&runtime.id).await?;
                        let scope = LimitScope::Runtime(runtime.id.clone());
                        tx.delete_call_limit(&actor.account_id, &scope).await?;
                        tx.delete_capture_policy(&actor.account_id, &scope).await?;
                        tx.revoke_virtual_keys(&runtime.id, now_ms).await?;
                        end_open_runs(tx, &runtime.id, true, now_ms).await?;
                        tx.wake(&runtime.id, now_ms).await?;
                    }
                    tx.raise(Topic::Directory).await?;
                    tx.raise(Topic::Guest).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// Writes the wish that a change leaves.
async fn change_power(
    tx: &mut crate::store::Tx,
    runtime: &Runtime,
    change: PowerChange,
    now_ms: i64,
) -> Result<(), RuntimeError> {
    let (power, boots) = power_after(change, runtime)?;
    tx.set_runtime_power(&runtime.id, power, runtime.boot_generation + boots).await?;
    if !power.is_on() || change == PowerChange::Reboot {
        end_open_runs(tx, &runtime.id, false, now_ms).await?;
    }
    tx.wake(&runtime.id, now_ms).await?;
    Ok(())
}

/// The one place where a list is narrowed to what its caller may see.
fn seen(scope: &Scope, filter: RuntimeFilter, now_ms: i64) -> RuntimeFilter {
    RuntimeFilter { entitled_to: scope.entitled(now_ms), ..filter }
}

/// Names the first id that matched no runtime, so that the caller can mend the list.
pub(crate) fn check_all_found(ids: &[String], runtimes: &[Runtime]) -> Result<(), RuntimeError> {
    let mut known: HashMap<&str, ()> = HashMap::new();
    for runtime in runtimes {
        known.insert(runtime.id.as_str(), ());
        if let Some(jvs_id) = &runtime.jvs_id {
            known.insert(jvs_id.as_str(), ());
        }
    }
    match ids.iter().find(|id| !known.contains_key(id.as_str())) {
        Some(id) => Err(RuntimeError::NotFound(id.clone())),
        None => Ok(()),
    }
}

async fn audit(
    actor: &Actor,
    tx: &mut crate::store::Tx,
    runtimes: &[Runtime],
    now_ms: i64,
) -> Result<(), AccessError> {
    let ids: Vec<&str> = runtimes.iter().map(|runtime| runtime.id.as_str()).collect();
    actor.audit(tx, &ids, now_ms).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_generation_grows_with_either_part() {
        let first = wish_generation(1, 50);
        assert!(wish_generation(1, 51) > first);
        assert!(wish_generation(2, 0) > wish_generation(1, 999_999_999));
        assert!(wish_generation(9_000_000, 999_999_999) < (1 << 53));
    }
}
