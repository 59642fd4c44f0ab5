//! What tests share: both databases, a clock that stands still, fresh stores.

#![expect(
    clippy::expect_used,
    reason = "a test without its set-up fails by a panic that says what is missing"
)]

use std::sync::Arc;

use creel_control::clock::{Clock, FixedClock};
use creel_control::id_gen::IdGen;
use creel_control::secrets::Sealer;
use creel_control::store::{DbUrl, Store};
use creel_control::tasks::Tasks;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A fresh, empty database with a fixed clock. Dropped with its data.
#[derive(Debug)]
pub struct TestStore {
    pub store: Store,
    pub clock: Arc<FixedClock>,
    pub ids: IdGen,
    pub sealer: Arc<Sealer>,
    pub tasks: Tasks,
    pub url: String,
    _directory: tempfile::TempDir,
}

/// The moment at which the fixed clock starts: 2026-01-02T03:04:05Z.
pub fn start_of_time() -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(1_767_323_045_000).expect("a valid moment")
}

/// The address of the throw-away PostgreSQL that `scripts/with-postgres.sh` starts.
pub fn postgres_url() -> String {
    std::env::var("CREEL_TEST_POSTGRES_URL")
        .expect("CREEL_TEST_POSTGRES_URL is not set: run tests through `scripts/with-postgres.sh cargo test`, or `make test`")
}

/// Makes a new database in the test cluster and gives its address.
pub async fn fresh_postgres_url() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let base = postgres_url();
    let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let admin = sqlx::postgres::PgPool::connect(&base).await.expect("the test PostgreSQL answers");
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&admin).await.expect("a test database can be made");
    admin.close().await;
    let (server, _) = base.rsplit_once('/').expect("the address ends in a database name");
    format!("{server}/{name}")
}

/// Takes a test's database away: those of a whole run are gigabytes.
pub async fn drop_postgres(url: &str) {
    let name = url.rsplit('/').next().unwrap_or_default();
    let admin = sqlx::postgres::PgPool::connect(&postgres_url()).await.expect("the test PostgreSQL answers");
    // By force, since tasks of the test may still hold connections.
    let sql = sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    sqlx::query(sql).execute(&admin).await.expect("a test database can be dropped");
    admin.close().await;
}

/// A fresh store on `database`.
pub async fn open(database: Database) -> TestStore {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = match database {
        Database::Sqlite => format!("sqlite:{}", directory.path().join("creel.db").display()),
        Database::Postgres => fresh_postgres_url().await,
    };
    let clock = Arc::new(FixedClock::at(start_of_time()));
    let dyn_clock: Arc<dyn Clock> = clock.clone();
    let tasks = Tasks::new();
    let address: DbUrl = url.parse().expect("a valid address");
    let store = Store::open(&address, dyn_clock.clone(), &tasks).await.expect("the store opens");
    let sealer = Arc::new(Sealer::from_base64(&Sealer::generate_base64()).expect("a master key"));
    TestStore { store, clock, ids: IdGen::new(dyn_clock), sealer, tasks, url, _directory: directory }
}

/// Declares one test that runs on SQLite and on PostgreSQL: `both_databases! { async fn name(t: TestStore) {…} }`.
#[macro_export]
macro_rules! both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($test:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn body($test: $crate::TestStore) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body($crate::open($crate::Database::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let test = $crate::open($crate::Database::Postgres).await;
                let url = test.url.clone();
                body(test).await;
                $crate::drop_postgres(&url).await;
            }
        }
    )+};
}
