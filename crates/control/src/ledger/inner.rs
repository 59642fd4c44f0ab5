//! What an engine's decisions change: balances and journal under one lock, and the queues to those who write.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::apply::{BATCH_CALLS_MAX, Command, Settlement};
use super::book::Book;
use super::journal::{Batch, FileJournal};
use super::record::{Record, Reserve, Settle};
use super::serve::Gateways;
use super::table::Append;
use super::{LedgerError, Write};
use crate::clock::Clock;

/// How long after a write the journal's file is synchronised: one fdatasync for all calls of that time. What the loss of
/// power may cost is weighed against what it costs always: at 5 ms a tenth of the processor time of a call that is alone.
const SYNC_EVERY: Duration = Duration::from_millis(20);

/// Shared by an engine and its tasks.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) epoch: i64,
    pub(crate) owner_id: String,
    pub(crate) cancelled: CancellationToken,
    pub(super) core: Mutex<Core>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) backlog: AtomicUsize,
    pub(super) room: Notify,
    pub(super) dirty: Notify,
    /// The applier is not to let settlements gather any longer.
    pub(super) urgent: Notify,
    /// Settlements since they began to gather.
    pub(super) gathered: AtomicUsize,
    pub(super) fenced: CancellationToken,
    pub(crate) gateways: Gateways,
}

/// What the lock guards: a decision and its record are one step, so the journal's order is the book's.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) book: Book,
    pub(super) journal: Journal,
}

#[derive(Debug)]
pub(super) enum Journal {
    File(FileJournal),
    Table(mpsc::UnboundedSender<Append>),
}

/// What an answer waits for.
#[derive(Debug)]
pub(super) enum Ack {
    /// For nothing: the record is written, or its caller sees to that.
    Nothing,
    /// Is written by whoever of those that wait comes first, once the other calls of this turn have been decided.
    Turn(Arc<Batch>),
    Wait(oneshot::Receiver<Result<(), LedgerError>>),
}

impl Core {
    pub(super) fn append_reserve(
        &mut self,
        reserve: &Arc<Reserve>,
        write: Write,
    ) -> Result<Ack, LedgerError> {
        let record = Record::Reserve(reserve.clone());
        let is_alone = self.book.open().len() <= 1;
        match &mut self.journal {
            Journal::File(file) => {
                file.make_room()?;
                file.append(&record)?;
                appended(file, is_alone, write).inspect_err(|_| {
                    // The record waits on, and must not be taken for a call under way. It is in memory, so this is, too.
                    let _room = file.append(&Record::Release(reserve.start.call_id.clone()));
                })
            }
            Journal::Table(appends) => Ok(queue(appends, Some(record), None)),
        }
    }

    /// Writes what waits to be written to a file.
    pub(super) fn write_file(&mut self) -> Result<(), LedgerError> {
        match &mut self.journal {
            Journal::File(file) => file.write(),
            Journal::Table(_) => Ok(()),
        }
    }

    /// The same where nobody else would say that it failed.
    pub(super) fn write_file_or_say(&mut self) {
        if let Err(error) = self.write_file() {
            tracing::error!(error = %error, "records of the ledger's journal are not written");
        }
    }

    /// What waits for all records before.
    pub(super) fn barrier(&self) -> Ack {
        match &self.journal {
            Journal::File(file) => Ack::Turn(file.batch()),
            Journal::Table(appends) => queue(appends, None, None),
        }
    }

    /// Settlements of `segment` have become rows.
    pub(crate) fn journal_applied(&mut self, segment: u64, settlements: u64) {
        if let Journal::File(file) = &mut self.journal {
            file.applied(segment, settlements);
        }
    }

    /// Keeps the journal short. Tells whether there is something to synchronise for that.
    pub(crate) fn rotate_if_long(&mut self) -> Result<bool, LedgerError> {
        match &mut self.journal {
            Journal::File(file) => file.rotate_if_long(self.book.open()),
            Journal::Table(_) => Ok(false),
        }
    }
}

/// Puts a record into the table's queue; without one it waits for those before.
pub(super) fn queue(
    appends: &mpsc::UnboundedSender<Append>,
    record: Option<Record>,
    settlement: Option<Settlement>,
) -> Ack {
    let (done, wait) = oneshot::channel();
    // A closed queue drops `done`, which the wait reports.
    let _ = appends.send(Append { record, settlement, done });
    Ack::Wait(wait)
}

/// How a record that was just appended to a file is written: at once where there is no call that could write with this one.
fn appended(file: &mut FileJournal, is_alone: bool, write: Write) -> Result<Ack, LedgerError> {
    match write {
        Write::Deferred if !file.is_full() => Ok(Ack::Nothing),
        Write::Now if !is_alone && !file.is_full() => Ok(Ack::Turn(file.batch())),
        _ => file.write().map(|()| Ack::Nothing),
    }
}

impl Inner {
    /// Waits until what `ack` stands for is in the journal.
    pub(super) async fn written(&self, ack: Ack) -> Result<(), LedgerError> {
        match ack {
            Ack::Nothing => Ok(()),
            Ack::Turn(batch) => {
                tokio::task::yield_now().await;
                // As long as nothing became of it, it is what waits.
                batch.outcome().unwrap_or_else(|| self.core().write_file())
            }
            Ack::Wait(done) => {
                done.await.unwrap_or(Err(LedgerError::Store(crate::store::StoreError::Closed)))
            }
        }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // A panic under this lock would be a defect in arithmetic that never touches I/O; the balances still stand.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn command(&self, command: Command) {
        let mut is_urgent = command.is_urgent();
        if matches!(command, Command::Apply(_)) {
            self.backlog.fetch_add(1, Ordering::Relaxed);
            is_urgent |= self.gathered.fetch_add(1, Ordering::Relaxed) + 1 == BATCH_CALLS_MAX;
        }
        // The applier ends only with the process; what it did not do is in the journal.
        let _ = self.commands.send(command);
        if is_urgent {
            self.urgent.notify_one();
        }
    }

    pub(crate) fn backlog_shrinks(&self, by: usize) {
        self.backlog.fetch_sub(by, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// Journals a settlement and sends it to the applier.
    pub(super) fn record_settle(
        &self,
        core: &mut Core,
        reserve: Arc<Reserve>,
        settle: Settle,
        write: Write,
    ) -> Result<Ack, LedgerError> {
        let settle = Arc::new(settle);
        let record = Record::Settle(settle.clone());
        let is_alone = core.book.open().len() == 0;
        match &mut core.journal {
            Journal::File(file) => {
                let segment = file.append(&record);
                let in_segment = segment.as_ref().ok().copied();
                self.command(Command::Apply(Settlement { reserve, settle, segment: in_segment }));
                segment.and_then(|_| appended(file, is_alone, write))
            }
            Journal::Table(appends) => {
                let settlement = Settlement { reserve, settle, segment: None };
                Ok(queue(appends, Some(record), Some(settlement)))
            }
        }
    }

    /// Settles calls whose deadline has passed as unknown.
    pub(crate) fn sweep(&self, now_ms: i64) {
        let mut core = self.core();
        for call_id in core.book.overdue(now_ms) {
            let Some((reserve, settle)) = core.book.settle_unknown(&call_id, now_ms) else { continue };
            tracing::error!(call.id = %call_id, "call {call_id} did not end by its deadline and is unsettled");
            if let Err(error) = self.record_settle(&mut core, reserve, settle, Write::Deferred) {
                tracing::error!(call.id = %call_id, error = %error, "the settlement of {call_id} is not in the journal");
            }
        }
        core.write_file_or_say();
    }

    pub(crate) fn uses_table(&self) -> bool {
        matches!(self.core().journal, Journal::Table(_))
    }

    /// Settles calls of gateways that are gone as unknown.
    pub(crate) fn sweep_orphans(&self, live: &[String], now_ms: i64) {
        let mut core = self.core();
        let lives = |holder: &str| {
            holder == self.owner_id
                || live.iter().any(|id| id == holder)
                || self.gateways.is_connected(holder)
        };
        for call_id in core.book.orphaned(lives) {
            let Some((reserve, settle)) = core.book.settle_unknown(&call_id, now_ms) else { continue };
            tracing::warn!(
                call.id = %call_id, gateway.id = reserve.holder,
                "the gateway of call {call_id} is gone, so what was held counts as spent: it is unsettled"
            );
            // With a table this waits for nothing: the record is on its way.
            let _recorded = self.record_settle(&mut core, reserve, settle, Write::Now);
        }
    }

    pub(crate) fn set_fenced(&self) {
        if !self.fenced.is_cancelled() {
            self.fenced.cancel();
            tracing::error!("another process took over the ledger; this one decides nothing any more");
        }
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.is_cancelled()
    }
}

/// Synchronises the journal's file a few milliseconds after it was written, as long as the process lives.
pub(super) async fn sync_files(inner: Arc<Inner>) {
    loop {
        let cancelled = tokio::select! {
            () = inner.dirty.notified() => false,
            () = inner.cancelled.cancelled() => true,
        };
        if !cancelled {
            tokio::time::sleep(SYNC_EVERY).await;
        }
        let upkeep = {
            let mut core = inner.core();
            // What is left by calls that were given up.
            core.write_file_or_say();
            match &mut core.journal {
                Journal::File(file) => file.upkeep(),
                Journal::Table(_) => return,
            }
        };
        let done = tokio::task::spawn_blocking(|| upkeep.run()).await;
        let done = done.ok().and_then(Result::ok);
        if done.is_none() {
            tracing::error!(
                "the ledger's journal cannot be synchronised; calls are refused until the next start"
            );
        }
        if let Journal::File(file) = &mut inner.core().journal {
            match done {
                Some(done) => file.kept_up(done),
                None => file.set_broken(),
            }
        }
        if cancelled {
            return;
        }
    }
}
