//! The journal as local files, for SQLite: segments in one directory, of which the newest is written.
//!
//! A record that was written survives the end of this process, however it ends. Records of calls that are decided in one
//! turn of the runtime are written by one write(), for which all of them wait. A background task calls fdatasync some
//! 20 ms after something new: what the machine's own end can cost.
//! A segment is done when all its settlements are rows, and the calls that were under way at its end are on the disk at the
//! start of the next one. Its file is then written again from its start, as a later segment, for new pages and blocks are
//! most of what a write costs. No decision waits for the disk: files are made ready and synchronised by that task. The lock
//! file is held for the life of the process, and the system gives it up with the process.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::LedgerError;
use super::record::{self, Place, Record, Reserve};

/// A segment is closed when it is longer than this, in bytes.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// A segment all of whose settlements are rows is closed when it is longer than this, in bytes: keeps starts short.
const SEGMENT_BYTES_IDLE: u64 = 1 << 20;
/// Files of segments that are done, kept to be written again, at the most.
const SPARES_MAX: usize = 2;
/// Records that wait are written without waiting any longer when they are more than this, in bytes.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// What segments' files are called behind their number, and those that are done and kept.
const JOURNAL: &str = "journal";
const SPARE: &str = "spare";

fn failed(path: &Path, source: std::io::Error) -> LedgerError {
    LedgerError::Journal { file: path.display().to_string(), source }
}

/// The segments of one directory.
#[derive(Debug)]
pub(crate) struct FileJournal {
    directory: PathBuf,
    /// Keeps other processes out.
    _lock: File,
    file: Arc<File>,
    number: u64,
    length: u64,
    /// Of these, how many are known to be on the disk.
    synced: u64,
    /// And how many are calls that were under way at its beginning.
    begun: u64,
    /// Files of earlier segments whose ends may not be on the disk.
    ended: Vec<Arc<File>>,
    /// The next segment's file, once it is ready.
    next: Option<File>,
    /// Files that are there to be written again.
    spares: Vec<PathBuf>,
    /// Records that are not written yet.
    waiting: Vec<u8>,
    batch: Arc<Batch>,
    /// Settlements in each segment that are not rows yet.
    unapplied: BTreeMap<u64, u64>,
    /// The last write failed.
    is_failing: bool,
    /// A write failed and could not be undone, so nothing may follow it.
    broken: bool,
}

/// What a directory held before this process.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) records: Vec<Record>,
    files: Vec<(u64, PathBuf)>,
}

impl FileJournal {
    /// Locks the directory, reads what is in it, and begins a new segment behind that.
    pub(crate) fn open(directory: &Path) -> Result<(Self, Found), LedgerError> {
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        let lock_path = directory.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(|error| failed(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Owned { until_ms: i64::MAX }),
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path, error)),
        }
        let found = read(directory)?;
        let number = found.files.last().map_or(1, |(number, _)| number + 1);
        let file = create(directory, number, None)?;
        let journal = Self {
            directory: directory.to_owned(),
            _lock: lock,
            file: Arc::new(file),
            number,
            length: 0,
            synced: 0,
            begun: 0,
            ended: Vec::new(),
            next: None,
            spares: Vec::new(),
            waiting: Vec::with_capacity(4096),
            batch: Arc::default(),
            unapplied: BTreeMap::new(),
            is_failing: false,
            broken: false,
        };
        Ok((journal, found))
    }

    /// Puts a record behind those that wait to be written. Gives the segment it will be in.
    pub(crate) fn append(&mut self, record: &Record) -> Result<u64, LedgerError> {
        let place = Place { segment: self.number, synced_bytes: self.synced };
        let encoded = record::encode(record, place, &mut self.waiting);
        encoded.map_err(|error| failed(&path_of(&self.directory, self.number), error))?;
        if matches!(record, Record::Settle(_)) {
            *self.unapplied.entry(self.number).or_default() += 1;
        }
        Ok(self.number)
    }

    /// Fails where so many records wait that could not be written that no other call is to begin.
    pub(crate) fn make_room(&mut self) -> Result<(), LedgerError> {
        if self.is_failing && self.is_full() { self.write() } else { Ok(()) }
    }

    /// So many records wait that they should be written now.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() > WAITING_BYTES_MAX
    }

    /// What becomes of the records that wait.
    pub(crate) fn batch(&self) -> Arc<Batch> {
        self.batch.clone()
    }

    /// Writes the records that wait; `Ok` means that all that were ever appended survive this process. Where it fails, none
    /// of those that waited is there, and they wait on: whoever appended one may not have been told yet.
    pub(crate) fn write(&mut self) -> Result<(), LedgerError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let written = self.write_waiting();
        self.is_failing = written.is_err();
        if written.is_ok() {
            self.waiting.clear();
        }
        let outcome = written.map_err(|error| (path_of(&self.directory, self.number), error));
        let told = match &outcome {
            Ok(()) => Ok(()),
            Err((file, error)) => Err((file.clone(), error.kind(), error.to_string())),
        };
        // Nobody else sets it: it is taken from its place here.
        let _ = std::mem::take(&mut self.batch).0.set(told);
        outcome.map_err(|(file, error)| failed(&file, error))
    }

    fn write_waiting(&mut self) -> std::io::Result<()> {
        if self.broken {
            return Err(std::io::Error::other("an earlier write failed half-way"));
        }
        if let Err(error) = self.file.write_all_at(&self.waiting, self.length) {
            // A record cut in the middle must not have others behind it.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Nothing may be written any more: what reached the disk is not known.
    pub(crate) fn set_broken(&mut self) {
        self.broken = true;
    }

    /// Writes go there from now on.
    #[cfg(test)]
    pub(crate) fn set_file(&mut self, file: File) {
        (self.file, self.broken) = (Arc::new(file), false);
    }

    /// What is to be done where nobody waits for it. Whoever does it asks for no more meanwhile.
    pub(crate) fn upkeep(&mut self) -> Upkeep {
        let is_half = self.length > SEGMENT_BYTES_IDLE / 2;
        let directory = (is_half && self.next.is_none()).then(|| self.directory.clone());
        Upkeep {
            files: self.ended.iter().chain([&self.file]).cloned().collect(),
            place: Place { segment: self.number, synced_bytes: self.length },
            next: directory.map(|directory| (directory, self.spares.pop())),
        }
    }

    /// That is done: so much is on the disk, which the records behind it tell.
    pub(crate) fn kept_up(&mut self, done: KeptUp) {
        let KeptUp { files, place, next } = done;
        self.ended.retain(|file| !files.iter().any(|synced| Arc::ptr_eq(file, synced)));
        // What was begun meanwhile is not. While there was no file for it, nothing was.
        if place.segment == self.number {
            self.synced = self.synced.max(place.synced_bytes);
            self.next = next.or(self.next.take());
            self.remove_done();
        }
    }

    /// Settlements of `segment` have become rows; gives the segment up if they were its last.
    pub(crate) fn applied(&mut self, segment: u64, settlements: u64) {
        if let Some(left) = self.unapplied.get_mut(&segment) {
            *left = left.saturating_sub(settlements);
        }
        self.remove_done();
    }

    fn remove_done(&mut self) {
        // What an earlier one ends with, and the calls under way that this one begins with, have no other record.
        if !self.ended.is_empty() || self.synced < self.begun {
            return;
        }
        let active = self.number;
        self.unapplied.retain(|number, left| {
            if *left > 0 || *number == active {
                return true;
            }
            let path = path_of(&self.directory, *number);
            // A file that stays is read again at the next start, where its calls are found to be rows.
            if self.spares.len() < SPARES_MAX {
                let spare = path.with_extension(SPARE);
                let is_kept = std::fs::rename(&path, &spare).is_ok();
                self.spares.extend(is_kept.then_some(spare));
                !is_kept
            } else {
                std::fs::remove_file(&path).is_err()
            }
        });
    }

    /// Begins a new segment with the calls under way if the old one is long enough and a file is ready. Tells whether it
    /// has, for both are to be synchronised then.
    pub(crate) fn rotate_if_long<'a>(
        &mut self,
        open: impl Iterator<Item = &'a Arc<Reserve>>,
    ) -> Result<bool, LedgerError> {
        let idle = self.unapplied.values().all(|left| *left == 0);
        let is_long = self.length > SEGMENT_BYTES_MAX || (idle && self.length > SEGMENT_BYTES_IDLE);
        if !is_long || self.next.is_none() {
            return Ok(false);
        }
        // They are counted in the old one.
        self.write()?;
        self.next.take().map_or(Ok(false), |next| self.rotate(next, open).map(|()| true))
    }

    /// Begins a new segment without calls under way, however short the old one is, and synchronises both.
    #[cfg(test)]
    pub(crate) fn rotate_now(&mut self) {
        self.write().expect("room for what waits");
        let spare = self.spares.pop();
        let next = create(&self.directory, self.number + 1, spare).expect("a file");
        self.rotate(next, std::iter::empty()).expect("a new segment");
        let done = self.upkeep().run().expect("synchronised");
        self.kept_up(done);
    }

    /// Begins a new segment with the calls under way.
    fn rotate<'a>(
        &mut self,
        next: File,
        open: impl Iterator<Item = &'a Arc<Reserve>>,
    ) -> Result<(), LedgerError> {
        let place = Place { segment: self.number + 1, synced_bytes: 0 };
        let next_path = path_of(&self.directory, place.segment);
        let mut under_way = Vec::new();
        for reserve in open {
            record::encode(&Record::Reserve(reserve.clone()), place, &mut under_way)
                .map_err(|error| failed(&next_path, error))?;
        }
        next.write_all_at(&under_way, 0).map_err(|error| {
            // Half a segment must not be read as a whole one; the old one goes on.
            let _ = std::fs::remove_file(&next_path);
            failed(&next_path, error)
        })?;
        self.unapplied.entry(self.number).or_default();
        self.number = place.segment;
        self.ended.push(std::mem::replace(&mut self.file, Arc::new(next)));
        self.length = u64::try_from(under_way.len()).unwrap_or(u64::MAX);
        (self.synced, self.begun) = (0, self.length);
        self.remove_done();
        Ok(())
    }
}

/// What is to be done for a journal without holding it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    files: Vec<Arc<File>>,
    place: Place,
    next: Option<(PathBuf, Option<PathBuf>)>,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct KeptUp {
    files: Vec<Arc<File>>,
    place: Place,
    next: Option<File>,
}

impl Upkeep {
    /// Waits for the disk.
    pub(crate) fn run(self) -> std::io::Result<KeptUp> {
        let Self { files, place, next } = self;
        files.iter().try_for_each(|file| file.sync_data())?;
        let next = next.and_then(|(directory, spare)| {
            create(&directory, place.segment + 1, spare)
                .inspect_err(|error| {
                    let error: &(dyn std::error::Error + 'static) = error;
                    tracing::error!(
                        error,
                        "the ledger's next journal file cannot be made; the old one goes on"
                    );
                })
                .ok()
        });
        Ok(KeptUp { files, place, next })
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        if let Err(error) = self.write() {
            tracing::error!(error = %error, "the last records of the ledger's journal are not written");
        }
        // The next start has nothing to read but what is needed; where this fails it reads more.
        let _ = self.file.set_len(self.length);
        let next = self.next.take().map(|_| path_of(&self.directory, self.number + 1));
        for unused in self.spares.drain(..).chain(next) {
            let _ = std::fs::remove_file(unused);
        }
    }
}

/// Records that are written together, and what became of that.
#[derive(Debug, Default)]
pub(crate) struct Batch(OnceLock<Result<(), (PathBuf, ErrorKind, String)>>);

impl Batch {
    /// `None` while they wait.
    pub(crate) fn outcome(&self) -> Option<Result<(), LedgerError>> {
        Some(match self.0.get()? {
            Ok(()) => Ok(()),
            Err((file, kind, text)) => Err(failed(file, std::io::Error::new(*kind, text.clone()))),
        })
    }
}

impl Found {
    /// Removes the files that were read, once all in them is rows.
    pub(crate) fn remove(&self) -> Result<(), LedgerError> {
        self.files
            .iter()
            .try_for_each(|(_, path)| std::fs::remove_file(path).map_err(|error| failed(path, error)))
    }
}

fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.{JOURNAL}"))
}

/// Makes the file of a segment, of a spare one if there is any: what stands in that has another number, see [`record`].
fn create(directory: &Path, number: u64, spare: Option<PathBuf>) -> Result<File, LedgerError> {
    let path = path_of(directory, number);
    if let Some(spare) = &spare {
        std::fs::rename(spare, &path).map_err(|error| failed(spare, error))?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(spare.is_none()).open(&path);
    let file = file.map_err(|error| failed(&path, error))?;
    // The name must survive the machine too.
    File::open(directory).and_then(|handle| handle.sync_all()).map_err(|error| failed(directory, error))?;
    Ok(file)
}

fn read(directory: &Path) -> Result<Found, LedgerError> {
    let mut found = Found::default();
    for entry in std::fs::read_dir(directory).map_err(|error| failed(directory, error))? {
        let path = entry.map_err(|error| failed(directory, error))?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        match (number, path.extension().and_then(|extension| extension.to_str())) {
            (Some(number), Some(JOURNAL)) => found.files.push((number, path)),
            // Its number may come again, and what it holds would be read as that segment's.
            (Some(_), Some(SPARE)) => std::fs::remove_file(&path).map_err(|error| failed(&path, error))?,
            _ => {}
        }
    }
    found.files.sort();
    for (number, path) in &found.files {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(|error| failed(path, error))?,
        };
        let scan = record::scan(&bytes, *number).map_err(|damaged| LedgerError::Damaged {
            file: path.display().to_string(),
            at_byte: damaged.at_byte,
        })?;
        if scan.is_cut {
            tracing::warn!(
                journal.file = %path.display(), journal.sound_bytes = scan.sound_bytes,
                "the last records of a journal file were cut off by a crash and are left out"
            );
        }
        found.records.extend(scan.records);
    }
    Ok(found)
}
