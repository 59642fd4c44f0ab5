//! Which runtime uses which group.

use creel_wire::id::ModelGroupId;

use super::{ModelError, Models};
use crate::access::Actor;
use crate::runtime::{Runtime, provider_word};
use crate::store::{StoreError, Topic, Tx};

/// What became of one runtime of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindOutcome {
    /// As asked, now or already before.
    Done,
    RuntimeNotFound,
    /// The group is for another program than the runtime's.
    AgentMismatch {
        runtime_agent: &'static str,
        group_agent: &'static str,
    },
    /// The runtime is bound to another group, which was not to be removed.
    OtherGroup,
}

/// The outcome under the id by which the caller named the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundRuntime {
    pub runtime_id: String,
    pub outcome: BindOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Bind,
    Unbind,
}

impl Models {
    /// Binds runtimes, named by `ecd-…` or `jvs-…`, to a group; one outcome per name, in the order given.
    ///
    /// A runtime that has the group already stays as it is; one that has another gets this one instead.
    pub async fn bind_runtimes(
        &self,
        actor: Actor,
        group_id: ModelGroupId,
        runtime_ids: Vec<String>,
    ) -> Result<Vec<BoundRuntime>, ModelError> {
        self.change_bindings(actor, group_id, runtime_ids, Wish::Bind).await
    }

    /// Takes the group away from the runtimes that have it; a runtime without any group stays as it is.
    pub async fn unbind_runtimes(
        &self,
        actor: Actor,
        group_id: ModelGroupId,
        runtime_ids: Vec<String>,
    ) -> Result<Vec<BoundRuntime>, ModelError> {
        self.change_bindings(actor, group_id, runtime_ids, Wish::Unbind).await
    }

    async fn change_bindings(
        &self,
        actor: Actor,
        group_id: ModelGroupId,
        runtime_ids: Vec<String>,
        wish: Wish,
    ) -> Result<Vec<BoundRuntime>, ModelError> {
        let now_ms = self.store.clock().now_ms();
        let group = group_id.clone();
        let changed = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut resources = vec![group_id.as_str()];
                    resources.extend(runtime_ids.iter().map(String::as_str));
                    actor.audit(tx, &resources, now_ms).await?;
                    let group = tx.find_model_group(&actor.account_id, &group_id).await?;
                    let group = group.ok_or_else(|| ModelError::no_group(&group_id))?;
                    let mut runtimes = tx.lock_runtimes(&actor.account_id, &runtime_ids).await?;
                    let mut outcomes = Vec::with_capacity(runtime_ids.len());
                    for runtime_id in runtime_ids {
                        let outcome = match find(&mut runtimes, &runtime_id) {
                            None => BindOutcome::RuntimeNotFound,
                            Some(runtime) if wish == Wish::Unbind => unbind(tx, runtime, &group_id).await?,
                            Some(runtime) if group.agent.fits(runtime.agent_provider) => {
                                bind(tx, runtime, &group_id).await?
                            }
                            Some(runtime) => BindOutcome::AgentMismatch {
                                runtime_agent: provider_word(runtime.agent_provider),
                                group_agent: group.agent.as_str(),
                            },
                        };
                        outcomes.push(BoundRuntime { runtime_id, outcome });
                    }
                    Ok(outcomes)
                })
            })
            .await;
        match changed {
            // It was deleted since it was read.
            Err(ModelError::Store(StoreError::ForeignKey(_))) => Err(ModelError::no_group(&group)),
            other => other,
        }
    }
}

fn find<'a>(runtimes: &'a mut [Runtime], name: &str) -> Option<&'a mut Runtime> {
    let named = |runtime: &&mut Runtime| {
        runtime.id.as_str() == name || runtime.jvs_id.as_ref().is_some_and(|id| id.as_str() == name)
    };
    runtimes.iter_mut().find(named)
}

async fn bind(
    tx: &mut Tx,
    runtime: &mut Runtime,
    group_id: &ModelGroupId,
) -> Result<BindOutcome, StoreError> {
    if runtime.model_group_id.as_ref() != Some(group_id) {
        set(tx, runtime, Some(group_id)).await?;
    }
    Ok(BindOutcome::Done)
}

async fn unbind(
    tx: &mut Tx,
    runtime: &mut Runtime,
    group_id: &ModelGroupId,
) -> Result<BindOutcome, StoreError> {
    match &runtime.model_group_id {
        None => {}
        Some(bound) if bound == group_id => set(tx, runtime, None).await?,
        Some(_) => return Ok(BindOutcome::OtherGroup),
    }
    Ok(BindOutcome::Done)
}

/// Writes the binding, here too: the caller may name one runtime twice.
async fn set(tx: &mut Tx, runtime: &mut Runtime, group_id: Option<&ModelGroupId>) -> Result<(), StoreError> {
    tx.set_runtime_model_group(&runtime.id, group_id).await?;
    runtime.model_group_id = group_id.cloned();
    for topic in [Topic::Guest, Topic::Reconcile, Topic::Directory] {
        tx.raise(topic).await?;
    }
    Ok(())
}
