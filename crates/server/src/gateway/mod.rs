//! The gateway between agents and model providers: `/v1/chat/completions` and `/v1/models` on the agent listener.
//!
//! A call: virtual key → agent and its models → route → reserve an upper bound → upstream → stream out and meter →
//! settle. The body of a request is read once and held; that of an answer never is. Nothing here logs addresses,
//! headers or bodies of requests. The real key exists in the header of the upstream request only.
//!
//! Callers: the agent listener, which mounts [`Gateway::handle`] under `/v1/`. It must limit heads (hyper's
//! `max_headers`, `header_read_timeout`) and wrap its connections in [`stall::WriteStall`], for a client that stops
//! reading stops the call that feeds it.

mod call;
mod deadline;
mod driven;
mod meter;
pub mod ports;
mod refusal;
pub mod stall;
mod upstream;
mod upstream_error;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use creel_control::clock::Clock;
use creel_control::id_gen::IdGen;
use creel_control::tasks::Tasks;
use creel_llm::openai::chat::ChatRequest;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;

use call::Call;
use deadline::Deadline;
pub use driven::{BrokenOff, Driven, GatewayBody};
use ports::{AgentAccess, Billing, Directory, KeyHash, Resolution, Route};
use refusal::Denial;
use upstream::UpstreamClient;

/// Within which provider of the group a bare model code is meant.
const PROVIDER_HEADER: &str = "x-creel-provider";

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
        }
    }
}

/// The gateway of one process.
#[derive(Debug)]
pub struct Gateway<B: Billing> {
    directory: Arc<Directory>,
    billing: B,
    upstream: UpstreamClient,
    tasks: Tasks,
    ids: IdGen,
    clock: Arc<dyn Clock>,
    limits: Limits,
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
    ) -> Result<Self, rustls::Error> {
        let upstream = UpstreamClient::new(limits.connect_max)?;
        let ids = IdGen::new(clock.clone());
        Ok(Self { directory, billing, upstream, tasks, ids, clock, limits })
    }

    /// Answers one request whose path begins with `/v1/`.
    pub async fn handle<R>(self: &Arc<Self>, request: Request<R>) -> Response<GatewayBody>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        match (request.uri().path(), request.method()) {
            ("/v1/chat/completions", &Method::POST) => match self.chat(request).await {
                Ok(response) => response,
                Err(response) => whole(*response),
            },
            ("/v1/models", &Method::GET) => whole(match self.authenticate(request.headers()) {
                Ok(access) => models(&access),
                Err(response) => *response,
            }),
            ("/v1/chat/completions" | "/v1/models", _) => {
                let text = "This path does not take this method.";
                whole(refusal::invalid(StatusCode::METHOD_NOT_ALLOWED, text, None, "method_not_allowed"))
            }
            _ => {
                let text = "There is no such path. Use /v1/chat/completions or /v1/models.";
                whole(refusal::invalid(StatusCode::NOT_FOUND, text, None, "unknown_url"))
            }
        }
    }

    async fn chat<R>(self: &Arc<Self>, request: Request<R>) -> Result<Response<GatewayBody>, Refused>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        let access = self.authenticate(request.headers())?;
        let (parts, body) = request.into_parts();
        let body = self.read_body(&parts.headers, body).await?;
        let request = ChatRequest::read(&body).map_err(|error| {
            let text = format!("{error}.");
            Box::new(refusal::invalid(StatusCode::BAD_REQUEST, &text, error.param(), "invalid_request"))
        })?;
        let id = self.ids.call();
        let created_s = self.clock.now().as_second();
        let route = route(&access, request.model(), &parts.headers).map_err(|denial| {
            let form = call::form(&request);
            Box::new(call::deny(&access, denial, &id, created_s, request.model(), form))
        })?;
        let (gateway, headers, body_bytes) = (self.clone(), parts.headers, body.len() as u64);
        let call = Call { gateway, id, access, route, request, headers, body, body_bytes, created_s };
        let answer = Driven::respond(self.tasks.clone(), |reply| call.run(reply)).await;
        answer.ok_or_else(|| {
            let text = "The gateway failed. Try again.";
            Box::new(refusal::unavailable(StatusCode::INTERNAL_SERVER_ERROR, text, "internal_error"))
        })
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<AgentAccess>, Refused> {
        if !self.directory.is_loaded() {
            let text = "The gateway is starting. Try again in a moment.";
            let response = refusal::unavailable(StatusCode::SERVICE_UNAVAILABLE, text, "starting");
            return Err(Box::new(response));
        }
        let access = bearer(headers).and_then(|key| self.directory.lookup(&KeyHash::of(key)));
        access.ok_or_else(|| {
            let text = "The API key is not valid: it is unknown here or was revoked.";
            Box::new(refusal::invalid(StatusCode::UNAUTHORIZED, text, None, "invalid_api_key"))
        })
    }

    async fn read_body<R>(&self, headers: &HeaderMap, mut body: R) -> Result<Bytes, Refused>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        let bytes_max = self.limits.body_bytes_max;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > bytes_max) {
            return Err(too_large());
        }
        let mut deadline = Deadline::new(self.limits.body_silence_max, self.limits.first_byte_max);
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

fn too_large() -> Refused {
    let text = "The request body is larger than this gateway takes.";
    let mut response = refusal::invalid(StatusCode::PAYLOAD_TOO_LARGE, text, None, "request_too_large");
    // What was not read is not worth reading.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Box::new(response)
}

fn incomplete(status: StatusCode) -> Refused {
    Box::new(refusal::invalid(status, "The request body did not arrive in full.", None, "incomplete_request"))
}

fn whole(response: Response<Bytes>) -> Response<GatewayBody> {
    response.map(|body| GatewayBody::Whole(Full::new(body)))
}

/// The key behind `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
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

/// The models of the agent's group, in OpenAI's form.
fn models(access: &AgentAccess) -> Response<Bytes> {
    let data: Vec<_> = access
        .group
        .iter()
        .flat_map(|group| group.names())
        .map(|(name, provider)| {
            serde_json::json!({"id": name, "object": "model", "created": 0, "owned_by": provider})
        })
        .collect();
    let body = serde_json::json!({"object": "list", "data": data}).to_string();
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
