//! Which resource group has which model group.

use creel_wire::id::{AccountId, ModelGroupId, ResourceGroupId};

use super::{ModelError, Models};
use crate::access::Actor;
use crate::page::{Page, PageNumber};
use crate::resource_group::ResourceGroup;
use crate::store::{StoreError, Topic, Tx};

/// What became of one resource group of a request to take a model group away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnbindOutcome {
    /// As asked, now or already before.
    Done,
    NotFound,
    /// It has another model group, which was not to be removed.
    OtherGroup,
}

/// The outcome under the id by which the caller named the resource group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnboundResourceGroup {
    pub id: String,
    pub outcome: UnbindOutcome,
}

impl Models {
    /// Gives a resource group a model group, in place of any other: from then on it wins over the own groups of the
    /// runtimes in it whose program it fits.
    pub async fn bind_resource_group(
        &self,
        actor: Actor,
        group_id: ModelGroupId,
        id: ResourceGroupId,
    ) -> Result<(), ModelError> {
        let now_ms = self.store.clock().now_ms();
        let named = group_id.clone();
        let bound = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[group_id.as_str(), id.as_str()], now_ms).await?;
                    check_group(tx, &actor.account_id, &group_id).await?;
                    let found = tx.lock_resource_group(&actor.account_id, &id).await?;
                    let found = found.ok_or_else(|| ModelError::ResourceGroupNotFound(id.to_string()))?;
                    if found.model_group_id.as_ref() != Some(&group_id) {
                        set(tx, &id, Some(&group_id)).await?;
                    }
                    Ok(())
                })
            })
            .await;
        match bound {
            // The model group was deleted since it was read.
            Err(ModelError::Store(StoreError::ForeignKey(_))) => Err(ModelError::no_group(&named)),
            other => other,
        }
    }

    /// Takes the model group away from the resource groups that have it, by id; one without any stays as it is. One
    /// outcome per id, in the order given.
    pub async fn unbind_resource_groups(
        &self,
        actor: Actor,
        group_id: ModelGroupId,
        ids: Vec<String>,
    ) -> Result<Vec<UnboundResourceGroup>, ModelError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let mut resources = vec![group_id.as_str()];
                    resources.extend(ids.iter().map(String::as_str));
                    actor.audit(tx, &resources, now_ms).await?;
                    check_group(tx, &actor.account_id, &group_id).await?;
                    let mut found = tx.lock_resource_groups(&actor.account_id, &ids).await?;
                    let mut outcomes = Vec::with_capacity(ids.len());
                    for id in ids {
                        let outcome = match found.iter_mut().find(|group| group.id.as_str() == id) {
                            None => UnbindOutcome::NotFound,
                            Some(group) => unbind(tx, group, &group_id).await?,
                        };
                        outcomes.push(UnboundResourceGroup { id, outcome });
                    }
                    Ok(outcomes)
                })
            })
            .await
    }

    /// One page of the resource groups that have a model group, oldest first, and how many do; with `ids` only those
    /// among them.
    pub async fn list_resource_groups(
        &self,
        account_id: &AccountId,
        group_id: &ModelGroupId,
        ids: &[String],
        page: PageNumber,
    ) -> Result<Page<ResourceGroupId>, ModelError> {
        let group = self.store.find_model_group(account_id, group_id).await?;
        group.ok_or_else(|| ModelError::no_group(group_id))?;
        Ok(self.store.list_bound_resource_groups(account_id, group_id, ids, page).await?)
    }
}

async fn check_group(tx: &mut Tx, account_id: &AccountId, group_id: &ModelGroupId) -> Result<(), ModelError> {
    let group = tx.find_model_group(account_id, group_id).await?;
    group.map(|_| ()).ok_or_else(|| ModelError::no_group(group_id))
}

async fn unbind(
    tx: &mut Tx,
    group: &mut ResourceGroup,
    model_group_id: &ModelGroupId,
) -> Result<UnbindOutcome, StoreError> {
    match &group.model_group_id {
        None => {}
        Some(bound) if bound == model_group_id => {
            set(tx, &group.id, None).await?;
            // Here too: the caller may name one group twice.
            group.model_group_id = None;
        }
        Some(_) => return Ok(UnbindOutcome::OtherGroup),
    }
    Ok(UnbindOutcome::Done)
}

async fn set(
    tx: &mut Tx,
    id: &ResourceGroupId,
    model_group_id: Option<&ModelGroupId>,
) -> Result<(), StoreError> {
    tx.set_resource_group_model_group(id, model_group_id).await?;
    tx.raise(Topic::Guest).await?;
    tx.raise(Topic::Directory).await
}
