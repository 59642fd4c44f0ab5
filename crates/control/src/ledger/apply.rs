//! The applier: one task that turns settlements into rows in batches, reads balances, and sees what others change.
//! Doing all of that in one task is what keeps "pending" and the store's "used" from counting a call twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use creel_wire::id::{AccountId, CallId, RuntimeId};
use creel_wire::money::Micros;
use hashbrown::HashMap;
use tokio::sync::{mpsc, oneshot};

use super::inner::Inner;
use super::record::{Reserve, Settle};
use super::{Entry, Label, LedgerError, alerts, hour_of};
use crate::store::{LEDGER_LEASE, Store, StoreError, Topic, Tx};

/// Calls in one transaction at the most.
pub(super) const BATCH_CALLS_MAX: usize = 1024;
/// How long settlements gather before they become rows, if they do not fill a transaction before: what it costs beside
/// its rows is shared by all of that time. What is shown of usage, which is to be current within a second, is behind by
/// this; the journal has it at once.
const GATHER: Duration = Duration::from_millis(200);
/// Calls whose rows are noted under one lock, which every decision waits for.
const NOTED_AT_ONCE: usize = 256;
/// How often changes of other processes are looked for, and calls past their deadline.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a lease lasts, and how often it is renewed, in milliseconds.
pub(crate) const LEASE_MS: i64 = 10_000;
const RENEW_MS: i64 = 3_000;
/// Between attempts to write rows while the database fails.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// A settled call on its way to rows.
#[derive(Debug, Clone)]
pub(crate) struct Settlement {
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) settle: Arc<Settle>,
    /// The journal file that it is in; `None` if it is in none.
    pub(crate) segment: Option<u64>,
}

/// A call that was released: its records in the journal's table can go, up to this one.
#[derive(Debug, Clone)]
pub(crate) struct Released {
    pub(crate) call_id: String,
    pub(crate) last_seq: i64,
}

/// What the applier is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Apply(Settlement),
    Forget(Released),
    Load {
        account_id: AccountId,
        runtime_id: RuntimeId,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Looks which entries a call has, once what was settled before is rows.
    Amounts {
        call_id: CallId,
        done: oneshot::Sender<Result<Vec<(Label, i64)>, StoreError>>,
    },
    Flush(oneshot::Sender<()>),
}

impl Command {
    /// Somebody waits for it.
    pub(crate) fn is_urgent(&self) -> bool {
        !matches!(self, Self::Apply(_) | Self::Forget(_))
    }
}

impl Settlement {
    /// The rows of this call.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let start = &self.reserve.start;
        self.settle.parts.iter().zip(0i64..).map(move |(part, number)| Entry {
            id: format!("{}/{number}", start.call_id).into(),
            call_id: start.call_id.clone(),
            part: number,
            account_id: start.account_id.clone(),
            runtime_id: start.runtime_id.clone(),
            provider_id: start.provider_id.clone(),
            provider_name: start.provider_name.clone(),
            model_code: start.model_code.clone(),
            pack_id: part.pack.clone(),
            label: part.label,
            usage: if number == 0 { self.settle.usage } else { Default::default() },
            micros: Micros(part.micros),
            unbilled_micros: Micros(part.unbilled),
            resource_group_id: self.reserve.group.clone(),
            // Filled in as the rows are written.
            end_user_id: None,
            postpaid: part.postpaid,
            card: start.card,
            month: self.reserve.month,
            hour: hour_of(self.reserve.at_ms),
            created_at_ms: self.settle.at_ms,
        })
    }
}

/// The changes of sums that go with a list of entries.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) packs: BTreeMap<String, i64>,
    pub(crate) months: BTreeMap<(String, i64), i64>,
    pub(crate) hours: BTreeMap<(String, i64), i64>,
}

impl Sums {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let add = |sum: &mut i64, micros: i64| *sum = sum.saturating_add(micros);
        // Most entries of a batch are alike in all that they are added to.
        let mut alike: HashMap<_, (&Entry, i64)> = HashMap::new();
        for entry in entries.iter().filter(|entry| entry.micros.0 != 0) {
            let subjects =
                (&entry.runtime_id, &entry.account_id, &entry.resource_group_id, &entry.end_user_id);
            let key = (subjects, &entry.pack_id, entry.month, entry.hour);
            add(&mut alike.entry(key).or_insert((entry, 0)).1, entry.micros.0);
        }
        let mut sums = Self::default();
        for (entry, micros) in alike.into_values() {
            let (runtime, account) = (entry.runtime_id.to_string(), entry.account_id.to_string());
            let group = entry.resource_group_id.as_ref().map(ToString::to_string);
            let user = entry.end_user_id.as_ref().map(|user| format!("{account}/{user}"));
            for subject in [Some(runtime), Some(account), group, user].into_iter().flatten() {
                add(sums.months.entry((subject.clone(), entry.month)).or_default(), micros);
                add(sums.hours.entry((subject, entry.hour)).or_default(), micros);
            }
            if let Some(pack) = &entry.pack_id {
                add(sums.packs.entry(pack.to_string()).or_default(), micros);
                add(sums.hours.entry((pack.to_string(), entry.hour)).or_default(), micros);
            }
        }
        sums
    }
}

/// Writes a batch in one transaction. With `verify`, calls that have entries already are left out: after a crash, or
/// after a commit whose answer was lost.
pub(crate) async fn write_batch(
    store: &Store,
    epoch: i64,
    batch: &Arc<Vec<Settlement>>,
    forget: &Arc<Vec<Released>>,
    verify: bool,
) -> Result<(), LedgerError> {
    let (batch, forget, now_ms) = (batch.clone(), forget.clone(), store.clock().now_ms());
    store
        .write(move |tx| {
            Box::pin(async move { write_rows(tx, epoch, &batch, &forget, verify, now_ms).await })
        })
        .await
}

async fn write_rows(
    tx: &mut Tx,
    epoch: i64,
    batch: &[Settlement],
    forget: &[Released],
    verify: bool,
    now_ms: i64,
) -> Result<(), LedgerError> {
    if !tx.holds_lease(LEDGER_LEASE, epoch).await? {
        return Err(LedgerError::Fenced);
    }
    let calls: Vec<String> = batch.iter().map(|settlement| settlement.settle.call_id.to_string()).collect();
    let present = if verify { tx.calls_with_entries(&calls).await? } else { Default::default() };
    let missing = batch.iter().filter(|settlement| !present.contains(settlement.settle.call_id.as_str()));
    // Nearly all calls have one.
    let mut entries: Vec<Entry> = Vec::with_capacity(batch.len());
    entries.extend(missing.flat_map(Settlement::entries));
    tx.name_users(&mut entries).await?;
    tx.insert_entries(&entries, now_ms).await?;
    tx.add_sums(&Sums::of(&entries)).await?;
    alerts::note(tx, &entries, now_ms).await?;
    if tx.is_postgres() {
        tx.delete_journal(&calls).await?;
        for released in forget {
            tx.delete_released(&released.call_id, released.last_seq).await?;
        }
    }
    Ok(())
}

impl Inner {
    /// These calls are rows now.
    pub(crate) fn applied(&self, batch: &[Settlement]) {
        let mut by_segment: BTreeMap<u64, u64> = BTreeMap::new();
        for some in batch.chunks(NOTED_AT_ONCE) {
            let mut core = self.core();
            for settlement in some {
                core.book.applied(&settlement.reserve, &settlement.settle);
                if let Some(segment) = settlement.segment {
                    *by_segment.entry(segment).or_default() += 1;
                }
            }
        }
        let mut core = self.core();
        for (segment, settlements) in by_segment {
            core.journal_applied(segment, settlements);
        }
        let rotated = core.rotate_if_long();
        drop(core);
        match rotated {
            // Where no call comes any more, nobody else would have it synchronised, and the old file would stay.
            Ok(true) => self.dirty.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = %error, "a new journal file cannot be begun; the old one goes on");
            }
        }
        self.backlog_shrinks(batch.len());
    }
}

/// What the applier remembers between commands.
#[derive(Debug)]
struct Applier {
    store: Store,
    inner: Arc<Inner>,
    versions: HashMap<String, i64>,
    renewed_at_ms: i64,
    uses_table: bool,
}

/// Runs until the process stops, and then drains the queue.
pub(crate) async fn run(store: Store, inner: Arc<Inner>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changes = store.topics().subscribe(Topic::Ledger);
    let cancelled = inner.cancelled.clone();
    let uses_table = inner.uses_table();
    let mut applier = Applier { renewed_at_ms: 0, store, inner, versions: HashMap::new(), uses_table };
    loop {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => break,
            // Ended with the store, which this task holds: never.
            _ = changes.changed() => applier.look().await,
            _ = look.tick() => {
                applier.look().await;
                applier.maintain().await;
            }
            command = commands.recv() => match command {
                Some(command) => applier.work(command, &mut commands, true).await,
                None => break,
            },
        }
    }
    while let Ok(command) = commands.try_recv() {
        applier.work(command, &mut commands, false).await;
    }
    applier.end().await;
}

impl Applier {
    /// Does a command and those behind it that fit into the same transaction.
    async fn work(&mut self, first: Command, commands: &mut mpsc::UnboundedReceiver<Command>, gather: bool) {
        let waiting = commands.len();
        if gather && !first.is_urgent() && waiting < BATCH_CALLS_MAX {
            self.inner.gathered.store(waiting, Ordering::Relaxed);
            tokio::select! {
                () = self.inner.urgent.notified() => {}
                () = tokio::time::sleep(GATHER) => {}
            }
        }
        let (mut batch, mut forget) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        let mut other = None;
        while let Some(command) = next {
            match command {
                Command::Apply(settlement) => batch.push(settlement),
                Command::Forget(released) => forget.push(released),
                command => {
                    other = Some(command);
                    break;
                }
            }
            next = if batch.len() + forget.len() < BATCH_CALLS_MAX { commands.try_recv().ok() } else { None };
        }
        if !batch.is_empty() || !forget.is_empty() {
            self.apply(batch, forget).await;
        }
        match other {
            Some(Command::Load { account_id, runtime_id, done }) => {
                let loaded = self.load(&account_id, &runtime_id).await;
                // A caller that went away has no use for the answer; the balances stay for the next.
                let _ = done.send(loaded);
            }
            Some(Command::Amounts { call_id, done }) => {
                let amounts = self.store.list_call_amounts(&call_id).await;
                let _ = done.send(amounts);
            }
            Some(Command::Flush(done)) => {
                self.look().await;
                let _ = done.send(());
            }
            _ => {}
        }
    }

    /// Writes a batch, again and again until the database takes it.
    async fn apply(&mut self, batch: Vec<Settlement>, forget: Vec<Released>) {
        // A call that has rows must not be under way by the journal.
        self.inner.core().write_file_or_say();
        let (batch, forget) = (Arc::new(batch), Arc::new(forget));
        let mut pause = RETRY_FIRST;
        let mut verify = false;
        loop {
            match write_batch(&self.store, self.inner.epoch, &batch, &forget, verify).await {
                Ok(()) => break,
                Err(LedgerError::Fenced) => {
                    self.inner.set_fenced();
                    return;
                }
                Err(error) => {
                    tracing::error!(error = %error, calls = batch.len(), "settled calls cannot be made rows");
                    if self.inner.cancelled.is_cancelled() {
                        return;
                    }
                    // The batch may have been committed although its answer was lost.
                    verify = true;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LONGEST);
                }
            }
        }
        self.inner.applied(&batch);
    }

    /// Reads the balances of an account and one of its runtimes, and makes the month's pack if it is due.
    async fn load(&mut self, account_id: &AccountId, runtime_id: &RuntimeId) -> Result<(), StoreError> {
        let store = &self.store;
        let now_ms = store.clock().now_ms();
        if self.inner.core().book.is_loaded(account_id, runtime_id, now_ms) {
            return Ok(());
        }
        super::credits::ensure_monthly(store, account_id, Some(runtime_id), now_ms).await?;
        let account = store.load_ledger_account(account_id, now_ms).await?;
        let agent = store.load_ledger_agent(runtime_id, now_ms).await?;
        self.inner.core().book.load(account_id, runtime_id, account, agent);
        Ok(())
    }

    /// Looks for accounts that somebody changed since.
    async fn look(&mut self) {
        let versions = match self.store.ledger_versions().await {
            Ok(versions) => versions,
            Err(error) => {
                tracing::warn!(error = %error, "changes of credits cannot be looked for; trying again");
                return;
            }
        };
        for (account_id, version) in versions {
            if self.versions.get(account_id.as_str()) != Some(&version) {
                self.inner.core().book.outdate(&account_id);
                self.versions.insert(account_id.to_string(), version);
            }
        }
    }

    /// Settles what is overdue or whose gateway is gone, and keeps the lease.
    async fn maintain(&mut self) {
        let now_ms = self.inner.clock.now_ms();
        self.inner.sweep(now_ms);
        if !self.uses_table || self.inner.is_fenced() {
            return;
        }
        match self.store.live_replicas(now_ms).await {
            Ok(live) => self.inner.sweep_orphans(&live, now_ms),
            Err(error) => {
                tracing::warn!(error = %error, "gateways that live cannot be looked for; trying again");
            }
        }
        // A clock that was set back must not keep the lease from being renewed.
        if (0..RENEW_MS).contains(&(now_ms - self.renewed_at_ms)) {
            return;
        }
        match self.store.renew_lease(LEDGER_LEASE, self.inner.epoch, now_ms + LEASE_MS).await {
            Ok(true) => self.renewed_at_ms = now_ms,
            Ok(false) => self.inner.set_fenced(),
            Err(error) => {
                tracing::warn!(error = %error, "the ledger's lease cannot be renewed; trying again");
            }
        }
    }

    /// Lets the next process begin at once.
    async fn end(&mut self) {
        if let Err(error) = self.store.renew_lease(LEDGER_LEASE, self.inner.epoch, 0).await {
            tracing::warn!(error = %error, ledger.owner = %self.inner.owner_id, "the ledger's lease stays until it ends");
        }
    }
}
