//! Leases: what one process of several may do at a time. Each has a name and a row of `ledger_owner`, whose epoch grows
//! with every holder and fences the one before.

use super::{Store, StoreError, Tx, params};

/// A lease as its row tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseRow {
    pub(crate) owner_id: String,
    pub(crate) epoch: i64,
    pub(crate) until_ms: i64,
    /// Where the others reach its holder; empty if it has not said.
    pub(crate) address: String,
}

/// What came of asking for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// The caller has it under this epoch.
    Taken { epoch: i64 },
    /// Somebody else has it until then.
    Held { until_ms: i64 },
}

impl Tx {
    /// Takes the lease if it has ended, or if the caller knows that its holder is dead.
    pub(crate) async fn take_lease(
        &mut self,
        name: &'static str,
        owner_id: &str,
        address: &str,
        now_ms: i64,
        until_ms: i64,
        holder_is_dead: bool,
    ) -> Result<Lease, StoreError> {
        self.execute(
            "INSERT INTO ledger_owner (name, owner_id, epoch, lease_until_ms) VALUES ($1, '', 0, 0)
             ON CONFLICT (name) DO NOTHING",
            params![name],
        )
        .await?;
        let row = self
            .fetch_optional(
                "UPDATE ledger_owner SET owner_id = $2, epoch = epoch + 1, lease_until_ms = $3, address = $6
                 WHERE name = $1 AND (lease_until_ms <= $4 OR $5 = 1) RETURNING epoch",
                params![name, owner_id, until_ms, now_ms, i64::from(holder_is_dead), address],
            )
            .await?;
        if let Some(row) = row {
            return Ok(Lease::Taken { epoch: row.int("epoch")? });
        }
        let row = self
            .fetch_optional("SELECT lease_until_ms FROM ledger_owner WHERE name = $1", params![name])
            .await?;
        let until_ms = row.map(|row| row.int("lease_until_ms")).transpose()?.unwrap_or_default();
        Ok(Lease::Held { until_ms })
    }

    /// True while nobody took the lease over since `epoch`; nobody can until this transaction ends.
    pub(crate) async fn holds_lease(&mut self, name: &'static str, epoch: i64) -> Result<bool, StoreError> {
        // Shared, so that writers under one lease do not wait for each other; SQLite has one writer anyway.
        let sql = if self.is_postgres() {
            "SELECT epoch FROM ledger_owner WHERE name = $1 FOR SHARE"
        } else {
            "SELECT epoch FROM ledger_owner WHERE name = $1"
        };
        let row = self.fetch_optional(sql, params![name]).await?;
        Ok(row.map(|row| row.int("epoch")).transpose()? == Some(epoch))
    }
}

impl Store {
    /// The lease as it stands; `None` if nobody ever took it.
    pub(crate) async fn find_lease(&self, name: &'static str) -> Result<Option<LeaseRow>, StoreError> {
        let sql = "SELECT owner_id, epoch, lease_until_ms, address FROM ledger_owner WHERE name = $1";
        let row = self.db().fetch_optional(sql, params![name]).await?;
        row.map(|row| {
            Ok(LeaseRow {
                owner_id: row.text("owner_id")?,
                epoch: row.int("epoch")?,
                until_ms: row.int("lease_until_ms")?,
                address: row.text("address")?,
            })
        })
        .transpose()
    }

    /// Sets the end of a lease; false if somebody took it over.
    pub(crate) async fn renew_lease(
        &self,
        name: &'static str,
        epoch: i64,
        until_ms: i64,
    ) -> Result<bool, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE ledger_owner SET lease_until_ms = $3 WHERE name = $1 AND epoch = $2",
                        params![name, epoch, until_ms],
                    )
                    .await?;
                Ok(changed == 1)
            })
        })
        .await
    }
}
