//! Finds what was done to rows of a sealed log behind Creel's back.
//!
//! The roots file and the key count; everything in the database is compared with them. A batch's rows are found by the ids
//! that its record has, so that no row pays for an index of batches; rows that are in no record are found by a walk through
//! all. Memory is bounded: a batch and a page of rows at a time, and a number for each batch; differences go out as they
//! are found.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Log, SealError, SealRow};
use crate::seal::{Break, Chain, FileError, Leaf, Lines, PublicKey, Record, RootsFile, TagKey};
use crate::store::Store;

/// Rows that are read at once.
const PAGE_ROWS: u64 = 1_000;
/// Rows that are found by their ids at once.
const IDS_MAX: usize = 500;
/// Batches with rows too many whose own are held at once, to tell which those are.
const CROWDED_MAX: usize = 64;
/// How often and how long to wait for batches that the database has and the file does not have yet: longer than a sealer
/// that lives takes from pass to pass.
const WAITS: (u32, Duration) = (20, Duration::from_millis(250));

/// Something that is not as Creel left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A row says something else than when it was sealed.
    Changed { id: String, batch: i64 },
    /// A sealed row is gone.
    Removed { id: String, batch: i64 },
    /// A row that says it is of a batch, and is not.
    Inserted { id: String, batch: i64 },
    /// A sealed row says that it is of another batch, or of none.
    Moved { id: String, batch: i64, now: Option<i64> },
    /// A row that is not sealed and does not bear Creel's mark.
    NotOurs { id: String },
    /// A row is not found by search under the resources that it names.
    Hidden { id: String, batch: i64 },
    /// The database's copy of a signed root is not that of the file.
    Copy { batch: i64 },
    /// A root that the database has and the file does not.
    NotInFile { batch: i64 },
    /// The file begins too late.
    Beginning { found: i64, kept_from: i64 },
    /// A record of the file is not to be believed.
    Root(Break),
    /// A line of the file is not a record.
    Line(usize),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { id, batch } => write!(f, "row {id} of batch {batch} was changed"),
            Self::Removed { id, batch } => write!(f, "row {id} of batch {batch} was removed"),
            Self::Inserted { id, batch } => write!(f, "row {id} was inserted into batch {batch}"),
            Self::Moved { id, batch, now: Some(now) } => {
                write!(f, "row {id} of batch {batch} was moved to batch {now}")
            }
            Self::Moved { id, batch, now: None } => {
                write!(f, "row {id} of batch {batch} was moved to no batch")
            }
            Self::NotOurs { id } => write!(f, "row {id} was inserted, or changed before it was sealed"),
            Self::Hidden { id, batch } => {
                write!(f, "row {id} of batch {batch} is not found under its resources")
            }
            Self::Copy { batch } => {
                write!(f, "the database's copy of root {batch} is not that of the roots file")
            }
            Self::NotInFile { batch } => {
                write!(f, "the roots file lacks root {batch}, which the database has")
            }
            Self::Beginning { found, kept_from } => {
                write!(f, "the roots file begins with root {found}, and should begin with {kept_from}")
            }
            Self::Root(broken) => write!(f, "the roots file: {broken}"),
            Self::Line(line) => write!(f, "line {line} of the roots file is not a record"),
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub batches: u64,
    pub rows: u64,
    /// Rows that wait to be sealed; nothing can be said about them but that they bear our mark.
    pub unsealed: u64,
    pub differences: u64,
    /// The number and digest of the last root: who keeps them elsewhere notices when the file's end is cut off.
    pub head: Option<(i64, String)>,
}

/// Compares rows, roots file and the database's copy of it; tells `report` of each difference.
///
/// `tag_key` is only known where the private key is; without it rows that are not sealed yet are only counted.
///
/// # Errors
/// If database or file cannot be read.
pub async fn verify(
    log: Log,
    store: &Store,
    file: &RootsFile,
    public: PublicKey,
    tag_key: Option<TagKey>,
    report: &mut (dyn FnMut(Difference) + Send),
) -> Result<Verified, SealError> {
    let chain = Chain::new(log.name(), public, None);
    let seen = Verified::default();
    let in_place = HashMap::new();
    let mut verifier =
        Verifier { log, store, file, chain, first: 1, kept_from: 1, expected: None, in_place, seen, report };
    verifier.file().await?;
    verifier.roots_of_the_database().await?;
    verifier.inserted().await?;
    verifier.unsealed(tag_key).await?;
    verifier.seen.head = verifier.chain.last().map(|root| (root.batch, root.digest()));
    Ok(verifier.seen)
}

struct Verifier<'a> {
    log: Log,
    store: &'a Store,
    file: &'a RootsFile,
    chain: Chain,
    /// The file's first batch.
    first: i64,
    kept_from: i64,
    /// The database's last batch when the file's end was first reached: the file must come to have it.
    expected: Option<i64>,
    /// How many rows of each batch's record say that they are of it; less those that were met on the walk.
    in_place: HashMap<i64, i64>,
    seen: Verified,
    report: &'a mut (dyn FnMut(Difference) + Send),
}

impl Verifier<'_> {
    fn report(&mut self, difference: Difference) {
        self.seen.differences += 1;
        (self.report)(difference);
    }

    /// Everything that the file tells.
    async fn file(&mut self) -> Result<(), SealError> {
        self.kept_from = kept_from(self.file).await?;
        let mut lines = self.file.lines()?;
        let (mut first, mut waits) = (None, 0);
        loop {
            let record;
            (lines, record) = next(lines).await?;
            match record {
                Some(Ok(record)) => {
                    first.get_or_insert(record.root.batch);
                    if let Err(broken) = self.chain.follow(&record) {
                        self.report(Difference::Root(broken));
                    }
                    self.copy(&record).await?;
                    self.batch(&record).await?;
                }
                Some(Err(FileError::Malformed { line, .. })) => self.report(Difference::Line(line)),
                Some(Err(error)) => return Err(error.into()),
                None if waits < WAITS.0 && self.expected().await? > self.last_batch() => {
                    waits += 1;
                    tokio::time::sleep(WAITS.1).await;
                }
                None => break,
            }
        }
        self.first = first.unwrap_or(1);
        if self.first > self.kept_from {
            self.report(Difference::Beginning { found: self.first, kept_from: self.kept_from });
        }
        Ok(())
    }

    fn last_batch(&self) -> i64 {
        self.chain.last().map_or(0, |root| root.batch)
    }

    async fn expected(&mut self) -> Result<i64, SealError> {
        let batch = match self.expected {
            Some(batch) => batch,
            None => self.store.last_seal(self.log).await?,
        };
        self.expected = Some(batch);
        Ok(batch)
    }

    /// Follows what the file does not have. That is right for batches that are newer than this check.
    async fn roots_of_the_database(&mut self) -> Result<(), SealError> {
        let expected = self.expected().await?;
        while let Some((batch, json)) =
            self.store.list_seals(self.log, self.last_batch(), 1).await?.into_iter().next()
        {
            let Ok(record) = serde_json::from_str::<Record>(&json) else { break };
            let mut chain = self.chain.clone();
            if record.root.batch != batch || chain.follow(&record).is_err() {
                break;
            }
            self.chain = chain;
            if batch <= expected {
                self.report(Difference::NotInFile { batch });
            }
            self.batch(&record).await?;
        }
        Ok(())
    }

    /// Rows that say they are of a batch, and are not.
    async fn inserted(&mut self) -> Result<(), SealError> {
        let mut after = None;
        loop {
            let rows = self.store.list_batches(self.log, after.as_deref(), PAGE_ROWS).await?;
            if rows.iter().any(|(_, batch)| *batch > Some(self.last_batch())) {
                // Rows that a server has written since came together with their root.
                self.roots_of_the_database().await?;
            }
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            let known = self.first..=self.last_batch();
            for (id, batch) in rows {
                let Some(batch) = batch else { continue };
                match self.in_place.get_mut(&batch) {
                    Some(count) => *count -= 1,
                    // Its record cannot be read, which has been said.
                    None if known.contains(&batch) => {}
                    None => self.report(Difference::Inserted { id, batch }),
                }
            }
        }
        let mut crowded: Vec<i64> =
            self.in_place.iter().filter(|(_, count)| **count < 0).map(|(batch, _)| *batch).collect();
        crowded.sort_unstable();
        for batches in crowded.chunks(CROWDED_MAX) {
            self.inserted_into(batches).await?;
        }
        Ok(())
    }

    /// Which rows of these batches are not in their records.
    async fn inserted_into(&mut self, batches: &[i64]) -> Result<(), SealError> {
        let mut own: HashMap<i64, HashSet<Arc<str>>> = HashMap::new();
        let ids = |record: Record| record.leaves.into_iter().map(|leaf| leaf.0);
        let mut lines = self.file.lines()?;
        loop {
            let record;
            (lines, record) = next(lines).await?;
            match record {
                Some(Ok(record)) if batches.contains(&record.root.batch) => {
                    own.entry(record.root.batch).or_default().extend(ids(record));
                }
                Some(_) => {}
                None => break,
            }
        }
        for batch in batches {
            if own.contains_key(batch) {
                continue;
            }
            // The file does not have it yet.
            let found = self.store.list_seals(self.log, batch - 1, 1).await?.into_iter().next();
            let json = found.filter(|(number, _)| number == batch).map(|(_, json)| json).unwrap_or_default();
            own.insert(*batch, serde_json::from_str(&json).map(ids).into_iter().flatten().collect());
        }
        let mut after = None;
        loop {
            let rows = self.store.list_batches(self.log, after.as_deref(), PAGE_ROWS).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            for (id, batch) in rows {
                let Some(batch) = batch else { continue };
                if own.get(&batch).is_some_and(|own| !own.contains(id.as_str())) {
                    self.report(Difference::Inserted { id, batch });
                }
            }
        }
    }

    async fn copy(&mut self, record: &Record) -> Result<(), SealError> {
        let batch = record.root.batch;
        let found = self.store.list_seals(self.log, batch - 1, 1).await?;
        let is_equal = found.first().is_some_and(|(number, json)| {
            *number == batch && serde_json::from_str::<Record>(json).is_ok_and(|copy| copy == *record)
        });
        if !is_equal && self.is_kept(batch).await? {
            self.report(Difference::Copy { batch });
        }
        Ok(())
    }

    /// The rows of one batch against its leaves.
    async fn batch(&mut self, record: &Record) -> Result<(), SealError> {
        let batch = record.root.batch;
        let (mut in_place, mut absent) = (0, Vec::new());
        for leaves in record.leaves.chunks(IDS_MAX) {
            let rows = self.store.list_rows(self.log, leaves.iter().map(|leaf| &*leaf.0)).await?;
            let mut rows: HashMap<String, SealRow> =
                rows.into_iter().map(|row| (row.id.clone(), row)).collect();
            let mut good = Vec::with_capacity(rows.len());
            for Leaf(id, hash) in leaves {
                let row = rows.remove(&**id);
                let id = id.to_string();
                match row {
                    Some(row) if row.batch == Some(batch) => {
                        in_place += 1;
                        if row.hash() == *hash {
                            good.push(row);
                        } else {
                            self.report(Difference::Changed { id, batch });
                        }
                    }
                    Some(row) => absent.push(Difference::Moved { id, batch, now: row.batch }),
                    None => absent.push(Difference::Removed { id, batch }),
                }
            }
            self.resources(&good, batch).await?;
        }
        *self.in_place.entry(batch).or_default() += in_place;
        self.seen.rows += in_place.unsigned_abs();
        self.seen.batches += 1;
        if !absent.is_empty() && self.is_kept(batch).await? {
            absent.into_iter().for_each(|difference| self.report(difference));
        }
        Ok(())
    }

    /// Search must find each row under each of its resources, and under no other.
    async fn resources(&mut self, rows: &[SealRow], batch: i64) -> Result<(), SealError> {
        if self.log != Log::Audit {
            return Ok(());
        }
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let indexed = self.store.list_indexed_resources(&ids).await?;
        let nothing = HashSet::new();
        for row in rows {
            let named: HashSet<String> =
                row.index.iter().flat_map(|(_, named)| named.iter().cloned()).collect();
            if *indexed.get(&row.id).unwrap_or(&nothing) != named && self.is_kept(batch).await? {
                self.report(Difference::Hidden { id: row.id.clone(), batch });
            }
        }
        Ok(())
    }

    /// Whether the batch should be there; a server may have announced its removal since we began.
    async fn is_kept(&mut self, batch: i64) -> Result<bool, SealError> {
        if batch >= self.kept_from {
            self.kept_from = kept_from(self.file).await?.max(self.kept_from);
        }
        Ok(batch >= self.kept_from)
    }

    async fn unsealed(&mut self, tag_key: Option<TagKey>) -> Result<(), SealError> {
        // Before the first root of all, rows may be from before there were marks.
        let none_sealed = self.chain.last().is_none();
        let mut after = (i64::MIN, String::new());
        loop {
            let rows = self.store.list_unsealed(self.log, &after, PAGE_ROWS).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            after = (end.at_ms, end.id.clone());
            for row in rows {
                self.seen.unsealed += 1;
                let is_marked = tag_key.as_ref().is_none_or(|key| key.tag(&row.bytes) == row.tag);
                let is_older_than_marks = none_sealed && row.tag.is_empty();
                if !is_marked && !is_older_than_marks {
                    self.report(Difference::NotOurs { id: row.id });
                }
            }
        }
    }
}

/// The next record, read where waiting for the disk holds up nobody.
async fn next(mut lines: Lines) -> Result<(Lines, Option<Result<Record, FileError>>), SealError> {
    let read = tokio::task::spawn_blocking(move || {
        let record = lines.next();
        (lines, record)
    });
    read.await.map_err(|_| SealError::CutOff)
}

/// From which batch on rows are kept, as the file's last record says.
async fn kept_from(file: &RootsFile) -> Result<i64, SealError> {
    let file = file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let records = file.lines()?.filter_map(Result::ok);
        Ok(records.last().map_or(1, |record| record.root.kept_from))
    });
    read.await.unwrap_or(Err(SealError::CutOff))
}
