//! The gateway between agents and model providers: `/v1/…` on the agent listener, for clients of OpenAI's and of
//! Anthropic's dialects.
//!
//! A call: virtual key → agent and its models → route → reserve an upper bound → upstream → stream out and meter →
//! settle. A provider of the caller's dialect is asked in it, byte for byte; for another the call is converted, or
//! refused before anything is reserved. The body of a request is read once and held; that of an answer is not, but
//! where it must be converted as a whole. Nothing here logs addresses,
//! headers or bodies of requests. The real key exists in the header of the upstream request only.
//!
//! Callers: the agent listener, which mounts [`Gateway::handle`] under `/v1/`. It must limit heads (hyper's
//! `max_headers`, `header_read_timeout`) and wrap its connections in [`stall::WriteStall`], for a client that stops
//! reading stops the call that feeds it.

mod attempt;
mod call;
mod capture;
mod counter;
mod deadline;
mod driven;
mod endpoint;
mod fault;
mod health;
mod models;
pub mod observe;
mod pool;
pub mod ports;
mod refusal;
mod relay;
mod routing;
mod smart;
pub mod stall;
mod upstream;
mod upstream_error;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use creel_control::clock::Clock;
use creel_control::id_gen::IdGen;
use creel_control::tasks::Tasks;
use creel_llm::dialect::Dialect;
use creel_llm::request::Request as Asked;
use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use tokio::time::Instant;

use attempt::Trail;
use call::Call;
pub use capture::Capture;
use counter::Counter;
use deadline::Deadline;
pub use driven::{BrokenOff, Driven, GatewayBody};
use endpoint::Endpoint;
use observe::{Observer, Outcome};
use ports::{AgentAccess, Billing, Directory, KeyHash, Resolution, Route, Upstream, Way};
use refusal::{Denial, Problem};
use smart::Plan;
pub(crate) use upstream::UpstreamClient;

/// Within which provider of the group a bare model code is meant.
const PROVIDER_HEADER: &str = "x-creel-provider";
const NO_SUCH_PATH: &str = "There is no such path. Use /v1/chat/completions, /v1/responses, /v1/embeddings, \
    /v1/messages, /v1/messages/count_tokens or /v1/models.";

/// Bounds of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body, in bytes.
    pub body_bytes_max: usize,
    /// Longest silence while a request body comes in.
    pub body_silence_max: Duration,
    /// Longest time to connect to an upstream.
    pub connect_max: Duration,
    /// Longest wait for the head of an answer.
    pub first_byte_max: Duration,
    /// Longest silence within an answer.
    pub silence_max: Duration,
    /// Longest answer.
    pub call_max: Duration,
    /// How much of an answer is read after its client has gone, to learn the usage.
    pub drain_bytes_max: usize,
    /// For how long.
    pub drain_max: Duration,
    /// How long a target is left alone before its second try in a call; before the third twice as long.
    pub again_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 20 << 20,
            body_silence_max: Duration::from_secs(30),
            connect_max: Duration::from_secs(10),
            first_byte_max: Duration::from_secs(300),
            silence_max: Duration::from_secs(120),
            call_max: Duration::from_secs(3_600),
            drain_bytes_max: 8 << 20,
            drain_max: Duration::from_secs(60),
            again_after: Duration::from_millis(200),
        }
    }
}

/// The gateway of one process.
#[derive(Debug)]
pub struct Gateway<B: Billing> {
    directory: Arc<Directory>,
    billing: B,
    upstream: UpstreamClient,
    counter: Counter,
    tasks: Tasks,
    ids: IdGen,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// Where what happens is told.
    pub(crate) observer: Arc<Observer>,
    /// Picks of a target so far.
    turns: AtomicU64,
}

impl<B: Billing> Gateway<B> {
    /// A gateway; `tasks` takes over calls whose clients have gone, and must be awaited at shutdown. Fails where no
    /// TLS client can be made.
    pub fn new(
        directory: Arc<Directory>,
        billing: B,
        tasks: Tasks,
        clock: Arc<dyn Clock>,
        limits: Limits,
        observer: Arc<Observer>,
    ) -> Result<Self, rustls::Error> {
        let upstream = UpstreamClient::on_lanes(limits.connect_max)?;
        let ids = IdGen::new(clock.clone());
        let (counter, turns) = (Counter::new(), AtomicU64::new(0));
        Ok(Self { directory, billing, upstream, counter, tasks, ids, clock, limits, observer, turns })
    }

    /// Answers one request whose path begins with `/v1/`.
    pub async fn handle<R>(self: Arc<Self>, request: Request<R>) -> Response<GatewayBody>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        let (path, headers) = (request.uri().path(), request.headers());
        let Some(endpoint) = Endpoint::of(path) else {
            let problem = Problem::invalid(StatusCode::NOT_FOUND, "unknown_url", NO_SUCH_PATH);
            return whole(problem.response(endpoint::dialect(path, headers)));
        };
        if request.method() != endpoint.method() {
            let text = "This path does not take this method.";
            let problem = Problem::invalid(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text);
            return whole(problem.response(endpoint::dialect(path, headers)));
        }
        match endpoint {
            Endpoint::Ask(dialect) => match self.ask(dialect, request).await {
                Ok(response) => response,
                Err(response) => whole(*response),
            },
            Endpoint::Models | Endpoint::Model(_) => {
                let dialect = endpoint::dialect(path, headers);
                let shown = self.authenticate(headers).and_then(|access| match endpoint {
                    Endpoint::Model(name) => models::one(|name| route(&access, name, headers), name, dialect),
                    _ => Ok(models::list(&access, dialect)),
                });
                whole(shown.unwrap_or_else(|problem| problem.response(dialect)))
            }
        }
    }

    async fn ask<R>(
        self: &Arc<Self>,
        dialect: Dialect,
        request: Request<R>,
    ) -> Result<Response<GatewayBody>, Refused>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        let access = self.authenticate(request.headers()).map_err(|problem| {
            self.observer.unauthenticated();
            Box::new(problem.response(dialect))
        })?;
        let (parts, body) = request.into_parts();
        let id = self.ids.call();
        let watch = self.observer.begin(&access, &id, dialect, &parts.headers, &*self.clock);
        let told = |problem: Problem| {
            watch.refused(problem.code());
            Box::new(problem.response(dialect))
        };
        let body = self.read_body(&parts.headers, body, watch.begun()).await.map_err(told)?;
        let trail = Trail::begin();
        let request = Asked::read(dialect, &body).map_err(|error| {
            let problem = Problem::invalid(StatusCode::BAD_REQUEST, "invalid_request", format!("{error}."));
            told(problem.about(error.param()))
        })?;
        watch.asked(body.len(), request.stream());
        let created_s = self.clock.now().as_second();
        let body_bytes = body.len() as u64;
        let planned = route(&access, request.model(), &parts.headers)
            .and_then(|route| smart::plan(route, &request, body_bytes));
        let Plan { route, way, rest, is_smart } = planned.map_err(|denial| {
            watch.refused(denial.code());
            Box::new(call::deny(&access, denial, &id, created_s, &request))
        })?;
        let upstream = match way {
            Way::Sent(dialect) => dialect,
            Way::Counted => {
                watch.routed(&route, dialect);
                let counted = self.counter.answer(route.model.code.clone(), body).await.map_err(told)?;
                watch.sent(counted.body().len());
                watch.ended(Outcome::Answered);
                return Ok(whole(counted));
            }
        };
        let tap = access.capture.and_then(|terms| {
            let now_ms = self.clock.now_ms();
            self.observer.capture.as_ref()?.begin(terms, &access, &id, &route.model.code, &body, now_ms)
        });
        let (gateway, headers) = (self.clone(), parts.headers);
        // Boxed here: it goes through several hands before its future stands still.
        let call = Box::new(Call {
            gateway,
            id,
            access,
            route,
            rest,
            is_smart,
            upstream,
            request,
            headers,
            body,
            body_bytes,
            created_s,
            trail,
            watch,
        });
        let answer = Driven::respond(self.tasks.clone(), tap, |reply| call.run(reply)).await;
        answer.ok_or_else(|| {
            let text = "The gateway failed. Try again.";
            let problem = Problem::unavailable(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", text);
            Box::new(problem.response(dialect))
        })
    }

    /// A number for a pick, another each time; where there is nothing to pick from, any will do.
    fn turn(&self, upstream: &Upstream) -> u64 {
        if upstream.targets().len() > 1 { self.turns.fetch_add(1, Ordering::Relaxed) } else { 0 }
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<AgentAccess>, Problem> {
        if !self.directory.is_loaded() {
            let text = "The gateway is starting. Try again in a moment.";
            return Err(Problem::unavailable(StatusCode::SERVICE_UNAVAILABLE, "starting", text));
        }
        let access = endpoint::keys(headers).find_map(|key| self.directory.lookup(&KeyHash::of(key)));
        access.ok_or_else(|| {
            let text = "The API key is not valid: it is unknown here or was revoked.";
            Problem::invalid(StatusCode::UNAUTHORIZED, "invalid_api_key", text)
        })
    }

    async fn read_body<R>(&self, headers: &HeaderMap, mut body: R, begun: Instant) -> Result<Bytes, Problem>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        let bytes_max = self.limits.body_bytes_max;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > bytes_max) {
            return Err(too_large());
        }
        let (silence_max, total) = (self.limits.body_silence_max, self.limits.first_byte_max);
        let mut deadline = Deadline::new(begun, silence_max, total);
        let mut first = Bytes::new();
        let mut gathered = BytesMut::new();
        loop {
            let frame = match deadline.guard(body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(incomplete(StatusCode::BAD_REQUEST)),
                Err(_) => return Err(incomplete(StatusCode::REQUEST_TIMEOUT)),
            };
            let Ok(chunk) = frame.into_data() else { continue };
            if first.len() + gathered.len() + chunk.len() > bytes_max {
                return Err(too_large());
            }
            if first.is_empty() && gathered.is_empty() {
                first = chunk;
                continue;
            }
            if gathered.is_empty() {
                gathered.reserve(length.unwrap_or(2 * first.len() + chunk.len()));
                gathered.extend_from_slice(&first);
                first = Bytes::new();
            }
            gathered.extend_from_slice(&chunk);
        }
        Ok(if gathered.is_empty() { first } else { gathered.freeze() })
    }
}

/// An answer instead of a call; boxed, for it is the rare case.
type Refused = Box<Response<Bytes>>;

fn too_large() -> Problem {
    let text = "The request body is larger than this gateway takes.";
    Problem::invalid(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text)
}

fn incomplete(status: StatusCode) -> Problem {
    Problem::invalid(status, "incomplete_request", "The request body did not arrive in full.")
}

fn whole(response: Response<Bytes>) -> Response<GatewayBody> {
    response.map(|body| GatewayBody::Whole(Full::new(body)))
}

fn route(access: &AgentAccess, model: &str, headers: &HeaderMap) -> Result<Route, Denial> {
    let group = access.group.as_ref().ok_or(Denial::NoGroup)?;
    // A name that is not text cannot be that of a provider.
    let provider = headers.get(PROVIDER_HEADER).map(|value| value.to_str().unwrap_or_default());
    match group.resolve(model, provider) {
        Resolution::Found(route) => Ok(route),
        Resolution::NotInGroup => Err(Denial::ModelNotInGroup),
        Resolution::Ambiguous => Err(Denial::ModelAmbiguous),
    }
}
