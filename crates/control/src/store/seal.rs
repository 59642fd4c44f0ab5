//! Sealed logs: which rows are in which batch, and the copy of the signed roots that processes share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};

use super::audit::{rows_of_audit, stored_event};
use super::batch::padded;
use super::ledger::{rows_of_ledger, seal_row_of_entry};
use super::{Row, Store, StoreError, Tx, Value, params};
use crate::sealing::{Log, SealError, SealRow, Unsealed};

/// Ids in one statement at the most.
const IDS_MAX: usize = 500;

/// Where a log is kept: its rows, the column with their time, and its signed roots.
fn tables(log: Log) -> (&'static str, &'static str, &'static str) {
    match log {
        Log::Audit => ("audit", "at_ms", "audit_seal"),
        Log::Ledger => ("ledger_entry", "created_at_ms", "ledger_seal"),
    }
}

fn rows_of(log: Log) -> SelectStatement {
    match log {
        Log::Audit => rows_of_audit(),
        Log::Ledger => rows_of_ledger(),
    }
}

fn seal_row(log: Log, row: &Row) -> Result<SealRow, StoreError> {
    match log {
        Log::Audit => stored_event(row).map(|stored| stored.event.seal_row(stored.tag, stored.batch)),
        Log::Ledger => seal_row_of_entry(row),
    }
}

impl Store {
    /// Rows that are not sealed, behind a time and id.
    pub(crate) async fn list_unsealed(
        &self,
        log: Log,
        after: &(i64, String),
        limit: u64,
    ) -> Result<Vec<SealRow>, StoreError> {
        let (mut select, (_, at_ms, _)) = (rows_of(log), tables(log));
        select
            .and_where(Expr::col("batch").is_null())
            .and_where(
                Expr::tuple([Expr::col(at_ms), Expr::col("id")])
                    .gt(Expr::tuple([Expr::val(after.0), Expr::val(after.1.as_str())])),
            )
            .limit(limit);
        if log == Log::Audit {
            // By its index's first column too, so that it serves the order where that column is null.
            select.order_by("batch", Order::Asc);
        }
        select.order_by(at_ms, Order::Asc).order_by("id", Order::Asc);
        self.db().select(&select).await?.iter().map(|row| seal_row(log, row)).collect()
    }

    /// The rows of these ids; ids without one are absent.
    pub(crate) async fn list_rows(
        &self,
        log: Log,
        ids: impl Iterator<Item = &str> + Send,
    ) -> Result<Vec<SealRow>, StoreError> {
        let mut select = rows_of(log);
        select.and_where(Expr::col("id").is_in(ids));
        self.db().select(&select).await?.iter().map(|row| seal_row(log, row)).collect()
    }

    /// In which batch rows say that they are, behind an id, in the order of ids: of all rows there are.
    pub(crate) async fn list_batches(
        &self,
        log: Log,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<(String, Option<i64>)>, StoreError> {
        let mut select = Query::select();
        select.from(tables(log).0).columns(["id", "batch"]).order_by("id", Order::Asc).limit(limit);
        if let Some(after) = after {
            select.and_where(Expr::col("id").gt(after));
        }
        let rows = self.db().select(&select).await?;
        rows.iter().map(|row| Ok((row.text("id")?, row.opt_int("batch")?))).collect()
    }

    /// The oldest batch that audit rows say they are of, before another batch.
    pub(crate) async fn oldest_audit_batch(&self, before: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT MIN(batch) AS batch FROM audit WHERE batch >= 0 AND batch < $1";
        let row = self.db().fetch_optional(sql, params![before]).await?;
        row.map_or(Ok(None), |row| row.opt_int("batch"))
    }

    /// Under which resources these rows are found.
    pub(crate) async fn list_indexed_resources(
        &self,
        ids: &[String],
    ) -> Result<HashMap<String, HashSet<String>>, StoreError> {
        let mut found: HashMap<String, HashSet<String>> = HashMap::new();
        for ids in ids.chunks(IDS_MAX) {
            let mut select = Query::select();
            select
                .from("audit_resource")
                .columns(["audit_id", "resource"])
                .and_where(Expr::col("audit_id").is_in(ids));
            for row in self.db().select(&select).await? {
                found.entry(row.text("audit_id")?).or_default().insert(row.text("resource")?);
            }
        }
        Ok(found)
    }

    /// Signed records behind a batch, in order.
    pub(crate) async fn list_seals(
        &self,
        log: Log,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let (.., seals) = tables(log);
        let sql = format!("SELECT batch, record_json FROM {seals} WHERE batch > $1 ORDER BY batch LIMIT $2");
        let rows = self.db().fetch_all(sql, params![after, limit]).await?;
        rows.iter().map(|row| Ok((row.int("batch")?, row.text("record_json")?))).collect()
    }

    /// The last batch with a signed record; 0 without any.
    pub(crate) async fn last_seal(&self, log: Log) -> Result<i64, StoreError> {
        let (.., seals) = tables(log);
        let sql = format!("SELECT COALESCE(MAX(batch), 0) AS batch FROM {seals}");
        let row = self.db().fetch_optional(sql, Vec::new()).await?;
        row.map_or(Ok(0), |row| row.int("batch"))
    }
}

impl Tx {
    /// Writes a batch's signed record.
    pub(super) async fn insert_seal(
        &mut self,
        log: Log,
        batch: i64,
        record_json: Arc<str>,
    ) -> Result<(), StoreError> {
        let (.., seals) = tables(log);
        let sql = format!("INSERT INTO {seals} (batch, record_json) VALUES ($1, $2)");
        self.execute(sql, params![batch, record_json]).await.map(|_| ())
    }

    /// Makes one batch of rows that are there, with its signed record. `Overtaken`, and then to be rolled back, if not
    /// all of them were there and unsealed.
    pub(crate) async fn seal_rows(
        &mut self,
        log: Log,
        rows: &[Unsealed],
        kept_from: Option<i64>,
        now_ms: i64,
    ) -> Result<(), SealError> {
        let Some(head) = self.take_head(log).await? else { return Err(SealError::NotTheSealer) };
        let leaves = rows.iter().map(|row| row.leaf.clone()).collect();
        let times = rows.iter().map(|row| row.at_ms);
        let batch = self.seal(head, leaves, times, kept_from, now_ms).await?;
        let ((table, ..), mut sealed) = (tables(log), 0);
        for rows in rows.chunks(IDS_MAX) {
            let ids = padded(rows.iter().map(|row| &*row.leaf.0));
            let sql = update_text(table, ids.len(), self.is_postgres());
            sealed += self.execute(sql, std::iter::once(Value::from(batch)).chain(ids).collect()).await?;
        }
        let resources = rows.iter().flat_map(|row| {
            row.index.iter().flat_map(move |(account_id, named)| {
                named.iter().map(move |resource| params![row.leaf.0.clone(), resource, account_id, row.at_ms])
            })
        });
        let columns = ["audit_id", "resource", "account_id", "at_ms"];
        self.insert_many("audit_resource", &columns, resources.collect()).await?;
        if usize::try_from(sealed) == Ok(rows.len()) { Ok(()) } else { Err(SealError::Overtaken) }
    }

    /// Removes a sealed batch.
    pub(crate) async fn delete_audit_batch(&mut self, batch: i64) -> Result<u64, StoreError> {
        let resources =
            "DELETE FROM audit_resource WHERE audit_id IN (SELECT id FROM audit WHERE batch = $1)";
        self.execute(resources, params![batch]).await?;
        self.execute("DELETE FROM audit_seal WHERE batch = $1", params![batch]).await?;
        self.execute("DELETE FROM audit WHERE batch = $1", params![batch]).await
    }
}

/// PostgreSQL wants its parameters numbered; SQLite finds unnumbered ones faster.
fn update_text(table: &str, ids: usize, numbered: bool) -> String {
    let mark = |at: usize| if numbered { format!("${at}") } else { "?".to_owned() };
    let marks: Vec<String> = (2..ids + 2).map(mark).collect();
    format!("UPDATE {table} SET batch = {} WHERE batch IS NULL AND id IN ({})", mark(1), marks.join(", "))
}
