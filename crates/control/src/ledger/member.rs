//! One of several gateways over one PostgreSQL: owns the ledger while it has the lease, asks the owner while another
//! has it, and lets calls wait while nobody has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use creel_wire::money::Micros;
use creel_wire::price::Usage;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::outbox::Outbox;
use super::remote::{Answer, Answered, Ask, Asked, Dial, DialError, Line};
use super::{CallStart, LedgerError, Refusal, UsageSource, recover, serve};
use crate::guest::REPLICA_LEASE_MS;
use crate::store::{LEDGER_LEASE, Lease, LeaseRow, Store};
use crate::tasks::Tasks;

/// Between two looks for an owner while there is none.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Between two looks whether the owner that answers is still the owner.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a connection to the owner may take.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// How long a process that starts looks for an owner: longer than a dead one's lease.
const JOIN_WITHIN: Duration = Duration::from_secs(40);
/// How long calls may wait after an owner was lost before they are refused: a lease and the time to take it up.
const OWNERLESS_MAX: Duration = Duration::from_secs(15);
/// How long a caller waits for its answer; what has to arrive is delivered later than that too.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a process that stops waits for its calls to end and their settlements to arrive.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How long a connection may not take a batch.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Questions in one message at the most.
const BATCH_ASKS: usize = 256;

/// How a process takes part in a ledger that several share.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Names this process; new at each start.
    pub replica_id: String,
    /// Where the others reach it; empty if nobody can, which only a process that stays alone may say.
    pub address: String,
    /// How it reaches them.
    pub dial: Arc<dyn Dial>,
}

#[derive(Debug, Clone)]
enum Role {
    None,
    Owner(Engine),
    Follower,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    tasks: Tasks,
    cluster: Cluster,
    role: watch::Sender<Role>,
    outbox: Mutex<Outbox<oneshot::Sender<Answer>>>,
    /// Since when nobody owns the ledger, as far as this process knows.
    ownerless_since: Mutex<Option<Instant>>,
    news: Notify,
    under_way: AtomicUsize,
}

/// A call of this process between its reservation and its end.
#[derive(Debug)]
pub(crate) struct UnderWay(Member);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.inner.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.inner.news.notify_one();
    }
}

/// What has to be said to an owner if whoever says it goes away before it is answered.
struct Unsaid<'a> {
    member: &'a Member,
    ask: Option<Ask>,
}

impl Drop for Unsaid<'_> {
    fn drop(&mut self) {
        if let Some(ask) = self.ask.take() {
            let _kept = self.member.outbox().ask(ask, None);
            self.member.inner.news.notify_one();
        }
    }
}

/// A question in the outbox whose caller may go away.
struct Waiting<'a> {
    member: &'a Member,
    id: Option<u64>,
    /// What takes the question back once it was answered.
    undo: Option<Ask>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut outbox = self.member.outbox();
        if !outbox.abandon(id)
            && let Some(undo) = self.undo.take()
        {
            let _kept = outbox.ask(undo, None);
            self.member.inner.news.notify_one();
        }
    }
}

enum Found {
    Own(Engine, CancellationToken),
    Follow(Line, LeaseRow),
}

impl Member {
    /// Takes part from now on; returns once there is an owner, be it this process.
    pub(crate) async fn join(store: Store, tasks: &Tasks, cluster: Cluster) -> Result<Self, LedgerError> {
        let (replica_id, until_ms) = (cluster.replica_id.clone(), store.clock().now_ms() + REPLICA_LEASE_MS);
        // Before it holds anything: what a replica without a lease holds counts as spent.
        let joined: Result<(), LedgerError> = store
            .write(move |tx| {
                Box::pin(async move { Ok(tx.extend_replica_lease(&replica_id, until_ms).await?) })
            })
            .await;
        joined?;
        let member = Self {
            inner: Arc::new(Inner {
                store,
                tasks: tasks.clone(),
                cluster,
                role: watch::Sender::new(Role::None),
                outbox: Mutex::default(),
                ownerless_since: Mutex::new(Some(Instant::now())),
                news: Notify::new(),
                under_way: AtomicUsize::new(0),
            }),
        };
        let end = Instant::now() + JOIN_WITHIN;
        let mut lease_until_ms = None;
        let found = loop {
            let error = match member.look().await {
                Ok(found) => break found,
                Err(error) => error,
            };
            let may_pass = match error {
                LedgerError::Owned { .. } | LedgerError::Fenced | LedgerError::Unreachable { .. } => true,
                // Whose lease it is may be dead, such as this process's predecessor, until it is renewed.
                LedgerError::NoAddress { until_ms, .. } => {
                    *lease_until_ms.get_or_insert(until_ms) == until_ms
                }
                _ => false,
            };
            if !may_pass || Instant::now() >= end {
                return Err(error);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        };
        tasks.spawn("ledger-member", member.clone().run(found));
        let mut role = member.inner.role.subscribe();
        // Ends with this process only.
        let _ = role.wait_for(|role| !matches!(role, Role::None)).await;
        Ok(member)
    }

    pub(crate) async fn reserve(&self, start: CallStart) -> Result<(Micros, UnderWay), Refusal> {
        let answer = self.begin(start).await;
        match answer {
            Answer::Held(held) => {
                self.inner.under_way.fetch_add(1, Ordering::Relaxed);
                Ok((held, UnderWay(self.clone())))
            }
            Answer::Refused(refusal) => Err(refusal),
            _ => Err(Refusal::Unavailable),
        }
    }

    async fn begin(&self, start: CallStart) -> Answer {
        if let Some(engine) = self.engine() {
            let mut undo = Unsaid { member: self, ask: Some(Ask::Release(start.call_id.clone())) };
            let answer = serve::answer(&engine, self.id(), Ask::Reserve(start.clone()), false).await;
            let is_over = engine.fenced().is_cancelled();
            if answer != Answer::Unavailable || is_over {
                undo.ask = None;
            }
            if answer != Answer::Unavailable || !is_over {
                return answer;
            }
        }
        self.ask(Ask::Reserve(start)).await
    }

    pub(crate) async fn settle(
        &self,
        call_id: creel_wire::id::CallId,
        usage: Usage,
        source: UsageSource,
    ) -> Result<Micros, LedgerError> {
        match self.deliver(Ask::Settle { call_id, usage, source }).await {
            Answer::Billed(billed) => Ok(billed),
            Answer::Ended => Err(LedgerError::AlreadySettled),
            _ => Err(LedgerError::NotDelivered),
        }
    }

    pub(crate) async fn release(&self, call_id: creel_wire::id::CallId) {
        // If nobody takes it in time it is delivered later.
        let _answer = self.deliver(Ask::Release(call_id)).await;
    }

    /// Says what has to arrive, and waits for its answer for a while.
    async fn deliver(&self, ask: Ask) -> Answer {
        if let Some(engine) = self.engine() {
            let mut unsaid = Unsaid { member: self, ask: Some(ask.clone()) };
            let answer = serve::answer(&engine, self.id(), ask.clone(), false).await;
            unsaid.ask = None;
            if answer != Answer::Unavailable {
                return answer;
            }
        }
        self.ask(ask).await
    }

    pub(crate) async fn remaining(&self, start: &CallStart) -> Result<Option<Micros>, Refusal> {
        let ask = Ask::Remaining(start.clone());
        let answer = match self.engine() {
            Some(engine) => serve::answer(&engine, self.id(), ask, false).await,
            None => self.ask(ask).await,
        };
        match answer {
            Answer::Remaining(remaining) => Ok(remaining),
            Answer::Refused(refusal) => Err(refusal),
            _ => Err(Refusal::Unavailable),
        }
    }

    /// The engine, while this process owns the ledger.
    pub(crate) fn engine(&self) -> Option<Engine> {
        match &*self.inner.role.borrow() {
            Role::Owner(engine) => Some(engine.clone()),
            Role::None | Role::Follower => None,
        }
    }

    async fn ask(&self, ask: Ask) -> Answer {
        let begins = matches!(ask, Ask::Reserve(_) | Ask::Remaining(_));
        if begins && self.is_ownerless_for_too_long() {
            return Answer::Unavailable;
        }
        let undo = match &ask {
            Ask::Reserve(start) => Some(Ask::Release(start.call_id.clone())),
            _ => None,
        };
        let (waiter, answered) = oneshot::channel();
        let Ok(id) = self.outbox().ask(ask, Some(waiter)) else { return Answer::Unavailable };
        let mut waiting = Waiting { member: self, id: Some(id), undo };
        self.inner.news.notify_one();
        match tokio::time::timeout(WAIT_MAX, answered).await {
            Ok(Ok(answer)) => {
                waiting.id = None;
                answer
            }
            _ => Answer::Unavailable,
        }
    }

    fn id(&self) -> &str {
        &self.inner.cluster.replica_id
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox<oneshot::Sender<Answer>>> {
        self.inner.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ownerless_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.inner.ownerless_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ownerless_for_too_long(&self) -> bool {
        self.ownerless_since().is_some_and(|since| since.elapsed() >= OWNERLESS_MAX)
    }

    /// Takes the lease if it is free, else connects to who has it.
    async fn look(&self) -> Result<Found, LedgerError> {
        let Inner { store, cluster, tasks, .. } = &*self.inner;
        let row = store.find_lease(LEDGER_LEASE).await?;
        let now_ms = store.clock().now_ms();
        if let Some(row) = &row
            && row.until_ms > now_ms
            && row.owner_id != cluster.replica_id
        {
            if row.address.is_empty() || cluster.address.is_empty() {
                let (of_owner, until_ms) = (row.address.is_empty(), row.until_ms);
                return Err(LedgerError::NoAddress { of_owner, until_ms });
            }
            // An owner that lives renews its lease long before that; one that is dead must not be waited for.
            let left_ms = u64::try_from(row.until_ms.saturating_sub(now_ms)).unwrap_or_default();
            let within = DIAL_WITHIN.min(Duration::from_millis(left_ms));
            let dialled = tokio::time::timeout(within, cluster.dial.dial(&row.address, &row.owner_id));
            let unreachable =
                |reason: String| LedgerError::Unreachable { address: row.address.clone(), reason };
            return match dialled.await {
                Ok(Ok(line)) => Ok(Found::Follow(line, row.clone())),
                Ok(Err(DialError::Refused(reason))) => {
                    Err(LedgerError::NotAccepted { address: row.address.clone(), reason })
                }
                Ok(Err(DialError::Unreachable(reason))) => Err(unreachable(reason)),
                Err(_) => Err(unreachable("it does not answer in time".to_owned())),
            };
        }
        // Whoever has this name is this process: an earlier attempt that came to nothing.
        let mine = row.is_some_and(|row| row.owner_id == cluster.replica_id);
        let epoch = match recover::take_lease(store, &cluster.replica_id, &cluster.address, mine).await? {
            Lease::Taken { epoch } => epoch,
            Lease::Held { until_ms } => return Err(LedgerError::Owned { until_ms }),
        };
        let stop = CancellationToken::new();
        let engine =
            Engine::open_table(store.clone(), tasks, epoch, &cluster.replica_id, stop.clone()).await?;
        Ok(Found::Own(engine, stop))
    }

    async fn run(self, found: Found) {
        let mut found = Some(found);
        let mut failing = false;
        let stop = self.inner.tasks.cancelled();
        let mut drain_until = None;
        loop {
            let next = match found.take() {
                Some(found) => Ok(found),
                None => self.look().await,
            };
            match next {
                Ok(found) => {
                    failing = false;
                    let is_over = match found {
                        Found::Own(engine, end) => self.own(&engine, end, &stop, &mut drain_until).await,
                        Found::Follow(line, row) => self.follow(line, row, &stop, &mut drain_until).await,
                    };
                    if is_over {
                        return;
                    }
                    self.set_role(Role::None);
                    self.outbox().lost();
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let error: &(dyn std::error::Error + 'static) = &error;
                        tracing::warn!(error, "the ledger has no owner that answers; calls wait");
                    }
                }
            }
            if self.is_drained(&stop, &mut drain_until) {
                return;
            }
            if self.is_ownerless_for_too_long() {
                // Dropped, a waiter's end tells it.
                drop(self.outbox().give_up());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    fn set_role(&self, role: Role) {
        *self.ownerless_since() = match role {
            Role::None => Some(Instant::now()),
            Role::Owner(_) | Role::Follower => None,
        };
        self.inner.role.send_replace(role);
    }

    /// This process stops, and nothing of its calls is left to say, or it has taken too long.
    fn is_drained(&self, stop: &CancellationToken, until: &mut Option<Instant>) -> bool {
        if !stop.is_cancelled() {
            return false;
        }
        let until = *until.get_or_insert_with(|| Instant::now() + DRAIN_MAX);
        let done = self.inner.under_way.load(Ordering::Relaxed) == 0 && self.outbox().is_empty();
        done || Instant::now() >= until
    }

    /// Owns the ledger until it is taken over; true once this process has ended its work in order.
    async fn own(
        &self,
        engine: &Engine,
        end: CancellationToken,
        stop: &CancellationToken,
        drain_until: &mut Option<Instant>,
    ) -> bool {
        tracing::info!(ledger.owner = self.id(), "this process owns the ledger");
        self.set_role(Role::Owner(engine.clone()));
        let fenced = engine.fenced();
        let mut again = interval(LOOK_PAUSE);
        let mut answers = FuturesUnordered::new();
        let is_over = loop {
            answers.extend(self.outbox().batch(usize::MAX).into_iter().map(
                |Asked { id, again, ask }| async move {
                    Answered { id, answer: serve::answer(engine, self.id(), ask, again).await }
                },
            ));
            if self.is_drained(stop, drain_until) {
                break true;
            }
            tokio::select! {
                biased;
                () = fenced.cancelled() => break false,
                Some(answered) = answers.next() => self.answered(vec![answered]),
                () = self.inner.news.notified() => {}
                () = stop.cancelled(), if drain_until.is_none() => {}
                _ = again.tick() => self.outbox().try_again(),
            }
        };
        // Ends the engine's tasks; in order, the lease ends with them and the next owner begins at once.
        end.cancel();
        is_over
    }

    /// Asks the owner until it cannot be asked any more; true once this process has ended its work in order.
    async fn follow(
        &self,
        line: Line,
        row: LeaseRow,
        stop: &CancellationToken,
        drain_until: &mut Option<Instant>,
    ) -> bool {
        tracing::info!(
            ledger.owner = row.owner_id,
            "another process owns the ledger; calls are decided there"
        );
        self.set_role(Role::Follower);
        let Line { asks, mut answers } = line;
        let mut again = interval(LOOK_PAUSE);
        let mut check = interval(CHECK_EVERY);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if self.send(&asks).await.is_err() {
                return false;
            }
            if self.is_drained(stop, drain_until) {
                return true;
            }
            tokio::select! {
                batch = answers.recv() => match batch {
                    Some(batch) => self.answered(batch),
                    None => return false,
                },
                () = self.inner.news.notified() => {}
                () = stop.cancelled(), if drain_until.is_none() => {}
                _ = again.tick() => self.outbox().try_again(),
                _ = check.tick() => match self.inner.store.find_lease(LEDGER_LEASE).await {
                    Ok(now) if now.as_ref().is_some_and(|now| now.epoch == row.epoch) => {}
                    Ok(_) => return false,
                    // The owner may still reach the database, and decides.
                    Err(error) => tracing::warn!(error = %error, "the ledger's lease cannot be looked at"),
                },
            }
        }
    }

    async fn send(&self, asks: &mpsc::Sender<Vec<Asked>>) -> Result<(), ()> {
        loop {
            let batch = self.outbox().batch(BATCH_ASKS);
            if batch.is_empty() {
                return Ok(());
            }
            asks.send_timeout(batch, SEND_WITHIN).await.map_err(|_| ())?;
        }
    }

    fn answered(&self, batch: Vec<Answered>) {
        for answered in batch {
            let Some((waiter, answer)) = self.outbox().answered(answered) else { continue };
            // Its caller went away a moment ago: what it would have held is given back by `Waiting`.
            let _ = waiter.send(answer);
        }
    }
}
