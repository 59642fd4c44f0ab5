//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them until the process is told to stop.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use creel_control::id_gen::IdGen;
use creel_control::tasks::Tasks;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::cork::{Before, Corked};
use super::lanes::Lanes;
use super::refusals::Refusals;
use super::{CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_READ_DEADLINE, TLS_DEADLINE};
use crate::gateway::stall::WriteStall;

/// Pause after a failed accept: it fails again at once while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may be open without a request; longer than it may take to send one's head.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(15);
/// How long a client may not read what is written to it.
const WRITE_STALL_MAX: Duration = Duration::from_secs(60);
const HTTP2_STREAMS_MAX: u32 = 256;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);

/// The other end of a connection, as an extension of each request on it, but for connections on lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// A bound port.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    address: SocketAddr,
}

impl Listener {
    /// Takes the port; connections wait until [`serve`].
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> std::io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        Ok(Self { tcp, tls, address })
    }

    /// Where it listens, such as `http://127.0.0.1:8080`.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// Serves connections as tasks of `tasks` until it is told to stop; requests that run then are finished first.
pub(crate) fn serve<S>(listener: Listener, service: S, ids: &IdGen, tasks: &Tasks, name: &'static str)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let Listener { tcp, tls, .. } = listener;
    let (stop, tls) = (tasks.cancelled(), tls.map(TlsAcceptor::from));
    let (connections, ids) = (tasks.clone(), ids.clone());
    tasks.spawn(name, async move {
        let serve = |stream, peer, place: OwnedSemaphorePermit| {
            let (service, tls, ids, stop) =
                (service.clone(), tls.clone(), ids.clone(), connections.cancelled());
            connections.spawn(name, async move {
                serve_stream(stream, Some(peer), tls, service, ids, stop).await;
                drop(place);
            });
        };
        stop.run_until_cancelled(accept(tcp, serve)).await;
    });
}

/// As [`serve`], with connections on threads of their own, where `before` is done before what a turn writes is sent. Requests do
/// not have their [`PeerAddress`]: nobody asks for it there, and it costs each of them a map.
///
/// # Errors
/// If these cannot be started.
pub(crate) fn serve_on_lanes<S>(
    listener: Listener,
    service: S,
    ids: &IdGen,
    tasks: &Tasks,
    before: &Before,
    name: &'static str,
) -> std::io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let Listener { tcp, tls, .. } = listener;
    let (stop, ids, tls) = (tasks.cancelled(), ids.clone(), tls.map(TlsAcceptor::from));
    let stop_each = stop.clone();
    let mut lanes = Lanes::start(tasks, before, name, move |stream, place| {
        let (service, tls, ids, stop) = (service.clone(), tls.clone(), ids.clone(), stop_each.clone());
        async move {
            serve_stream(stream, None, tls, service, ids, stop).await;
            drop::<OwnedSemaphorePermit>(place);
        }
    })?;
    tasks.spawn(name, async move {
        let give = |stream, _peer, place| {
            if let Err(error) = lanes.give(stream, place) {
                tracing::warn!(error = %error, "a connection could not be served");
            }
        };
        stop.run_until_cancelled(accept(tcp, give)).await;
    });
    Ok(())
}

/// Gives each connection to `serve`, with its place among those that may be open.
async fn accept(tcp: TcpListener, mut serve: impl FnMut(TcpStream, PeerAddress, OwnedSemaphorePermit)) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, peer) = match tcp.accept().await {
            Ok((stream, peer)) => (stream, PeerAddress(peer.ip())),
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        serve(stream, peer, place);
    }
}

async fn serve_stream<S>(
    stream: TcpStream,
    peer: Option<PeerAddress>,
    tls: Option<TlsAcceptor>,
    service: S,
    ids: IdGen,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    // Answers are small and written whole: waiting to fill a packet would only delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = Corked::to_client(stream);
    let Some(tls) = tls else { return serve_http(stream, peer, service, ids, stop).await };
    if let Ok(Ok(stream)) = tokio::time::timeout(TLS_DEADLINE, tls.accept(stream)).await {
        serve_http(stream, peer, service, ids, stop).await;
    }
}

/// What ends a connection from here.
enum Rare {
    Stopping,
    /// It has been open for as long as it may be without a request: hyper's own deadline begins with the version of HTTP,
    /// which a silent client never tells.
    Watched,
}

async fn serve_http<S, I>(
    stream: I,
    peer: Option<PeerAddress>,
    service: S,
    ids: IdGen,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_READ_DEADLINE)
        .max_buf_size(HEAD_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING_INTERVAL);
    let io = TokioIo::new(Refusals::new(WriteStall::new(stream, WRITE_STALL_MAX), ids));
    let asked = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        service.call(request)
    });
    let connection = builder.serve_connection_with_upgrades(io, service);
    let mut connection = std::pin::pin!(connection);
    // Polled only once they are due, unlike branches of their own: the connection is woken for every piece of every call.
    let mut rare: FuturesUnordered<BoxFuture<'_, Rare>> = FuturesUnordered::new();
    rare.push(Box::pin(stop.cancelled().map(|()| Rare::Stopping)));
    rare.push(Box::pin(tokio::time::sleep(FIRST_REQUEST_DEADLINE).map(|()| Rare::Watched)));
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            Some(rare) = rare.next() => match rare {
                Rare::Stopping => connection.as_mut().graceful_shutdown(),
                Rare::Watched if asked.load(Ordering::Relaxed) => {}
                Rare::Watched => return,
            },
        }
    };
    if let Err(error) = ended {
        // Its text is about the protocol, never about a request's content.
        tracing::debug!(error = %error, "a connection ended early");
    }
}
