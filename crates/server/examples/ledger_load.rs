//! One of several processes that spend one pack as fast as the ledger lets them; used by `bench/cluster.py`.
//!
//! `ledger_load <data-dir> <database> <callers> <seconds>`: starts a server without agents, prints `ready`, waits for a line,
//! calls once for each runtime, prints `warm`, waits for a line, reserves and settles, prints one JSON line of figures, waits
//! for another line and ends in order. The master key
//! comes from `CREEL_MASTER_KEY`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use creel::config::{Config, DriverKind, EnvironmentSecrets, Role};
use creel::serve::Server;
use creel_control::clock::{Clock, SystemClock};
use creel_control::id_gen::IdGen;
use creel_control::ledger::{CallStart, Ledger, UsageSource};
use creel_wire::id::{AccountId, ProviderId, RuntimeId};
use creel_wire::price::{MULTIPLIER_ONE, RateCard, Usage};
use creel_wire::secret::Secret;
use tokio::task::JoinSet;

const CARD: RateCard = RateCard {
    input: 200_000,
    cached_input: 20_000,
    cache_write: 250_000,
    output: 1_200_000,
    multiplier_micros: MULTIPLIER_ONE,
};
const USAGE: Usage = Usage { input: 8_349, cached_input: 40_794, cache_write: 0, output: 573, reasoning: 0 };

#[derive(Clone)]
struct Load {
    ledger: Ledger,
    ids: IdGen,
    account: AccountId,
    provider: ProviderId,
    runtimes: Arc<Vec<RuntimeId>>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, data_dir, database, callers, seconds] = args.as_slice() else {
        anyhow::bail!("usage: ledger_load DATA-DIR DATABASE CALLERS SECONDS");
    };
    let master_key = std::env::var("CREEL_MASTER_KEY").context("CREEL_MASTER_KEY")?;
    let config = Config {
        data_dir: PathBuf::from(data_dir),
        database: Some(database.clone()),
        admin_listen: "127.0.0.1:0".parse()?,
        agent_listen: "127.0.0.1:0".parse()?,
        driver: DriverKind::None,
        roles: BTreeSet::from([Role::Api, Role::Gateway]),
        environment: EnvironmentSecrets { master_key: Some(Secret::new(master_key)), ..Default::default() },
        ..Config::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let server = Server::start(config, clock.clone()).await?;
    let account = server.accounts().find_by_name("root").await?.context("the root account")?.id;
    let ids = IdGen::new(clock);
    let load = Load {
        ledger: server.ledger().context("a gateway's ledger")?.clone(),
        account,
        provider: ids.provider(),
        runtimes: Arc::new((0..100).map(|_| ids.runtime()).collect()),
        ids,
    };
    say("ready")?;
    next_line().await?;
    // Balances are read at a runtime's first call: not what is measured.
    for number in 0..load.runtimes.len() {
        anyhow::ensure!(load.pair(number).await.is_some(), "the pack does not pay");
    }
    say("warm")?;
    next_line().await?;
    let duration = Duration::from_secs(seconds.parse::<u64>()?.min(120));
    let mut workers = JoinSet::new();
    let begun = Instant::now();
    for number in 0..callers.parse::<usize>()?.min(1_024) {
        let load = load.clone();
        workers.spawn(async move { load.work(number, duration).await });
    }
    let (mut micros, mut refused) = (Vec::new(), 0);
    while let Some(worked) = workers.join_next().await {
        let (took, not_admitted) = worked?;
        micros.extend(took);
        refused += not_admitted;
    }
    let elapsed_ms = begun.elapsed().as_millis();
    micros.sort_unstable();
    let at = |share: usize| micros.get(micros.len() * share / 1_000).copied().unwrap_or_default();
    let figures = serde_json::json!({
        "pairs": micros.len(), "refused": refused, "ms": elapsed_ms, "owner": load.ledger.is_owner(),
        "p50_us": at(500), "p99_us": at(990), "p999_us": at(999), "max_us": micros.last(),
    });
    say(&figures.to_string())?;
    next_line().await?;
    drop(load);
    server.shutdown().await;
    Ok(())
}

async fn next_line() -> anyhow::Result<()> {
    let read = || std::io::stdin().read_line(&mut String::new());
    tokio::task::spawn_blocking(read).await??;
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

impl Load {
    /// How many microseconds each pair took, and how many calls were refused.
    async fn work(&self, first: usize, duration: Duration) -> (Vec<u64>, usize) {
        let (mut took, mut refused) = (Vec::new(), 0);
        let begun = Instant::now();
        for number in first.. {
            if begun.elapsed() >= duration {
                break;
            }
            let asked = Instant::now();
            match self.pair(number).await {
                Some(()) => took.push(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX)),
                None => refused += 1,
            }
        }
        (took, refused)
    }

    /// Reserves and settles one call; `None` if it was refused.
    async fn pair(&self, number: usize) -> Option<()> {
        let start = CallStart {
            call_id: self.ids.call(),
            account_id: self.account.clone(),
            runtime_id: self.runtimes.get(number % self.runtimes.len())?.clone(),
            provider_id: self.provider.clone(),
            provider_name: "wuying-credit".into(),
            model_code: "qwen3.6-plus".into(),
            card: Some(CARD),
            billed: true,
            bound: USAGE,
            limits: Arc::default(),
        };
        let held = self.ledger.reserve(start).await.ok()?;
        self.ledger.settle(held, USAGE, UsageSource::Upstream).await.ok().map(|_| ())
    }
}
