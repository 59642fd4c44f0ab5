//! What SQLite's planner is told of the tables that grow.
//!
//! It plans by the counts that `ANALYZE` leaves in `sqlite_stat1`. Without any it takes every account for ten rows, and
//! walks all of a large one where an index would find the few that are asked for; counts of a young database mislead
//! it just so when that has grown. So it is given fixed ones, of a large account: a plan is then the same on every
//! database, and the one that the tests look at. PostgreSQL counts for itself, and plans anew with what it finds.

use sqlx::{AssertSqlSafe, SqlitePool};

use super::StoreError;

/// Of each index of a table: its rows, then how many of them agree in the first column, in the first two, and so on. A
/// table that is here is here with all its indexes.
const SHAPE: &[(&str, &str, &str)] = &[
    ("ledger_entry", "sqlite_autoindex_ledger_entry_1", "2000000 1"),
    ("ledger_entry", "ledger_entry_runtime", "2000000 1000 1"),
    ("ledger_entry", "ledger_entry_account", "2000000 1000000 10"),
    ("runtime", "sqlite_autoindex_runtime_1", "200000 1"),
    ("runtime", "sqlite_autoindex_runtime_2", "200000 1"),
    ("runtime", "runtime_account_id", "200000 100000 1"),
    ("runtime", "runtime_live", "200000 100000 300 1 1"),
    ("runtime", "runtime_deleted", "200000 100000 300 1 1"),
    ("runtime", "runtime_region", "200000 100000 100000 300 1 1"),
    ("runtime", "runtime_office_site", "200000 100000 10000 30 1 1"),
    ("runtime", "runtime_name", "200000 100000 5 1 1 1"),
    ("runtime", "runtime_sandbox", "200000 100000 20000 60 1 1"),
    ("runtime", "runtime_power", "200000 100000 25000 60 1 1"),
    ("runtime", "runtime_agent_provider", "200000 100000 50000 150 1 1"),
    ("runtime", "runtime_agent_platform", "200000 100000 50000 150 1 1"),
    ("runtime", "runtime_image", "200000 100000 20000 60 1 1"),
    ("runtime", "runtime_os_type", "200000 100000 50000 150 1 1"),
    ("runtime", "runtime_desktop_type", "200000 100000 20000 60 1 1"),
    ("runtime", "runtime_charge_type", "200000 100000 50000 150 1 1"),
    ("runtime", "runtime_resource_group", "200000 100000 1000 5 1 1"),
    ("runtime", "runtime_bound_group", "200000 100000 1000 5 1 1"),
    ("runtime", "runtime_model_group", "200000 1000 1"),
    ("runtime", "resource_group_runtime", "200000 1000 1"),
    ("runtime", "runtime_host_name", "200000 1000 1"),
];

/// Puts the counts in place. Connections that were opened before do not know them.
pub(super) async fn tell(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    // Makes the table where there is none, and empties nothing.
    sqlx::query("ANALYZE sqlite_schema").execute(&mut *connection).await?;
    let known: Vec<(String, String, String)> =
        sqlx::query_as("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, rowid")
            .fetch_all(&mut *connection)
            .await?;
    let known = known.iter().map(|(table, index, stat)| (table.as_str(), index.as_str(), stat.as_str()));
    if known.eq(SHAPE.iter().copied()) {
        return Ok(());
    }
    let rows: Vec<String> =
        SHAPE.iter().map(|(table, index, stat)| format!("('{table}', '{index}', '{stat}')")).collect();
    let insert = format!("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES {}", rows.join(", "));
    let mut tx = sqlx::Connection::begin_with(&mut *connection, "BEGIN IMMEDIATE").await?;
    sqlx::query("DELETE FROM sqlite_stat1").execute(&mut *tx).await?;
    sqlx::query(AssertSqlSafe(insert)).execute(&mut *tx).await?;
    tx.commit().await?;
    // This connection has read the counts of before.
    sqlx::query("ANALYZE sqlite_schema").execute(&mut *connection).await?;
    Ok(())
}
