//! The call log: one JSON line for each call, in files of a bounded size and number.
//!
//! A call never waits for the disk: lines gather in memory, a thread of their own writes them several times a second, and
//! they are dropped, and counted, where too many wait.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::Record;

/// Files beside the one that is written.
const OLD_FILES: usize = 7;
/// Bytes of lines that wait for the disk at the most.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// How long lines gather, unless they are many or the log is closed: a thread that was woken for each would cost a call more
/// than its line.
const GATHER: Duration = Duration::from_millis(50);
/// Bytes of lines that are many.
const MANY_BYTES: usize = 256 << 10;
/// Lines that are written to the file together, in bytes; less where files are small, for one may surpass its bound by so much.
const BUFFER_BYTES: usize = 32 << 10;
/// Memory that is kept for the lines to come, in bytes.
const KEPT_BYTES_MAX: usize = 2 * MANY_BYTES;
/// What most lines need.
const LINE_BYTES_USUAL: usize = 768;

type Files = BufWriter<FileRotate<AppendCount>>;

/// Where it is kept.
#[derive(Debug, Clone)]
pub struct CallLogConfig {
    /// The file that is written; older ones stand beside it as `.1` to `.7`.
    pub path: PathBuf,
    /// Bytes of all files together, about.
    pub bytes_max: usize,
}

/// An open call log. Dropping it writes what waits.
#[derive(Debug)]
pub struct CallLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There are lines where there were none, or they are many, or the log is closed.
    changed: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Whole lines.
    lines: Vec<u8>,
    is_closed: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
        // A line that does not fit sends those before it to the file, so files begin and end with whole ones.
        let files = BufWriter::with_capacity(BUFFER_BYTES.min(each / 16), files);
        let shared = Arc::<Shared>::default();
        let writer = {
            let shared = shared.clone();
            thread::Builder::new().name("call-log".to_owned()).spawn(move || write_lines(&shared, files))?
        };
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Shows its counter in a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.sub_registry_with_prefix("llm").register(
            "call_log_lines_dropped",
            "Lines that are not in the call log: too many waited, or the disk did not take them",
            self.shared.dropped.clone(),
        );
    }

    pub(super) fn write(&self, record: &Record) {
        let mut line = Vec::with_capacity(LINE_BYTES_USUAL);
        if serde_json::to_writer(&mut line, record).is_err() {
            return;
        }
        line.push(b'\n');
        let mut waiting = self.shared.waiting();
        if waiting.lines.len() + line.len() > WAITING_BYTES_MAX {
            self.shared.dropped.inc();
            return;
        }
        let bytes_before = waiting.lines.len();
        waiting.lines.extend_from_slice(&line);
        let are_many = bytes_before < MANY_BYTES && waiting.lines.len() >= MANY_BYTES;
        drop(waiting);
        if bytes_before == 0 || are_many {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        self.shared.waiting().is_closed = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            // It does not panic, and there is nothing to be done about it here if it did.
            let _ = writer.join();
        }
    }
}

/// Writes what gathers, until the log is closed and nothing waits.
fn write_lines(shared: &Shared, mut files: Files) {
    let mut lines = Vec::new();
    loop {
        let waiting = shared
            .changed
            .wait_while(shared.waiting(), |waiting| waiting.lines.is_empty() && !waiting.is_closed);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let gathers = |waiting: &mut Waiting| !waiting.is_closed && waiting.lines.len() < MANY_BYTES;
        let gathered = shared.changed.wait_timeout_while(waiting, GATHER, gathers);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        // The other buffer is kept for those that come next.
        std::mem::swap(&mut waiting.lines, &mut lines);
        let is_last = waiting.is_closed;
        drop(waiting);
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &lines) {
            if files.write_all(lines.get(begin..=end).unwrap_or_default()).is_err() {
                shared.dropped.inc();
            }
            begin = end + 1;
        }
        // What cannot be written stays in the buffer, is tried again, and then keeps other lines out, which are counted.
        let _ = files.flush();
        lines.clear();
        lines.shrink_to(KEPT_BYTES_MAX);
        if is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use creel_control::clock::FixedClock;
    use creel_llm::dialect::Dialect;
    use creel_wire::id::{AccountId, CallId, RuntimeId};

    use super::*;
    use crate::gateway::observe::Observer;
    use crate::gateway::ports::{AgentAccess, KeyKind};

    #[test]
    fn a_disk_that_takes_nothing_loses_lines_which_are_counted() {
        let shared = Arc::<Shared>::default();
        // Nobody writes what waits.
        let log = CallLog { shared: shared.clone(), writer: None };
        let observer = Arc::new(Observer { log: Some(log), ..Observer::default() });
        let access = AgentAccess {
            account: AccountId::parse("11").expect("an id"),
            runtime: RuntimeId::parse("ecd-1").expect("an id"),
            key_kind: KeyKind::Agent,
            limits: creel_control::call_limit::Limits::default(),
            capture: None,
            group: None,
        };
        let (id, clock) =
            (CallId::parse("call-1").expect("an id"), FixedClock::at(jiff::Timestamp::UNIX_EPOCH));
        let calls = 60_000;
        for _ in 0..calls {
            drop(observer.begin(&access, &id, Dialect::Chat, &http::HeaderMap::new(), &clock));
        }
        let waiting = shared.waiting();
        let lines = waiting.lines.split_inclusive(|byte| *byte == b'\n').count();
        assert!(waiting.lines.len() <= WAITING_BYTES_MAX && waiting.lines.ends_with(b"}\n"));
        assert!(lines > 0 && shared.dropped.get() > 0);
        assert_eq!(lines as u64 + shared.dropped.get(), calls);
    }
}
