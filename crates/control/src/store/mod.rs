//! The only place with SQL. One code path over two databases: typed pools behind [`Db`], portable statements with
//! `$1` parameters, lists assembled by sea-query. Why: `docs/adr/0001-store.md`.
//!
//! Reads go to a pool. Every change goes through [`Store::write`]: one transaction that holds the state, its audit
//! row and its wake-ups. SQLite has one writer, so there all writes pass one queue and commit in groups;
//! PostgreSQL gets a transaction each.

mod access;
mod account;
mod audit;
mod batch;
mod call_limit;
mod capture;
mod channel;
mod command;
mod db;
mod entitlement;
mod guest;
mod lease;
mod ledger;
mod list;
mod migrate;
mod model;
mod office_site;
mod order;
mod policy;
mod principal;
mod recent;
mod reconcile;
mod resource_group;
mod row;
mod runtime;
mod seal;
mod shape;
mod skill;
mod system_provider;
mod tag;
mod topics;
mod user;
mod writer;

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::seal::TagKey;
use crate::sealing::Heads;
use crate::tasks::Tasks;
pub use audit::audit_search_statement;
pub use command::command_list_statement;
pub use db::{Db, DbUrl};
pub(crate) use guest::InvocationFilter;
pub(crate) use lease::{Lease, LeaseRow};
pub(crate) use ledger::{AgentRow, LEDGER_LEASE, PackHour};
pub use ledger::{EntryFilter, entry_list_statement};
pub use model::{group_list_statement, model_list_statement, provider_list_statement};
pub(crate) use reconcile::Claim;
pub use resource_group::bound_list_statement;
pub use row::{Row, Value, params};
pub use topics::{Topic, Topics};
pub use user::user_list_statement;
pub use writer::Tx;

/// Why the store failed. Constraint violations are told apart because services give them a meaning.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database address is not understood: {0}")]
    BadUrl(String),
    #[error("a row with the same unique value exists")]
    Unique(#[source] sqlx::Error),
    #[error("a row refers to one that does not exist")]
    ForeignKey(#[source] sqlx::Error),
    #[error("reading or writing the database")]
    Database(#[source] sqlx::Error),
    #[error("bringing the database to this version's schema")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("column {column} of a row is missing or has another type")]
    Decode { column: String },
    #[error("a stored value is not valid: {what}")]
    Corrupt { what: String },
    #[error("a transaction was abandoned by a defect in its code")]
    Panicked,
    /// The database did not begin or commit the transaction that this job shared with others. Nothing of it is kept.
    #[error("the database did not commit a group of transactions")]
    NotCommitted(#[source] Arc<StoreError>),
    #[error("the store is shutting down")]
    Closed,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(database) if database.is_unique_violation() => StoreError::Unique(error),
            Some(database) if database.is_foreign_key_violation() => StoreError::ForeignKey(error),
            _ => StoreError::Database(error),
        }
    }
}

impl StoreError {
    /// True if the same call may succeed later without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::NotCommitted(_) | StoreError::Closed => true,
            StoreError::Database(error) => match error {
                sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => true,
                // 40001 serialization failure, 40P01 deadlock; 5 and 517 SQLITE_BUSY.
                sqlx::Error::Database(inner) => {
                    matches!(inner.code().as_deref(), Some("40001" | "40P01" | "5" | "517"))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// The store of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    writer: writer::Writer,
    topics: Topics,
    recent: Arc<recent::Recent>,
    audit_key: Arc<OnceLock<TagKey>>,
    heads: Arc<Heads>,
    clock: Arc<dyn Clock>,
}

impl Store {
    /// Connects, brings the schema up to date, and starts the writer as a task of `tasks`.
    pub async fn open(url: &DbUrl, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<Self, StoreError> {
        let db = Db::connect(url).await?;
        migrate::run(&db).await?;
        if let Db::Sqlite { pool, .. } = &db {
            shape::tell(pool).await?;
        }
        let topics = Topics::default();
        let audit_key = Arc::<OnceLock<TagKey>>::default();
        let recent = Arc::<recent::Recent>::default();
        let heads = Arc::<Heads>::default();
        let told = writer::Told { topics: topics.clone(), recent: recent.clone(), heads: heads.clone() };
        let writer = writer::Writer::start(&db, told, audit_key.clone(), tasks).await?;
        Ok(Self { inner: Arc::new(Inner { db, writer, topics, recent, audit_key, heads, clock }) })
    }

    /// Marks the audit rows that are written from now on; the first key stays.
    pub fn set_audit_key(&self, key: TagKey) {
        // A process has one key: a second call changes nothing.
        let _ = self.inner.audit_key.set(key);
    }

    /// What the next batches of sealed logs are made with.
    pub(crate) fn heads(&self) -> &Arc<Heads> {
        &self.inner.heads
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// In-process change signals; hints only.
    pub fn topics(&self) -> &Topics {
        &self.inner.topics
    }

    /// The database, for reads.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// Runs `job` in one transaction. `Ok` means committed; an error rolls back everything the job wrote.
    ///
    /// The job runs to its end even if the caller goes away. It must not wait for anything but the database.
    pub async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.inner.writer.write(job).await
    }
}
