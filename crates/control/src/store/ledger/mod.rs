//! Rows of the ledger. Who owns it and its journal stand here; entries and sums in [`rows`], packs and quotas in
//! [`credit`], prices in [`price`], and what the API and the check read in [`read`].

mod credit;
mod price;
mod read;
mod rows;

pub(crate) use read::{AgentRow, EntryFilter};

use super::{Store, StoreError, Tx, Value, params};
use crate::ledger::{JournalRow, LedgerError};

/// The one row of `ledger_owner`.
const OWNER: &str = "ledger";

/// `$1, $2, …`: as many parameters as there are values.
fn marks(count: usize) -> String {
    (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Value> {
    values.map(Value::from).collect()
}

impl Tx {
    /// Takes the lease if it has ended, or if the caller knows that its holder is dead. Gives the new epoch.
    pub(crate) async fn take_ledger(
        &mut self,
        owner_id: &str,
        now_ms: i64,
        until_ms: i64,
        holder_is_dead: bool,
    ) -> Result<i64, LedgerError> {
        self.execute(
            "INSERT INTO ledger_owner (name, owner_id, epoch, lease_until_ms) VALUES ($1, '', 0, 0)
             ON CONFLICT (name) DO NOTHING",
            params![OWNER],
        )
        .await?;
        let row = self
            .fetch_optional(
                "UPDATE ledger_owner SET owner_id = $2, epoch = epoch + 1, lease_until_ms = $3
                 WHERE name = $1 AND (lease_until_ms <= $4 OR $5 = 1) RETURNING epoch",
                params![OWNER, owner_id, until_ms, now_ms, i64::from(holder_is_dead)],
            )
            .await?;
        if let Some(row) = row {
            return Ok(row.int("epoch")?);
        }
        let row = self
            .fetch_optional("SELECT lease_until_ms FROM ledger_owner WHERE name = $1", params![OWNER])
            .await?;
        let until_ms = row.map(|row| row.int("lease_until_ms")).transpose()?.unwrap_or_default();
        Err(LedgerError::Owned { until_ms })
    }

    /// True while nobody took the ledger over since `epoch`; nobody can until this transaction ends.
    pub(crate) async fn holds_ledger(&mut self, epoch: i64) -> Result<bool, StoreError> {
        // Shared, so that journal and applier do not wait for each other; SQLite has one writer anyway.
        let sql = if self.is_postgres() {
            "SELECT epoch FROM ledger_owner WHERE name = $1 FOR SHARE"
        } else {
            "SELECT epoch FROM ledger_owner WHERE name = $1"
        };
        let row = self.fetch_optional(sql, params![OWNER]).await?;
        Ok(row.map(|row| row.int("epoch")).transpose()? == Some(epoch))
    }

    /// Appends records to the journal's table.
    pub(crate) async fn insert_journal(&mut self, rows: &[JournalRow]) -> Result<(), StoreError> {
        let rows = rows.iter().map(|row| params![row.seq, &row.call_id, &row.record]).collect();
        self.insert_many("ledger_journal", &["seq", "call_id", "record"], rows).await
    }

    /// Removes all records of these calls.
    pub(crate) async fn delete_journal(&mut self, calls: &[String]) -> Result<(), StoreError> {
        if !calls.is_empty() {
            let sql = format!("DELETE FROM ledger_journal WHERE call_id IN ({})", marks(calls.len()));
            self.execute(sql, texts(calls.iter().map(String::as_str))).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Sets the end of the lease; false if somebody took the ledger over.
    pub(crate) async fn renew_ledger(&self, epoch: i64, until_ms: i64) -> Result<bool, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE ledger_owner SET lease_until_ms = $3 WHERE name = $1 AND epoch = $2",
                        params![OWNER, epoch, until_ms],
                    )
                    .await?;
                Ok(changed == 1)
            })
        })
        .await
    }

    /// Records behind `after`, in order.
    pub(crate) async fn list_journal(&self, after: i64, limit: i64) -> Result<Vec<JournalRow>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT seq, call_id, record FROM ledger_journal WHERE seq > $1 ORDER BY seq LIMIT $2",
                params![after, limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(JournalRow {
                    seq: row.int("seq")?,
                    call_id: row.text("call_id")?,
                    record: row.text("record")?,
                })
            })
            .collect()
    }

    /// Removes records up to `last_seq`, all of which are rows.
    pub(crate) async fn clear_journal(&self, epoch: i64, last_seq: i64) -> Result<(), LedgerError> {
        self.write(move |tx| {
            Box::pin(async move {
                if !tx.holds_ledger(epoch).await? {
                    return Err(LedgerError::Fenced);
                }
                tx.execute("DELETE FROM ledger_journal WHERE seq <= $1", params![last_seq]).await?;
                Ok(())
            })
        })
        .await
    }
}
