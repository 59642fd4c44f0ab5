//! The client side: one pooled HTTP/1 client for all upstreams, and which headers pass in each direction.
//!
//! Both directions name what passes; everything else stays here, so no credential, cookie or hop-by-hop header of
//! either side can reach the other by being unknown to us.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use creel_llm::dialect::Dialect;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::endpoint::ANTHROPIC_VERSION;
use crate::http::lanes;

/// Idle connections kept in each pool for each upstream.
const POOL_IDLE_MAX: usize = 256;
/// How long each is kept; shorter than the idle limits of common load balancers.
const POOL_IDLE: Duration = Duration::from_secs(50);

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
pub(crate) type SendError = hyper_util::client::legacy::Error;

/// Calls upstreams. Cloning shares the pools: one for each lane, since a connection lives on the thread that made it, and
/// one for everybody else.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamClient(Arc<[Client<HttpsConnector<HttpConnector>, Full<Bytes>>]>);

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
        let https = builder.https_or_http().enable_http1().wrap_connector(http);
        let client = || {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(POOL_IDLE_MAX)
                .build(https.clone())
        };
        Ok(Self((0..pools).map(|_| client()).collect()))
    }

    /// Sends a request; a connection that turns out to be closed before anything was written to it is replaced.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        let pools = &self.0;
        #[expect(clippy::indexing_slicing, reason = "there is at least one, and the number is below theirs")]
        pools[lanes::current() % pools.len()].request(request).await
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
