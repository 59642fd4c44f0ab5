//! The tries of a call: until an upstream begins its answer, or nothing is left to try.
//!
//! Only an answer with a status of success is one. Before it, nothing has reached the client and nothing is billed,
//! so another target can be asked; after it, nothing is tried again. The reservation is held over all tries. A call that
//! policy, price or quota refuse comes nowhere near here, so that no target is ever blamed for it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tracing::{debug, error};

use super::call::{Call, chain};
use super::deadline::Deadline;
use super::driven::Reply;
use super::fault::{Fault, retry_after};
use super::health::{BUSY_MS, Entry, KEY_REFUSED_MS, Out};
use super::observe::Outcome;
use super::pool::AnswerBody;
use super::ports::{Billing, Refusal, Target, Way};
use super::refusal::{Denial, Problem};
use super::routing::{Chosen, Pick, Tried};
use super::upstream::{self, Outgoing};
use super::upstream_error::{self, Verdict};

/// Tries of one call at one provider.
const TRIES_MAX: u32 = 3;
/// How long after the first try another may begin.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Most bytes of an upstream's error that are read.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// How long they may take.
const ERROR_MAX: Duration = Duration::from_secs(20);

/// Which target answered: the provider's name, its key's, and the number of its address where it has several.
const UPSTREAM_HEADER: HeaderName = HeaderName::from_static("x-creel-upstream");
/// Which model answered, where a smart one was asked for.
const MODEL_HEADER: HeaderName = HeaderName::from_static("x-creel-model");
/// How many tries the call took.
const TRIES_HEADER: HeaderName = HeaderName::from_static("x-creel-tries");
/// Microseconds from the request's last byte to the head of the answer in which no upstream was waited for.
const OVERHEAD_HEADER: HeaderName = HeaderName::from_static("x-creel-overhead-us");

/// What a call has gone through.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) tries: u32,
    /// Of the last try of the model that is asked.
    pub(super) target: Option<Arc<Target>>,
    begun: Instant,
    /// For upstreams, in all.
    waited: Duration,
}

impl Trail {
    /// Of a call whose request has just come in.
    pub(super) fn begin() -> Self {
        Self { tries: 0, target: None, begun: Instant::now(), waited: Duration::ZERO }
    }

    /// How long nothing but us was waited for.
    fn overhead(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.waited)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The last target tried answered with an error.
    Answered { head: Box<Parts>, body: Vec<u8>, fault: Fault },
    /// It could not be reached, or broke off before an answer.
    Unreachable,
    /// It did not begin an answer in time.
    Silent,
    /// It was not asked, for what is held for the call could not be written down.
    Unrecorded,
    /// No key could be had.
    Credentials,
    /// No target takes calls now.
    Out(Out),
}

impl Failure {
    fn fault(&self) -> Fault {
        match self {
            Self::Answered { fault, .. } => *fault,
            Self::Unreachable | Self::Out(_) => Fault::Unreachable,
            Self::Silent => Fault::Silent,
            // It would be so anywhere.
            Self::Unrecorded => Fault::Request,
            Self::Credentials => Fault::Key,
        }
    }
}

impl<B: Billing> Call<B> {
    /// Tells the client which upstream was asked, if one was.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        let Some(target) = &self.trail.target else { return };
        let overhead = self.trail.overhead();
        let overhead_us = u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX);
        headers.insert(UPSTREAM_HEADER, target.name.clone());
        headers.insert(TRIES_HEADER, HeaderValue::from(self.trail.tries));
        headers.insert(OVERHEAD_HEADER, HeaderValue::from(overhead_us));
        if self.is_smart
            && let Ok(model) = HeaderValue::from_str(&self.route.model.code)
        {
            headers.insert(MODEL_HEADER, model);
        }
    }

    /// Why no target can be asked now; `None` if one can, as far as is known.
    pub(super) fn out(&self) -> Option<Failure> {
        let now_ms = self.gateway.clock.now_ms();
        match self.route.provider.upstream.out(&self.route.model.code, now_ms)? {
            Pick::To(_) => None,
            Pick::Out(out) => Some(Failure::Out(out)),
            Pick::Nowhere => Some(Failure::Credentials),
        }
    }

    /// Turns to the next way of a smart model after this failure; false where there is none, or it would not help.
    pub(super) fn moves_on(&mut self, failure: &Failure, reply: &Reply) -> bool {
        let may =
            failure.fault().rule().elsewhere && !reply.is_gone() && self.trail.begun.elapsed() <= RETRY_MAX;
        let Some(next) = self.rest.pop_if(|_| may) else { return false };
        let Some(Way::Sent(dialect)) = next.provider.upstream.way(self.request.dialect()) else {
            return false;
        };
        debug!(
            call.id = %self.id, model.code = %next.model.code,
            "call {} goes on with model {}", self.id, next.model.code
        );
        // Its reservation is one of its own, and what it costs goes by its own price.
        (self.id, self.route, self.upstream) = (self.gateway.ids.call(), next, dialect);
        self.trail.target = None;
        true
    }

    /// Sends the request to one target after the other until one begins an answer. Gives the deadline of the rest, too.
    pub(super) async fn attempt(
        &mut self,
        headers: &HeaderMap,
        body: &Bytes,
        reply: &Reply,
    ) -> Result<(Response<AnswerBody>, Deadline), Failure> {
        let (provider, model) = (self.route.provider.clone(), self.route.model.clone());
        let (first_try, mut tries, mut tried) = (Instant::now(), 0, Tried::default());
        let mut failure: Option<Failure> = None;
        loop {
            // Nobody waits for another try after the client has gone.
            let is_spent = || tries >= TRIES_MAX || first_try.elapsed() > RETRY_MAX || reply.is_gone();
            if let Some(failure) = failure.take_if(|_| is_spent()) {
                return Err(failure);
            }
            let turn = self.gateway.turn(&provider.upstream);
            let chosen = match provider.upstream.pick(&model.code, self.gateway.clock.now_ms(), &tried, turn)
            {
                Pick::To(chosen) => chosen,
                Pick::Out(out) => return Err(failure.unwrap_or(Failure::Out(out))),
                Pick::Nowhere => return Err(failure.unwrap_or(Failure::Credentials)),
            };
            if chosen.again {
                tokio::time::sleep(self.gateway.limits.again_after * tries).await;
            }
            tries += 1;
            let failed = match self.try_once(&chosen, headers, body).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let fault = failed.fault();
            self.blame(&chosen, &failed);
            if !fault.rule().elsewhere {
                return Err(failed);
            }
            tried.note(chosen.place, fault);
            failure = Some(failed);
        }
    }

    async fn try_once(
        &mut self,
        chosen: &Chosen<'_>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<(Response<AnswerBody>, Deadline), Failure> {
        let target = chosen.target;
        self.trail.tries += 1;
        self.trail.target = Some(target.clone());
        let (Ok(credentials), Some(uri)) = (target.credentials(), target.uri(self.upstream)) else {
            error!(
                provider.id = %self.route.provider.id, upstream.name = ?target.name,
                "the key of provider {} cannot be unsealed", self.route.provider.id
            );
            return Err(Failure::Credentials);
        };
        let mut request = upstream::request(Outgoing {
            uri: uri.clone(),
            headers,
            client: self.request.dialect(),
            upstream: self.upstream,
            credentials,
            body: body.clone(),
        });
        if let Some(span) = self.watch.traceparent() {
            request.headers_mut().insert(upstream::TRACEPARENT, span);
        }
        let limits = &self.gateway.limits;
        let sent = Instant::now();
        let mut deadline = Deadline::new(sent, limits.first_byte_max, limits.call_max);
        let outcome = deadline.guard(pin!(self.gateway.upstream.send(request))).await;
        let outcome = match outcome {
            Ok(Ok(answer)) if answer.status().is_success() => {
                target.health.answered();
                Ok(answer)
            }
            Ok(Ok(answer)) => Err(Box::pin(answered_with_error(answer)).await),
            Ok(Err(cause)) if cause.is_unrecorded() => Err(Failure::Unrecorded),
            Ok(Err(cause)) => {
                self.warn("could not be reached", &chain(&cause));
                Err(Failure::Unreachable)
            }
            Err(_) => {
                self.warn("did not begin to answer in time", "");
                Err(Failure::Silent)
            }
        };
        let answered = Instant::now();
        self.trail.waited += answered - sent;
        deadline.set(answered, limits.silence_max, limits.call_max);
        outcome.map(|answer| (answer, deadline))
    }

    /// What a failed try says of its target.
    fn blame(&self, chosen: &Chosen<'_>, failed: &Failure) {
        let (now, health, fault) = (self.gateway.clock.now(), &chosen.target.health, failed.fault());
        let now_ms = now.as_millisecond();
        if fault.rule().trips {
            // Once for each call: one that comes again at once says no more of it.
            if (!chosen.again || chosen.entry == Entry::Probe) && health.failed(chosen.entry, now_ms) {
                self.warn("keeps failing and is left alone for a while", "");
            }
        } else if matches!(failed, Failure::Answered { .. }) {
            health.ended_well();
        }
        let (mut status, mut rest) = (String::new(), None);
        if let Failure::Answered { head, .. } = failed {
            status = format!("status {}", head.status.as_u16());
            rest = retry_after(&head.headers, now);
        }
        match (fault, rest) {
            (Fault::Key, _) => {
                self.warn("refused the operator's key or account", &status);
                health.avoid(KEY_REFUSED_MS, now_ms);
            }
            (Fault::Busy | Fault::Failing | Fault::Unclear, Some(rest)) => {
                let rest_ms = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
                health.rest(&self.route.model.code, rest_ms, now_ms);
            }
            (Fault::Busy | Fault::Unclear, None) => health.avoid(BUSY_MS, now_ms),
            _ => {}
        }
        debug!(
            call.id = %self.id, provider.id = %self.route.provider.id, upstream.name = ?chosen.target.name,
            tries = self.trail.tries, error = status, "try {} of call {} failed: {fault:?}", self.trail.tries, self.id
        );
    }

    /// An answer broke off after it had begun.
    pub(super) fn blame_for_break(&self) {
        let now_ms = self.gateway.clock.now_ms();
        if self.trail.target.as_ref().is_some_and(|target| target.health.failed(Entry::Free, now_ms)) {
            self.warn("keeps failing and is left alone for a while", "");
        }
    }

    /// Tells the client that there is no answer.
    pub(super) async fn tell_failure(&self, failure: Failure, reply: &Reply) {
        self.watch_tries();
        let outcome = match &failure {
            Failure::Answered { head, .. } => {
                self.watch.upstream_status(head.status);
                Outcome::UpstreamError
            }
            Failure::Unreachable | Failure::Silent | Failure::Out(_) => Outcome::Unreachable,
            Failure::Credentials | Failure::Unrecorded => Outcome::Refused,
        };
        self.tell_cause(failure, reply).await;
        self.watch.ended(outcome);
    }

    /// What upstreams were asked so far, for whoever watches.
    pub(super) fn watch_tries(&self) {
        self.watch.routed(&self.route, self.upstream);
        self.watch.tried(self.trail.tries, self.trail.overhead());
    }

    async fn tell_cause(&self, failure: Failure, reply: &Reply) {
        match failure {
            Failure::Answered { head, body, .. } => self.pass_error(&head, &body, reply).await,
            Failure::Unreachable => {
                let text = "The model provider cannot be reached.";
                let problem = Problem::unavailable(StatusCode::BAD_GATEWAY, "upstream_unreachable", text);
                self.tell(reply, &problem).await;
            }
            Failure::Silent => {
                let text = "The model provider did not answer in time.";
                let problem = Problem::unavailable(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", text);
                self.tell(reply, &problem).await;
            }
            Failure::Unrecorded => self.deny(reply, Denial::Ledger(Refusal::Unavailable)).await,
            Failure::Credentials => self.deny(reply, Denial::UpstreamCredentials).await,
            Failure::Out(out) => {
                let problem = match out.rests {
                    true => Problem::busy("The model provider takes no more calls for now. Try again later."),
                    false => Problem::unavailable(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "upstream_unavailable",
                        "The model provider fails and is left alone for a moment. Try again later.",
                    ),
                };
                let left_ms = out.until_ms.saturating_sub(self.gateway.clock.now_ms()).max(1);
                // Rounded up: who comes at that time must not come too early.
                self.tell(reply, &problem.after(left_ms.saturating_add(999) / 1_000)).await;
            }
        }
    }

    async fn pass_error(&self, head: &Parts, body: &[u8], reply: &Reply) {
        let key = self.trail.target.as_ref().and_then(|target| target.key.as_ref());
        match upstream_error::judge(self.request.dialect(), head.status, body, key) {
            Verdict::Deny(denial) => self.deny(reply, denial).await,
            Verdict::Pass(mut response) => {
                let headers = upstream::answer_head(head);
                for (name, value) in headers.headers() {
                    if name != header::CONTENT_TYPE {
                        response.headers_mut().insert(name.clone(), value.clone());
                    }
                }
                self.send(reply, response).await;
            }
        }
    }
}

/// Reads an error as far as it is of use.
async fn answered_with_error(answer: Response<AnswerBody>) -> Failure {
    let (head, mut body) = answer.into_parts();
    let mut text = Vec::new();
    let mut deadline = Deadline::new(Instant::now(), ERROR_MAX, ERROR_MAX);
    while let Ok(Some(Ok(frame))) = deadline.guard(body.frame()).await {
        let Ok(chunk) = frame.into_data() else { continue };
        text.extend_from_slice(&chunk);
        if text.len() > ERROR_BYTES_MAX {
            break;
        }
    }
    let fault = upstream_error::fault(head.status, &text);
    Failure::Answered { head: Box::new(head), body: text, fault }
}
