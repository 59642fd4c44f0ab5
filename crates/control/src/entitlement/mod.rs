//! Entitlement: which end users a runtime is given to. Whoever is entitled sees the runtime, its spend and the messages
//! it sent itself, and may talk to the agent; nobody else may.

mod spread;

use std::collections::{HashMap, HashSet};

use creel_wire::id::{EndUserId, RuntimeId};

pub use spread::{Caps, Strategy, spread};

use crate::access::{AccessError, Actor};
use crate::runtime::{Runtime, RuntimeError, check_all_found};
use crate::store::{Store, StoreError, Tx};
use crate::user;

/// Users a runtime may be given to.
const USERS_PER_RUNTIME_MAX: usize = 500;

/// An end user at a moment: it sees what belongs to the runtimes that it is entitled to then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitled {
    pub end_user: EndUserId,
    /// A user who is locked by then sees nothing.
    pub now_ms: i64,
}

/// Users to give to some runtimes and to take from others.
#[derive(Debug, Clone, Default)]
pub struct EntitlementChange {
    pub users: Vec<String>,
    /// `ecd-…` or `jvs-…`.
    pub authorize: Vec<String>,
    pub revoke: Vec<String>,
}

/// Users to spread over runtimes, in place of those that these have.
#[derive(Debug, Clone)]
pub struct SpreadRequest {
    /// `ecd-…` or `jvs-…`.
    pub runtime_ids: Vec<String>,
    pub users: Vec<String>,
    pub strategy: Strategy,
    pub caps: Caps,
}

/// The users that a runtime gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub runtime_id: RuntimeId,
    pub users: Vec<EndUserId>,
}

/// Why a change of entitlement failed; nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum EntitlementError {
    #[error("finding the runtimes")]
    Runtime(#[from] RuntimeError),
    #[error("no end user {0} in this account")]
    UserNotFound(String),
    #[error("runtime {0} is to be given and taken in one request")]
    GivenAndTaken(RuntimeId),
    #[error("runtime {0} would have more than {USERS_PER_RUNTIME_MAX} users, the most it may have")]
    TooManyUsers(RuntimeId),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing entitlements")]
    Store(#[from] StoreError),
}

/// Who may use which runtimes.
#[derive(Debug, Clone)]
pub struct Entitlements {
    store: Store,
}

impl Entitlements {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Gives a runtime to these users and to nobody else, at once; what was promised for it before is void.
    pub async fn set_users(
        &self,
        actor: Actor,
        runtime_id: String,
        users: Vec<String>,
    ) -> Result<(), EntitlementError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let runtimes = lock_runtimes(tx, &actor, &[runtime_id]).await?;
                    let users = lock_users(tx, &actor, &users).await?;
                    audit(tx, &actor, &runtimes, &users, now_ms).await?;
                    for runtime in &runtimes {
                        tx.delete_assignment(&runtime.id).await?;
                        tx.set_runtime_users(runtime, &users).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Gives users some runtimes and takes others from them, at once; other users of these keep what they have.
    pub async fn change(&self, actor: Actor, change: EntitlementChange) -> Result<(), EntitlementError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let all: Vec<String> = change.authorize.iter().chain(&change.revoke).cloned().collect();
                    let runtimes = lock_runtimes(tx, &actor, &all).await?;
                    let users = lock_users(tx, &actor, &change.users).await?;
                    audit(tx, &actor, &runtimes, &users, now_ms).await?;
                    let named = |ids: &[String], runtime: &Runtime| ids.iter().any(|id| runtime.is_named(id));
                    for runtime in &runtimes {
                        let gives = named(&change.authorize, runtime);
                        if gives && named(&change.revoke, runtime) {
                            return Err(EntitlementError::GivenAndTaken(runtime.id.clone()));
                        }
                        // What was promised came first.
                        place(tx, &runtime.id).await?;
                        tx.delete_runtime_users(&runtime.id, &users).await?;
                        if gives {
                            tx.insert_users_of(runtime, &users).await?;
                            let count = tx.count_runtime_users(&runtime.id).await?;
                            if usize::try_from(count).is_ok_and(|count| count > USERS_PER_RUNTIME_MAX) {
                                return Err(EntitlementError::TooManyUsers(runtime.id.clone()));
                            }
                        }
                    }
                    Ok(())
                })
            })
            .await
    }

    /// What [`Entitlements::assign`] would do; changes nothing.
    pub async fn preview(
        &self,
        actor: Actor,
        request: SpreadRequest,
    ) -> Result<Vec<Assignment>, EntitlementError> {
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let planned = plan(tx, &actor, &request).await?;
                    Ok(planned.into_iter().map(|(_, assignment)| assignment).collect())
                })
            })
            .await
    }

    /// Promises each runtime its new users, in place of those it has, and answers; the reconciler keeps the promises,
    /// runtime by runtime.
    pub async fn assign(
        &self,
        actor: Actor,
        request: SpreadRequest,
    ) -> Result<Vec<Assignment>, EntitlementError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let planned = plan(tx, &actor, &request).await?;
                    let runtimes: Vec<&Runtime> = planned.iter().map(|(runtime, _)| runtime).collect();
                    let users: HashSet<&EndUserId> =
                        planned.iter().flat_map(|(_, assignment)| &assignment.users).collect();
                    let mut users: Vec<EndUserId> = users.into_iter().cloned().collect();
                    users.sort_unstable();
                    audit(tx, &actor, runtimes.iter().copied(), &users, now_ms).await?;
                    for (runtime, assignment) in &planned {
                        tx.delete_assignment(&runtime.id).await?;
                        tx.insert_assignment(runtime, &assignment.users, now_ms).await?;
                        tx.wake(&runtime.id, now_ms).await?;
                    }
                    Ok(planned.into_iter().map(|(_, assignment)| assignment).collect())
                })
            })
            .await
    }
}

/// Keeps the promise that was made for a runtime, if one was. Users removed since are left out.
pub(crate) async fn place(tx: &mut Tx, runtime_id: &RuntimeId) -> Result<(), StoreError> {
    let Some((account_id, promised)) = tx.lock_assignment(runtime_id).await? else { return Ok(()) };
    let users = tx.lock_users(&account_id, &promised).await?;
    if let Some(runtime) = tx.find_runtime(runtime_id).await? {
        tx.set_runtime_users(&runtime, &users).await?;
    }
    tx.delete_assignment(runtime_id).await
}

/// The runtimes and users of a request and who gets what, in the order of the request.
async fn plan(
    tx: &mut Tx,
    actor: &Actor,
    request: &SpreadRequest,
) -> Result<Vec<(Runtime, Assignment)>, EntitlementError> {
    let mut found: HashMap<RuntimeId, Runtime> = lock_runtimes(tx, actor, &request.runtime_ids)
        .await?
        .into_iter()
        .map(|runtime| (runtime.id.clone(), runtime))
        .collect();
    let mut runtimes = Vec::with_capacity(found.len());
    for id in &request.runtime_ids {
        let named = found.values().find(|runtime| runtime.is_named(id)).map(|runtime| runtime.id.clone());
        runtimes.extend(named.and_then(|id| found.remove(&id)));
    }
    let known: HashSet<EndUserId> = lock_users(tx, actor, &request.users).await?.into_iter().collect();
    let mut users: Vec<EndUserId> = Vec::with_capacity(known.len());
    let mut seen = HashSet::new();
    for id in request.users.iter().filter_map(|name| EndUserId::parse(name).ok()) {
        if known.contains(&id) && seen.insert(id.clone()) {
            users.push(id);
        }
    }
    let shares = spread(runtimes.len(), users.len(), request.strategy, request.caps);
    let assignments = runtimes.into_iter().zip(shares).map(|(runtime, share)| {
        let users = share.into_iter().filter_map(|index| users.get(index).cloned()).collect();
        let assignment = Assignment { runtime_id: runtime.id.clone(), users };
        (runtime, assignment)
    });
    Ok(assignments.collect())
}

async fn lock_runtimes(tx: &mut Tx, actor: &Actor, ids: &[String]) -> Result<Vec<Runtime>, EntitlementError> {
    let runtimes = tx.lock_runtimes(&actor.account_id, ids).await?;
    check_all_found(ids, &runtimes)?;
    Ok(runtimes)
}

async fn lock_users(
    tx: &mut Tx,
    actor: &Actor,
    names: &[String],
) -> Result<Vec<EndUserId>, EntitlementError> {
    user::lock_named(tx, &actor.account_id, names).await?.map_err(EntitlementError::UserNotFound)
}

async fn audit<'a>(
    tx: &mut Tx,
    actor: &Actor,
    runtimes: impl IntoIterator<Item = &'a Runtime>,
    users: &[EndUserId],
    now_ms: i64,
) -> Result<(), AccessError> {
    let users: Vec<String> = users.iter().map(|user| format!("enduser/{user}")).collect();
    let runtimes = runtimes.into_iter().map(|runtime| runtime.id.as_str());
    let resources: Vec<&str> = runtimes.chain(users.iter().map(String::as_str)).collect();
    actor.audit(tx, &resources, now_ms).await
}
