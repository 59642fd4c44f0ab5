//! Transactions. On SQLite one task, on a thread of its own, has the one writing connection and commits jobs in groups; on
//! PostgreSQL every job has a transaction of its own.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::ConnectOptions;
use tokio::sync::{mpsc, oneshot};

use super::db::{Connection, Sql};
use super::recent::Recent;
use super::{Db, Row, StoreError, Topic, Topics, Value};
use crate::seal::{Leaf, TagKey};
use crate::sealing::{Heads, HeldHead, Log};
use crate::tasks::Tasks;

/// Jobs that wait for the SQLite writer at the most; more callers wait for a place.
const QUEUE_JOBS_MAX: usize = 1024;
/// The SQLite writer's cache, in negative KiB: rows go to the ends of their tables, and what else a transaction reads is in
/// the system's cache.
const CACHE_SIZE: &str = "-2000";
/// How soon another process's changes are seen.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// Jobs in one SQLite commit at the most.
const GROUP_JOBS_MAX: usize = 256;

/// An open transaction.
#[derive(Debug)]
pub struct Tx {
    connection: Connection,
    raised: Vec<Topic>,
    /// Accounts that this transaction has an audit row of.
    changed: Vec<String>,
    /// The heads of logs that this transaction has sealed rows of.
    held: Vec<HeldHead>,
    audit_key: Arc<OnceLock<TagKey>>,
    heads: Arc<Heads>,
}

/// What in this process is told of every commit.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) topics: Topics,
    pub(super) recent: Arc<Recent>,
    pub(super) heads: Arc<Heads>,
}

impl Told {
    /// Comes after the commit and before the answer to whoever asked for it.
    fn of(&self, tx: &mut Tx) {
        tx.held.drain(..).for_each(HeldHead::give_back);
        tx.changed.iter().for_each(|account_id| self.recent.forget(account_id));
        tx.raised.iter().for_each(|topic| self.topics.raise(*topic));
    }
}

impl Tx {
    fn new(connection: Connection, audit_key: Arc<OnceLock<TagKey>>, told: &Told) -> Self {
        let (raised, changed, held) = (Vec::new(), Vec::new(), Vec::new());
        Self { connection, raised, changed, held, audit_key, heads: told.heads.clone() }
    }

    /// All rows of a statement.
    pub async fn fetch_all(
        &mut self,
        sql: impl Into<Sql>,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.connection.fetch_all(sql.into(), params).await
    }

    /// The first row, if any.
    pub async fn fetch_optional(
        &mut self,
        sql: impl Into<Sql>,
        params: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.connection.fetch_all(sql.into(), params).await?.into_iter().next())
    }

    /// Rows of a statement assembled by sea-query.
    pub async fn select(&mut self, statement: &sea_query::SelectStatement) -> Result<Vec<Row>, StoreError> {
        let (sql, params) = super::db::build(self.is_postgres(), statement);
        self.fetch_all(sql, params).await
    }

    /// Deletes rows by a statement assembled by sea-query.
    pub async fn delete(&mut self, statement: &sea_query::DeleteStatement) -> Result<u64, StoreError> {
        let (sql, params) = super::db::build(self.is_postgres(), statement);
        self.execute(sql, params).await
    }

    /// Runs a statement; gives the number of rows it changed.
    pub async fn execute(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<u64, StoreError> {
        self.connection.execute(sql.into(), params).await
    }

    /// What marks an audit row as written by us; empty until the key is set.
    pub(super) fn audit_tag(&self, row: &[u8]) -> String {
        self.audit_key.get().map(|key| key.tag(row)).unwrap_or_default()
    }

    /// What seals rows of a log in this transaction; `None` where this process does not seal it, or another of its
    /// transactions does so just now.
    pub(super) async fn take_head(&mut self, log: Log) -> Result<Option<HeldHead>, StoreError> {
        let at = self.held.iter().position(|held| held.log == log);
        let held = at.map(|at| self.held.swap_remove(at)).or_else(|| self.heads.take(log));
        let Some(held) = held else { return Ok(None) };
        // What is not put back is lost, until the sealer brings another.
        Ok(self.holds_lease(log.lease(), held.epoch()).await?.then_some(held))
    }

    /// Writes the signed record of the log's next batch, and gives its number. The batch's rows are this transaction's
    /// to write.
    pub(super) async fn seal(
        &mut self,
        mut held: HeldHead,
        leaves: Vec<Leaf>,
        times: impl Iterator<Item = i64> + Clone + Send,
        kept_from: Option<i64>,
        now_ms: i64,
    ) -> Result<i64, StoreError> {
        let (batch, record) = held.next(leaves, times, kept_from, now_ms)?;
        self.insert_seal(held.log, batch, record).await?;
        self.held.push(held);
        Ok(batch)
    }

    fn sealed_batches(&self) -> usize {
        self.held.iter().map(HeldHead::batches).sum()
    }

    /// Counts of this account's rows are made anew once this transaction has committed.
    pub(super) fn mark_changed(&mut self, account_id: &str) {
        if !self.changed.iter().any(|known| known == account_id) {
            self.changed.push(account_id.to_owned());
        }
    }

    /// True on PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        matches!(self.connection, Connection::Postgres(_))
    }

    /// Raises `topic` in every process once this transaction has committed.
    pub async fn raise(&mut self, topic: Topic) -> Result<(), StoreError> {
        if self.raised.contains(&topic) {
            return Ok(());
        }
        self.raised.push(topic);
        if self.is_postgres() {
            self.execute("SELECT pg_notify('creel', $1)", super::params![topic.name()]).await?;
        }
        Ok(())
    }
}

type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Runs inside the transaction, or learns why there is none; gives whether to keep its writes, and how to answer once that
/// is settled.
type Job = Box<dyn for<'t> FnOnce(Result<&'t mut Tx, StoreError>) -> BoxFuture<'t, (bool, Finish)> + Send>;

#[derive(Debug)]
pub(super) enum Writer {
    Sqlite { queue: mpsc::Sender<Job> },
    Postgres { db: Db, told: Told, audit_key: Arc<OnceLock<TagKey>> },
}

impl Writer {
    pub(super) async fn start(
        db: &Db,
        told: Told,
        audit_key: Arc<OnceLock<TagKey>>,
        tasks: &Tasks,
    ) -> Result<Self, StoreError> {
        match db {
            Db::Postgres { pool } => {
                let (pool, cancel, heard) = (pool.clone(), tasks.cancelled(), told.topics.clone());
                tasks.spawn("store-listener", async move {
                    tokio::select! { () = listen_postgres(pool, heard) => {}, () = cancel.cancelled() => {} }
                });
                Ok(Writer::Postgres { db: db.clone(), told, audit_key })
            }
            Db::Sqlite { options, .. } => {
                let options = options.as_ref().clone().pragma("cache_size", CACHE_SIZE);
                let connection = Connection::Sqlite(Box::new(options.connect().await?));
                let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
                let tx = Tx::new(connection, audit_key, &told);
                tasks.spawn_thread("store-writer", run_sqlite(tx, jobs, told)).map_err(sqlx::Error::Io)?;
                Ok(Writer::Sqlite { queue })
            }
        }
    }

    pub(super) async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = boxed(job, reply);
        match self {
            Writer::Sqlite { queue } => {
                if queue.send(job).await.is_err() {
                    return Err(StoreError::Closed.into());
                }
            }
            Writer::Postgres { db: Db::Postgres { pool }, told, audit_key } => {
                let connection = pool.acquire().await.map_err(StoreError::from)?;
                let tx = Tx::new(Connection::Postgres(connection), audit_key.clone(), told);
                // In a task of its own, so that a caller who goes away cannot leave a transaction half done.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "joined on the next line; ends with its transaction"
                )]
                let task = tokio::spawn(commit_alone(tx, job, told.clone()));
                task.await.unwrap_or(Err(StoreError::Panicked))?;
            }
            Writer::Postgres { .. } => return Err(StoreError::Closed.into()),
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }
}

/// Runs a job in a transaction of its own. One future for jobs of all kinds: a task's code would else be there once for each
/// operation.
async fn commit_alone(mut tx: Tx, job: Job, told: Told) -> Result<(), StoreError> {
    tx.execute("BEGIN", Vec::new()).await?;
    let (keep, finish) = job(Ok(&mut tx)).await;
    let ended = tx.execute(if keep { "COMMIT" } else { "ROLLBACK" }, Vec::new()).await;
    if keep && ended.is_ok() {
        told.of(&mut tx);
    }
    finish(ended.map(|_| ()));
    Ok(())
}

fn boxed<T, E, F>(job: F, reply: oneshot::Sender<Result<T, E>>) -> Job
where
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(move |tx| {
        Box::pin(async move {
            let result = match tx {
                Ok(tx) => {
                    let outcome = AssertUnwindSafe(job(tx)).catch_unwind().await;
                    outcome.unwrap_or_else(|_| Err(StoreError::Panicked.into()))
                }
                Err(error) => Err(error.into()),
            };
            let keep = result.is_ok();
            let finish: Finish = Box::new(move |committed| {
                // The caller may be gone; the work is done all the same.
                let _ = reply.send(committed.map_err(E::from).and(result));
            });
            (keep, finish)
        })
    })
}

async fn run_sqlite(mut tx: Tx, mut jobs: mpsc::Receiver<Job>, told: Told) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut version = None;
    // Ends when the last sender is dropped with the store: writes asked for during shutdown still happen.
    loop {
        let first = tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => job,
                None => return,
            },
            _ = look.tick() => {
                raise_if_changed(&mut tx, &mut version, &told.topics).await;
                continue;
            }
        };
        let mut group = vec![first];
        while group.len() < GROUP_JOBS_MAX {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        commit_group(&mut tx, group, &told).await;
    }
}

/// Raises every topic when another process has written: `creel admin` beside a running server. This connection makes
/// all writes of this process, and its `data_version` moves only for the commits of others.
async fn raise_if_changed(tx: &mut Tx, version: &mut Option<i64>, topics: &Topics) {
    let row = tx.fetch_optional("PRAGMA data_version", Vec::new()).await;
    let now = row.ok().flatten().and_then(|row| row.int("data_version").ok());
    if version.is_some() && *version != now {
        Topic::ALL.iter().for_each(|topic| topics.raise(*topic));
    }
    *version = now;
}

/// Raises topics that other processes raised through PostgreSQL; all of them after a lost connection.
async fn listen_postgres(pool: sqlx::PgPool, topics: Topics) {
    let mut reconnected = false;
    loop {
        match sqlx::postgres::PgListener::connect_with(&pool).await {
            Ok(mut listener) => {
                if let Err(error) = listener.listen("creel").await {
                    tracing::warn!(error = %error, "listening for other processes' changes failed");
                } else {
                    if reconnected {
                        Topic::ALL.iter().for_each(|topic| topics.raise(*topic));
                    }
                    while let Ok(Some(notification)) = listener.try_recv().await {
                        let name = notification.payload();
                        let found = Topic::ALL.into_iter().find(|topic| topic.name() == name);
                        found.into_iter().for_each(|topic| topics.raise(topic));
                    }
                }
            }
            Err(error) => tracing::warn!(error = %error, "connecting to listen for changes failed"),
        }
        reconnected = true;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Runs a group of jobs, each in a savepoint, and commits once. Answers go out only after the commit.
async fn commit_group(tx: &mut Tx, group: Vec<Job>, told: &Told) {
    tx.raised.clear();
    tx.changed.clear();
    tx.held.clear();
    // What is the whole transaction needs no savepoint, for which every page that changes would be copied.
    let is_alone = group.len() == 1;
    let mut last = "COMMIT";
    let mut finishes = Vec::with_capacity(group.len());
    let mut failed = tx.execute("BEGIN IMMEDIATE", Vec::new()).await.err().map(Arc::new);
    for job in group {
        if failed.is_none() && !is_alone {
            failed = tx.execute("SAVEPOINT job", Vec::new()).await.err().map(Arc::new);
        }
        if let Some(error) = &failed {
            let (_, finish) = job(Err(StoreError::NotCommitted(error.clone()))).await;
            finishes.push(finish);
            continue;
        }
        let (raised_before, sealed_before) = (tx.raised.len(), tx.sealed_batches());
        let (keep, finish) = job(Ok(tx)).await;
        if is_alone {
            last = if keep { "COMMIT" } else { "ROLLBACK" };
        } else {
            let end = if keep { "RELEASE job" } else { "ROLLBACK TO job" };
            failed = tx.execute(end, Vec::new()).await.err().map(Arc::new);
        }
        if !keep {
            tx.raised.truncate(raised_before);
            if tx.sealed_batches() != sealed_before {
                tx.held.clear();
            }
        }
        finishes.push(finish);
    }
    if failed.is_none() {
        failed = tx.execute(last, Vec::new()).await.err().map(Arc::new);
    }
    match failed {
        None => {
            told.of(tx);
            finishes.into_iter().for_each(|finish| finish(Ok(())));
        }
        Some(error) => {
            tracing::error!(
                error = &*error as &(dyn std::error::Error + 'static),
                "a group of transactions did not commit"
            );
            // A failed COMMIT leaves the transaction open on SQLite; a failed ROLLBACK means there was none.
            let _ = tx.execute("ROLLBACK", Vec::new()).await;
            finishes.into_iter().for_each(|finish| finish(Err(StoreError::NotCommitted(error.clone()))));
        }
    }
}
