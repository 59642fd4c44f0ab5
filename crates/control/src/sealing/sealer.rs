//! Puts committed rows into sealed batches, and the batches' signed records into the roots file.
//!
//! A batch is made in one transaction: the rows' batch number, and the signed record in a table that all processes
//! share. Many entries of the ledger are sealed by the transaction that inserts them, where the same process has both
//! leases: the sealer brings it the chain's head. All other rows are sealed here; they are found by not having a batch, so
//! one that PostgreSQL commits late is in a later batch, and none is passed over. Every pass takes new records to the
//! roots file, where the database's administrator cannot reach them: those of this process from its memory, others', and
//! those of before a crash, from the database. One process seals at a time, by a lease; every process that runs a sealer
//! keeps a roots file of its own up to date, or shares one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use creel_wire::id::AccountId;
use tokio::time::Instant;

use super::head::{Head, SealedLine};
use super::{Log, SealError, SealRow, Unsealed};
use crate::audit::{Decision, Event, Outcome};
use crate::id_gen::IdGen;
use crate::seal::{Chain, Record, Root, RootsFile, SealKey};
use crate::store::{Lease, Store};
use crate::tasks::Tasks;

/// Between two passes.
const PASS_EVERY: Duration = Duration::from_secs(2);
/// Rows of a batch at the most.
const BATCH_ROWS: usize = 1_000;
/// How long the end waits for transactions that seal, and how often it looks.
const END_MAX: Duration = Duration::from_secs(2);
const END_LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long the lease lasts; renewed by every pass.
const LEASE_MS: i64 = 15_000;
const DAY_MS: i64 = 86_400_000;
/// Records that are read at once.
const PAGE_RECORDS: i64 = 100;
/// Batches that a pass removes at the most.
const REMOVED_BATCHES_MAX: usize = 200;

/// What a sealer works with.
#[derive(Debug)]
pub struct SealerConfig {
    pub log: Log,
    pub key: SealKey,
    pub roots: PathBuf,
    /// Different in every process.
    pub owner_id: String,
    /// Of the audit log alone; `None`: rows are kept for ever.
    pub retention: Option<Retention>,
}

/// How long rows are kept.
#[derive(Debug)]
pub struct Retention {
    /// They go within a day after that.
    pub days: u32,
    /// Whose event the removal of rows is: the operator's account.
    pub operator_account_id: AccountId,
}

/// Seals the rows of one database.
#[derive(Debug)]
pub struct Sealer {
    store: Store,
    ids: IdGen,
    config: Arc<SealerConfig>,
    file: RootsFile,
    epoch: Option<i64>,
    /// The file's last root once it was read.
    last: Option<Option<Root>>,
    /// The first batch that the file holds.
    first_batch: i64,
}

impl Sealer {
    /// Over a store; nothing happens yet.
    pub fn new(store: Store, ids: IdGen, config: SealerConfig) -> Self {
        let file = RootsFile::new(config.roots.clone());
        Self { store, ids, config: Arc::new(config), file, epoch: None, last: None, first_batch: 1 }
    }

    /// Seals until the process stops, and what is there then.
    pub fn start(mut self, tasks: &Tasks) {
        let (stop, many) = (tasks.cancelled(), self.store.heads().many(self.config.log));
        let log = self.config.log;
        let name = match log {
            Log::Audit => "audit-sealer",
            Log::Ledger => "ledger-sealer",
        };
        tasks.spawn(name, async move {
            let mut failing = false;
            let mut next_pass = Instant::now();
            loop {
                let stopping = stop.is_cancelled();
                let is_pass = stopping || Instant::now() >= next_pass;
                let done = if is_pass { self.pass().await.map(|_| ()) } else { self.append_own().await };
                if is_pass {
                    next_pass = Instant::now() + PASS_EVERY;
                }
                match done {
                    // There may have been nothing to append.
                    Ok(()) | Err(SealError::NotTheSealer) => failing &= !is_pass,
                    // One line for a state, not one for every pass.
                    Err(error) if !failing => {
                        failing = true;
                        let error: &(dyn std::error::Error + 'static) = &error;
                        tracing::error!(
                            error,
                            log.name = log.name(),
                            "sealing the {} log failed, and is tried again",
                            log.name()
                        );
                    }
                    Err(_) => {}
                }
                if stopping {
                    break;
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep_until(next_pass) => {}
                    () = many.notified() => {}
                }
            }
            self.end().await;
        });
    }

    /// Seals what is committed and not sealed, and gives how many rows that were. All roots are in the file then.
    pub async fn pass(&mut self) -> Result<usize, SealError> {
        let holds = self.keep_lease().await?;
        self.follow().await?;
        let Some(epoch) = self.epoch.filter(|_| holds) else { return Err(SealError::NotTheSealer) };
        let head = Head { key: self.config.key.clone(), epoch, last: self.last_root().cloned() };
        self.store.heads().offer(self.config.log, head);
        self.announce_removal().await?;
        // Said by the file, which the database's administrator cannot write, and not by rows that lost their tags.
        let is_first = self.last_root().is_none();
        let mut sealed = 0;
        let mut after = (i64::MIN, String::new());
        loop {
            let rows = self.store.list_unsealed(self.config.log, &after, BATCH_ROWS as u64).await?;
            let Some(last) = rows.last() else { break };
            after = (last.at_ms, last.id.clone());
            let rows = self.ours(rows, is_first);
            if !rows.is_empty() {
                sealed += rows.len();
                self.seal(rows, None).await?;
            }
        }
        self.remove_old().await?;
        Ok(sealed)
    }

    /// The rows that Creel wrote. Others are never sealed, so that they stay visible as what they are. Rows from before
    /// there were tags are taken as they are, by the first pass of all.
    fn ours(&self, rows: Vec<SealRow>, is_first: bool) -> Vec<Unsealed> {
        let log = self.config.log;
        let tag_key = self.config.key.tag_key();
        let is_ours = |row: &SealRow| (is_first && row.tag.is_empty()) || tag_key.tag(&row.bytes) == row.tag;
        let (ours, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_ours);
        for row in others {
            let (id, name) = (&row.id, log.name());
            tracing::error!(row.id = %id, log.name = name, "the row {id} of the {name} log was not written by Creel, or was changed");
        }
        ours.into_iter().map(SealRow::unsealed).collect()
    }

    fn last_root(&self) -> Option<&Root> {
        self.last.as_ref().and_then(Option::as_ref)
    }

    /// The file's; 0 without any.
    fn last_batch(&self) -> i64 {
        self.last_root().map_or(0, |root| root.batch)
    }

    async fn keep_lease(&mut self) -> Result<bool, SealError> {
        let now_ms = self.store.clock().now_ms();
        if let Some(epoch) = self.epoch {
            if self.store.renew_lease(self.config.log.lease(), epoch, now_ms + LEASE_MS).await? {
                return Ok(true);
            }
            self.epoch = None;
        }
        let (owner_id, lease_name) = (self.config.owner_id.clone(), self.config.log.lease());
        // A database in a file has one server, whose lock has told that no other lives.
        let others_are_dead = !self.store.db().is_postgres();
        let lease = self.store.write(move |tx| {
            Box::pin(async move {
                tx.take_lease(lease_name, &owner_id, "", now_ms, now_ms + LEASE_MS, others_are_dead).await
            })
        });
        match lease.await? {
            Lease::Taken { epoch } => self.epoch = Some(epoch),
            Lease::Held { .. } => {}
        }
        Ok(self.epoch.is_some())
    }

    /// What is written from now on waits for the next start, so that the file has all roots.
    async fn end(&mut self) {
        let ended = tokio::time::timeout(END_MAX, async {
            while !self.store.heads().close(self.config.log) {
                tokio::time::sleep(END_LOOK_EVERY).await;
            }
            self.follow().await
        });
        if !matches!(ended.await, Ok(Ok(()))) {
            tracing::warn!("the last roots come into the roots file with the next start");
        }
        if let Some(epoch) = self.epoch.take()
            && let Err(error) = self.store.renew_lease(self.config.log.lease(), epoch, 0).await
        {
            tracing::warn!(error = %error, "the lease for sealing a log stays until it ends");
        }
    }

    /// Brings the roots file up to what the database holds: another process's batches, or those of before a crash.
    async fn follow(&mut self) -> Result<(), SealError> {
        if self.last.is_none() {
            let (first_batch, last) = self.on_file(|file| ends(&file)).await?;
            (self.first_batch, self.last) = (first_batch, Some(last));
        }
        self.append_own().await?;
        let log = self.config.log;
        loop {
            let found = self.store.list_seals(log, self.last_batch(), PAGE_RECORDS).await?;
            if found.is_empty() {
                return Ok(());
            }
            let mut chain = Chain::new(log.name(), self.config.key.public(), self.last_root().cloned());
            let mut records = Vec::with_capacity(found.len());
            for (batch, json) in found {
                let record: Record = serde_json::from_str(&json).map_err(|_| SealError::NotARecord(batch))?;
                chain.follow(&record).map_err(SealError::Forked)?;
                let line = serde_json::to_string(&record).map_err(|_| SealError::NotARecord(batch))?;
                records.push((record.root, line.into()));
            }
            self.append(records).await?;
        }
    }

    /// Brings to the roots file what transactions of this process have sealed, where nothing of others is before it.
    async fn append_own(&mut self) -> Result<(), SealError> {
        let after = self.last_batch();
        let mut sealed = self.store.heads().take_sealed(self.config.log);
        sealed.retain(|(root, _)| root.batch > after);
        if sealed.first().is_some_and(|(root, _)| root.batch == after + 1) {
            self.append(sealed).await?;
        }
        Ok(())
    }

    async fn append(&mut self, records: Vec<SealedLine>) -> Result<(), SealError> {
        let (roots, lines): (Vec<Root>, Vec<Arc<str>>) = records.into_iter().unzip();
        self.on_file(move |file| file.append_lines(&lines).map_err(SealError::from)).await?;
        if let (None, Some(first)) = (self.last_root(), roots.first()) {
            self.first_batch = first.batch;
        }
        self.last = Some(roots.into_iter().last());
        Ok(())
    }

    /// Makes one batch of these rows. An announcement is the one row, not in the store yet and written too, with the
    /// first batch that is kept from then on.
    async fn seal(&mut self, rows: Vec<Unsealed>, announced: Option<(Event, i64)>) -> Result<(), SealError> {
        let (log, now_ms) = (self.config.log, self.store.clock().now_ms());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some((event, _)) = &announced {
                        tx.insert_audit(event, None).await?;
                    }
                    let kept_from = announced.map(|(_, kept_from)| kept_from);
                    tx.seal_rows(log, &rows, kept_from, now_ms).await
                })
            })
            .await?;
        self.follow().await
    }

    /// Once rows are a day older than they are kept, says so in an event whose batch also says from where on rows are
    /// kept. Nothing is removed before that is signed and in the file.
    async fn announce_removal(&mut self) -> Result<(), SealError> {
        let now_ms = self.store.clock().now_ms();
        let (Some(retention), Some(last)) = (&self.config.retention, self.last_root()) else { return Ok(()) };
        let keep_ms = i64::from(retention.days) * DAY_MS;
        let account_id = retention.operator_account_id.to_string();
        let (kept_from, end) = (last.kept_from, last.batch);
        let cutoffs = (now_ms - keep_ms - DAY_MS, now_ms - keep_ms);
        let until = self.on_file(move |file| old_until(&file, kept_from, cutoffs)).await?;
        let Some(until) = until.filter(|until| *until >= kept_from && *until <= end) else { return Ok(()) };
        let event = Event {
            id: self.ids.request_id(),
            account_id,
            principal: "creel".to_owned(),
            key_id: "creel".to_owned(),
            action: "RemoveAuditEvents".to_owned(),
            version: String::new(),
            resources_json: format!("[\"audit-batches:{kept_from}-{until}\"]"),
            decision: Decision::Allowed.as_str().to_owned(),
            outcome: Outcome::Success.as_str().to_owned(),
            code: String::new(),
            calls: 1,
            source_address: String::new(),
            user_agent: String::new(),
            at_ms: now_ms,
        };
        tracing::info!(audit.batches = until - kept_from + 1, "audit rows are older than they are kept");
        self.seal(vec![event.seal_row(String::new(), None).unsealed()], Some((event, until + 1))).await
    }

    /// Removes batches that the last root says are not kept.
    async fn remove_old(&mut self) -> Result<(), SealError> {
        let (Some(epoch), Some(last)) = (self.epoch, self.last_root()) else { return Ok(()) };
        if self.config.retention.is_none() {
            return Ok(());
        }
        let kept_from = last.kept_from;
        if kept_from <= self.first_batch {
            return Ok(());
        }
        for _ in 0..REMOVED_BATCHES_MAX {
            let Some(batch) = self.store.oldest_audit_batch(kept_from).await? else {
                let seals_gone = self.on_file(move |file| Ok(file.remove_before(kept_from)?)).await;
                self.first_batch = kept_from;
                if let Err(error) = seals_gone {
                    tracing::warn!(error = %error, "the roots of removed batches stay in the roots file");
                }
                return Ok(());
            };
            self.store
                .write(move |tx| {
                    Box::pin(async move {
                        if !tx.holds_lease(Log::Audit.lease(), epoch).await? {
                            return Err(SealError::NotTheSealer);
                        }
                        tx.delete_audit_batch(batch).await?;
                        Ok(())
                    })
                })
                .await?;
        }
        Ok(())
    }

    async fn on_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(RootsFile) -> Result<T, SealError> + Send + 'static,
    ) -> Result<T, SealError> {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || work(file)).await.unwrap_or(Err(SealError::CutOff))
    }
}

/// The number of the first batch and the last root. Whether the records between them hold is `verify`'s to say.
fn ends(file: &RootsFile) -> Result<(i64, Option<Root>), SealError> {
    let (mut first, mut last) = (None, None);
    for record in file.lines()? {
        let root = record?.root;
        first.get_or_insert(root.batch);
        last = Some(root);
    }
    Ok((first.unwrap_or(1), last))
}

/// The last of the batches from `kept_from` on whose rows are all from before the second moment, if the first of them
/// is from before the first moment.
fn old_until(file: &RootsFile, kept_from: i64, before_ms: (i64, i64)) -> Result<Option<i64>, SealError> {
    let mut until = None;
    for record in file.lines()? {
        let root = record?.root;
        if root.batch < kept_from {
            continue;
        }
        if until.is_none() && root.last_at_ms >= before_ms.0 || root.last_at_ms >= before_ms.1 {
            break;
        }
        until = Some(root.batch);
    }
    Ok(until)
}
