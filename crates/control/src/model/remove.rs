//! Deleting groups, providers and models.
//!
//! A group goes only when no runtime and no resource group uses it: an agent must not fall silent because of a slip.
//! Providers and models go from a group in use, with everything below them; that is how a model is taken away from
//! agents, which follow as with every other change. Prices and ledger entries name models by text and stay.

use creel_wire::id::{ModelGroupId, ModelId, ProviderId};

use super::provider::lock_provider;
use super::{ModelError, Models};
use crate::access::Actor;
use crate::store::{StoreError, Topic, Tx};

impl Models {
    /// Deletes a group that nothing uses, with its providers and models.
    pub async fn delete_group(&self, actor: Actor, id: ModelGroupId) -> Result<(), ModelError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[id.as_str()], now_ms).await?;
                    let group = tx.lock_model_group(&actor.account_id, &id).await?;
                    group.ok_or_else(|| ModelError::no_group(&id))?;
                    // What refers to it decides, at the moment of the deletion.
                    match tx.delete_model_group(&id).await {
                        Err(StoreError::ForeignKey(_)) => Err(ModelError::GroupInUse(id.to_string())),
                        other => Ok(other?),
                    }
                })
            })
            .await
    }

    /// Deletes a provider with its models.
    pub async fn delete_provider(&self, actor: Actor, id: ProviderId) -> Result<(), ModelError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[id.as_str()], now_ms).await?;
                    let (_, group) = lock_provider(tx, &actor.account_id, &id).await?;
                    tx.delete_model_provider(&id).await?;
                    follow(tx, &group.id).await
                })
            })
            .await
    }

    /// Deletes a model.
    pub async fn delete_model(&self, actor: Actor, id: ModelId) -> Result<(), ModelError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[id.as_str()], now_ms).await?;
                    let absent = || ModelError::ModelNotFound(id.to_string());
                    let group_id = tx.find_group_of_model(&actor.account_id, &id).await?;
                    let group_id = group_id.ok_or_else(absent)?;
                    // Every change of a group takes the group first, so that no two wait for each other.
                    tx.lock_model_group(&actor.account_id, &group_id).await?;
                    if !tx.delete_model(&id).await? {
                        return Err(absent());
                    }
                    follow(tx, &group_id).await
                })
            })
            .await
    }
}

/// One new revision of a group that lost models. A default that is among them is none: the oldest model takes its
/// place until another is chosen.
async fn follow(tx: &mut Tx, group_id: &ModelGroupId) -> Result<(), ModelError> {
    tx.forget_lost_default(group_id).await?;
    tx.raise(Topic::Guest).await?;
    tx.raise(Topic::Directory).await?;
    Ok(())
}
