//! What is told of calls: metrics for `/metrics`, a line in the call log, and a span. Never their content, never a key.
//!
//! A [`Watch`] goes along with a call and is told what happens; when it is dropped, however the call ended, it tells all
//! three. So no call is without its line, and none has two. Of a call that an upstream answered it is dropped behind the
//! answer.

mod call_log;
mod metrics;
mod spans;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use creel_control::clock::Clock;
use creel_llm::dialect::Dialect;
use creel_llm::usage::Usage;
use creel_wire::id::{AccountId, CallId, ProviderId, RuntimeId};
use creel_wire::money::Micros;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

pub use call_log::{CallLog, CallLogConfig};
pub use metrics::CallMetrics;
pub use spans::{BadTelemetry, Spans};

use super::capture::Capture;
use super::ports::{AgentAccess, KeyKind, Route, UsageSource};

/// Where what happens is told.
#[derive(Debug, Default)]
pub struct Observer {
    pub metrics: CallMetrics,
    /// `None`: not kept.
    pub log: Option<CallLog>,
    /// Of calls that a policy names; `None`: of none.
    pub capture: Option<Capture>,
    /// `None`: no spans are made, and `traceparent` passes as it came.
    pub spans: Option<Spans>,
}

/// How a call ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The client has the whole answer.
    Answered,
    /// We refused it: a policy, the ledger, the request itself.
    Refused,
    /// The upstream answered with an error.
    UpstreamError,
    /// No upstream could be reached, or none began to answer in time.
    Unreachable,
    /// The upstream broke off, or said what has no form in the client's dialect.
    BrokenOff,
    /// The client went away.
    ClientGone,
    /// The process ended, or a defect: nobody said how.
    Lost,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::UpstreamError => "upstream_error",
            Self::Unreachable => "unreachable",
            Self::BrokenOff => "broken_off",
            Self::ClientGone => "client_gone",
            Self::Lost => "lost",
        }
    }
}

/// A line of the call log.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    /// When the request's head was there, in UTC, as RFC 3339 has it.
    #[serde(serialize_with = "as_text")]
    time: Timestamp,
    call_id: CallId,
    account_id: AccountId,
    runtime_id: RuntimeId,
    /// Who holds the key: `agent` or `person`.
    key: &'static str,
    /// In which the client asked.
    dialect: &'static str,
    /// The same in OpenTelemetry's words.
    #[serde(skip)]
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_dialect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<ProviderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Arc<str>>,
    /// As the upstream knows it; absent where the request names none that it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Arc<str>>,
    /// Its name may stand in metrics: it is one of the operator's.
    #[serde(skip)]
    is_operators: bool,
    stream: bool,
    request_bytes: u64,
    answer_bytes: u64,
    outcome: Outcome,
    /// What the client was told in place of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// What the last upstream that was asked answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    /// Upstreams asked.
    tries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
    /// What was deducted, in micro-credits.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_micros: Option<i64>,
    /// Microseconds up to the answer's head in which nothing but us was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead_us: Option<u64>,
    /// From the request's head to the first byte of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<u64>,
    /// Until it was over, where that was said.
    #[serde(skip)]
    took: Option<Duration>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// Tokens by class; none is in two.
#[derive(Debug, Clone, Copy, Serialize)]
struct Tokens {
    input: u64,
    cached_input: u64,
    cache_write: u64,
    output: u64,
    estimated: bool,
}

/// Follows one call.
#[derive(Debug)]
pub(crate) struct Watch {
    observer: Arc<Observer>,
    begun: Instant,
    /// Boxed, as the span: a call hands its watch on several times, and futures are moved with all that they may ever hold.
    record: Box<Mutex<Record>>,
    span: Option<Box<spans::Open>>,
}

impl Observer {
    /// A request with a key that opens nothing: counted, and no more, for strangers must not fill the log.
    pub(crate) fn unauthenticated(&self) {
        self.metrics.unauthenticated();
    }

    /// A call begins: its request's head is there.
    pub(crate) fn begin(
        self: &Arc<Self>,
        access: &AgentAccess,
        call: &CallId,
        dialect: Dialect,
        headers: &HeaderMap,
        clock: &dyn Clock,
    ) -> Watch {
        let record = Record {
            time: clock.now(),
            call_id: call.clone(),
            account_id: access.account.clone(),
            runtime_id: access.runtime.clone(),
            key: match access.key_kind {
                KeyKind::Agent => "agent",
                KeyKind::Person => "person",
            },
            dialect: dialect.name(),
            operation: operation(dialect),
            upstream_dialect: None,
            provider_id: None,
            provider: None,
            model: None,
            is_operators: false,
            stream: false,
            request_bytes: 0,
            answer_bytes: 0,
            outcome: Outcome::Lost,
            code: None,
            upstream_status: None,
            tries: 0,
            usage: None,
            cost_micros: None,
            overhead_us: None,
            first_byte_ms: None,
            took: None,
            duration_ms: 0,
            trace_id: None,
        };
        self.metrics.begun();
        let span = self.spans.as_ref().map(|spans| Box::new(spans.begin(headers)));
        Watch { observer: self.clone(), begun: Instant::now(), record: Box::new(Mutex::new(record)), span }
    }
}

impl Watch {
    /// When the call began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the request is.
    pub(crate) fn asked(&self, request_bytes: usize, stream: bool) {
        let mut record = self.record();
        record.request_bytes = u64::try_from(request_bytes).unwrap_or(u64::MAX);
        record.stream = stream;
    }

    /// Where it goes.
    pub(crate) fn routed(&self, route: &Route, upstream: Dialect) {
        let mut record = self.record();
        record.upstream_dialect = Some(upstream.name());
        record.provider_id = Some(route.provider.id.clone());
        record.provider = Some(route.provider.name.clone());
        record.model = Some(route.model.code.clone());
        record.is_operators = route.provider.billed;
    }

    /// We tell the client this in place of an answer. Where no upstream is to blame, it is refused.
    pub(crate) fn refused(&self, code: &'static str) {
        let mut record = self.record();
        record.outcome = Outcome::Refused;
        record.code = Some(code);
    }

    /// What upstreams were asked, and how long nothing but us was waited for.
    pub(crate) fn tried(&self, tries: u32, overhead: Duration) {
        let mut record = self.record();
        record.tries = tries;
        record.overhead_us = Some(u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX));
    }

    /// The last one answered with this status.
    pub(crate) fn upstream_status(&self, status: StatusCode) {
        self.record().upstream_status = Some(status.as_u16());
    }

    /// These bytes go to the client.
    pub(crate) fn sent(&self, bytes: usize) {
        let mut record = self.record();
        record.first_byte_ms.get_or_insert_with(|| millis(self.begun));
        record.answer_bytes = record.answer_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// What it used and cost.
    pub(crate) fn settled(&self, usage: &Usage, source: UsageSource, cost: Option<Micros>) {
        let mut record = self.record();
        record.usage = Some(Tokens {
            input: usage.input,
            cached_input: usage.cached_input,
            cache_write: usage.cache_write,
            output: usage.output,
            estimated: source == UsageSource::Estimated,
        });
        record.cost_micros = cost.map(|cost| cost.0);
    }

    /// How it ended; the last word counts.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.record().outcome = outcome;
    }

    /// It is over now, however much later this is dropped.
    pub(crate) fn over(&self) {
        self.record().took = Some(self.begun.elapsed());
    }

    /// What an upstream is to see as `traceparent`, in place of the client's.
    pub(crate) fn traceparent(&self) -> Option<HeaderValue> {
        self.span.as_ref().and_then(|span| span.traceparent())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Self { observer, begun, record, span } = self;
        let record = record.get_mut().unwrap_or_else(PoisonError::into_inner);
        let took = record.took.unwrap_or_else(|| begun.elapsed());
        record.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        record.trace_id = span.as_ref().map(|span| span.trace_id());
        observer.metrics.ended(record, took);
        if let Some(span) = span.take() {
            span.end(record);
        }
        if let Some(log) = &observer.log {
            log.write(record);
        }
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn operation(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat | Dialect::Responses | Dialect::Messages => "chat",
        Dialect::Embeddings => "embeddings",
        Dialect::CountTokens => "count_tokens",
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
