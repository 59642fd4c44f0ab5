//! Makes sandboxes what they are wished to be. Level-triggered: a pass looks at one runtime's wish and at what is
//! there, whatever woke it; a wake-up is only a hint, and a restart looks at everything again.

mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use creel_wire::id::RuntimeId;
use creel_wire::secret::Secret;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::catalog;
use crate::driver::{Driver, DriverError, Limits, SandboxSpec, SandboxState};
use crate::entitlement;
use crate::lease::{LEASE_MS, kept};
use crate::runtime::Runtime;
use crate::store::{Store, StoreError, Topic};
use crate::tasks::Tasks;
pub use plan::{Look, Step, plan};

/// Passes at the same time; each may wait for a process to start or stop.
const PASSES_MAX: usize = 8;
/// How often sandboxes that this host runs are looked at, to bring back one that died.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// How often everything is looked at again, for hints that were lost.
const RESYNC_EVERY: Duration = Duration::from_secs(300);
/// The longest pause between two tries of the same runtime, in milliseconds.
const BACKOFF_MS_MAX: i64 = 60_000;

/// Why a pass failed; it is tried again with backoff.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("asking the driver")]
    Driver(#[from] DriverError),
    #[error("reading or writing what reconciliation needs")]
    Store(#[from] StoreError),
}

/// The controller of one process. Without a driver, runtimes exist and are billed but have no sandbox.
#[derive(Debug, Clone)]
pub struct Reconciler {
    store: Store,
    driver: Option<Arc<dyn Driver>>,
    /// Base URL of the agent listener, for guests.
    server_url: String,
}

/// What a pass says about the next one.
enum Next {
    Done,
    LookAgainIn(i64),
}

impl Reconciler {
    /// Over a store and a driver.
    pub fn new(store: Store, driver: Option<Arc<dyn Driver>>, server_url: String) -> Self {
        Self { store, driver, server_url }
    }

    /// Starts the loops.
    pub fn start(&self, tasks: &Tasks) {
        let (this, cancel) = (self.clone(), tasks.cancelled());
        tasks.spawn("reconcile", async move {
            tokio::select! { () = this.run() => {}, () = cancel.cancelled() => {} }
        });
        let (this, cancel) = (self.clone(), tasks.cancelled());
        tasks.spawn("reconcile-sweep", async move {
            tokio::select! { () = this.sweep() => {}, () = cancel.cancelled() => {} }
        });
    }

    async fn run(&self) {
        let mut hints = self.store.topics().subscribe(Topic::Reconcile);
        let mut passes = FuturesUnordered::new();
        loop {
            let room = i64::try_from(PASSES_MAX.saturating_sub(passes.len())).unwrap_or(0);
            if room > 0 {
                match self.claim(room).await {
                    Ok(claims) => passes.extend(claims.into_iter().map(|claim| self.pass(claim))),
                    Err(error) => tracing::warn!(error = %error, "claiming runtimes to reconcile failed"),
                }
            }
            tokio::select! {
                Some(()) = passes.next() => {}
                changed = hints.changed(), if passes.len() < PASSES_MAX => {
                    if changed.is_err() {
                        return;
                    }
                }
                // Retries fall due, and other processes' wake-ups arrive, without a hint.
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }

    async fn claim(&self, limit: i64) -> Result<Vec<crate::store::Claim>, StoreError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| Box::pin(async move { tx.claim_due(now_ms, now_ms + LEASE_MS, limit).await }))
            .await
    }

    async fn pass(&self, claim: crate::store::Claim) {
        let id = claim.runtime_id.clone();
        let outcome = self.reconcile_and_renew(&claim).await;
        let now_ms = self.store.clock().now_ms();
        let due_at_ms = match &outcome {
            Ok(Next::Done) => None,
            Ok(Next::LookAgainIn(pause_ms)) => Some(now_ms + pause_ms),
            Err(error) => {
                tracing::warn!(runtime.id = %id, error = %chain(error), "reconciling runtime {id} failed");
                Some(now_ms + backoff_ms(claim.attempts))
            }
        };
        let ended: Result<(), StoreError> = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    match due_at_ms {
                        None => tx.finish_claim(&claim).await,
                        Some(due_at_ms) => tx.defer_claim(&claim, due_at_ms).await,
                    }
                })
            })
            .await;
        if let Err(error) = ended {
            tracing::warn!(runtime.id = %id, error = %error, "ending a reconcile pass of {id} failed; its lease will");
        }
    }

    /// One pass, its claim kept for as long as it takes.
    async fn reconcile_and_renew(&self, claim: &crate::store::Claim) -> Result<Next, ReconcileError> {
        let renew = || {
            let (claim, until_ms) = (claim.clone(), self.store.clock().now_ms() + LEASE_MS);
            self.store.write(move |tx| Box::pin(async move { tx.renew_claim(&claim, until_ms).await }))
        };
        kept(self.reconcile(&claim.runtime_id), renew).await
    }

    /// One pass over one runtime. Its new users do not wait for its sandbox.
    async fn reconcile(&self, id: &RuntimeId) -> Result<Next, ReconcileError> {
        if self.store.has_assignment(id).await? {
            let id = id.clone();
            let placed: Result<(), StoreError> =
                self.store.write(move |tx| Box::pin(async move { entitlement::place(tx, &id).await })).await;
            placed?;
        }
        let Some(runtime) = self.store.find_runtime(id).await? else { return Ok(Next::Done) };
        let guest = self.store.find_guest(id).await?;
        let now_ms = self.store.clock().now_ms();
        let live = self.store.live_replicas(now_ms).await?;
        let look = Look {
            has_driver: self.driver.is_some(),
            state: match &self.driver {
                Some(driver) => driver.observe(id).await?,
                None => SandboxState::Absent,
            },
            guest_enrolled: guest.as_ref().is_some_and(|guest| guest.public_key.is_some()),
            guest_online: guest.is_some_and(|guest| live.contains(&guest.replica_id)),
        };
        let mut next = Next::Done;
        for step in plan(&runtime, &look) {
            match step {
                Step::EnsureRunning { enroll } => self.ensure_running(&runtime, enroll).await?,
                Step::EnsureStopped => self.with_driver(|driver| driver.ensure_stopped(id)).await?,
                Step::EnsureAbsent => self.with_driver(|driver| driver.ensure_absent(id)).await?,
                Step::Record { sandbox, started } => {
                    let (id, started_at) = (id.clone(), started.then_some(now_ms));
                    let reason = runtime.reason.clone();
                    self.store
                        .write(move |tx| {
                            Box::pin(async move {
                                tx.set_runtime_sandbox(&id, sandbox, &reason, started_at).await
                            })
                        })
                        .await
                        .map_err(ReconcileError::Store)?;
                }
                Step::LookAgain { pause_ms } => next = Next::LookAgainIn(pause_ms),
            }
        }
        Ok(next)
    }

    async fn with_driver<'a, F>(&'a self, call: F) -> Result<(), ReconcileError>
    where
        F: FnOnce(&'a dyn Driver) -> futures_util::future::BoxFuture<'a, Result<(), DriverError>>,
    {
        match &self.driver {
            Some(driver) => Ok(call(driver.as_ref()).await?),
            None => Ok(()),
        }
    }

    async fn ensure_running(&self, runtime: &Runtime, enroll: bool) -> Result<(), ReconcileError> {
        let Some(driver) = &self.driver else { return Ok(()) };
        let enroll_token: Option<Secret> = if enroll {
            let (id, now_ms) = (runtime.id.clone(), self.store.clock().now_ms());
            let issued: Result<Secret, StoreError> = self
                .store
                .write(move |tx| Box::pin(async move { crate::guest::issue_token(tx, &id, now_ms).await }))
                .await;
            Some(issued?)
        } else {
            None
        };
        let spec = SandboxSpec {
            runtime_id: runtime.id.clone(),
            boot_generation: runtime.boot_generation,
            provider: runtime.agent_provider,
            limits: limits(&runtime.desktop_type),
            server_url: self.server_url.clone(),
            enroll_token,
        };
        Ok(driver.ensure_running(&spec).await?)
    }

    /// Wakes runtimes whose sandbox went away by itself, and at intervals everything that is not settled.
    async fn sweep(&self) {
        let mut seen: HashMap<RuntimeId, SandboxState> = HashMap::new();
        let mut until_resync = Duration::ZERO;
        loop {
            if until_resync.is_zero() {
                if let Err(error) = self.resync().await {
                    tracing::warn!(error = %error, "looking at all runtimes again failed");
                }
                until_resync = RESYNC_EVERY;
            }
            if let Some(driver) = &self.driver
                && let Err(error) = self.wake_changed(driver.as_ref(), &mut seen).await
            {
                tracing::warn!(error = %chain(&error), "looking at sandboxes failed");
            }
            tokio::time::sleep(SWEEP_EVERY).await;
            until_resync = until_resync.saturating_sub(SWEEP_EVERY);
        }
    }

    async fn wake_changed(
        &self,
        driver: &dyn Driver,
        seen: &mut HashMap<RuntimeId, SandboxState>,
    ) -> Result<(), ReconcileError> {
        let mut now = HashMap::new();
        let mut changed = Vec::new();
        for id in driver.list().await? {
            let state = driver.observe(&id).await?;
            if seen.get(&id).is_some_and(|before| *before != state) {
                changed.push(id.clone());
            }
            now.insert(id, state);
        }
        changed.extend(seen.keys().filter(|id| !now.contains_key(*id)).cloned());
        *seen = now;
        Ok(self.wake_all(changed).await?)
    }

    async fn resync(&self) -> Result<(), StoreError> {
        const PACE: i64 = 500;
        let mut after = String::new();
        loop {
            let ids = self.store.unsettled_runtimes(&after, PACE).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = last.to_string();
            self.wake_all(ids).await?;
        }
    }

    async fn wake_all(&self, ids: Vec<RuntimeId>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    for id in &ids {
                        tx.wake(id, now_ms).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Limits of a desktop type. An unknown one (of a catalogue since changed) gets the smallest.
fn limits(desktop_type: &str) -> Limits {
    const MIB: u64 = 1024 * 1024;
    let (cpus, memory_mib) = catalog::find_desktop_type(desktop_type)
        .map_or((2, 4096), |found| (found.cpu_count, found.memory_mib));
    Limits {
        memory_bytes: memory_mib.unsigned_abs() * MIB,
        cpu_millis: u32::try_from(cpus * 1000).unwrap_or(2000),
        pids: 1024,
    }
}

fn backoff_ms(attempts: i64) -> i64 {
    let doubled = 1_000i64.saturating_mul(1 << attempts.clamp(0, 16));
    doubled.min(BACKOFF_MS_MAX)
}

/// An error with its causes, for one log line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
