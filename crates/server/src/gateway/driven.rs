//! A call that is driven by the response it feeds, and outlives it.
//!
//! Once credits are held a call must run to its end, whether or not its client waits. A task for each call would do
//! that at the price of a spawn and a wake-up for every piece of a stream. Instead the call's future lives in the
//! response body and is polled where hyper asks for the next frame; only when the response is dropped before the
//! call has ended, the future is handed to the supervisor and goes on there.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use creel_control::tasks::Tasks;
use futures_util::FutureExt;
use http::Response;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::capture::Tap;
use crate::http::cork;

/// Pieces that wait between the upstream and the client.
const PIECES_MAX: usize = 4;

/// The answer broke off; the client's connection is cut so that it cannot be taken for whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's answer broke off")]
pub struct BrokenOff;

enum Piece {
    Head(Box<Response<()>>),
    Data(Bytes),
    BrokenOff,
}

/// What the call has said and the client has not got yet.
///
/// It has no wakers, unlike a channel: whoever wants a piece and finds none polls the call itself, and a call that finds
/// no room is polled again when there is. A channel would wake the connection for each piece that it is polled for.
#[derive(Default)]
struct Pieces {
    waiting: VecDeque<Piece>,
    /// The client has gone.
    is_closed: bool,
}

type Shared = Arc<Mutex<Pieces>>;

fn lock(pieces: &Shared) -> MutexGuard<'_, Pieces> {
    pieces.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client's end as the call sees it. After the client has gone every method returns [`Gone`].
pub(crate) struct Reply {
    pieces: Shared,
    /// Of a call whose content is captured.
    tap: Option<Arc<Tap>>,
}

/// The client does not wait any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Reply {
    /// The client has gone.
    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.pieces).is_closed
    }

    async fn send(&self, piece: Piece) -> Result<(), Gone> {
        let mut piece = Some(piece);
        poll_fn(|_| {
            let mut pieces = lock(&self.pieces);
            if pieces.is_closed {
                return Poll::Ready(Err(Gone));
            }
            if pieces.waiting.len() >= PIECES_MAX {
                return Poll::Pending;
            }
            pieces.waiting.extend(piece.take());
            Poll::Ready(Ok(()))
        })
        .await
    }

    pub(crate) async fn head(&self, head: Response<()>) -> Result<(), Gone> {
        self.send(Piece::Head(Box::new(head))).await
    }

    pub(crate) async fn data(&self, bytes: Bytes) -> Result<(), Gone> {
        if let Some(tap) = &self.tap {
            tap.answer(&bytes);
        }
        self.send(Piece::Data(bytes)).await
    }

    /// Cuts the client's connection.
    pub(crate) async fn broken_off(&self) -> Result<(), Gone> {
        self.send(Piece::BrokenOff).await
    }

    pub(crate) async fn whole(&self, response: Response<Bytes>) -> Result<(), Gone> {
        let (parts, body) = response.into_parts();
        self.head(Response::from_parts(parts, ())).await?;
        self.data(body).await
    }
}

/// The body of every response of the gateway.
#[derive(Debug)]
pub enum GatewayBody {
    /// Known in full.
    Whole(Full<Bytes>),
    /// Fed by a call.
    Driven(Driven),
}

/// A call with the pieces of its answer.
pub struct Driven {
    call: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pieces: Shared,
    /// The next frame is [`BrokenOff`].
    breaks_off: bool,
    tasks: Tasks,
}

impl std::fmt::Debug for Driven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driven").field("ended", &self.call.is_none()).finish_non_exhaustive()
    }
}

impl Driven {
    /// Runs `call` until it has told its head, and returns that with the rest as body; `None` if it ended without.
    pub(crate) async fn respond<F>(
        tasks: Tasks,
        tap: Option<Arc<Tap>>,
        call: impl FnOnce(Reply) -> F,
    ) -> Option<Response<GatewayBody>>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let pieces = Shared::default();
        let reply = Reply { pieces: pieces.clone(), tap };
        let mut driven = Self { call: Some(Box::pin(call(reply))), pieces, breaks_off: false, tasks };
        match poll_fn(|cx| driven.poll_piece(cx)).await {
            Some(Piece::Head(head)) => Some(head.map(|()| GatewayBody::Driven(driven))),
            Some(Piece::Data(_) | Piece::BrokenOff) | None => None,
        }
    }

    fn take_piece(&self) -> Option<Piece> {
        lock(&self.pieces).waiting.pop_front()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        if let Some(piece) = self.take_piece() {
            return Poll::Ready(Some(piece));
        }
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        if call.as_mut().poll(cx).is_ready() {
            self.call = None;
        }
        match self.take_piece() {
            None if self.call.is_some() => Poll::Pending,
            piece => Poll::Ready(piece),
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        // Closed before the call runs on, so that it learns at once that nobody waits.
        {
            let mut pieces = lock(&self.pieces);
            pieces.is_closed = true;
            pieces.waiting.clear();
        }
        // Without a runtime the process is at its end; the ledger's sweeper settles what is held.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.tasks.spawn("gateway.call", call.map(|()| cork::drop_left()));
        }
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Whole(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            Self::Driven(driven) if driven.breaks_off => Poll::Ready(Some(Err(BrokenOff))),
            Self::Driven(driven) => match driven.poll_piece(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Piece::Data(bytes))) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Poll::Ready(Some(Piece::BrokenOff | Piece::Head(_))) => {
                    // hyper writes what it was given once it has to wait, and not before it is told of a failure.
                    driven.breaks_off = true;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Ready(None) => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(full) => full.is_end_stream(),
            Self::Driven(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            Self::Driven(_) => SizeHint::default(),
        }
    }
}
