//! The ledger on both databases: with a journal in files on SQLite, in its table on PostgreSQL.

mod cluster;
mod crash;
mod credits;
mod quotas;
mod reports;
mod sealed;
mod spend;
mod used_up;

use creel_control::access::Actor;
use creel_control::account::Accounts;
use creel_control::clock::Clock;
use creel_control::ledger::{
    CallStart, Cluster, Credits, Dial, DialError, Grant, Label, Ledger, LedgerError, Line, Pack, PackSource,
    Place, QuotaChange, Refusal, Reservation, UsageSource, grant_monthly,
};
use creel_control::store::{DbUrl, Store, StoreError, params};
use creel_control::tasks::Tasks;
use creel_testkit::TestStore;
use creel_wire::id::{AccountId, CallId, ProviderId, RuntimeId};
use creel_wire::money::Micros;
use creel_wire::price::{MULTIPLIER_ONE, RateCard, Usage};
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

/// 0.2, 0.02, 0.25 and 1.2 credits for 1,000 tokens.
pub(crate) const CARD: RateCard = RateCard {
    input: 200_000,
    cached_input: 20_000,
    cache_write: 250_000,
    output: 1_200_000,
    multiplier_micros: MULTIPLIER_ONE,
};
/// A micro-credit for each output token.
pub(crate) const UNIT: RateCard =
    RateCard { input: 0, cached_input: 0, cache_write: 0, output: 1_000, multiplier_micros: MULTIPLIER_ONE };

pub(crate) fn output(tokens: u64) -> Usage {
    Usage { output: tokens, ..Usage::default() }
}

/// An account with two runtimes and what changes its credits.
pub(crate) struct World<'t> {
    pub(crate) t: &'t TestStore,
    pub(crate) account_id: AccountId,
    pub(crate) runtimes: [RuntimeId; 2],
    pub(crate) provider_id: ProviderId,
    pub(crate) credits: Credits,
    journal: tempfile::TempDir,
    switchboard: Switchboard,
}

/// Connects the processes of a test, without a network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switchboard(Arc<Mutex<HashMap<String, (Ledger, tokio::runtime::Handle)>>>);

#[derive(Debug)]
struct Phone {
    board: Switchboard,
    replica_id: String,
}

impl Dial for Phone {
    fn dial<'a>(&'a self, address: &'a str, _owner_id: &'a str) -> BoxFuture<'a, Result<Line, DialError>> {
        let (found, caller) = (self.board.0.lock().unwrap().get(address).cloned(), self.replica_id.clone());
        Box::pin(async move {
            let Some((ledger, host)) = found else {
                return Err(DialError::Unreachable("nobody is there".into()));
            };
            let (asks, asks_rx) = tokio::sync::mpsc::channel(64);
            let (answers_tx, answers) = tokio::sync::mpsc::unbounded_channel();
            host.spawn(async move { ledger.serve(&caller, asks_rx, answers_tx).await });
            Ok(Line { asks, answers })
        })
    }
}

/// One run of a server, as far as the ledger goes. It can be killed.
pub(crate) struct Process {
    pub(crate) ledger: Ledger,
    pub(crate) store: Store,
    tasks: Tasks,
    runtime: Host,
    pub(crate) replica_id: String,
    board: Switchboard,
}

/// A process's threads; a test that ends without saying how leaves them to end by themselves.
struct Host(Option<Runtime>);

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl<'t> World<'t> {
    pub(crate) async fn new(t: &'t TestStore) -> Self {
        let accounts = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone());
        let account_id = accounts.create("acme").await.unwrap().id;
        let runtimes = [t.ids.runtime(), t.ids.runtime()];
        for (runtime_id, jvs_id) in runtimes.iter().zip([Some("jvs-1"), None]) {
            insert_runtime(&t.store, &account_id, runtime_id, jvs_id).await;
        }
        Self {
            t,
            account_id,
            runtimes,
            provider_id: t.ids.provider(),
            credits: Credits::new(t.store.clone(), t.ids.clone()),
            journal: tempfile::tempdir().unwrap(),
            switchboard: Switchboard::default(),
        }
    }

    pub(crate) fn journal_dir(&self) -> std::path::PathBuf {
        self.journal.path().join("ledger")
    }

    pub(crate) fn actor(&self, action: &'static str) -> Actor {
        Actor::operator(self.account_id.clone(), action, self.t.ids.request_id())
    }

    pub(crate) async fn start(&self) -> Process {
        self.try_start().await.expect("the ledger opens")
    }

    pub(crate) async fn try_start(&self) -> Result<Process, LedgerError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url: DbUrl = self.t.url.parse().unwrap();
        let clock: Arc<dyn Clock> = self.t.clock.clone();
        let replica_id = self.t.ids.request_id().to_string();
        let board = self.switchboard.clone();
        let place = if self.t.store.db().is_postgres() {
            let phone = Phone { board: board.clone(), replica_id: replica_id.clone() };
            let cluster = Cluster {
                replica_id: replica_id.clone(),
                address: replica_id.clone(),
                dial: Arc::new(phone),
            };
            Place::Table(cluster)
        } else {
            Place::Directory(self.journal_dir())
        };
        let tasks = Tasks::new();
        let tasks_inside = tasks.clone();
        let runtime = Host(Some(runtime));
        let opened = runtime.0.as_ref().unwrap().handle().spawn(async move {
            let store = Store::open(&url, clock, &tasks_inside).await?;
            Ok((Ledger::open(store.clone(), &tasks_inside, place).await?, store))
        });
        match opened.await.unwrap() {
            Ok((ledger, store)) => {
                let host = runtime.0.as_ref().unwrap().handle().clone();
                board.0.lock().unwrap().insert(replica_id.clone(), (ledger.clone(), host));
                Ok(Process { ledger, store, tasks, runtime, replica_id, board })
            }
            Err(error) => {
                end(runtime).await;
                Err(error)
            }
        }
    }

    /// Ends the process in the middle of whatever it does.
    pub(crate) async fn kill(&self, process: Process) {
        let Process { ledger, store, tasks, runtime, replica_id, board } = process;
        board.0.lock().unwrap().remove(&replica_id);
        drop((ledger, store, tasks));
        end(runtime).await;
        // The leases of a process that is gone last a while.
        self.t.clock.advance(SignedDuration::from_secs(16));
    }

    pub(crate) async fn grant(&self, micros: i64, expires_in_hours: Option<i64>) -> Pack {
        let now_ms = self.t.clock.now_ms();
        let grant = Grant {
            runtime_id: None,
            source: PackSource::Granted,
            micros: Micros(micros),
            expires_at_ms: expires_in_hours.map(|hours| now_ms + hours * 3_600_000),
        };
        self.credits.grant(self.actor("GrantCredits"), grant).await.unwrap()
    }

    pub(crate) async fn grant_monthly(&self, micros: Micros) {
        let (ids, account_id, runtime_id) =
            (self.t.ids.clone(), self.account_id.clone(), self.runtimes[0].clone());
        let now_ms = self.t.clock.now_ms();
        let granted: Result<(), StoreError> = self
            .t
            .store
            .write(move |tx| {
                Box::pin(
                    async move { grant_monthly(tx, &ids, &account_id, &runtime_id, micros, now_ms).await },
                )
            })
            .await;
        granted.unwrap();
    }

    pub(crate) async fn set_quota(&self, micros: Option<i64>) {
        let ids = vec![self.runtimes[0].to_string()];
        let change = QuotaChange { quota: micros.map(Micros), ..QuotaChange::default() };
        self.credits.set_quota(self.actor("SetAgentCreditQuota"), ids, change).await.unwrap();
    }

    /// A call that is paid from packs.
    pub(crate) fn call(&self, card: Option<RateCard>, bound: Usage) -> CallStart {
        CallStart {
            call_id: self.t.ids.call(),
            account_id: self.account_id.clone(),
            runtime_id: self.runtimes[0].clone(),
            provider_id: self.provider_id.clone(),
            provider_name: "wuying-credit".into(),
            model_code: "qwen".into(),
            card,
            billed: true,
            bound,
            limits: Default::default(),
        }
    }

    /// A call that only counts against the quota.
    pub(crate) fn own_call(&self, card: Option<RateCard>, bound: Usage) -> CallStart {
        CallStart { billed: false, ..self.call(card, bound) }
    }

    pub(crate) async fn pack_used(&self, pack: &Pack) -> i64 {
        let sql = "SELECT used_micros FROM credit_pack WHERE id = $1";
        let row = self.t.store.db().fetch_optional(sql, params![pack.id.as_str()]).await.unwrap().unwrap();
        row.int("used_micros").unwrap()
    }

    /// Pack, label and amount of each entry of a call.
    pub(crate) async fn entries(&self, call_id: &CallId) -> Vec<(Option<String>, Label, i64)> {
        let all = self.credits.export_entries(None, "", 10_000).await.unwrap();
        let of_call = all.into_iter().filter(|entry| entry.call_id == *call_id);
        of_call.map(|entry| (entry.pack_id.map(String::from), entry.label, entry.micros.0)).collect()
    }

    pub(crate) async fn assert_clean(&self) {
        let checked = self.credits.check().await.unwrap();
        assert_eq!(checked.differences, Vec::new());
    }
}

impl Process {
    /// Reserves and settles.
    pub(crate) async fn spend(&self, start: CallStart, usage: Usage) -> Result<Micros, Refusal> {
        let held = self.ledger.reserve(start).await?;
        Ok(self.ledger.settle(held, usage, UsageSource::Upstream).await.expect("the call settles"))
    }

    pub(crate) async fn reserve(&self, start: CallStart) -> Reservation {
        self.ledger.reserve(start).await.expect("the call is admitted")
    }

    /// Ends in order.
    pub(crate) async fn stop(self) {
        let Process { ledger, store, tasks, runtime, replica_id, board } = self;
        board.0.lock().unwrap().remove(&replica_id);
        drop((ledger, store));
        tasks.shutdown(Duration::from_secs(20)).await;
        end(runtime).await;
    }
}

async fn end(mut runtime: Host) {
    let runtime = runtime.0.take().unwrap();
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(20))).await.unwrap();
}

pub(crate) async fn insert_runtime(
    store: &Store,
    account_id: &AccountId,
    runtime_id: &RuntimeId,
    jvs_id: Option<&'static str>,
) {
    let (account_id, runtime_id) = (account_id.to_string(), runtime_id.to_string());
    let inserted: Result<(), StoreError> = store
        .write(move |tx| {
            Box::pin(async move {
                tx.execute(
                    "INSERT INTO office_site (id, account_id, region_id, name, attributes_json, created_at_ms)
                     VALUES ('cn+dir-1', $1, 'cn', 'site', '{}', 0) ON CONFLICT (id) DO NOTHING",
                    params![&account_id],
                )
                .await?;
                tx.execute(
                    "INSERT INTO runtime (id, account_id, region_id, jvs_id, name, host_name, office_site_id, image_id,
                         desktop_type, os_type, agent_provider, agent_platform, charge_type, attributes_json, power,
                         boot_generation, generation, sandbox, reason, created_at_ms)
                     VALUES ($1, $2, 'cn', $3, 'a', 'a', 'cn+dir-1', 'i', 't', 'Linux', 'OpenClaw', 'ENTERPRISE',
                         'PostPaid', '{}', 'Running', 1, 1, 'Pending', '', 0)",
                    params![&runtime_id, &account_id, jvs_id],
                )
                .await?;
                Ok(())
            })
        })
        .await;
    inserted.unwrap();
}
