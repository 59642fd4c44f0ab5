//! How many deductions a second the ledger records on SQLite: `cargo run --release -p creel-control --example
//! ledger_bench [calls] [runtimes]`. Prints its figures, and what the check says of the result.
//!
//! A deduction is a reservation and a settlement, each a journal record that survives `kill -9`. Memory and clock are as in
//! the server: ids that did not sort by time would scatter rows over the whole table.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures and stops at the first thing that is wrong"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use creel_control::access::Actor;
use creel_control::account::Accounts;
use creel_control::clock::{Clock, SystemClock};
use creel_control::id_gen::IdGen;
use creel_control::ledger::{CallStart, Credits, Grant, Ledger, PackSource, Place, UsageSource};
use creel_control::secrets::Sealer;
use creel_control::store::Store;
use creel_control::tasks::Tasks;
use creel_wire::id::{AccountId, RuntimeId};
use creel_wire::money::Micros;
use creel_wire::price::{MULTIPLIER_ONE, RateCard, Usage};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CARD: RateCard = RateCard {
    input: 200_000,
    cached_input: 20_000,
    cache_write: 250_000,
    output: 1_200_000,
    multiplier_micros: MULTIPLIER_ONE,
};
const USAGE: Usage = Usage { input: 8_349, cached_input: 40_794, cache_write: 0, output: 573, reasoning: 0 };

struct Bench {
    store: Store,
    ids: IdGen,
    ledger: Ledger,
    _directory: tempfile::TempDir,
    account_id: AccountId,
    runtimes: Vec<RuntimeId>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let number = |at: usize, default: usize| {
        std::env::args().nth(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let (calls, runtimes) = (number(1, 200_000), number(2, 100));
    let bench = Arc::new(Bench::new(runtimes).await);
    bench.run(1, calls.div_ceil(20)).await;
    for concurrency in [8, 64, 512] {
        bench.run(concurrency, calls).await;
    }
    let started = Instant::now();
    let credits = Credits::new(bench.store.clone(), bench.ids.clone());
    let checked = credits.check().await.expect("the check runs");
    println!(
        "check of {} entries in {:.2} s: {} differences",
        checked.entries,
        started.elapsed().as_secs_f64(),
        checked.differences.len()
    );
}

impl Bench {
    async fn new(runtimes: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (ids, tasks) = (IdGen::new(clock.clone()), Tasks::new());
        let url = format!("sqlite:{}", directory.path().join("creel.db").display());
        let url = url.parse().expect("a valid address");
        let store = Store::open(&url, clock, &tasks).await.expect("the store opens");
        let sealer = Sealer::from_base64(&Sealer::generate_base64()).expect("a master key");
        let accounts = Accounts::new(store.clone(), Arc::new(sealer), ids.clone());
        let account_id = accounts.create("bench").await.expect("an account").id;
        let credits = Credits::new(store.clone(), ids.clone());
        let grant = Grant {
            runtime_id: None,
            source: PackSource::Granted,
            micros: Micros(1_000_000_000_000_000),
            expires_at_ms: None,
        };
        let actor = Actor::operator(account_id.clone(), "GrantCredits", ids.request_id());
        credits.grant(actor, grant).await.expect("a pack");
        let place = Place::Directory(directory.path().join("ledger"));
        let ledger = Ledger::open(store.clone(), &tasks, place).await.expect("the ledger opens");
        let runtimes = (0..runtimes).map(|_| ids.runtime()).collect();
        Self { store, ids, ledger, _directory: directory, account_id, runtimes }
    }

    fn start(&self, number: usize) -> CallStart {
        CallStart {
            call_id: self.ids.call(),
            account_id: self.account_id.clone(),
            runtime_id: self.runtimes.get(number % self.runtimes.len()).expect("a runtime").clone(),
            provider_id: creel_wire::id::ProviderId::parse("mpt-bench").expect("an id"),
            provider_name: "wuying-credit".into(),
            model_code: "qwen3.6-plus".into(),
            card: Some(CARD),
            billed: true,
            bound: USAGE,
            limits: Arc::default(),
        }
    }

    /// Spends `calls` calls from `concurrency` tasks, then waits until they are rows.
    async fn run(self: &Arc<Self>, concurrency: usize, calls: usize) {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..concurrency {
            let bench = self.clone();
            tasks.spawn(async move {
                let mut slowest = Duration::ZERO;
                for number in (task..calls).step_by(concurrency) {
                    let begun = Instant::now();
                    let held = bench.ledger.reserve(bench.start(number)).await.expect("admitted");
                    bench.ledger.settle(held, USAGE, UsageSource::Upstream).await.expect("settled");
                    slowest = slowest.max(begun.elapsed());
                }
                slowest
            });
        }
        let slowest = tasks.join_all().await.into_iter().max().unwrap_or_default();
        let journalled = started.elapsed().as_secs_f64();
        self.ledger.flush().await;
        let applied = started.elapsed().as_secs_f64();
        println!(
            "c={concurrency}: {:.0} deductions/s in the journal, {:.0}/s as rows; {:.1} µs each, slowest {:.1} ms",
            calls as f64 / journalled,
            calls as f64 / applied,
            journalled * 1e6 / calls as f64,
            slowest.as_secs_f64() * 1e3
        );
    }
}
