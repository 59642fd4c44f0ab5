//! The client side: one pooled HTTP/1.1 client for all upstreams, and which headers pass in each direction.
//!
//! Both directions name what passes; everything else stays here, so no credential, cookie or hop-by-hop header of
//! either side can reach the other by being unknown to us.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use creel_llm::dialect::Dialect;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::ServiceExt;
use tower::util::MapResponse;

use super::endpoint::ANTHROPIC_VERSION;
use super::pool::{AnswerBody, Line, LineError, Place, Pool, Unanswered};
use crate::http::cork::{Corked, Unrecorded};
use crate::http::lanes;

/// Headers of a request that the upstream gets to see.
const REQUEST_HEADERS: [HeaderName; 3] = [header::ACCEPT, header::USER_AGENT, TRACEPARENT];
/// Names the span that a request belongs to.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Headers that change the meaning of a request in one of Anthropic's dialects.
const ANTHROPIC_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static(ANTHROPIC_VERSION), HeaderName::from_static("anthropic-beta")];
/// The version of Anthropic's API that requests speak whose client does not say; conversions are made for it.
const ANTHROPIC_VERSION_DEFAULT: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Headers of an answer that the client gets to see, besides its length where that stays.
const ANSWER_HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
];

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("the address names no host")]
    NoHost,
    #[error("no connection could be made")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the connection failed")]
    Connection(#[source] LineError),
}

/// Calls upstreams. Cloning shares the pools: one for each lane, since a connection lives on the thread that made it, and
/// one for everybody else.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamClient {
    connector: HttpsConnector<Corking>,
    pools: Arc<[Arc<Pool>]>,
}

type Corking = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> TokioIo<Corked>>;

fn cork(stream: TokioIo<TcpStream>) -> TokioIo<Corked> {
    TokioIo::new(Corked::to_upstream(stream.into_inner()))
}

impl UpstreamClient {
    /// A client whose connections must stand within `connect_max`. It trusts the system's certificate authorities
    /// and the ones compiled in.
    pub(crate) fn new(connect_max: Duration) -> Result<Self, rustls::Error> {
        Self::with_pools(connect_max, 1)
    }

    /// A client for calls that may come from [`lanes`].
    pub(crate) fn on_lanes(connect_max: Duration) -> Result<Self, rustls::Error> {
        Self::with_pools(connect_max, 1 + lanes::count())
    }

    fn with_pools(connect_max: Duration, pools: usize) -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(connect_max));
        http.set_nodelay(true);
        http.enforce_http(false);
        let provider = rustls::crypto::ring::default_provider();
        let builder = match HttpsConnectorBuilder::new().with_provider_and_native_roots(provider.clone()) {
            Ok(builder) => builder,
            Err(_) => HttpsConnectorBuilder::new().with_provider_and_webpki_roots(provider)?,
        };
        let connector =
            builder.https_or_http().enable_http1().wrap_connector(MapResponse::new(http, cork as fn(_) -> _));
        Ok(Self { connector, pools: (0..pools).map(|_| Arc::default()).collect() })
    }

    /// Sends a request to the absolute address in it; a connection that turns out to be closed before anything was
    /// written to it is replaced.
    pub(crate) fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, SendError>> + Send {
        #[expect(clippy::indexing_slicing, reason = "there is at least one, and the number is below theirs")]
        let pool = &self.pools[lanes::current() % self.pools.len()];
        let (head, body) = request.into_parts();
        let body = body.into_inner().unwrap_or_default();
        let place = head.uri.scheme().cloned().zip(head.uri.authority().cloned()).ok_or(SendError::NoHost);
        // Taken apart before, so that the future has the parts alone.
        async move {
            let place = place?;
            loop {
                let (line, is_new) = match pool.take(&place) {
                    Some(line) => (line, false),
                    // Boxed, for it is the rare case, and large.
                    None => (Box::pin(self.connect(place.clone())).await?, true),
                };
                match line.ask(&head, body.clone(), pool).await {
                    Err(unanswered) if !is_new && !unanswered.is_written => {}
                    answered => return answered.map_err(SendError::from),
                }
            }
        }
    }

    async fn connect(&self, place: Place) -> Result<Box<Line>, SendError> {
        let (scheme, authority) = place.clone();
        let address = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        let address = address.map_err(|_| SendError::NoHost)?;
        let stream = self.connector.clone().oneshot(address).await.map_err(SendError::Connect)?;
        Ok(Line::new(place, TokioIo::new(stream)))
    }
}

impl SendError {
    /// Nothing was sent, for what is held for the call is not on record.
    pub(super) fn is_unrecorded(&self) -> bool {
        matches!(self, Self::Connection(LineError::Io(error)) if Unrecorded::is_cause_of(error))
    }
}

impl From<Unanswered> for SendError {
    fn from(unanswered: Unanswered) -> Self {
        Self::Connection(unanswered.error)
    }
}

/// What goes to an upstream.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) uri: Uri,
    /// The client's.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) client: Dialect,
    pub(crate) upstream: Dialect,
    /// The provider's.
    pub(crate) credentials: Option<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// The upstream request.
pub(crate) fn request(outgoing: Outgoing<'_>) -> Request<Full<Bytes>> {
    let from = outgoing.headers;
    let mut request = Request::new(Full::new(outgoing.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = outgoing.uri;
    let headers = request.headers_mut();
    copy(from, headers, &REQUEST_HEADERS);
    // Means nothing without the other.
    if from.contains_key("traceparent") {
        copy(from, headers, &[TRACESTATE]);
    }
    if outgoing.upstream.is_anthropic() {
        if outgoing.client.is_anthropic() {
            copy(from, headers, &ANTHROPIC_HEADERS);
        }
        headers.entry(ANTHROPIC_VERSION).or_insert(ANTHROPIC_VERSION_DEFAULT);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some((name, value)) = outgoing.credentials {
        headers.insert(name, value);
    }
    request
}

/// The head of an answer as the client sees it, without its length.
pub(crate) fn answer_head(from: &http::response::Parts) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = from.status;
    copy(&from.headers, head.headers_mut(), &ANSWER_HEADERS);
    head
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name.clone(), value.clone());
        }
    }
}
