//! The engine of one process: decides under one lock, journals each decision before it answers, and leaves rows to
//! the applier.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use creel_wire::id::CallId;
use creel_wire::money::Micros;
use creel_wire::price::Usage;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::apply::{self, Command};
use super::book::{Book, Denial};
use super::inner::{Ack, Core, Inner, Journal, queue, sync_files};
use super::journal::FileJournal;
use super::record::Record;
use super::serve::Gateways;
use super::table::{self, Append};
use super::{CallStart, Label, LedgerError, Refusal, UsageSource, Write, recover};
use crate::clock::Clock;
use crate::store::{Lease, Store};
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

/// Decides for all gateways, as long as its epoch holds. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    inner: Arc<Inner>,
}

/// Releases a reservation whose caller went away before it got it.
struct Unadmitted<'a> {
    engine: &'a Engine,
    call_id: Option<CallId>,
}

impl Drop for Unadmitted<'_> {
    fn drop(&mut self) {
        if let Some(call_id) = self.call_id.take() {
            self.engine.give_back(&call_id);
        }
    }
}

impl Engine {
    fn new(
        clock: Arc<dyn Clock>,
        epoch: i64,
        owner_id: &str,
        cancelled: CancellationToken,
        core: Core,
    ) -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let inner = Inner {
            clock,
            epoch,
            owner_id: owner_id.to_owned(),
            cancelled,
            core: Mutex::new(core),
            commands,
            backlog: AtomicUsize::new(0),
            room: Notify::new(),
            dirty: Notify::new(),
            urgent: Notify::new(),
            gathered: AtomicUsize::new(0),
            fenced: CancellationToken::new(),
            gateways: Gateways::default(),
        };
        (Self { inner: Arc::new(inner) }, commands_rx)
    }

    /// Takes over the ledger by the files of a directory, and applies what an earlier process left in them.
    ///
    /// `tasks` should be shut down after whatever makes calls: the applier drains what is settled until then.
    pub(crate) async fn open_files(
        store: Store,
        tasks: &Tasks,
        directory: PathBuf,
        owner_id: &str,
    ) -> Result<Self, LedgerError> {
        let opened = tokio::task::spawn_blocking(move || FileJournal::open(&directory)).await;
        let (file, mut found) = opened.map_err(|_| crate::store::StoreError::Panicked)??;
        let epoch = match recover::take_lease(&store, owner_id, "", true).await? {
            Lease::Taken { epoch } => epoch,
            Lease::Held { until_ms } => return Err(LedgerError::Owned { until_ms }),
        };
        recover::replay_files(&store, epoch, std::mem::take(&mut found.records)).await?;
        found.remove()?;
        let core = Core { book: Book::default(), journal: Journal::File(file) };
        let (this, commands) = Self::new(store.clock().clone(), epoch, owner_id, tasks.cancelled(), core);
        tasks.spawn("ledger-sync", sync_files(this.inner.clone()));
        tasks.spawn("ledger-apply", apply::run(store, this.inner.clone(), commands));
        Ok(this)
    }

    /// Takes over what the journal's table holds under a lease that was just taken. Ends when `stop` is cancelled.
    pub(crate) async fn open_table(
        store: Store,
        tasks: &Tasks,
        epoch: i64,
        owner_id: &str,
        stop: CancellationToken,
    ) -> Result<Self, LedgerError> {
        let (book, next_seq) = recover::replay_table(&store, epoch, owner_id).await?;
        let (this, appends, commands) = Self::over_table(store.clock().clone(), epoch, owner_id, stop, book);
        let journal = table::run(store.clone(), this.inner.clone(), appends, next_seq);
        tasks.spawn("ledger-journal", journal);
        tasks.spawn("ledger-apply", apply::run(store, this.inner.clone(), commands));
        Ok(this)
    }

    /// Decides by these balances; what it decides is for others to write.
    pub(crate) fn over_table(
        clock: Arc<dyn Clock>,
        epoch: i64,
        owner_id: &str,
        stop: CancellationToken,
        book: Book,
    ) -> (Self, mpsc::UnboundedReceiver<Append>, mpsc::UnboundedReceiver<Command>) {
        let (appends, appends_rx) = mpsc::unbounded_channel();
        let core = Core { book, journal: Journal::Table(appends) };
        let (this, commands) = Self::new(clock, epoch, owner_id, stop, core);
        (this, appends_rx, commands)
    }

    /// Admits a call of the gateway `holder` and holds the cost of its bound, or what remains where that is less;
    /// refuses where nothing does. Gives what is held, once the reservation is in the journal.
    ///
    /// The same call asked for again by the same gateway gets the same answer.
    pub(crate) async fn reserve(
        &self,
        holder: &str,
        start: &CallStart,
        write: Write,
    ) -> Result<Micros, Refusal> {
        self.wait_for_room().await?;
        for _ in 0..LOADS_MAX {
            match self.try_reserve(holder, start, write) {
                Ok((held, Ack::Nothing)) => return Ok(Micros(held)),
                Ok((held, ack)) => {
                    let call_id = &start.call_id;
                    let mut unadmitted = Unadmitted { engine: self, call_id: Some(call_id.clone()) };
                    if let Err(error) = self.inner.written(ack).await {
                        tracing::error!(call.id = %call_id, error = %error, "the reservation of {call_id} is not recorded");
                        return Err(Refusal::Unavailable);
                    }
                    unadmitted.call_id = None;
                    // Where this was a repetition, what it repeated may have come to nothing meanwhile.
                    let stands = self.inner.core().book.find_open(call_id).is_some();
                    return if stands { Ok(Micros(held)) } else { Err(Refusal::Unavailable) };
                }
                Err(Denial::Refuse(refusal)) => return Err(refusal),
                Err(Denial::Load) => Box::pin(self.load(start)).await?,
            }
        }
        Err(Refusal::Unavailable)
    }

    fn try_reserve(&self, holder: &str, start: &CallStart, write: Write) -> Result<(i64, Ack), Denial> {
        if self.inner.is_fenced() {
            return Err(Denial::Refuse(Refusal::Unavailable));
        }
        let now_ms = self.inner.clock.now_ms();
        let mut core = self.inner.core();
        if let Some(open) = core.book.find_open(&start.call_id) {
            let (held, mine) = (open.held, open.holder == holder);
            return if mine { Ok((held, core.barrier())) } else { Err(Denial::Refuse(Refusal::Unavailable)) };
        }
        let reserve = core.book.reserve(start, holder, now_ms, now_ms.saturating_add(DEADLINE_MS))?;
        match core.append_reserve(&reserve, write) {
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
    /// A hint: [`Engine::reserve`] decides. The call's id and bound do not matter.
    pub(crate) async fn remaining(&self, start: &CallStart) -> Result<Option<Micros>, Refusal> {
        for _ in 0..LOADS_MAX {
            let now_ms = self.inner.clock.now_ms();
            let remaining = self.inner.core().book.remaining(start, now_ms);
            match remaining {
                Ok(remaining) => return Ok(remaining.map(Micros)),
                Err(Denial::Refuse(refusal)) => return Err(refusal),
                Err(Denial::Load) => self.load(start).await?,
            }
        }
        Err(Refusal::Unavailable)
    }

    /// Books what a call used, once, and gives what was deducted: its cost, or as much of it as there was. A call
    /// that was settled before gives what was deducted then.
    ///
    /// Answers after write() of the journal record (with a table: after its commit). If that fails the call is still
    /// settled in memory and goes to its rows; only a crash before that would leave it `unsettled`.
    pub(crate) async fn settle(
        &self,
        call_id: &CallId,
        usage: Usage,
        source: UsageSource,
        write: Write,
    ) -> Result<Micros, LedgerError> {
        if self.inner.is_fenced() {
            return Err(LedgerError::Fenced);
        }
        let settled = {
            let now_ms = self.inner.clock.now_ms();
            let mut core = self.inner.core();
            core.book.settle(call_id, usage, source, now_ms).map(|(reserve, settle)| {
                let billed = settle.parts.iter().fold(0i64, |sum, part| sum.saturating_add(part.micros));
                (Micros(billed), self.inner.record_settle(&mut core, reserve, settle, write))
            })
        };
        let Some((billed, ack)) = settled else { return Box::pin(self.settled_before(call_id)).await };
        self.inner.dirty.notify_one();
        self.inner.written(ack?).await?;
        Ok(billed)
    }

    /// What a call that is not under way has cost.
    async fn settled_before(&self, call_id: &CallId) -> Result<Micros, LedgerError> {
        let entries = self.entries_before(call_id).await?;
        let known = entries.iter().any(|(label, _)| !matches!(label, Label::Unsettled | Label::Released));
        let billed = entries.iter().fold(0i64, |sum, (_, micros)| sum.saturating_add(*micros));
        if known { Ok(Micros(billed)) } else { Err(LedgerError::AlreadySettled) }
    }

    /// The entries of a call, once all that was settled before is rows.
    async fn entries_before(&self, call_id: &CallId) -> Result<Vec<(Label, i64)>, LedgerError> {
        let written = self.inner.core().barrier();
        self.inner.written(written).await?;
        let (done, found) = oneshot::channel();
        self.inner.command(Command::Amounts { call_id: call_id.clone(), done });
        let amounts = found.await.unwrap_or(Err(crate::store::StoreError::Closed))?;
        if self.inner.is_fenced() { Err(LedgerError::Fenced) } else { Ok(amounts) }
    }

    /// Gives back what is held for a call that used nothing; returns once that is in the journal. No entry is written:
    /// no credit moved. [`LedgerError::AlreadySettled`] if the call has entries.
    pub(crate) async fn release(&self, call_id: &CallId) -> Result<(), LedgerError> {
        match self.give_back(call_id) {
            Some(ack) => self.inner.written(ack).await,
            // An earlier attempt may have failed half-way: what it left in the journal must be gone.
            None if self.entries_before(call_id).await?.is_empty() => Ok(()),
            None => Err(LedgerError::AlreadySettled),
        }
    }

    fn give_back(&self, call_id: &CallId) -> Option<Ack> {
        let mut core = self.inner.core();
        core.book.release(call_id)?;
        let record = Record::Release(call_id.clone());
        Some(match &mut core.journal {
            Journal::File(file) => {
                // If this cannot be written, nothing else can: after a crash the call would be `unsettled`.
                if let Err(error) = file.append(&record).and_then(|_| file.write()) {
                    tracing::error!(call.id = %call_id, error = %error, "the release of {call_id} is not in the journal");
                }
                Ack::Nothing
            }
            Journal::Table(appends) => queue(appends, Some(record), None),
        })
    }

    /// Writes the records that were left to whoever asked for them.
    pub(crate) fn write_deferred(&self) -> Result<(), LedgerError> {
        self.inner.core().write_file()
    }

    /// Told when another process has taken the ledger over.
    pub(crate) fn fenced(&self) -> CancellationToken {
        self.inner.fenced.clone()
    }

    /// Told when this engine ends in order.
    pub(crate) fn stopped(&self) -> CancellationToken {
        self.inner.cancelled.clone()
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn gateways(&self) -> &Gateways {
        &self.inner.gateways
    }

    /// Whether a call that is asked for again has ended meanwhile and left entries.
    pub(crate) async fn has_ended(&self, call_id: &CallId) -> Result<bool, LedgerError> {
        if self.inner.core().book.find_open(call_id).is_some() {
            return Ok(false);
        }
        Ok(!self.entries_before(call_id).await?.is_empty())
    }

    /// Waits until all calls that were settled before are rows, and what other processes changed is known.
    pub(crate) async fn flush(&self) {
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
        Box::pin(tokio::time::timeout(ROOM_WAIT, room)).await.map_err(|_| Refusal::Unavailable)
    }
}

#[cfg(test)]
mod tests;
