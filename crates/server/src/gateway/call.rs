//! One call from reservation to settlement.
//!
//! Invariant: from the moment credits are held this runs to its end, with or without its client (see
//! [`super::driven`]), and ends in exactly one settlement or release. The upstream is called only while credits are
//! held; counting tokens is free and holds none. An answer's last bytes, `[DONE]` of a stream, are sent after the
//! settlement.
//!
//! A future is moved where it is begun, and is as large as the largest that it ever awaits. So what is rare and large is
//! boxed, here and in the ledger.

use std::sync::Arc;

use bytes::Bytes;
use creel_llm::convert::{ConvertError, Naming, OUTPUT_TOKENS_DEFAULT};
use creel_llm::dialect::Dialect;
use creel_llm::price;
use creel_llm::request::{Request, Rewrite};
use creel_llm::tokens::Sample;
use creel_llm::usage::Usage;
use creel_wire::id::CallId;
use creel_wire::money::Micros;
use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use tracing::{debug, warn};

use super::Gateway;
use super::attempt::{Failure, Trail};
use super::deadline::Deadline;
use super::driven::Reply;
use super::observe::Watch;
use super::pool::AnswerBody;
use super::ports::{AgentAccess, Billing, CallStart, KeyKind, Refusal, Route};
use super::refusal::{self, Denial, Problem};
use crate::http::cork;

/// Input bound of a request whose input is not all in it, for a model whose context is not known.
const CONTEXT_TOKENS_DEFAULT: u64 = 1 << 20;
/// A limit that the remaining credits set is not lower than this: an answer cut earlier is of no use.
const OUTPUT_TOKENS_MIN: u64 = 1_024;

/// One call, ready to begin.
pub(crate) struct Call<B: Billing> {
    pub(crate) gateway: Arc<Gateway<B>>,
    pub(crate) id: CallId,
    pub(crate) access: Arc<AgentAccess>,
    pub(crate) route: Route,
    /// The other ways of a smart model, the next one last.
    pub(crate) rest: Vec<Route>,
    /// A smart model was asked for.
    pub(crate) is_smart: bool,
    /// In which the upstream is asked.
    pub(crate) upstream: Dialect,
    pub(crate) request: Request,
    pub(crate) headers: HeaderMap,
    /// Taken by the upstream request.
    pub(crate) body: Bytes,
    pub(crate) body_bytes: u64,
    pub(crate) created_s: i64,
    pub(crate) trail: Trail,
    pub(crate) watch: Watch,
}

/// The most that a call is going to use.
#[derive(Debug, Clone, Copy)]
struct Bound {
    usage: Usage,
    /// Of each answer.
    output_tokens: u64,
    /// A call limit allows no more, or what remains pays for no more; the request and the model would allow it.
    is_lowered: bool,
}

/// What is kept of a request while its answer comes.
pub(super) struct Sent<B: Billing> {
    /// `None` for what is free.
    pub(super) held: Option<B::Held>,
    pub(super) bound: Usage,
    /// Of the request, for an answer that tells no usage.
    pub(super) sample: Sample,
    /// Members that the upstream did not get.
    pub(super) left_out: Vec<&'static str>,
}

impl<B: Billing> Call<B> {
    /// Runs the call. Whether the client still listens makes no difference to what is booked.
    pub(crate) async fn run(mut self: Box<Self>, reply: Reply) {
        // Taken, not copied: a stream may last an hour, and its request need not.
        let (headers, body) = (std::mem::take(&mut self.headers), std::mem::take(&mut self.body));
        let (answer, sent, deadline) = loop {
            match self.begin(&headers, &body, &reply).await {
                Ok(begun) => break begun,
                Err(None) => return,
                Err(Some(failure)) if self.moves_on(&failure, &reply) => {}
                Err(Some(failure)) => return self.tell_failure(failure, &reply).await,
            }
        };
        drop((headers, body));
        self.relay(answer, &reply, sent, deadline).await;
        self.watch.over();
        // Metrics and the call log are told when it is dropped, for which its client need not wait.
        cork::drop_later(self);
    }

    /// Reserves, and asks until an answer begins. Without one nothing is held any more, and the client was told why where
    /// there is no failure to tell.
    async fn begin(
        &mut self,
        headers: &HeaderMap,
        body: &Bytes,
        reply: &Reply,
    ) -> Result<(Response<AnswerBody>, Sent<B>, Deadline), Option<Failure>> {
        if let Some(failure) = self.out() {
            return Err(Some(failure));
        }
        let wanted = self.wanted();
        let held = match self.reserve(self.start(wanted.usage)).await {
            Ok(held) => held,
            Err(refusal) => {
                self.deny(reply, Denial::Ledger(refusal)).await;
                return Err(None);
            }
        };
        let bound = held.as_ref().map_or(wanted, |held| self.paid_for(wanted, B::held(held)));
        let rewrite = Rewrite {
            model: &self.route.model.code,
            output_tokens_max: (bound.is_lowered || self.converts()).then_some(bound.output_tokens),
            output_field: self.route.provider.upstream.output_field,
        };
        let sent = match self.request.for_upstream(body, self.upstream, &rewrite) {
            Ok(sent) => sent,
            Err(cause) => {
                self.release(held).await;
                self.tell(reply, &not_convertible(&cause)).await;
                return Err(None);
            }
        };
        let sample = Sample::of_request(body);
        let body = sent.body.map_or_else(|| body.clone(), Bytes::from);
        let sent = Sent { held, bound: bound.usage, sample, left_out: sent.left_out };
        match self.attempt(headers, &body, reply).await {
            Ok((answer, deadline)) => Ok((answer, sent, deadline)),
            Err(failure) => {
                self.release(sent.held).await;
                Err(Some(failure))
            }
        }
    }

    /// The upstream is asked in another dialect than the gateway was.
    pub(super) fn converts(&self) -> bool {
        self.upstream != self.request.dialect()
    }

    pub(super) fn naming(&self) -> Naming {
        Naming {
            id: refusal::answer_id(self.request.dialect(), &self.id),
            created_s: self.created_s,
            model: self.request.model().to_owned(),
        }
    }

    /// Tokens of input at the most.
    fn input_tokens_max(&self) -> u64 {
        if self.request.input_is_whole() {
            self.body_bytes
        } else {
            self.body_bytes.max(self.route.model.context_tokens_max.unwrap_or(CONTEXT_TOKENS_DEFAULT))
        }
    }

    /// What the request asks for, as far as a call limit allows it.
    fn wanted(&self) -> Bound {
        let model = &self.route.model;
        let asked = self.request.output_tokens_wanted(model.output_tokens_max, OUTPUT_TOKENS_DEFAULT);
        let most = self.access.limits.output_tokens_max.and_then(|most| u64::try_from(most).ok());
        let output_tokens = most.map_or(asked, |most| asked.min(most));
        let output = output_tokens.saturating_mul(self.request.answers());
        let usage = match &model.card {
            Some(card) => card.bound(self.input_tokens_max(), output),
            None => price::bound(self.input_tokens_max(), output),
        };
        Bound { usage, output_tokens, is_lowered: output_tokens < asked }
    }

    /// What of it `held` pays for: where it is less than all of it costs, nothing else remains.
    fn paid_for(&self, wanted: Bound, held: Micros) -> Bound {
        let Some(card) = self.route.model.card.filter(|card| held < card.cost(&wanted.usage)) else {
            return wanted;
        };
        let (input, answers) = (self.input_tokens_max(), self.request.answers());
        let affordable = (card.affordable_output(held, input) / answers).max(OUTPUT_TOKENS_MIN);
        if affordable >= wanted.output_tokens {
            return wanted;
        }
        Bound {
            usage: card.bound(input, affordable.saturating_mul(answers)),
            output_tokens: affordable,
            is_lowered: true,
        }
    }

    fn start(&self, bound: Usage) -> CallStart {
        let provider = &self.route.provider;
        CallStart {
            call_id: self.id.clone(),
            account_id: self.access.account.clone(),
            runtime_id: self.access.runtime.clone(),
            provider_id: provider.id.clone(),
            provider_name: provider.name.clone(),
            model_code: self.route.model.code.clone(),
            card: self.route.model.card,
            billed: provider.billed,
            bound,
            limits: self.access.limits.all.clone(),
        }
    }

    async fn reserve(&self, start: CallStart) -> Result<Option<B::Held>, Refusal> {
        if self.request.dialect() == Dialect::CountTokens {
            return Ok(None);
        }
        self.gateway.billing.reserve(&start).await.map(Some)
    }

    async fn release(&self, held: Option<B::Held>) {
        if let Some(held) = held {
            self.gateway.billing.release(held).await;
        }
    }

    pub(super) async fn deny(&self, reply: &Reply, denial: Denial) {
        self.watch.refused(denial.code());
        self.send(reply, deny(&self.access, denial, &self.id, self.created_s, &self.request)).await;
    }

    pub(super) async fn tell(&self, reply: &Reply, problem: &Problem) {
        self.watch.refused(problem.code());
        self.send(reply, problem.response(self.request.dialect())).await;
    }

    pub(super) async fn send(&self, reply: &Reply, mut response: Response<Bytes>) {
        let length = response.body().len().into();
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        self.mark(response.headers_mut());
        self.watch.sent(response.body().len());
        // Nothing is held and nothing else is to be done for a client that has gone.
        let _gone = reply.whole(response).await;
    }

    pub(super) fn warn(&self, what: &str, cause: &str) {
        let provider = &self.route.provider.id;
        warn!(
            call.id = %self.id, runtime.id = %self.access.runtime, provider.id = %provider, error = cause,
            "the upstream of {provider} {what}"
        );
    }
}

fn not_convertible(cause: &ConvertError) -> Problem {
    let text = format!("{cause}.");
    Problem::invalid(StatusCode::BAD_REQUEST, "not_convertible", text).about(cause.param())
}

/// The refusal in the form for the holder of the key.
pub(crate) fn deny(
    access: &AgentAccess,
    denial: Denial,
    call: &CallId,
    created_s: i64,
    request: &Request,
) -> Response<Bytes> {
    debug!(
        call.id = %call, runtime.id = %access.runtime, refusal = denial.code(),
        "a call of {} is refused: {}", access.runtime, denial.code()
    );
    match access.key_kind {
        KeyKind::Person => denial.problem().response(request.dialect()),
        KeyKind::Agent => denial.notice(request, call, created_s),
    }
}

/// The texts of an error and of its sources. None of those that come here hold more than addresses and reasons.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm_access::LedgerBilling;

    fn bytes<F>(_: impl FnOnce(Box<Call<LedgerBilling>>, Reply) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_call_is_small() {
        // 2.8 KB; it was 4.9 with what is boxed now.
        assert!(bytes(Call::run) <= 3_000, "{}", bytes(Call::run));
    }
}
