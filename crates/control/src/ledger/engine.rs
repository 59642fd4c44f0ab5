//! The engine of one process: decides under one lock, journals each decision before it answers, and leaves rows to
//! the applier.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use creel_wire::id::CallId;
use creel_wire::money::Micros;
use creel_wire::price::Usage;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::apply::{self, Command, Settlement};
use super::book::{Book, Denial};
use super::journal::FileJournal;
use super::record::{Record, Reserve, Settle};
use super::table::{self, Append};
use super::{CallStart, LedgerError, Refusal, UsageSource, recover};
use crate::store::Store;
use crate::tasks::Tasks;

/// How long a call may take before its reservation is settled as unknown: an hour for the longest stream, and a
/// margin for draining it, in milliseconds.
const DEADLINE_MS: i64 = 70 * 60 * 1000;
/// Settlements that are in the journal and not in rows at the most; more calls wait.
const BACKLOG_MAX: usize = 100_000;
/// How long a call waits for the backlog to shrink before it is told to come again.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// How often balances are read for one call before giving up: they may be outdated again by the time they are used.
const LOADS_MAX: usize = 3;
/// How long after a write the journal's file is synchronised: one fdatasync for all calls of that time.
const SYNC_EVERY: Duration = Duration::from_millis(5);

/// Where the journal is kept.
#[derive(Debug, Clone)]
pub enum JournalPlace {
    /// Local files, for SQLite. The directory is made if need be.
    Directory(PathBuf),
    /// The table `ledger_journal`, for PostgreSQL.
    Table,
}

/// How a process runs the ledger.
#[derive(Debug, Clone)]
pub struct Config {
    pub journal: JournalPlace,
    /// Names this process in the lease.
    pub owner_id: String,
    /// How long to wait for the lease of a process that has died; only a table needs it, files know at once.
    pub takeover_wait: Duration,
}

/// The ledger of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) epoch: i64,
    pub(crate) owner_id: String,
    pub(crate) cancelled: CancellationToken,
    core: Mutex<Core>,
    commands: mpsc::UnboundedSender<Command>,
    backlog: AtomicUsize,
    room: Notify,
    dirty: Notify,
    fenced: AtomicBool,
}

/// What the lock guards: a decision and its record are one step, so the journal's order is the book's.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) book: Book,
    journal: Journal,
}

#[derive(Debug)]
enum Journal {
    File(FileJournal),
    Table(mpsc::UnboundedSender<Append>),
}

/// What an answer waits for.
#[derive(Debug)]
enum Ack {
    Written,
    Wait(oneshot::Receiver<Result<(), LedgerError>>),
}

impl Ack {
    async fn wait(self) -> Result<(), LedgerError> {
        match self {
            Ack::Written => Ok(()),
            Ack::Wait(done) => {
                done.await.unwrap_or(Err(LedgerError::Store(crate::store::StoreError::Closed)))
            }
        }
    }
}

/// Credits held for a call. Ends in [`Ledger::settle`] or [`Ledger::release`]. One that is dropped without either is a
/// defect or a panic: what it holds stays held, and at its deadline counts as spent, labelled `unsettled`.
#[derive(Debug)]
pub struct Reservation {
    call_id: CallId,
    held: Micros,
    ended: bool,
}

impl Reservation {
    /// The call it is for.
    pub fn call_id(&self) -> &CallId {
        &self.call_id
    }

    /// What it holds: the cost of the bound, or what remained where that was less.
    pub fn held(&self) -> Micros {
        self.held
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.ended {
            tracing::error!(call.id = %self.call_id, "call {} was neither settled nor released", self.call_id);
        }
    }
}

/// Releases a reservation whose caller went away before it got it.
struct Unadmitted<'a> {
    ledger: &'a Ledger,
    call_id: Option<CallId>,
}

impl Drop for Unadmitted<'_> {
    fn drop(&mut self) {
        if let Some(call_id) = self.call_id.take() {
            self.ledger.give_back(&call_id);
        }
    }
}

impl Ledger {
    /// Takes over the ledger: applies what an earlier process left in the journal, then starts the background tasks.
    ///
    /// `tasks` should be shut down after whatever makes calls: the applier drains what is settled until then.
    /// Fails if another process owns the ledger, or if a journal file is damaged.
    pub async fn open(store: Store, tasks: &Tasks, config: Config) -> Result<Self, LedgerError> {
        let (file, found) = match &config.journal {
            JournalPlace::Directory(directory) => {
                let directory = directory.clone();
                let opened = tokio::task::spawn_blocking(move || FileJournal::open(&directory)).await;
                let (journal, found) = opened.map_err(|_| crate::store::StoreError::Panicked)??;
                (Some(journal), found)
            }
            JournalPlace::Table => (None, Default::default()),
        };
        let epoch = recover::take_lease(&store, &config, file.is_some()).await?;
        let next_seq = recover::replay(&store, epoch, file.is_some(), found).await?;
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let (journal, appends) = match file {
            Some(file) => (Journal::File(file), None),
            None => {
                let (sender, receiver) = mpsc::unbounded_channel();
                (Journal::Table(sender), Some(receiver))
            }
        };
        let inner = Arc::new(Inner {
            store,
            epoch,
            owner_id: config.owner_id,
            cancelled: tasks.cancelled(),
            core: Mutex::new(Core { book: Book::default(), journal }),
            commands,
            backlog: AtomicUsize::new(0),
            room: Notify::new(),
            dirty: Notify::new(),
            fenced: AtomicBool::new(false),
        });
        match appends {
            Some(appends) => tasks.spawn("ledger-journal", table::run(inner.clone(), appends, next_seq)),
            None => tasks.spawn("ledger-sync", sync_files(inner.clone())),
        }
        tasks.spawn("ledger-apply", apply::run(inner.clone(), commands_rx));
        Ok(Self { inner })
    }

    /// Admits a call and holds the cost of its bound, or what remains where that is less; refuses where nothing does.
    /// Answers once the reservation is in the journal.
    pub async fn reserve(&self, start: CallStart) -> Result<Reservation, Refusal> {
        self.wait_for_room().await?;
        for _ in 0..LOADS_MAX {
            match self.try_reserve(start.clone()) {
                Ok((held, ack)) => {
                    let call_id = start.call_id;
                    let mut unadmitted = Unadmitted { ledger: self, call_id: Some(call_id.clone()) };
                    if let Err(error) = ack.wait().await {
                        tracing::error!(call.id = %call_id, error = %error, "the reservation of {call_id} is not recorded");
                        return Err(Refusal::Unavailable);
                    }
                    unadmitted.call_id = None;
                    return Ok(Reservation { call_id, held: Micros(held), ended: false });
                }
                Err(Denial::Refuse(refusal)) => return Err(refusal),
                Err(Denial::Load) => self.load(&start).await?,
            }
        }
        Err(Refusal::Unavailable)
    }

    fn try_reserve(&self, start: CallStart) -> Result<(i64, Ack), Denial> {
        if self.inner.fenced.load(Ordering::Relaxed) {
            return Err(Denial::Refuse(Refusal::Unavailable));
        }
        let now_ms = self.inner.store.clock().now_ms();
        let mut core = self.inner.core();
        let reserve = core.book.reserve(start, now_ms, now_ms.saturating_add(DEADLINE_MS))?;
        match core.append_reserve(&reserve) {
            Ok(ack) => {
                drop(core);
                self.inner.dirty.notify_one();
                Ok((reserve.held, ack))
            }
            Err(error) => {
                core.book.release(&reserve.start.call_id);
                drop(core);
                tracing::error!(error = %error, "the ledger's journal cannot be written, so calls are refused");
                Err(Denial::Refuse(Refusal::Unavailable))
            }
        }
    }

    /// What a call like this may still cost: the smaller of quota and packs; `None` where nothing limits it.
    /// A hint for choosing an output limit: [`Ledger::reserve`] decides. The call's id and bound do not matter.
    pub async fn remaining(&self, start: &CallStart) -> Result<Option<Micros>, Refusal> {
        for _ in 0..LOADS_MAX {
            let now_ms = self.inner.store.clock().now_ms();
            let remaining = self.inner.core().book.remaining(start, now_ms);
            match remaining {
                Ok(remaining) => return Ok(remaining.map(Micros)),
                Err(Denial::Refuse(refusal)) => return Err(refusal),
                Err(Denial::Load) => self.load(start).await?,
            }
        }
        Err(Refusal::Unavailable)
    }

    /// Books what a call used, once, and gives what was deducted: its cost, or as much of it as there was.
    ///
    /// Answers after write() of the journal record (with a table: after its commit). If that fails the call is still
    /// settled in memory and goes to its rows; only a crash before that would leave it `unsettled`.
    pub async fn settle(
        &self,
        mut reservation: Reservation,
        usage: Usage,
        source: UsageSource,
    ) -> Result<Micros, LedgerError> {
        reservation.ended = true;
        if self.inner.fenced.load(Ordering::Relaxed) {
            return Err(LedgerError::Fenced);
        }
        let (billed, ack) = {
            let now_ms = self.inner.store.clock().now_ms();
            let mut core = self.inner.core();
            let settled = core.book.settle(&reservation.call_id, usage, source, now_ms);
            let (reserve, settle) = settled.ok_or(LedgerError::AlreadySettled)?;
            let billed = settle.parts.iter().fold(0i64, |sum, part| sum.saturating_add(part.micros));
            (Micros(billed), self.inner.record_settle(&mut core, reserve, settle))
        };
        self.inner.dirty.notify_one();
        ack?.wait().await?;
        Ok(billed)
    }

    /// Gives back what is held for a call that used nothing. No entry is written: no credit moved.
    pub async fn release(&self, mut reservation: Reservation) {
        reservation.ended = true;
        self.give_back(&reservation.call_id);
    }

    fn give_back(&self, call_id: &CallId) {
        let mut core = self.inner.core();
        if core.book.release(call_id).is_none() {
            return;
        }
        match &mut core.journal {
            // If this cannot be written, nothing else can: after a crash the call would be `unsettled`.
            Journal::File(file) => {
                if let Err(error) = file.append(&Record::Release(call_id.clone())) {
                    tracing::error!(call.id = %call_id, error = %error, "the release of {call_id} is not in the journal");
                }
            }
            Journal::Table(_) => self.inner.command(Command::Forget(call_id.clone())),
        }
    }

    /// Waits until all calls that were settled before are rows, and what other processes changed is known.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.inner.command(Command::Flush(done));
        // Without an answer the applier has ended, and with it all that it will ever apply.
        let _ = flushed.await;
    }

    async fn load(&self, start: &CallStart) -> Result<(), Refusal> {
        let (done, loaded) = oneshot::channel();
        let (account_id, runtime_id) = (start.account_id.clone(), start.runtime_id.clone());
        self.inner.command(Command::Load { account_id, runtime_id, done });
        match loaded.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(runtime.id = %start.runtime_id, error = %error, "balances cannot be read");
                Err(Refusal::Unavailable)
            }
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    async fn wait_for_room(&self) -> Result<(), Refusal> {
        if self.inner.backlog.load(Ordering::Relaxed) < BACKLOG_MAX {
            return Ok(());
        }
        let room = async {
            loop {
                let shrunk = self.inner.room.notified();
                if self.inner.backlog.load(Ordering::Relaxed) < BACKLOG_MAX {
                    return;
                }
                shrunk.await;
            }
        };
        tokio::time::timeout(ROOM_WAIT, room).await.map_err(|_| Refusal::Unavailable)
    }
}

impl Core {
    fn append_reserve(&mut self, reserve: &Arc<Reserve>) -> Result<Ack, LedgerError> {
        let record = Record::Reserve(reserve.clone());
        match &mut self.journal {
            Journal::File(file) => file.append(&record).map(|_| Ack::Written),
            Journal::Table(appends) => {
                let (done, wait) = oneshot::channel();
                // A closed queue drops `done`, which the wait reports.
                let _ = appends.send(Append { record, settlement: None, done });
                Ok(Ack::Wait(wait))
            }
        }
    }

    /// Settlements of `segment` have become rows.
    pub(crate) fn journal_applied(&mut self, segment: u64, settlements: u64) {
        if let Journal::File(file) = &mut self.journal {
            file.applied(segment, settlements);
        }
    }

    /// Keeps the journal short.
    pub(crate) fn rotate_if_long(&mut self) -> Result<(), LedgerError> {
        match &mut self.journal {
            Journal::File(file) => file.rotate_if_long(self.book.open()),
            Journal::Table(_) => Ok(()),
        }
    }
}

impl Inner {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // A panic under this lock would be a defect in arithmetic that never touches I/O; the balances still stand.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn command(&self, command: Command) {
        if matches!(command, Command::Apply(_)) {
            self.backlog.fetch_add(1, Ordering::Relaxed);
        }
        // The applier ends only with the process; what it did not do is in the journal.
        let _ = self.commands.send(command);
    }

    pub(crate) fn backlog_shrinks(&self, by: usize) {
        self.backlog.fetch_sub(by, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// Journals a settlement and sends it to the applier.
    fn record_settle(
        &self,
        core: &mut Core,
        reserve: Arc<Reserve>,
        settle: Settle,
    ) -> Result<Ack, LedgerError> {
        let settle = Arc::new(settle);
        let record = Record::Settle(settle.clone());
        match &mut core.journal {
            Journal::File(file) => {
                let segment = file.append(&record);
                let in_segment = segment.as_ref().ok().copied();
                self.command(Command::Apply(Settlement { reserve, settle, segment: in_segment }));
                segment.map(|_| Ack::Written)
            }
            Journal::Table(appends) => {
                let settlement = Some(Settlement { reserve, settle, segment: None });
                let (done, wait) = oneshot::channel();
                let _ = appends.send(Append { record, settlement, done });
                Ok(Ack::Wait(wait))
            }
        }
    }

    /// Settles calls whose deadline has passed as unknown.
    pub(crate) fn sweep(&self, now_ms: i64) {
        let mut core = self.core();
        for call_id in core.book.overdue(now_ms) {
            let Some((reserve, settle)) = core.book.settle_unknown(&call_id, now_ms) else { continue };
            tracing::error!(call.id = %call_id, "call {call_id} did not end by its deadline and is unsettled");
            if let Err(error) = self.record_settle(&mut core, reserve, settle) {
                tracing::error!(call.id = %call_id, error = %error, "the settlement of {call_id} is not in the journal");
            }
        }
    }

    pub(crate) fn uses_table(&self) -> bool {
        matches!(self.core().journal, Journal::Table(_))
    }

    pub(crate) fn set_fenced(&self) {
        if !self.fenced.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "another process took over the ledger; this one refuses calls until it is started again"
            );
        }
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Relaxed)
    }
}

/// Synchronises the journal's file a few milliseconds after it was written, as long as the process lives.
async fn sync_files(inner: Arc<Inner>) {
    loop {
        let cancelled = tokio::select! {
            () = inner.dirty.notified() => false,
            () = inner.cancelled.cancelled() => true,
        };
        if !cancelled {
            tokio::time::sleep(SYNC_EVERY).await;
        }
        let file = match &inner.core().journal {
            Journal::File(file) => file.active(),
            Journal::Table(_) => return,
        };
        let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
        if !matches!(synced, Ok(Ok(()))) {
            tracing::error!(
                "the ledger's journal cannot be synchronised; calls are refused until the next start"
            );
            if let Journal::File(file) = &mut inner.core().journal {
                file.set_broken();
            }
        }
        if cancelled {
            return;
        }
    }
}
