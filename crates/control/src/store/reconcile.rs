//! The reconcile queue: which runtimes to look at, and who is looking.

use creel_wire::id::RuntimeId;

use super::{Store, StoreError, Topic, Tx, params};

/// A claimed runtime and the wake-up it was claimed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) runtime_id: RuntimeId,
    pub(crate) wake_count: i64,
    pub(crate) attempts: i64,
}

impl Tx {
    /// Asks for a look at a runtime, now. A hint: a look that is already asked for is not asked for twice.
    pub(crate) async fn wake(&mut self, runtime_id: &RuntimeId, now_ms: i64) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO reconcile_queue (runtime_id, due_at_ms, lease_until_ms, wake_count, attempts)
             VALUES ($1, $2, 0, 1, 0)
             ON CONFLICT (runtime_id) DO UPDATE SET due_at_ms = $2, attempts = 0,
                 wake_count = reconcile_queue.wake_count + 1",
            params![runtime_id.as_str(), now_ms],
        )
        .await?;
        self.raise(Topic::Reconcile).await
    }

    /// Claims runtimes that are due, for as long as the lease lasts.
    pub(crate) async fn claim_due(
        &mut self,
        now_ms: i64,
        lease_until_ms: i64,
        limit: i64,
    ) -> Result<Vec<Claim>, StoreError> {
        let sql = if self.is_postgres() {
            "UPDATE reconcile_queue SET lease_until_ms = $2 WHERE runtime_id IN (
                 SELECT runtime_id FROM reconcile_queue WHERE due_at_ms <= $1 AND lease_until_ms <= $1
                 ORDER BY due_at_ms, runtime_id LIMIT $3 FOR UPDATE SKIP LOCKED)
             RETURNING runtime_id, wake_count, attempts"
        } else {
            "UPDATE reconcile_queue SET lease_until_ms = $2 WHERE runtime_id IN (
                 SELECT runtime_id FROM reconcile_queue WHERE due_at_ms <= $1 AND lease_until_ms <= $1
                 ORDER BY due_at_ms, runtime_id LIMIT $3)
             RETURNING runtime_id, wake_count, attempts"
        };
        let rows = self.fetch_all(sql, params![now_ms, lease_until_ms, limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(Claim {
                    runtime_id: row.parse("runtime_id")?,
                    wake_count: row.int("wake_count")?,
                    attempts: row.int("attempts")?,
                })
            })
            .collect()
    }

    /// Keeps a claim whose pass takes long.
    pub(crate) async fn renew_claim(&mut self, claim: &Claim, until_ms: i64) -> Result<(), StoreError> {
        self.execute(
            "UPDATE reconcile_queue SET lease_until_ms = $2 WHERE runtime_id = $1 AND lease_until_ms > 0",
            params![claim.runtime_id.as_str(), until_ms],
        )
        .await?;
        Ok(())
    }

    /// Ends a claim: forgets the runtime if nobody woke it meanwhile, else leaves it due.
    pub(crate) async fn finish_claim(&mut self, claim: &Claim) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM reconcile_queue WHERE runtime_id = $1 AND wake_count = $2",
            params![claim.runtime_id.as_str(), claim.wake_count],
        )
        .await?;
        self.execute(
            "UPDATE reconcile_queue SET lease_until_ms = 0 WHERE runtime_id = $1",
            params![claim.runtime_id.as_str()],
        )
        .await?;
        Ok(())
    }

    /// Ends a claim that has to be looked at again; a wake-up that came meanwhile keeps its earlier time.
    pub(crate) async fn defer_claim(&mut self, claim: &Claim, due_at_ms: i64) -> Result<(), StoreError> {
        self.execute(
            "UPDATE reconcile_queue SET due_at_ms = $3, attempts = attempts + 1
             WHERE runtime_id = $1 AND wake_count = $2",
            params![claim.runtime_id.as_str(), claim.wake_count, due_at_ms],
        )
        .await?;
        self.execute(
            "UPDATE reconcile_queue SET lease_until_ms = 0 WHERE runtime_id = $1",
            params![claim.runtime_id.as_str()],
        )
        .await?;
        Ok(())
    }
}

impl Store {
    /// Runtimes whose sandbox is not what is wished, or is only on its way there, after `after` in the order of
    /// ids: what a restarted controller looks at again.
    pub(crate) async fn unsettled_runtimes(
        &self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<RuntimeId>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT id FROM runtime WHERE id > $1
                 AND (sandbox IN ('Starting', 'Stopping') OR (power IN ('Running', 'Waking') AND sandbox <> 'Pending')
                      OR (power IN ('Stopped', 'Hibernated') AND sandbox <> 'Stopped') OR (sandbox = 'Pending' AND reason = ''))
                 ORDER BY id LIMIT $2",
                params![after, limit],
            )
            .await?;
        rows.iter().map(|row| row.parse("id")).collect()
    }
}
