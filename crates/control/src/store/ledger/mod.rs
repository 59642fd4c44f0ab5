//! Rows of the ledger. Who owns it and its journal stand here; entries and sums in [`rows`], packs in [`credit`],
//! quotas in [`quota`], what is told of them in [`alert`], prices in [`price`], and what the API and the check read in [`read`].

mod alert;
mod credit;
mod price;
mod quota;
mod read;
mod report;
mod rows;

pub(crate) use read::{AgentRow, PackHour};
pub use read::{EntryFilter, entry_list_statement};
pub(super) use rows::{rows_of_ledger, seal_row_of_entry};

use super::batch::padded;
use super::{Store, StoreError, Tx, params};
use crate::ledger::JournalRow;

/// The lease under which entries are written.
pub(crate) const LEDGER_LEASE: &str = "ledger";

/// `$1, $2, …`: as many parameters as there are values.
fn marks(count: usize) -> String {
    marks_from(1, count)
}

/// `$n, $n+1, …`: parameters of a list behind others.
fn marks_from(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

impl Tx {
    /// Appends records to the journal's table.
    pub(crate) async fn insert_journal(&mut self, rows: &[JournalRow]) -> Result<(), StoreError> {
        let rows = rows.iter().map(|row| params![row.seq, &row.call_id, &row.record]).collect();
        self.insert_many("ledger_journal", &["seq", "call_id", "record"], rows).await
    }

    /// Removes the records of a call up to the one that released it; it may have been reserved again since.
    pub(crate) async fn delete_released(&mut self, call_id: &str, seq: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM ledger_journal WHERE call_id = $1 AND seq <= $2";
        self.execute(sql, params![call_id, seq]).await.map(|_| ())
    }

    /// Removes all records of these calls.
    pub(crate) async fn delete_journal(&mut self, calls: &[String]) -> Result<(), StoreError> {
        if !calls.is_empty() {
            let calls = padded(calls.iter().map(String::as_str));
            let sql = format!("DELETE FROM ledger_journal WHERE call_id IN ({})", marks(calls.len()));
            self.execute(sql, calls).await?;
        }
        Ok(())
    }
}

impl Store {
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
}
