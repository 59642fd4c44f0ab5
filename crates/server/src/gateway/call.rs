//! One call from reservation to settlement.
//!
//! Invariant: from the moment credits are held this runs to its end, with or without its client (see
//! [`super::driven`]), and ends in exactly one settlement or release. The upstream is called only while credits are
//! held. An answer's last bytes, `[DONE]` of a stream, are sent after the settlement.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use creel_llm::openai::chat::{ChatRequest, Rewrite};
use creel_llm::openai::error::ErrorBody;
use creel_llm::price;
use creel_llm::usage::Usage;
use creel_wire::id::CallId;
use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tracing::{debug, error, warn};

use super::Gateway;
use super::deadline::Deadline;
use super::driven::{Gone, Reply};
use super::meter::Meter;
use super::ports::{AgentAccess, Billing, CallStart, KeyKind, Route, UsageSource};
use super::refusal::{self, Asked, Denial, Form};
use super::upstream;
use super::upstream_error::{self, Verdict};

/// Output limit assumed for bounds where neither the request nor the model has one.
const OUTPUT_TOKENS_DEFAULT: u64 = 32_768;
/// A limit that the remaining credits set is not lower than this: an answer cut earlier is of no use.
const OUTPUT_TOKENS_MIN: u64 = 1_024;
/// Most bytes of an upstream's error that are read.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// How long they may take.
const ERROR_MAX: Duration = Duration::from_secs(20);
/// After `[DONE]`, how long the upstream may take to end its answer before its connection is given up.
const AFTER_DONE_MAX: Duration = Duration::from_secs(2);

/// One call, ready to begin.
pub(crate) struct Call<B: Billing> {
    pub(crate) gateway: Arc<Gateway<B>>,
    pub(crate) id: CallId,
    pub(crate) access: Arc<AgentAccess>,
    pub(crate) route: Route,
    pub(crate) request: ChatRequest,
    pub(crate) headers: HeaderMap,
    /// Taken by the upstream request.
    pub(crate) body: Bytes,
    pub(crate) body_bytes: u64,
    pub(crate) created_s: i64,
}

/// How reading an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The upstream said all that it had to say.
    Whole,
    /// It broke off or fell silent.
    Broken,
    /// The client has gone and the bounds of draining are reached.
    Undrained,
}

impl<B: Billing> Call<B> {
    pub(crate) fn form(&self) -> Form {
        form(&self.request)
    }

    /// Runs the call. Whether the client still listens makes no difference to what is booked.
    pub(crate) async fn run(mut self, reply: Reply) {
        let (bound, clamp) = self.bound().await;
        let Ok(authorization) = self.route.provider.upstream.authorization() else {
            error!(
                provider.id = %self.route.provider.id,
                "the key of provider {} cannot be unsealed", self.route.provider.id
            );
            return self.deny(&reply, Denial::UpstreamCredentials).await;
        };
        let held = match self.gateway.billing.reserve(self.start(bound)).await {
            Ok(held) => held,
            Err(refusal) => return self.deny(&reply, Denial::Ledger(refusal)).await,
        };
        let rewrite = Rewrite {
            model: &self.route.model.code,
            output_tokens_max: clamp,
            output_field: self.route.provider.upstream.output_field,
        };
        // Taken, not copied: a stream may last an hour, and its request need not.
        let (headers, body) = (std::mem::take(&mut self.headers), std::mem::take(&mut self.body));
        let body = self.request.rewrite(&body, &rewrite).map_or(body, Bytes::from);
        let uri = self.route.provider.upstream.chat_uri.clone();
        let request = upstream::request(uri, &headers, authorization, body);
        drop(headers);
        let limits = &self.gateway.limits;
        let mut deadline = Deadline::new(limits.first_byte_max, limits.call_max);
        match deadline.guard(self.gateway.upstream.send(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => {
                deadline.set(limits.silence_max, limits.call_max);
                self.relay(answer, &reply, held, bound, deadline).await;
            }
            Ok(Ok(answer)) => {
                self.gateway.billing.release(held).await;
                self.pass_error(answer, &reply).await;
            }
            Ok(Err(cause)) => {
                self.gateway.billing.release(held).await;
                self.warn("could not be reached", &chain(&cause));
                let text = "The model provider cannot be reached.";
                let response = refusal::unavailable(StatusCode::BAD_GATEWAY, text, "upstream_unreachable");
                self.tell(&reply, response).await;
            }
            Err(_) => {
                self.gateway.billing.release(held).await;
                self.warn("did not begin to answer in time", "");
                let text = "The model provider did not answer in time.";
                let response = refusal::unavailable(StatusCode::GATEWAY_TIMEOUT, text, "upstream_timeout");
                self.tell(&reply, response).await;
            }
        }
    }

    /// The most this call is going to use, and the output limit that makes it so where the request's own is higher.
    async fn bound(&self) -> (Usage, Option<u64>) {
        let model = &self.route.model;
        let body_bytes = self.body_bytes;
        let answers = self.request.answers();
        let wanted = match (self.request.output_tokens_max(), model.output_tokens_max) {
            (Some(asked), Some(given)) => asked.min(given),
            (asked, given) => asked.or(given).unwrap_or(OUTPUT_TOKENS_DEFAULT),
        };
        let Some(card) = &model.card else {
            return (price::bound(body_bytes, wanted.saturating_mul(answers)), None);
        };
        let affordable = match self.gateway.billing.remaining(&self.start(Usage::default())).await {
            None => u64::MAX,
            Some(remaining) => card.affordable_output(remaining, body_bytes) / answers,
        };
        if affordable >= wanted {
            return (card.bound(body_bytes, wanted.saturating_mul(answers)), None);
        }
        let granted = affordable.max(OUTPUT_TOKENS_MIN).min(wanted);
        (card.bound(body_bytes, granted.saturating_mul(answers)), Some(granted))
    }

    fn start(&self, bound: Usage) -> CallStart {
        let provider = &self.route.provider;
        CallStart {
            call: self.id.clone(),
            account: self.access.account.clone(),
            runtime: self.access.runtime.clone(),
            provider: provider.id.clone(),
            provider_name: provider.name.clone(),
            model: self.route.model.code.clone(),
            card: self.route.model.card,
            billed: provider.billed,
            bound,
        }
    }

    async fn relay(
        &self,
        answer: Response<Incoming>,
        reply: &Reply,
        held: B::Held,
        bound: Usage,
        mut deadline: Deadline,
    ) {
        let (parts, mut body) = answer.into_parts();
        let is_stream = self.request.stream() && is_event_stream(&parts.headers);
        let mut head = upstream::answer_head(&parts);
        let mut meter = if is_stream {
            Meter::stream(!self.request.include_usage())
        } else {
            if let Some(length) = parts.headers.get(header::CONTENT_LENGTH) {
                head.headers_mut().insert(header::CONTENT_LENGTH, length.clone());
            }
            Meter::whole()
        };
        let mut client = reply.head(head).await;
        let end = self.read(&mut body, &mut meter, reply, &mut client, &mut deadline).await;
        meter.end();
        let (usage, source) = match meter.usage() {
            Some(usage) => (usage, UsageSource::Upstream),
            None => (meter.estimate(self.body_bytes, &bound), UsageSource::Estimated),
        };
        self.settle(held, usage, source).await;
        if client.is_ok() {
            // It is of no consequence any more if the client goes now.
            let _gone = self.finish(reply, &mut meter, end).await;
        }
        if is_stream && end == End::Whole {
            // Read to its end, a connection can be used again.
            deadline.shorten(AFTER_DONE_MAX, AFTER_DONE_MAX);
            while let Ok(Some(Ok(_))) = deadline.guard(body.frame()).await {}
        }
    }

    /// Reads the answer to its end, or a stream to its `[DONE]`, and sends it on while the client is there.
    async fn read(
        &self,
        body: &mut Incoming,
        meter: &mut Meter,
        reply: &Reply,
        client: &mut Result<(), Gone>,
        deadline: &mut Deadline,
    ) -> End {
        let limits = &self.gateway.limits;
        let mut drained_bytes = 0;
        let mut draining = false;
        loop {
            if client.is_err() && !draining {
                draining = true;
                deadline.shorten(limits.drain_max, limits.drain_max);
            }
            let frame = match deadline.guard(body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return End::Whole,
                Ok(Some(Err(cause))) => {
                    self.warn("broke off its answer", &chain(&cause));
                    return End::Broken;
                }
                Err(_) if draining => return End::Undrained,
                Err(_) => {
                    self.warn("fell silent or took too long", "");
                    return End::Broken;
                }
            };
            let Ok(chunk) = frame.into_data() else { continue };
            if draining {
                drained_bytes += chunk.len();
                if drained_bytes > limits.drain_bytes_max {
                    return End::Undrained;
                }
            }
            let passed = match meter.push(chunk) {
                Ok(passed) => passed,
                Err(cause) => {
                    self.warn("sent what cannot be followed", &chain(&cause));
                    return End::Broken;
                }
            };
            if client.is_ok()
                && let Some(bytes) = passed.now
            {
                *client = reply.data(bytes).await;
            }
            if passed.done {
                return End::Whole;
            }
        }
    }

    /// Sends what waited for the settlement, or says that the answer is not whole.
    async fn finish(&self, reply: &Reply, meter: &mut Meter, end: End) -> Result<(), Gone> {
        if end == End::Whole {
            return match meter.waiting() {
                Some(bytes) => reply.data(bytes).await,
                None => Ok(()),
            };
        }
        if !meter.is_between_events() {
            return reply.broken_off().await;
        }
        let body = ErrorBody {
            message: "The model provider broke off its answer.",
            kind: "server_error",
            param: None,
            code: Some("upstream_broke_off"),
        };
        let event = [b"data: ", body.to_bytes().as_slice(), b"\n\n"].concat();
        reply.data(event.into()).await
    }

    async fn settle(&self, held: B::Held, usage: Usage, source: UsageSource) {
        match self.gateway.billing.settle(held, usage, source).await {
            Ok(cost) => debug!(
                call.id = %self.id, runtime.id = %self.access.runtime, usage.total = usage.total(),
                cost.micros = cost.0, usage.estimated = source == UsageSource::Estimated,
                "call {} is settled", self.id
            ),
            Err(cause) => error!(
                call.id = %self.id, runtime.id = %self.access.runtime, error = %chain(&cause),
                "call {} could not be settled and is left to the sweeper", self.id
            ),
        }
    }

    async fn pass_error(&self, answer: Response<Incoming>, reply: &Reply) {
        let (parts, mut body) = answer.into_parts();
        let mut text = Vec::new();
        let mut deadline = Deadline::new(ERROR_MAX, ERROR_MAX);
        while let Ok(Some(Ok(frame))) = deadline.guard(body.frame()).await {
            let Ok(chunk) = frame.into_data() else { continue };
            text.extend_from_slice(&chunk);
            if text.len() > ERROR_BYTES_MAX {
                break;
            }
        }
        let status = parts.status.as_u16();
        match upstream_error::judge(parts.status, &text, self.route.provider.upstream.key.as_ref()) {
            Verdict::Deny(denial) => {
                self.warn("refused the operator's key or account", &format!("status {status}"));
                self.deny(reply, denial).await;
            }
            Verdict::Pass(mut response) => {
                debug!(
                    call.id = %self.id, provider.id = %self.route.provider.id, upstream.status = status,
                    "the upstream of {} answered call {} with status {status}", self.route.provider.id, self.id
                );
                let headers = upstream::answer_head(&parts);
                for (name, value) in headers.headers() {
                    if name != header::CONTENT_TYPE {
                        response.headers_mut().insert(name.clone(), value.clone());
                    }
                }
                self.tell(reply, response).await;
            }
        }
    }

    async fn deny(&self, reply: &Reply, denial: Denial) {
        let response =
            deny(&self.access, denial, &self.id, self.created_s, self.request.model(), self.form());
        self.tell(reply, response).await;
    }

    async fn tell(&self, reply: &Reply, mut response: Response<Bytes>) {
        let length = response.body().len().into();
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        // Nothing is held and nothing else is to be done for a client that has gone.
        let _gone = reply.whole(response).await;
    }

    fn warn(&self, what: &str, cause: &str) {
        let provider = &self.route.provider.id;
        warn!(
            call.id = %self.id, runtime.id = %self.access.runtime, provider.id = %provider, error = cause,
            "the upstream of {provider} {what}"
        );
    }
}

/// The refusal in the form for the holder of the key.
pub(crate) fn deny(
    access: &AgentAccess,
    denial: Denial,
    call: &CallId,
    created_s: i64,
    model: &str,
    form: Form,
) -> Response<Bytes> {
    debug!(
        call.id = %call, runtime.id = %access.runtime, refusal = denial.code(),
        "a call of {} is refused: {}", access.runtime, denial.code()
    );
    match access.key_kind {
        KeyKind::Person => denial.error(),
        KeyKind::Agent => {
            let id = format!("chatcmpl-{call}");
            denial.notice(&Asked { id: &id, created_s, model, form })
        }
    }
}

/// How a request wants its answer.
pub(crate) fn form(request: &ChatRequest) -> Form {
    if request.stream() { Form::Stream { include_usage: request.include_usage() } } else { Form::Whole }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The texts of an error and of its sources. None of those that come here hold more than addresses and reasons.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
