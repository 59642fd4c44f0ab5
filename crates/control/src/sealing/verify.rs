//! Finds what was done to rows of a sealed log behind Creel's back.
//!
//! The roots file and the key count; everything in the database is compared with them. Memory is bounded: a batch and
//! a page of rows at a time, and differences go out as they are found.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use super::{Log, SealError, SealRow};
use crate::seal::{Break, Chain, FileError, Hash, Lines, PublicKey, Record, RootsFile, TagKey};
use crate::store::{SealedPosition, Store};

/// Rows that are read at once.
const PAGE_ROWS: u64 = 1_000;
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
    let mut verifier = Verifier { log, store, file, chain, kept_from: 1, expected: None, seen, report };
    verifier.file().await?;
    verifier.beyond_the_file().await?;
    verifier.unsealed(tag_key).await?;
    verifier.seen.head = verifier.chain.last().map(|root| (root.batch, root.digest()));
    Ok(verifier.seen)
}

struct Verifier<'a> {
    log: Log,
    store: &'a Store,
    file: &'a RootsFile,
    chain: Chain,
    kept_from: i64,
    /// The database's last batch when the file's end was first reached: the file must come to have it.
    expected: Option<i64>,
    seen: Verified,
    report: &'a mut (dyn FnMut(Difference) + Send),
}

impl Verifier<'_> {
    fn report(&mut self, difference: Difference) {
        self.seen.differences += 1;
        (self.report)(difference);
    }

    /// Everything that the file tells, and rows before its first root.
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
        let first = first.unwrap_or(1);
        if first > self.kept_from {
            self.report(Difference::Beginning { found: first, kept_from: self.kept_from });
        }
        self.inserted((i64::MIN, i64::MIN, String::new()), first - 1).await
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

    /// Roots that only the database has, and rows of batches that nobody signed.
    async fn beyond_the_file(&mut self) -> Result<(), SealError> {
        self.roots_of_the_database().await?;
        let mut after = (self.last_batch(), i64::MAX, char::MAX.to_string());
        loop {
            let rows = self.store.list_sealed(self.log, &after, i64::MAX, PAGE_ROWS).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            after = position(end);
            // Rows that a server has written since came together with their root.
            self.roots_of_the_database().await?;
            for row in rows {
                let batch = row.batch.unwrap_or_default();
                if batch > self.last_batch() {
                    self.report(Difference::Inserted { id: row.id, batch });
                }
            }
        }
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

    /// Every row behind a position is one too many.
    async fn inserted(&mut self, mut after: SealedPosition, last: i64) -> Result<(), SealError> {
        loop {
            let rows = self.store.list_sealed(self.log, &after, last, PAGE_ROWS).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            after = position(end);
            for row in rows {
                let batch = row.batch.unwrap_or_default();
                self.report(Difference::Inserted { id: row.id, batch });
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
        let mut expected: HashMap<&str, Hash> = record.leaves.iter().map(|leaf| (&*leaf.0, leaf.1)).collect();
        let mut after = (batch, i64::MIN, String::new());
        loop {
            let rows = self.store.list_sealed(self.log, &after, batch, PAGE_ROWS).await?;
            let Some(end) = rows.last() else { break };
            after = position(end);
            self.seen.rows += u64::try_from(rows.len()).unwrap_or(0);
            let mut good = Vec::with_capacity(rows.len());
            for row in rows {
                match expected.remove(row.id.as_str()) {
                    None => self.report(Difference::Inserted { id: row.id, batch }),
                    Some(hash) if hash == row.hash() => good.push(row),
                    Some(_) => self.report(Difference::Changed { id: row.id, batch }),
                }
            }
            self.resources(&good, batch).await?;
        }
        self.seen.batches += 1;
        let absent: Vec<String> = record
            .leaves
            .iter()
            .map(|leaf| &*leaf.0)
            .filter(|id| expected.contains_key(id))
            .map(str::to_owned)
            .collect();
        if absent.is_empty() || !self.is_kept(batch).await? {
            return Ok(());
        }
        let elsewhere = self.store.find_batches(self.log, &absent).await?;
        for id in absent {
            let difference = match elsewhere.get(&id) {
                Some(now) => Difference::Moved { id, batch, now: *now },
                None => Difference::Removed { id, batch },
            };
            self.report(difference);
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

fn position(row: &SealRow) -> SealedPosition {
    (row.batch.unwrap_or_default(), row.at_ms, row.id.clone())
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
