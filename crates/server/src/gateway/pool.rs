//! Connections to upstreams, each driven by the call that has it.
//!
//! A connection with a task of its own wakes its call for every piece, and the call wakes it for every want. Here
//! whoever waits for an answer also moves its connection, in one poll. Between calls nobody moves it: that the other
//! end has closed it is found when it is used next, before anything is written, or when it has been idle for too long.
//! The pooled client of hyper-util, which this replaced, costs a tenth of a call more (`bench/README.md`).

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::uri::{Authority, Scheme};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::rt::Executor;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Idle connections kept for each upstream.
const IDLE_MAX: usize = 256;
/// How long each is kept; shorter than the idle limits of common load balancers.
const IDLE: Duration = Duration::from_secs(50);
/// How often a connection and who waits for it may make each other go on within one poll.
const ROUNDS_MAX: usize = 4;

pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

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
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended: dropped, it hands back what it has not begun to send.
    connection: Option<Connection<Stream, Full<Bytes>>>,
    turn: Arc<Turn>,
    /// Of `turn`.
    waker: Waker,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("place", &self.place)
            .field("has_ended", &self.connection.is_none())
            .finish_non_exhaustive()
    }
}

/// Wakes who waits for a connection, but for what happens while it is polled, which is only noted: the connection would
/// wake its own call for each piece that it hands over.
#[derive(Debug, Default)]
struct Turn {
    waiting: AtomicWaker,
    is_polled: AtomicBool,
    was_woken: AtomicBool,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order, and that of `end`: one of both sees it.
        self.was_woken.store(true, Ordering::SeqCst);
        if !self.is_polled.load(Ordering::SeqCst) {
            self.waiting.wake();
        }
    }
}

impl Turn {
    fn begin(&self, waker: &Waker) {
        self.waiting.register(waker);
        self.is_polled.store(true, Ordering::SeqCst);
    }

    fn was_woken(&self) -> bool {
        self.was_woken.swap(false, Ordering::SeqCst)
    }

    fn end(&self) -> bool {
        self.is_polled.store(false, Ordering::SeqCst);
        self.was_woken()
    }
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: hyper::Error,
    /// The request, if nothing of it was written.
    pub(super) request: Option<Request<Full<Bytes>>>,
}

impl Line {
    /// Begins to speak HTTP/1.1 on a stream.
    pub(super) async fn begin(place: Place, stream: Stream) -> Result<Box<Self>, hyper::Error> {
        let (sender, connection) = http1::handshake(stream).await?;
        let turn = Arc::new(Turn::default());
        let waker = Waker::from(turn.clone());
        Ok(Box::new(Self { place, sender, connection: Some(connection), turn, waker }))
    }

    /// Sends a request and awaits the head of its answer.
    pub(super) async fn ask(
        mut self: Box<Self>,
        request: Request<Full<Bytes>>,
        pool: &Arc<Pool>,
    ) -> Result<Response<AnswerBody>, Unanswered> {
        let mut head = pin!(self.sender.try_send_request(request));
        let answered = poll_fn(|cx| self.poll(cx, |cx| head.as_mut().poll(cx))).await;
        match answered {
            Ok(answer) => Ok(answer.map(|body| AnswerBody { body, line: Some(self), pool: pool.clone() })),
            Err(mut failed) => {
                let request = failed.take_message();
                Err(Unanswered { error: failed.into_error(), request })
            }
        }
    }

    /// Moves the connection, and then asks for what is `wanted` of it.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.turn.begin(cx.waker());
        let mut inside = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS_MAX {
            self.turn.was_woken();
            // How it ended is told to who waits for it.
            let _ended =
                self.connection.take_if(|connection| Pin::new(connection).poll(&mut inside).is_ready());
            if let Poll::Ready(found) = wanted(&mut inside) {
                self.turn.end();
                return Poll::Ready(found);
            }
            if !self.turn.was_woken.load(Ordering::SeqCst) {
                break;
            }
        }
        if self.turn.end() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// The body of an answer, with its connection until its end.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: Incoming,
    line: Option<Box<Line>>,
    pool: Arc<Pool>,
}

impl AnswerBody {
    /// Nothing of the answer is left on the connection.
    fn give_back(&mut self) {
        if let Some(line) = self.line.take().filter(|line| line.sender.is_ready()) {
            self.pool.give(line);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, line, .. } = &mut *self;
        let Some(line) = line else { return Pin::new(body).poll_frame(cx) };
        let frame = ready!(line.poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx)));
        if frame.is_none() {
            self.give_back();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
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

    fn give(self: &Arc<Self>, line: Box<Line>) {
        // It would keep the memory of a task that may have ended, and wake it when the other end closes.
        drop(line.turn.waiting.take());
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
