//! The call log: one JSON line for each call, in files of a bounded size and number.
//!
//! A call never waits for the disk: lines go through a bounded queue to a thread of their own, and are dropped, and
//! counted, where it is full.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::Record;

/// Files beside the one that is written.
const OLD_FILES: usize = 7;
/// Lines that wait for the disk at the most; some 500 bytes each.
const LINES_WAITING_MAX: usize = 16_384;
/// Lines that are written to the file together, in bytes; less where files are small, for one may surpass its bound by so much.
const BUFFER_BYTES: usize = 32 << 10;
/// What most lines need.
const LINE_BYTES_USUAL: usize = 768;

/// Where it is kept.
#[derive(Debug, Clone)]
pub struct CallLogConfig {
    /// The file that is written; older ones stand beside it as `.1` to `.7`.
    pub path: PathBuf,
    /// Bytes of all files together, about.
    pub bytes_max: usize,
}

/// An open call log. Dropping it writes what waits.
pub struct CallLog {
    lines: Mutex<NonBlocking>,
    dropped: ErrorCounter,
    _worker: WorkerGuard,
}

impl std::fmt::Debug for CallLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallLog").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl CallLog {
    /// Opens or makes the files, readable by this user only.
    pub fn open(config: &CallLogConfig) -> io::Result<Self> {
        if let Some(directory) = config.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // Opened here once, for the library panics where it cannot.
        options.open(&config.path)?;
        let each = (config.bytes_max / (OLD_FILES + 1)).max(1);
        let files = FileRotate::new(
            &config.path,
            AppendCount::new(OLD_FILES),
            ContentLimit::BytesSurpassed(each),
            Compression::None,
            Some(options),
        );
        let (lines, worker) = NonBlockingBuilder::default()
            .buffered_lines_limit(LINES_WAITING_MAX)
            .lossy(true)
            .thread_name("call-log")
            // It is flushed whenever no line waits; its buffer holds whole lines, so files begin and end with them.
            .finish(BufWriter::with_capacity(BUFFER_BYTES.min(each / 16), files));
        let dropped = lines.error_counter();
        Ok(Self { lines: Mutex::new(lines), dropped, _worker: worker })
    }

    /// Lines that found the queue full.
    pub fn dropped(&self) -> usize {
        self.dropped.dropped_lines()
    }

    pub(super) fn write(&self, record: &Record) {
        let mut line = Vec::with_capacity(LINE_BYTES_USUAL);
        if serde_json::to_writer(&mut line, record).is_err() {
            return;
        }
        line.push(b'\n');
        let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A full queue is counted; nothing else can fail.
        let _ = lines.write(&line);
    }
}
