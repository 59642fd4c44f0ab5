//! Connections of a lane whose writes go out together, once every task that was ready has had its turn.
//!
//! What a write() to a socket costs is most of all to wake whoever reads it. Where the writes of a turn follow each other at
//! once, the first finds the other end asleep and the rest find it awake. And what has to be on disk before any of them
//! leaves, the ledger's records, is written once for all of them ([`Before`]).
//!
//! Only what is to be flushed waits, for as long as the tasks take that are ready now; then it is sent by one task of the
//! lane, [`Turn::send`], whose place in the queue is behind theirs. Where a turn has one write only, it is not held back.
//! A long write is not copied: its task waits, and writes once that has been.
//!
//! What is left to do for an answer that its client need not wait for, to tell of it and to free its memory, comes behind the
//! writes of the turn, too ([`drop_later`]).

use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that wait on one connection at the most; a write that does not fit is written behind them, not kept.
const WAITING_BYTES_MAX: usize = 16 << 10;

thread_local! {
    static TURN: RefCell<Option<Arc<Turn>>> = const { RefCell::new(None) };
}

/// Done once before the writes of a turn, and before each that does not wait for its end.
pub(crate) type Before = Arc<dyn Fn() -> Result<(), Unrecorded> + Send + Sync>;

/// Nothing was sent to an upstream, for what is held for its calls could not be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's records could not be written")]
pub(crate) struct Unrecorded;

impl Unrecorded {
    /// This is why reading or writing failed.
    pub(crate) fn is_cause_of(error: &io::Error) -> bool {
        matches!(error.get_ref(), Some(cause) if cause.is::<Self>())
    }
}

impl From<Unrecorded> for io::Error {
    fn from(cause: Unrecorded) -> Self {
        Self::other(cause)
    }
}

/// Writes of this thread wait for [`Before`], so that what it writes down need not be waited for.
pub(crate) fn is_here() -> bool {
    TURN.with_borrow(Option::is_some)
}

/// Drops it when the writes of this turn have gone out, or its task ends before ([`drop_left`]); at once on a thread that
/// is no lane.
pub(crate) fn drop_later(what: Box<dyn Any + Send>) {
    TURN.with_borrow(|turn| {
        if let Some(turn) = turn {
            turn.drop_later(what);
        }
    });
}

/// Drops what is left at once: at the end of each task that calls [`drop_later`], so before whoever waits for it goes on.
pub(crate) fn drop_left() {
    let left =
        TURN.with_borrow(|turn| turn.as_ref().map(|turn| std::mem::take(&mut lock(&turn.waiting).left)));
    drop_all(&mut left.unwrap_or_default());
}

/// A defect of what is dropped ends that alone, not what sends.
fn drop_all(left: &mut Vec<Box<dyn Any + Send>>) {
    for each in left.drain(..) {
        let _told = catch_unwind(AssertUnwindSafe(|| drop(each)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writes of a lane.
pub(crate) struct Turn {
    before: Before,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<Arc<Mutex<Line>>>,
    /// To be dropped behind the writes.
    left: Vec<Box<dyn Any + Send>>,
    /// Writes of this turn that did not wait, and all of the last one.
    at_once: usize,
    last: usize,
    /// Of the task that sends.
    sender: Option<Waker>,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Turn {
    /// Makes this thread a lane.
    pub(crate) fn begin(before: Before) -> Arc<Self> {
        let turn = Arc::new(Self { before, waiting: Mutex::default() });
        TURN.set(Some(turn.clone()));
        turn
    }

    /// Sends what waits at the end of each turn, as long as it is polled.
    pub(crate) async fn send(self: Arc<Self>) {
        let (mut lines, mut left) = (Vec::new(), Vec::new());
        loop {
            poll_fn(|cx| {
                let mut waiting = lock(&self.waiting);
                std::mem::swap(&mut waiting.lines, &mut lines);
                std::mem::swap(&mut waiting.left, &mut left);
                let count = lines.len() + std::mem::take(&mut waiting.at_once);
                if count > 0 {
                    waiting.last = count;
                }
                if !lines.is_empty() || !left.is_empty() {
                    return Poll::Ready(());
                }
                if !waiting.sender.as_ref().is_some_and(|sender| sender.will_wake(cx.waker())) {
                    waiting.sender = Some(cx.waker().clone());
                }
                Poll::Pending
            })
            .await;
            if !lines.is_empty() {
                let recorded = (self.before)();
                for line in lines.drain(..) {
                    lock(&line).send(recorded);
                }
            }
            drop_all(&mut left);
        }
    }

    fn drop_later(&self, what: Box<dyn Any + Send>) {
        let mut waiting = lock(&self.waiting);
        waiting.left.push(what);
        if waiting.left.len() == 1
            && let Some(sender) = &waiting.sender
        {
            sender.wake_by_ref();
        }
    }

    /// Puts a connection among those that wait; false where it need not.
    fn list(&self, line: &Arc<Mutex<Line>>) -> bool {
        let mut waiting = lock(&self.waiting);
        let is_first = waiting.lines.is_empty() && waiting.at_once == 0;
        let waits = !is_first || waiting.last > 1;
        if waits {
            waiting.lines.push(line.clone());
        } else {
            waiting.at_once += 1;
        }
        if is_first && let Some(sender) = &waiting.sender {
            sender.wake_by_ref();
        }
        waits
    }
}

/// Where a connection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// It gets its answer all the same where a record of what it cost cannot be written.
    Client,
    /// It is asked nothing that is not on record.
    Upstream,
}

/// A write that is too long to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Long {
    /// There is none.
    Not,
    /// Its task waits for the end of the turn.
    Waits,
    /// The turn has ended, or the system has taken a part: the task writes when it will.
    Due,
}

struct Line {
    stream: TcpStream,
    peer: Peer,
    waiting: Vec<u8>,
    is_listed: bool,
    /// The system took less than was written: the connection's task goes on with the rest.
    is_blocked: bool,
    /// What becomes of a write that is too long to be kept.
    long: Long,
    failed: Option<io::Error>,
    /// Of the connection's task.
    waker: Option<Waker>,
}

impl std::fmt::Debug for Line {
    /// Without what waits: a request has a provider's key in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Line {
    fn may_send(&self, recorded: Result<(), Unrecorded>) -> Result<(), Unrecorded> {
        if self.peer == Peer::Upstream { recorded } else { Ok(()) }
    }

    /// What comes before a write that does not wait for the end of the turn.
    fn record(&self) -> Result<(), Unrecorded> {
        let before = TURN.with_borrow(|turn| turn.as_ref().map(|turn| turn.before.clone()));
        self.may_send(before.map_or(Ok(()), |before| before()))
    }

    /// Sends at the end of a turn.
    fn send(&mut self, recorded: Result<(), Unrecorded>) {
        self.is_listed = false;
        if self.long == Long::Waits {
            self.long = Long::Due;
            self.wake();
        }
        if self.waiting.is_empty() {
            return;
        }
        let sent = match self.may_send(recorded) {
            Ok(()) => self.stream.try_write(&self.waiting),
            Err(cause) => Err(cause.into()),
        };
        match sent {
            Ok(sent) if sent == self.waiting.len() => {
                // Most connections are idle for longer than their memory should.
                self.waiting = Vec::new();
                return;
            }
            Ok(sent) => drop(self.waiting.drain(..sent)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                self.waiting = Vec::new();
                self.failed = Some(error);
            }
        }
        self.is_blocked = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn is_woken_by(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Sends what waits, at once; ready once nothing does.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if !self.waiting.is_empty() {
            self.record()?;
            self.is_blocked = true;
        }
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent if sent == self.waiting.len() => self.waiting = Vec::new(),
                sent => drop(self.waiting.drain(..sent)),
            }
        }
        self.is_blocked = false;
        Poll::Ready(Ok(()))
    }
}

/// A connection whose writes wait for the end of the turn. On threads that are no lanes they do not wait.
#[derive(Debug)]
pub(crate) struct Corked(Arc<Mutex<Line>>);

impl Corked {
    /// A connection that a client made.
    pub(super) fn to_client(stream: TcpStream) -> Self {
        Self::new(stream, Peer::Client)
    }

    /// A connection to an upstream.
    pub(crate) fn to_upstream(stream: TcpStream) -> Self {
        Self::new(stream, Peer::Upstream)
    }

    fn new(stream: TcpStream, peer: Peer) -> Self {
        let (waiting, long, failed, waker) = (Vec::new(), Long::Not, None, None);
        let line = Line { stream, peer, waiting, is_listed: false, is_blocked: false, long, failed, waker };
        Self(Arc::new(Mutex::new(line)))
    }

    /// Puts the connection among those that wait for the end of this turn; false where it need not.
    fn list(&self, line: &mut Line, cx: &Context<'_>) -> bool {
        line.is_listed = TURN.with_borrow(|turn| turn.as_ref().is_some_and(|turn| turn.list(&self.0)));
        if line.is_listed {
            line.is_woken_by(cx);
        }
        line.is_listed
    }
}

impl Connection for Corked {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Corked {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut line = lock(&self.0);
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if line.is_blocked || line.failed.is_some() || line.waiting.len() + length > WAITING_BYTES_MAX {
            ready!(line.poll_send(cx))?;
        }
        if length > WAITING_BYTES_MAX {
            if line.long == Long::Waits {
                line.is_woken_by(cx);
                return Poll::Pending;
            }
            if line.long == Long::Not && self.list(&mut line, cx) {
                line.long = Long::Waits;
                return Poll::Pending;
            }
            line.long = Long::Due;
            line.record()?;
            let sent = ready!(Pin::new(&mut line.stream).poll_write_vectored(cx, slices))?;
            if sent == length {
                line.long = Long::Not;
            }
            return Poll::Ready(Ok(sent));
        }
        line.long = Long::Not;
        line.waiting.reserve_exact(length);
        slices.iter().for_each(|slice| line.waiting.extend_from_slice(slice));
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = lock(&self.0);
        if line.is_listed || (line.waiting.is_empty() && line.failed.is_none()) {
            return Poll::Ready(Ok(()));
        }
        let may_wait = !line.is_blocked && line.failed.is_none();
        if may_wait && self.list(&mut line, cx) {
            return Poll::Ready(Ok(()));
        }
        line.poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = lock(&self.0);
        ready!(line.poll_send(cx))?;
        Pin::new(&mut line.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "cork_tests.rs"]
mod tests;
