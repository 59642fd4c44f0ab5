//! The file of signed roots, a record a line. It is appended to, and is on the disk when a call returns.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Record;

/// Longest line that is read; a batch of the largest size is far below it.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("reading {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("writing {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("line {line} of {path} is not a record")]
    Malformed { path: PathBuf, line: usize },
}

/// Where roots are kept. All calls block.
#[derive(Debug, Clone)]
pub struct RootsFile {
    path: PathBuf,
}

/// The records of a file in order; each with an error where a line is none.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    line: usize,
}

impl RootsFile {
    /// At this path; nothing is made yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads from the first record on; a file that is not there has none.
    ///
    /// # Errors
    /// If it is there and cannot be opened.
    pub fn lines(&self) -> Result<Lines, FileError> {
        let reader = match File::open(&self.path) {
            Ok(file) => Some(BufReader::new(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(FileError::Read { path: self.path.clone(), source }),
        };
        Ok(Lines { path: self.path.clone(), reader, line: 0 })
    }

    /// Appends records and waits for the disk. What a crash left of a line without its end is taken away first.
    ///
    /// # Errors
    /// If it cannot be written; then none of them or some of them are there.
    pub fn append(&self, records: &[Record]) -> Result<(), FileError> {
        let failed =
            |error: serde_json::Error| FileError::Write { path: self.path.clone(), source: error.into() };
        let lines = records.iter().map(|record| serde_json::to_string(record).map(Arc::from));
        self.append_lines(&lines.collect::<Result<Vec<_>, _>>().map_err(failed)?)
    }

    /// As [`RootsFile::append`], of records that are text already.
    ///
    /// # Errors
    /// If it cannot be written; then none of them or some of them are there.
    pub(crate) fn append_lines(&self, lines: &[Arc<str>]) -> Result<(), FileError> {
        let failed = |source| FileError::Write { path: self.path.clone(), source };
        self.write_lines(lines).map_err(failed)
    }

    fn write_lines(&self, lines: &[Arc<str>]) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let is_new = !self.path.exists();
        if is_new {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file =
            OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&self.path)?;
        let (length, whole) = (file.metadata()?.len(), whole_length(&mut file)?);
        if whole < length {
            file.set_len(whole)?;
        }
        let mut writer = BufWriter::new(&file);
        for line in lines {
            writer.write_all(line.as_bytes())?;
            writer.write_all(b"\n")?;
        }
        writer.flush()?;
        drop(writer);
        file.sync_data()?;
        if is_new { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    /// Takes away records before `batch`, by a new file in place of this one.
    ///
    /// # Errors
    /// If the folder cannot be written, or the file may only be appended to.
    pub fn remove_before(&self, batch: i64) -> Result<(), FileError> {
        let new = self.path.with_extension("new");
        let failed = |source| FileError::Write { path: self.path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
        let mut writer = BufWriter::new(file.map_err(failed)?);
        for record in self.lines()? {
            let record = record?;
            if record.root.batch >= batch {
                serde_json::to_writer(&mut writer, &record).map_err(|error| failed(error.into()))?;
                writer.write_all(b"\n").map_err(failed)?;
            }
        }
        let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let replaced = file
            .sync_all()
            .and_then(|()| std::fs::rename(&new, &self.path))
            .and_then(|()| File::open(folder)?.sync_all());
        replaced.map_err(failed)
    }
}

/// The length up to and with the last line's end.
fn whole_length(file: &mut File) -> std::io::Result<u64> {
    const STEP: u64 = 64 * 1024;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        (&mut *file).take(end - start).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + u64::try_from(at).unwrap_or(0) + 1);
        }
        end = start;
    }
    Ok(0)
}

impl Iterator for Lines {
    type Item = Result<Record, FileError>;

    /// `None` at the end, and again records once there are more.
    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let mut text = Vec::new();
        let read = reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
        // What has no end yet is being written, or a crash left it: it was never counted on.
        let is_whole =
            text.ends_with(b"\n") || read.as_ref().is_ok_and(|read| *read as u64 == LINE_BYTES_MAX);
        let read = match read {
            Ok(_) if is_whole => {
                self.line += 1;
                return Some(
                    serde_json::from_slice(&text)
                        .map_err(|_| FileError::Malformed { path: self.path.clone(), line: self.line }),
                );
            }
            Ok(read) => reader.seek_relative(-i64::try_from(read).unwrap_or(0)),
            Err(source) => Err(source),
        };
        let source = read.err()?;
        self.reader = None;
        Some(Err(FileError::Read { path: self.path.clone(), source }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Leaf, Root, SealKey};
    use super::*;

    fn record(batch: i64) -> Record {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let leaves = vec![Leaf("id".into(), [7; 32])];
        let mut root = Root::next("audit", None, &leaves, (1, 1), 2);
        root.batch = batch;
        root.sign(&key, leaves)
    }

    fn batches(file: &RootsFile) -> Vec<i64> {
        file.lines().unwrap().map(|record| record.unwrap().root.batch).collect()
    }

    #[test]
    fn what_a_crash_left_of_a_line_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = RootsFile::new(folder.path().join("audit/roots.jsonl"));
        assert_eq!(batches(&file), [0; 0]);
        file.append(&[record(1), record(2)]).unwrap();
        OpenOptions::new().append(true).open(file.path()).unwrap().write_all(b"{\"log\":\"au").unwrap();
        assert_eq!(batches(&file), [1, 2]);
        let mut lines = file.lines().unwrap();
        assert_eq!(lines.by_ref().count(), 2);
        file.append(&[record(3)]).unwrap();
        assert_eq!(lines.count(), 1, "a reader sees what is written after it reached the end");
        assert_eq!(batches(&file), [1, 2, 3]);
        file.remove_before(3).unwrap();
        file.append(&[record(4)]).unwrap();
        assert_eq!(batches(&file), [3, 4]);
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = RootsFile::new(folder.path().join("roots.jsonl"));
        file.append(&[record(1)]).unwrap();
        OpenOptions::new().append(true).open(file.path()).unwrap().write_all(b"nonsense\n").unwrap();
        let found: Vec<String> =
            file.lines().unwrap().filter_map(Result::err).map(|error| error.to_string()).collect();
        assert_eq!(found, [format!("line 2 of {} is not a record", file.path().display())]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let file = RootsFile::new(folder.path().join("file/roots.jsonl"));
        assert!(matches!(file.append(&[record(1)]), Err(FileError::Write { .. })));
        assert!(matches!(
            RootsFile::new(folder.path().to_owned()).lines().unwrap().next(),
            Some(Err(FileError::Read { .. }))
        ));
    }
}
