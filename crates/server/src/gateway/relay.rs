//! The second half of a call: its upstream answers, the client gets it, the ledger learns what was used.

use std::time::Duration;

use creel_llm::answer::{Answer, AnswerError};
use creel_llm::tokens::Sample;
use creel_llm::usage::Usage;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tracing::{debug, error};

use super::call::{Call, Sent, chain};
use super::deadline::Deadline;
use super::driven::{Gone, Reply};
use super::observe::Outcome;
use super::pool::AnswerBody;
use super::ports::{Billing, UsageSource};
use super::refusal::Problem;
use super::upstream;

/// After its end, how long an upstream may take to end its answer before its connection is given up.
const AFTER_END_MAX: Duration = Duration::from_secs(2);
/// Names the members that a conversion left out.
const LEFT_OUT_HEADER: HeaderName = HeaderName::from_static("x-creel-left-out");

/// How reading an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The upstream said all that it had to say.
    Whole,
    /// It broke off or fell silent.
    Broken,
    /// It said what the client's dialect cannot.
    NoForm,
    /// The client has gone and the bounds of draining are reached.
    Undrained,
}

impl End {
    fn of(cause: &AnswerError) -> Self {
        if matches!(cause, AnswerError::Convert(_)) { Self::NoForm } else { Self::Broken }
    }

    /// What a client is told of an answer that is not whole.
    fn problem(self) -> Problem {
        match self {
            // Not a status that clients repeat by themselves: the answer is paid for.
            Self::NoForm => Problem::invalid(
                StatusCode::UNPROCESSABLE_ENTITY,
                "answer_not_convertible",
                "The model's answer cannot be said in the dialect of this request.",
            ),
            Self::Whole | Self::Broken | Self::Undrained => {
                let text = "The model provider broke off its answer.";
                Problem::unavailable(StatusCode::BAD_GATEWAY, "upstream_broke_off", text)
            }
        }
    }
}

impl<B: Billing> Call<B> {
    /// Follows an answer that has begun to its end and settles what is held.
    pub(super) async fn relay(
        &self,
        answer: Response<AnswerBody>,
        reply: &Reply,
        sent: Sent<B>,
        mut deadline: Deadline,
    ) {
        let (parts, mut body) = answer.into_parts();
        let is_stream = self.request.stream() && is_event_stream(&parts.headers);
        let mut head = upstream::answer_head(&parts);
        self.mark(head.headers_mut());
        if !sent.left_out.is_empty()
            && let Ok(left_out) = HeaderValue::from_str(&sent.left_out.join(", "))
        {
            head.headers_mut().insert(LEFT_OUT_HEADER, left_out);
        }
        self.watch_tries();
        self.watch.upstream_status(parts.status);
        let mut answer = Answer::new(&self.request, self.upstream, is_stream, || self.naming());
        // Whether what is converted as a whole has a form is known at its end, and until then nothing is said.
        let (mut client, mut unsaid) = (Ok(()), None);
        if self.converts() && !is_stream {
            unsaid = Some(head);
        } else {
            if !is_stream && let Some(length) = parts.headers.get(header::CONTENT_LENGTH) {
                head.headers_mut().insert(header::CONTENT_LENGTH, length.clone());
            }
            client = reply.head(head).await;
        }
        let mut end = self.read(&mut body, &mut answer, reply, &mut client, &mut deadline).await;
        if let Err(cause) = answer.end()
            && end == End::Whole
        {
            end = self.cannot_follow(&cause);
        }
        match (end, &self.trail.target) {
            (End::Whole, Some(target)) => target.health.ended_well(),
            (End::Broken, _) => self.blame_for_break(),
            _ => {}
        }
        if let Some(held) = sent.held {
            let (usage, source) = match answer.usage() {
                Some(usage) => (usage, UsageSource::Upstream),
                None => {
                    let estimated = Box::pin(self.estimate(&mut answer, sent.sample, sent.bound)).await;
                    (estimated, UsageSource::Estimated)
                }
            };
            self.settle(held, usage, source).await;
        }
        if client.is_ok() {
            self.finish(reply, unsaid, &mut answer, end).await;
        }
        self.watch.ended(match end {
            _ if client.is_err() => Outcome::ClientGone,
            End::Whole => Outcome::Answered,
            // It went while the upstream was waited for.
            _ if reply.is_gone() => Outcome::ClientGone,
            End::Broken | End::NoForm | End::Undrained => Outcome::BrokenOff,
        });
        if is_stream && end == End::Whole {
            // Read to its end, a connection can be used again.
            deadline.shorten(AFTER_END_MAX, AFTER_END_MAX);
            while let Ok(Some(Ok(_))) = deadline.guard(body.frame()).await {}
        }
    }

    /// Reads the answer to its end, or a stream to its last event, and sends it on while the client is there.
    async fn read(
        &self,
        body: &mut AnswerBody,
        answer: &mut Answer,
        reply: &Reply,
        client: &mut Result<(), Gone>,
        deadline: &mut Deadline,
    ) -> End {
        let limits = &self.gateway.limits;
        let mut drained_bytes = 0;
        let mut draining = false;
        loop {
            if client.is_ok() && reply.is_gone() {
                *client = Err(Gone);
            }
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
            let passed = match answer.push(chunk) {
                Ok(passed) => passed,
                Err(cause) => return self.cannot_follow(&cause),
            };
            if client.is_ok()
                && let Some(bytes) = passed.now
            {
                self.watch.sent(bytes.len());
                *client = reply.data(bytes).await;
            }
            if passed.done {
                return End::Whole;
            }
        }
    }

    fn cannot_follow(&self, cause: &AnswerError) -> End {
        self.warn("sent what cannot be followed", &chain(cause));
        End::of(cause)
    }

    /// Sends what waited for the settlement, or says that the answer is not whole. It is of no consequence any more
    /// if the client goes now.
    async fn finish(&self, reply: &Reply, unsaid: Option<Response<()>>, answer: &mut Answer, end: End) {
        let _gone = match (end, unsaid) {
            (End::Whole, None) => match answer.waiting() {
                Some(bytes) => {
                    self.watch.sent(bytes.len());
                    reply.data(bytes).await
                }
                None => Ok(()),
            },
            (End::Whole, Some(head)) => {
                let body = answer.waiting().unwrap_or_default();
                Box::pin(self.send(reply, head.map(|()| body))).await;
                Ok(())
            }
            (_, Some(_)) => {
                Box::pin(self.tell(reply, &end.problem())).await;
                Ok(())
            }
            (_, None) if !answer.is_between_events() => reply.broken_off().await,
            (_, None) => {
                let problem = end.problem();
                reply.data(answer.error_event(problem.status.as_u16(), &problem.body())).await
            }
        };
    }

    async fn estimate(&self, answer: &mut Answer, request: Sample, bound: Usage) -> Usage {
        let (estimate, model) = (answer.estimate(), self.route.model.code.clone());
        let counted = self.gateway.counter.run(move || estimate.usage(&model, &request, &bound)).await;
        // The process is at its end: what was held is the most that it can have been.
        counted.unwrap_or(bound)
    }

    async fn settle(&self, held: B::Held, usage: Usage, source: UsageSource) {
        let settled = self.gateway.billing.settle(held, usage, source).await;
        self.watch.settled(&usage, source, settled.as_ref().ok().copied());
        match settled {
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
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}
