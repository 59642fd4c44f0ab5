//! A call that is driven by the response it feeds, and outlives it.
//!
//! Once credits are held a call must run to its end, whether or not its client waits. A task for each call would do
//! that at the price of a spawn and a wake-up for every piece of a stream. Instead the call's future lives in the
//! response body and is polled where hyper asks for the next frame; only when the response is dropped before the
//! call has ended, the future is handed to the supervisor and goes on there.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use creel_control::tasks::Tasks;
use http::Response;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::capture::Tap;

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

/// The client's end as the call sees it. After the client has gone every method returns [`Gone`].
#[derive(Clone)]
pub(crate) struct Reply {
    pieces: mpsc::Sender<Piece>,
    /// Of a call whose content is captured.
    tap: Option<Arc<Tap>>,
}

/// The client does not wait any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Reply {
    /// The client has gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.pieces.is_closed()
    }

    async fn send(&self, piece: Piece) -> Result<(), Gone> {
        self.pieces.send(piece).await.map_err(|_| Gone)
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
    pieces: mpsc::Receiver<Piece>,
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
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let call: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(call(Reply { pieces: sender, tap }));
        let mut driven = Self { call: Some(call), pieces, breaks_off: false, tasks };
        match poll_fn(|cx| driven.poll_piece(cx)).await {
            Some(Piece::Head(head)) => Some(head.map(|()| GatewayBody::Driven(driven))),
            Some(Piece::Data(_) | Piece::BrokenOff) | None => None,
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        if let Poll::Ready(piece) = self.pieces.poll_recv(cx) {
            return Poll::Ready(piece);
        }
        let Some(call) = &mut self.call else { return Poll::Pending };
        if call.as_mut().poll(cx).is_ready() {
            self.call = None;
        }
        self.pieces.poll_recv(cx)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        // Closed before the call runs on, so that it learns at once that nobody waits.
        self.pieces.close();
        // Without a runtime the process is at its end; the ledger's sweeper settles what is held.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.tasks.spawn("gateway.call", call);
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
