//! Connections to upstreams, each driven by the call that has it.
//!
//! Whoever waits for an answer also moves its connection; a connection has no task of its own. Between calls nobody moves
//! it: that the other end has closed it is found when it is used next, before anything is written, or when it has been
//! idle for too long.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use creel_llm::http1::{self, BadAnswer, Body, Head, Taken};
use hashbrown::HashMap;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Method, Response};
use hyper::body::{self, Frame, SizeHint};
use hyper::rt::Executor;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWrite;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::http::cork::Corked;

/// Idle connections kept for each upstream.
const IDLE_MAX: usize = 256;
/// How long each is kept; shorter than the idle limits of common load balancers.
const IDLE: Duration = Duration::from_secs(50);
/// Room for what is read at once, in bytes: at least so much, and more where more is certain to come.
const READ_BYTES: usize = 14 << 10;
const READ_BYTES_MAX: usize = 64 << 10;
/// A body so short, in bytes, is copied behind its head: two pieces cost the system more than that.
const COPIED_BYTES_MAX: usize = 16 << 10;

pub(super) type Stream = TokioIo<MaybeHttpsStream<TokioIo<Corked>>>;

/// Scheme, host and port.
pub(super) type Place = (Scheme, Authority);

/// Idle connections, by where they lead.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    /// The newest last, with when it became idle.
    lines: HashMap<Place, VecDeque<(Instant, Box<Line>)>>,
    is_swept: bool,
}

/// A connection.
pub(super) struct Line {
    place: Place,
    stream: Stream,
    /// What was read and not used.
    read: BytesMut,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Why an answer cannot be had, or not in full.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: LineError,
    /// Something was written, so the request may have been acted upon.
    pub(super) is_written: bool,
}

/// A request on its way out.
struct Outgoing {
    head: BytesMut,
    body: Bytes,
    /// Of both.
    written: usize,
    /// The head of an answer that came before all was written.
    answer: Option<Head>,
}

impl Outgoing {
    fn new(head: &Parts, mut body: Bytes) -> Self {
        let is_copied = body.len() <= COPIED_BYTES_MAX;
        let mut bytes = http1::encode(head, body.len(), if is_copied { body.len() } else { 0 });
        if is_copied {
            bytes.extend_from_slice(&std::mem::take(&mut body));
        }
        Self { head: bytes, body, written: 0, answer: None }
    }

    /// Writes what is left, and sends it off; ready once nothing is left.
    fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(stream);
        while self.head.has_remaining() || self.body.has_remaining() {
            let written = if self.body.is_empty() {
                ready!(stream.as_mut().poll_write(cx, &self.head))?
            } else {
                let pieces = [IoSlice::new(&self.head), IoSlice::new(&self.body)];
                ready!(stream.as_mut().poll_write_vectored(cx, &pieces))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            let of_head = written.min(self.head.len());
            self.head.advance(of_head);
            self.body.advance(written - of_head);
        }
        stream.poll_flush(cx)
    }
}

impl Line {
    /// A connection that stands.
    pub(super) fn new(place: Place, stream: Stream) -> Box<Self> {
        Box::new(Self { place, stream, read: BytesMut::new() })
    }

    /// Sends a request and awaits the head of its answer.
    pub(super) async fn ask(
        mut self: Box<Self>,
        head: &Parts,
        body: Bytes,
        pool: &Arc<Pool>,
    ) -> Result<Response<AnswerBody>, Unanswered> {
        let mut outgoing = Outgoing::new(head, body);
        let answered = poll_fn(|cx| self.poll_answer(cx, &mut outgoing, &head.method)).await;
        match answered {
            Ok(head) => {
                let pool = head.stays_open.then(|| pool.clone());
                Ok(head.answer.map(|()| AnswerBody { body: head.body, line: Some(self), pool }))
            }
            Err(error) => Err(Unanswered { error, is_written: outgoing.written > 0 }),
        }
    }

    /// Writes and reads until the head of the answer is there.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        method: &Method,
    ) -> Poll<Result<Head, LineError>> {
        // Before anything is written there is nothing to read but the end of a connection that the other end closed.
        if outgoing.written == 0 && self.poll_read(cx, 0).is_ready() {
            return Poll::Ready(Err(BadAnswer::Unasked.into()));
        }
        let written = outgoing.poll(&mut self.stream, cx);
        let is_sent = matches!(written, Poll::Ready(Ok(())));
        let wait = |written: Poll<io::Result<()>>| match written {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            _ => Poll::Pending,
        };
        loop {
            if outgoing.answer.is_none() && !self.read.is_empty() {
                outgoing.answer = http1::take_head(&mut self.read, method)?;
            }
            // A refusal may come before all is written, for something is too long to be read; then the rest is not.
            let may_go = |head: &mut Head| is_sent || !head.answer.status().is_success();
            if let Some(head) = outgoing.answer.take_if(may_go) {
                return Poll::Ready(Ok(Head { stays_open: head.stays_open && is_sent, ..head }));
            }
            if outgoing.answer.is_some() {
                return wait(written);
            }
            match self.poll_read(cx, 0) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(BadAnswer::BrokenOff.into())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                // What a failed write says is of interest only where the other end says nothing.
                Poll::Pending => return wait(written),
            }
        }
    }

    /// Reads what there is; `wanted` bytes are certain to come. Gives how many came, 0 at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, wanted: u64) -> Poll<io::Result<usize>> {
        let wanted = usize::try_from(wanted).unwrap_or(READ_BYTES_MAX);
        self.read.reserve(wanted.clamp(READ_BYTES, READ_BYTES_MAX));
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read)
    }
}

/// The body of an answer, with its connection until its end.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: Body,
    /// `None` once the body has ended or broken off.
    line: Option<Box<Line>>,
    /// Where the connection goes after it; `None`: it is closed.
    pool: Option<Arc<Pool>>,
}

impl AnswerBody {
    /// Nothing of the answer is left on the connection.
    fn give_back(&mut self) {
        if let (Some(line), Some(pool)) = (self.line.take(), self.pool.take())
            && line.read.is_empty()
        {
            pool.give(line);
        }
    }

    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, LineError>> {
        let Some(line) = &mut self.line else { return Poll::Ready(Ok(None)) };
        loop {
            match self.body.take(&mut line.read)? {
                Taken::Data(data) => return Poll::Ready(Ok(Some(data))),
                Taken::End => return Poll::Ready(Ok(None)),
                Taken::Nothing => {}
            }
            if ready!(line.poll_read(cx, self.body.bytes_left()))? == 0 {
                self.body.closed()?;
                return Poll::Ready(Ok(None));
            }
        }
    }
}

impl body::Body for AnswerBody {
    type Data = Bytes;
    type Error = LineError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, LineError>>> {
        match ready!(self.poll_taken(cx)) {
            Ok(Some(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Ok(None) => {
                self.give_back();
                Poll::Ready(None)
            }
            Err(error) => {
                self.line = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.line.is_none() || self.body.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body {
            Body::Sized(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.body.is_at_end() {
            self.give_back();
        }
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that became idle last.
    pub(super) fn take(&self, place: &Place) -> Option<Box<Line>> {
        let mut idle = self.idle();
        let (since, line) = idle.lines.get_mut(place)?.pop_back()?;
        (since.elapsed() < IDLE).then_some(line)
    }

    fn give(self: &Arc<Self>, mut line: Box<Line>) {
        // Most that is idle stays so for longer than its memory should.
        line.read = BytesMut::new();
        let mut idle = self.idle();
        let lines = match idle.lines.get_mut(&line.place) {
            Some(lines) => lines,
            None => idle.lines.entry(line.place.clone()).or_default(),
        };
        let surplus = if lines.len() < IDLE_MAX { None } else { lines.pop_front() };
        lines.push_back((Instant::now(), line));
        // Without a runtime the process is at its end.
        if !idle.is_swept && Handle::try_current().is_ok() {
            idle.is_swept = true;
            // It holds nothing up when the process ends, so it is none of its tasks.
            TokioExecutor::new().execute(sweep(Arc::downgrade(self)));
        }
        drop(idle);
        drop(surplus);
    }
}

/// Closes what has been idle for too long, while there is anything.
async fn sweep(pool: std::sync::Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle();
        for lines in idle.lines.values_mut() {
            lines.retain(|(since, _)| since.elapsed() < IDLE);
        }
        idle.lines.retain(|_, lines| !lines.is_empty());
        if idle.lines.is_empty() {
            idle.is_swept = false;
            return;
        }
    }
}
