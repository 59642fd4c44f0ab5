//! Puts committed rows into sealed batches, outside the path of writes.
//!
//! A batch is made in one transaction: the rows' batch number, and the signed record in a table that all processes
//! share. Then the record goes to the roots file, where the database's administrator cannot reach it. A crash
//! between the two is made good by the next pass. Rows are found by not having a batch, so one that PostgreSQL commits
//! late is in a later batch, and none is passed over. One process seals at a time, by a lease; every process that runs
//! a sealer keeps a roots file of its own up to date, or shares one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use creel_wire::id::AccountId;

use super::{Log, SealError, SealRow, Unsealed};
use crate::audit::{Decision, Event, Outcome};
use crate::id_gen::IdGen;
use crate::seal::{Chain, Leaf, Record, Root, RootsFile, SealKey};
use crate::store::{Lease, Store, StoreError};
use crate::tasks::Tasks;

/// Between two passes.
const PASS_EVERY: Duration = Duration::from_secs(2);
/// Rows of a batch at the most.
const BATCH_ROWS: usize = 1_000;
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
        let stop = tasks.cancelled();
        let log = self.config.log;
        let name = match log {
            Log::Audit => "audit-sealer",
            Log::Ledger => "ledger-sealer",
        };
        tasks.spawn(name, async move {
            let mut failing = false;
            loop {
                let stopping = stop.is_cancelled();
                match self.pass().await {
                    Ok(_) | Err(SealError::NotTheSealer) => failing = false,
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
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(PASS_EVERY) => {} }
            }
            self.give_up_lease().await;
        });
    }

    /// Seals everything that is committed now; gives how many rows that were.
    pub async fn pass(&mut self) -> Result<usize, SealError> {
        let holds = self.keep_lease().await?;
        if self.config.log == Log::Ledger {
            self.store.committed().want(holds);
        }
        self.follow().await?;
        if !holds {
            return Err(SealError::NotTheSealer);
        }
        self.announce_removal().await?;
        // Said by the file, which the database's administrator cannot write, and not by rows that lost their tags.
        let is_first = self.last_root().is_none();
        let mut sealed = self.seal_committed().await?;
        let mut after = (i64::MIN, String::new());
        loop {
            let rows = self.store.list_unsealed(self.config.log, &after, BATCH_ROWS as u64).await?;
            let Some(last) = rows.last() else { break };
            after = (last.at_ms, last.id.clone());
            let rows = self.ours(rows, is_first);
            if !rows.is_empty() {
                sealed += rows.len();
                self.store.committed().remove(&rows);
                self.seal(rows, None).await?;
            }
        }
        self.remove_old().await?;
        Ok(sealed)
    }

    /// Seals what this process knows to be committed, until little is left.
    async fn seal_committed(&mut self) -> Result<usize, SealError> {
        let mut sealed = 0;
        while self.config.log == Log::Ledger {
            let rows = self.store.committed().take(BATCH_ROWS);
            let count = rows.len();
            if count > 0 {
                match self.seal(rows, None).await {
                    Ok(()) => sealed += count,
                    // One of them was sealed or changed meanwhile: the database says which.
                    Err(SealError::Overtaken) => break,
                    Err(error) => return Err(error),
                }
            }
            if count < BATCH_ROWS {
                break;
            }
        }
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

    async fn give_up_lease(&mut self) {
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
        loop {
            let after = self.last_root().map_or(0, |root| root.batch);
            let found = self.store.list_seals(self.config.log, after, PAGE_RECORDS).await?;
            if found.is_empty() {
                return Ok(());
            }
            let mut chain =
                Chain::new(self.config.log.name(), self.config.key.public(), self.last_root().cloned());
            let mut records = Vec::with_capacity(found.len());
            for (batch, json) in found {
                let record: Record = serde_json::from_str(&json).map_err(|_| SealError::NotARecord(batch))?;
                chain.follow(&record).map_err(SealError::Forked)?;
                records.push(record);
            }
            self.append(records).await?;
        }
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<(), SealError> {
        let first = records.first().map(|record| record.root.batch);
        let last = records.last().map(|record| record.root.clone());
        self.on_file(move |file| file.append(&records).map_err(SealError::from)).await?;
        if let (None, Some(first)) = (self.last_root(), first) {
            self.first_batch = first;
        }
        self.last = Some(last);
        Ok(())
    }

    /// Makes one batch of these rows. An announcement is the one row, not in the store yet and written too, with the
    /// first batch that is kept from then on.
    async fn seal(&mut self, rows: Vec<Unsealed>, announced: Option<(Event, i64)>) -> Result<(), SealError> {
        let Some(epoch) = self.epoch else { return Err(SealError::NotTheSealer) };
        let log = self.config.log;
        let leaves: Vec<Leaf> = rows.iter().map(|row| row.leaf.clone()).collect();
        let times = rows.iter().map(|row| row.at_ms);
        let times = (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default());
        let mut root = Root::next(log.name(), self.last_root(), &leaves, times, self.store.clock().now_ms());
        root.kept_from = announced.as_ref().map_or(root.kept_from, |(_, kept_from)| *kept_from);
        let record = root.sign(&self.config.key, leaves);
        let batch = record.root.batch;
        let json = serde_json::to_string(&record)
            .map_err(|_| StoreError::Corrupt { what: "a signed root".to_owned() })?;
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if !tx.holds_lease(log.lease(), epoch).await? {
                        return Err(SealError::NotTheSealer);
                    }
                    if let Some((event, _)) = &announced {
                        tx.insert_audit(event, None).await?;
                    }
                    if tx.seal_rows(log, batch, &json, &rows).await? {
                        Ok(())
                    } else {
                        Err(SealError::Overtaken)
                    }
                })
            })
            .await?;
        self.append(vec![record]).await
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
            let before_all = (0, i64::MIN, String::new());
            let oldest = self.store.list_sealed(self.config.log, &before_all, kept_from - 1, 1).await?;
            let Some(batch) = oldest.first().and_then(|row| row.batch) else {
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
