//! Resource groups: runtimes that are managed together. A runtime is in one group or in none; a model group that is
//! bound to its resource group wins over its own.

use creel_wire::id::{AccountId, ModelGroupId, ResourceGroupId, RuntimeId};

use crate::access::{AccessError, Actor};
use crate::call_limit::LimitScope;
use crate::id_gen::IdGen;
use crate::page::PageNumber;
use crate::runtime::{Runtime, RuntimeError, check_all_found};
use crate::store::{Store, StoreError, Topic, Tx};

/// Groups an account may have.
const GROUPS_MAX: i64 = 1_000;
/// Characters of a name at the most.
const NAME_CHARS_MAX: usize = 64;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceGroup {
    pub id: ResourceGroupId,
    pub account_id: AccountId,
    pub name: String,
    /// The model group of every runtime in it.
    pub model_group_id: Option<ModelGroupId>,
    pub created_at_ms: i64,
    /// Runtimes in it that are not deleted.
    pub runtime_count: i64,
}

/// Which groups to list; what is empty filters nothing.
#[derive(Debug, Clone, Default)]
pub struct ResourceGroupFilter {
    pub ids: Vec<String>,
    /// The whole name.
    pub name: Option<String>,
}

/// Why a resource group operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ResourceGroupError {
    #[error("no resource group {0} in this account")]
    NotFound(String),
    #[error("another resource group of this account is named {0}")]
    NameTaken(String),
    #[error(
        "the name of a resource group must have 1 to {NAME_CHARS_MAX} characters, none of them a control character"
    )]
    Name,
    #[error("the account has {GROUPS_MAX} resource groups, the most it may have")]
    TooMany,
    #[error("resource group {0} still holds runtimes")]
    NotEmpty(ResourceGroupId),
    #[error("runtime {runtime_id} is not in resource group {group_id}")]
    NotInGroup { runtime_id: RuntimeId, group_id: ResourceGroupId },
    #[error("finding the runtimes to move")]
    Runtime(#[from] RuntimeError),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing resource groups")]
    Store(#[from] StoreError),
}

impl ResourceGroupError {
    fn no_group(id: &ResourceGroupId) -> Self {
        Self::NotFound(id.to_string())
    }
}

/// Resource groups.
#[derive(Debug, Clone)]
pub struct ResourceGroups {
    store: Store,
    ids: IdGen,
}

impl ResourceGroups {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen) -> Self {
        Self { store, ids }
    }

    /// Makes an empty group.
    pub async fn create(&self, actor: Actor, name: String) -> Result<ResourceGroupId, ResourceGroupError> {
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(ResourceGroupError::Name);
        }
        let group = ResourceGroup {
            id: self.ids.resource_group(),
            account_id: actor.account_id.clone(),
            name,
            model_group_id: None,
            created_at_ms: self.store.clock().now_ms(),
            runtime_count: 0,
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(id) = actor.replayed(tx).await? {
                        return Ok(id);
                    }
                    actor.audit(tx, &[group.id.as_str()], group.created_at_ms).await?;
                    if tx.count_resource_groups(&group.account_id).await? >= GROUPS_MAX {
                        return Err(ResourceGroupError::TooMany);
                    }
                    match tx.insert_resource_group(&group).await {
                        Err(StoreError::Unique(_)) => return Err(ResourceGroupError::NameTaken(group.name)),
                        other => other?,
                    }
                    actor.remember(tx, &group.id, group.created_at_ms).await?;
                    Ok(group.id)
                })
            })
            .await
    }

    /// One page of groups, oldest first, and how many match.
    pub async fn list(
        &self,
        account_id: &AccountId,
        filter: &ResourceGroupFilter,
        page: PageNumber,
    ) -> Result<(Vec<ResourceGroup>, i64), ResourceGroupError> {
        Ok(self.store.list_resource_groups(account_id, filter, page).await?)
    }

    /// Deletes groups: all of them, or none if one does not exist or still holds a runtime. A model group that is bound to
    /// one is free again.
    pub async fn delete(&self, actor: Actor, ids: Vec<ResourceGroupId>) -> Result<(), ResourceGroupError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let names: Vec<&str> = ids.iter().map(ResourceGroupId::as_str).collect();
                    actor.audit(tx, &names, now_ms).await?;
                    for id in &ids {
                        lock(tx, &actor.account_id, id).await?;
                        if tx.resource_group_has_runtimes(id).await? {
                            return Err(ResourceGroupError::NotEmpty(id.clone()));
                        }
                        let scope = LimitScope::ResourceGroup(id.clone());
                        tx.delete_call_limit(&actor.account_id, &scope).await?;
                        tx.delete_capture_policy(&actor.account_id, &scope).await?;
                        tx.delete_resource_group(id).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Moves runtimes, named by `ecd-…` or `jvs-…`, into a group, out of whichever they are in: all of them, or none if
    /// one does not exist.
    pub async fn move_into(
        &self,
        actor: Actor,
        group_id: ResourceGroupId,
        runtime_ids: Vec<String>,
    ) -> Result<(), ResourceGroupError> {
        self.transfer(actor, None, Some(group_id), runtime_ids).await
    }

    /// Moves runtimes out of a group, into another or into none: all of them, or none if one does not exist or is in
    /// a third group. Those that are already where they should go stay, so that a repeated call does no harm.
    pub async fn move_out(
        &self,
        actor: Actor,
        from: ResourceGroupId,
        to: Option<ResourceGroupId>,
        runtime_ids: Vec<String>,
    ) -> Result<(), ResourceGroupError> {
        self.transfer(actor, Some(from), to, runtime_ids).await
    }

    async fn transfer(
        &self,
        actor: Actor,
        from: Option<ResourceGroupId>,
        to: Option<ResourceGroupId>,
        runtime_ids: Vec<String>,
    ) -> Result<(), ResourceGroupError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let mut groups: Vec<&ResourceGroupId> = from.iter().chain(&to).collect();
                    // Always in one order, so that two transfers do not wait for each other.
                    groups.sort_unstable();
                    let mut resources: Vec<&str> = groups.iter().map(|id| id.as_str()).collect();
                    resources.extend(runtime_ids.iter().map(String::as_str));
                    actor.audit(tx, &resources, now_ms).await?;
                    for group_id in groups {
                        lock(tx, &actor.account_id, group_id).await?;
                    }
                    let runtimes = tx.lock_runtimes(&actor.account_id, &runtime_ids).await?;
                    check_all_found(&runtime_ids, &runtimes)?;
                    for runtime in &runtimes {
                        move_one(tx, runtime, from.as_ref(), to.as_ref()).await?;
                    }
                    for topic in [Topic::Guest, Topic::Reconcile, Topic::Directory] {
                        tx.raise(topic).await?;
                    }
                    // Calls count against the quota of another group now.
                    tx.touch_ledger(&actor.account_id, None).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// Sees that a group of this account exists, and keeps it from being deleted before the transaction ends.
pub(crate) async fn lock(
    tx: &mut Tx,
    account_id: &AccountId,
    id: &ResourceGroupId,
) -> Result<ResourceGroup, ResourceGroupError> {
    tx.lock_resource_group(account_id, id).await?.ok_or_else(|| ResourceGroupError::no_group(id))
}

async fn move_one(
    tx: &mut Tx,
    runtime: &Runtime,
    from: Option<&ResourceGroupId>,
    to: Option<&ResourceGroupId>,
) -> Result<(), ResourceGroupError> {
    let current = runtime.resource_group_id.as_ref();
    if current == to {
        return Ok(());
    }
    match from {
        Some(group_id) if current != from => {
            Err(ResourceGroupError::NotInGroup { runtime_id: runtime.id.clone(), group_id: group_id.clone() })
        }
        _ => Ok(tx.set_runtime_resource_group(&runtime.id, to).await?),
    }
}
