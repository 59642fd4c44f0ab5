//! Carries out what the strategies of used up packs say about runtimes. Calls need none of this: the engine refuses
//! them, or lets them go on, at the moment that the packs are spent.

use std::time::Duration;

use super::{Pack, UsedUpStrategy};
use crate::access::Actor;
use crate::id_gen::IdGen;
use crate::runtime::{PowerChange, RuntimeError, Runtimes};
use crate::store::Store;
use crate::tasks::Tasks;

/// How often used up packs are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Packs that one look takes up.
const PACKS_MAX: i64 = 100;

/// Looks for used up packs and stops their runtimes.
#[derive(Debug, Clone)]
pub struct UsedUp {
    store: Store,
    ids: IdGen,
}

impl UsedUp {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen) -> Self {
        Self { store, ids }
    }

    /// Starts the loop.
    pub fn start(self, tasks: &Tasks) {
        let cancel = tasks.cancelled();
        tasks.spawn("used-up-packs", async move {
            while cancel.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
                if let Err(error) = self.pass().await {
                    tracing::warn!(error = %error, "looking for used up credit packs failed; it is tried again");
                }
            }
        });
    }

    /// Carries out the strategy of every pack that was used up since, once; several processes may do so at once. Gives
    /// how many packs that were.
    pub async fn pass(&self) -> Result<usize, RuntimeError> {
        let packs = self.store.list_used_up(PACKS_MAX).await?;
        for pack in &packs {
            self.carry_out(pack.clone()).await?;
        }
        Ok(packs.len())
    }

    async fn carry_out(&self, pack: Pack) -> Result<(), RuntimeError> {
        let change = match pack.used_up_strategy {
            Some(UsedUpStrategy::Shutdown) => PowerChange::Hibernate,
            Some(UsedUpStrategy::Maintenance) => PowerChange::Stop,
            Some(UsedUpStrategy::Postpaid) | None => return Ok(()),
        };
        let now_ms = self.store.clock().now_ms();
        let actor = Actor::creel(pack.account_id.clone(), "StopRuntimesOfUsedUpPack", self.ids.request_id());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if tx.mark_used_up(&pack.id, now_ms).await? == 0 {
                        return Ok(());
                    }
                    let account_id = &pack.account_id;
                    let spent =
                        tx.runtimes_without_credits(account_id, pack.runtime_id.as_ref(), now_ms).await?;
                    let stopped = Runtimes::stop_spent(tx, &actor, &spent, change, now_ms).await?;
                    tracing::info!(
                        pack.id = %pack.id, runtimes = stopped,
                        "the credit pack {} is used up: stopping {stopped} runtimes", pack.id
                    );
                    Ok(())
                })
            })
            .await
    }
}
