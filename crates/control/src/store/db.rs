//! The two databases behind one executor.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sea_query::{PostgresQueryBuilder, QueryStatementWriter, SelectStatement, SqliteQueryBuilder};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{
    Arguments, AssertSqlSafe, ConnectOptions, Database, Either, Encode, Executor, IntoArguments, Postgres,
    SqlSafeStr, SqlStr, Sqlite, Type,
};

use super::{Row, StoreError, Value};

/// Where the data is: `sqlite:PATH`, `postgres://…`.
#[derive(Debug, Clone)]
pub enum DbUrl {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

impl FromStr for DbUrl {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        // The address may hold a password, so errors name only its scheme.
        let bad = || StoreError::BadUrl(url.split(':').next().unwrap_or_default().to_owned());
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(|_| bad())?;
            return Ok(DbUrl::Sqlite(Box::new(
                options
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    // A commit that was answered survives a loss of power; group commits pay for it.
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(Duration::from_secs(10))
                    // Each job of a group is a savepoint, whose undo pages would else go through a file.
                    .pragma("temp_store", "memory")
                    .pragma("cache_size", "-16000")
                    .log_statements(log::LevelFilter::Off),
            )));
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url).map_err(|_| bad())?;
            return Ok(DbUrl::Postgres(Box::new(options.log_statements(log::LevelFilter::Off))));
        }
        Err(bad())
    }
}

/// Connections for reading, and for PostgreSQL also for writing.
#[derive(Debug, Clone)]
pub enum Db {
    Sqlite { pool: SqlitePool, options: Box<SqliteConnectOptions> },
    Postgres { pool: PgPool },
}

/// Statement text: static, or built by sea-query.
#[derive(Debug)]
pub struct Sql(SqlStr);

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Sql(text.into_sql_str())
    }
}

/// Only statements that sea-query assembled (values are bound, names are ours) come this way.
impl From<String> for Sql {
    fn from(text: String) -> Self {
        Sql(AssertSqlSafe(text).into_sql_str())
    }
}

/// A query with each value bound in order. The list is made at its length: statements of many rows have thousands.
fn bound<DB>(sql: Sql, params: Vec<Value>) -> Result<Query<'static, DB, DB::Arguments>, StoreError>
where
    DB: Database<Arguments: IntoArguments<DB>>,
    Option<String>: for<'q> Encode<'q, DB> + Type<DB>,
    Arc<str>: for<'q> Encode<'q, DB> + Type<DB>,
    Option<i64>: for<'q> Encode<'q, DB> + Type<DB>,
{
    let mut arguments = DB::Arguments::default();
    arguments.reserve(params.len(), 0);
    for value in params {
        let added = match value {
            Value::Text(text) => arguments.add(text),
            Value::Shared(text) => arguments.add(text),
            Value::Int(number) => arguments.add(number),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(sqlx::query_with(sql.0, arguments))
}

impl Db {
    pub(super) async fn connect(url: &DbUrl) -> Result<Self, StoreError> {
        match url {
            DbUrl::Sqlite(options) => {
                let pool = SqlitePoolOptions::new()
                    .max_connections(8)
                    .test_before_acquire(false)
                    .connect_with(options.as_ref().clone())
                    .await?;
                Ok(Db::Sqlite { pool, options: options.clone() })
            }
            DbUrl::Postgres(options) => {
                let pool = PgPoolOptions::new()
                    .max_connections(16)
                    .acquire_timeout(Duration::from_secs(10))
                    // A ping at each acquire quadrupled the cost of a point read; a broken connection is
                    // noticed by its first statement and replaced.
                    .test_before_acquire(false)
                    .connect_with(options.as_ref().clone())
                    .await?;
                Ok(Db::Postgres { pool })
            }
        }
    }

    /// True on PostgreSQL, for the few statements that differ (row locks).
    pub fn is_postgres(&self) -> bool {
        matches!(self, Db::Postgres { .. })
    }

    /// All rows of a statement.
    pub async fn fetch_all(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let sql = sql.into();
        Ok(match self {
            Db::Sqlite { pool, .. } => {
                let rows = bound::<Sqlite>(sql, params)?.fetch_all(pool).await?;
                rows.into_iter().map(|row| Row::Sqlite(Box::new(row))).collect()
            }
            Db::Postgres { pool } => {
                let rows = bound::<Postgres>(sql, params)?.fetch_all(pool).await?;
                rows.into_iter().map(|row| Row::Postgres(Box::new(row))).collect()
            }
        })
    }

    /// The first row, if any.
    pub async fn fetch_optional(
        &self,
        sql: impl Into<Sql>,
        params: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        let sql = sql.into();
        Ok(match self {
            Db::Sqlite { pool, .. } => bound::<Sqlite>(sql, params)?
                .fetch_optional(pool)
                .await?
                .map(|row| Row::Sqlite(Box::new(row))),
            Db::Postgres { pool } => bound::<Postgres>(sql, params)?
                .fetch_optional(pool)
                .await?
                .map(|row| Row::Postgres(Box::new(row))),
        })
    }

    /// Rows of a statement assembled by sea-query.
    pub async fn select(&self, statement: &SelectStatement) -> Result<Vec<Row>, StoreError> {
        let (sql, params) = build(self.is_postgres(), statement);
        self.fetch_all(sql, params).await
    }
}

/// The text and parameters of a statement in the database's own dialect.
pub(super) fn build(is_postgres: bool, statement: &impl QueryStatementWriter) -> (String, Vec<Value>) {
    if !is_postgres {
        let (sql, values) = statement.build(SqliteQueryBuilder);
        return (sql, values.into_iter().map(from_sea_query).collect());
    }
    let (sql, values) = statement.build(PostgresQueryBuilder);
    with_limits_written_out(&sql, values.into_iter().collect())
}

/// Writes limits and offsets, which alone are unsigned, into the text. PostgreSQL keeps the plan of a statement whose
/// parameters do not matter to it. A limit does, so that as a parameter it costs a new plan with every call: more than
/// the page itself.
fn with_limits_written_out(sql: &str, values: Vec<sea_query::Value>) -> (String, Vec<Value>) {
    let mut text = String::with_capacity(sql.len());
    let mut kept = Vec::with_capacity(values.len());
    let mut pieces = sql.split('$');
    text.push_str(pieces.next().unwrap_or_default());
    // Each value is used once, in the order of the numbers.
    for (piece, value) in pieces.zip(values) {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        match value {
            sea_query::Value::BigUnsigned(Some(number)) => text.push_str(&number.to_string()),
            value => {
                kept.push(from_sea_query(value));
                text.push_str(&format!("${}", kept.len()));
            }
        }
        text.push_str(rest);
    }
    (text, kept)
}

/// sea-query has many value types; ours are two, and nothing else is ever put into a statement.
fn from_sea_query(value: sea_query::Value) -> Value {
    match value {
        sea_query::Value::String(text) => Value::Text(text),
        sea_query::Value::BigInt(number) => Value::Int(number),
        sea_query::Value::Int(number) => Value::Int(number.map(i64::from)),
        sea_query::Value::BigUnsigned(number) => {
            Value::Int(number.map(|n| i64::try_from(n).unwrap_or(i64::MAX)))
        }
        sea_query::Value::Bool(flag) => Value::Int(flag.map(i64::from)),
        other => Value::Text(Some(other.to_string())),
    }
}

/// One connection inside a transaction.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(Box<SqliteConnection>),
    Postgres(sqlx::pool::PoolConnection<sqlx::Postgres>),
}

impl Connection {
    fn pg(connection: &mut sqlx::pool::PoolConnection<sqlx::Postgres>) -> &mut PgConnection {
        connection
    }

    pub(super) async fn fetch_all(&mut self, sql: Sql, params: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Connection::Sqlite(connection) => run_one(connection, sql, params).await?.0,
            Connection::Postgres(connection) => {
                let rows = bound::<Postgres>(sql, params)?.fetch_all(Self::pg(connection)).await?;
                rows.into_iter().map(|row| Row::Postgres(Box::new(row))).collect()
            }
        })
    }

    pub(super) async fn execute(&mut self, sql: Sql, params: Vec<Value>) -> Result<u64, StoreError> {
        Ok(match self {
            Connection::Sqlite(connection) => run_one(connection, sql, params).await?.1,
            Connection::Postgres(connection) => {
                bound::<Postgres>(sql, params)?.execute(Self::pg(connection)).await?.rows_affected()
            }
        })
    }
}

/// Runs one statement on SQLite; gives its rows, and how many it changed. SQLite's thread says that a statement is done, and then that
/// no other comes: to wait for that, too, would be to be woken twice.
async fn run_one(
    connection: &mut SqliteConnection,
    sql: Sql,
    params: Vec<Value>,
) -> Result<(Vec<Row>, u64), StoreError> {
    let query = bound::<Sqlite>(sql, params)?;
    let (mut said, mut rows) = (connection.fetch_many(query), Vec::new());
    while let Some(next) = said.try_next().await? {
        match next {
            Either::Left(done) => return Ok((rows, done.rows_affected())),
            Either::Right(row) => rows.push(Row::Sqlite(Box::new(row))),
        }
    }
    // A text without a statement.
    Ok((rows, 0))
}

#[cfg(test)]
mod tests {
    use sea_query::{Expr, ExprTrait, Query};

    use super::*;

    #[test]
    fn limits_stand_in_postgresqls_text_and_parameters_are_numbered_through() {
        let mut select = Query::select();
        let inner =
            Query::select().column("a").from("t").and_where(Expr::col("a").eq("x")).limit(7).to_owned();
        select.column("a").from_subquery(inner, "k").and_where(Expr::col("a").gt(5i64)).offset(40).limit(20);
        let (sql, params) = build(true, &select);
        assert_eq!(
            sql,
            r#"SELECT "a" FROM (SELECT "a" FROM "t" WHERE "a" = $1 LIMIT 7) AS "k" WHERE "a" > $2 LIMIT 20 OFFSET 40"#
        );
        assert_eq!(params, [Value::from("x"), Value::from(5i64)]);
        assert_eq!(build(false, &select).1.len(), 5);
    }
}
