//! Counters of calls. Token counts and durations have the names and buckets of OpenTelemetry's conventions for
//! generative AI, in Prometheus' spelling. Labels come from closed sets: of models only the operator's, for tenants can
//! make up as many as they like.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::{Outcome, Record};

/// A model of a tenant's own provider, or none.
const MODEL_OTHER: &str = "_OTHER";
/// From 10 ms, each twice the last, to 82 s.
const DURATION_BUCKETS: (f64, u16) = (0.01, 14);
/// From one token, each four times the last, to 67 million.
const TOKEN_BUCKETS: u16 = 14;
/// From 50 microseconds, each twice the last, to 0.8 s.
const OVERHEAD_BUCKETS: (f64, u16) = (0.000_05, 15);

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_request_model: Arc<str>,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_request_model: Arc<str>,
    gen_ai_token_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_request_model: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The counters of one gateway; clones share them.
#[derive(Debug, Clone)]
pub struct CallMetrics {
    running: Gauge,
    unauthenticated: Counter,
    durations: Histograms<CallLabels>,
    first_bytes: Histograms<OperationLabels>,
    tokens: Histograms<TokenLabels>,
    refusals: Family<RefusalLabels, Counter>,
    overheads: Histogram,
    tries: Counter,
    credits: Counter,
    /// [`MODEL_OTHER`]
    model_other: Arc<str>,
}

impl Default for CallMetrics {
    fn default() -> Self {
        let durations: fn() -> Histogram =
            || Histogram::new(exponential_buckets(DURATION_BUCKETS.0, 2.0, DURATION_BUCKETS.1));
        let tokens: fn() -> Histogram = || Histogram::new(exponential_buckets(1.0, 4.0, TOKEN_BUCKETS));
        Self {
            running: Gauge::default(),
            unauthenticated: Counter::default(),
            durations: Family::new_with_constructor(durations),
            first_bytes: Family::new_with_constructor(durations),
            tokens: Family::new_with_constructor(tokens),
            refusals: Family::default(),
            overheads: Histogram::new(exponential_buckets(OVERHEAD_BUCKETS.0, 2.0, OVERHEAD_BUCKETS.1)),
            tries: Counter::default(),
            credits: Counter::default(),
            model_other: MODEL_OTHER.into(),
        }
    }
}

impl CallMetrics {
    /// Shows them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        let gen_ai = registry.sub_registry_with_prefix("gen_ai_server");
        gen_ai.register(
            "request_duration_seconds",
            "From the request's head to the end of the answer",
            self.durations.clone(),
        );
        gen_ai.register(
            "time_to_first_token_seconds",
            "From the request's head to the first byte of the answer",
            self.first_bytes.clone(),
        );
        gen_ai.register("token_usage", "Tokens that calls used", self.tokens.clone());
        let llm = registry.sub_registry_with_prefix("llm");
        llm.register("calls_running", "Calls under way", self.running.clone());
        llm.register(
            "calls_unauthenticated",
            "Requests with a key that opens nothing",
            self.unauthenticated.clone(),
        );
        llm.register("refusals", "Calls that were refused before an upstream", self.refusals.clone());
        llm.register("upstream_requests", "Requests to upstreams", self.tries.clone());
        llm.register(
            "overhead_seconds",
            "Time up to the answer's head in which nothing but the gateway was waited for",
            self.overheads.clone(),
        );
        llm.register("credit_micros", "Micro-credits that calls cost", self.credits.clone());
    }

    pub(super) fn unauthenticated(&self) {
        self.unauthenticated.inc();
    }

    pub(super) fn begun(&self) {
        self.running.inc();
    }

    pub(super) fn ended(&self, record: &Record, took: Duration) {
        self.running.dec();
        let gen_ai_operation_name = record.operation;
        let own = record.model.as_ref().filter(|_| record.is_operators);
        let gen_ai_request_model = own.unwrap_or(&self.model_other).clone();
        let outcome = record.outcome;
        if let Some(code) = record.code.filter(|_| outcome == Outcome::Refused) {
            self.refusals.get_or_create(&RefusalLabels { code }).inc();
        }
        if let Some(us) = record.overhead_us {
            self.overheads.observe(Duration::from_micros(us).as_secs_f64());
        }
        self.tries.inc_by(u64::from(record.tries));
        if let Some(cost) = record.cost_micros {
            self.credits.inc_by(cost.unsigned_abs());
        }
        if let Some(ms) = record.first_byte_ms {
            let labels =
                OperationLabels { gen_ai_operation_name, gen_ai_request_model: gen_ai_request_model.clone() };
            self.first_bytes.get_or_create(&labels).observe(Duration::from_millis(ms).as_secs_f64());
        }
        if let Some(usage) = &record.usage {
            let input = usage.input.saturating_add(usage.cached_input).saturating_add(usage.cache_write);
            for (gen_ai_token_type, tokens) in [("input", input), ("output", usage.output)] {
                let labels = TokenLabels {
                    gen_ai_operation_name,
                    gen_ai_request_model: gen_ai_request_model.clone(),
                    gen_ai_token_type,
                };
                #[expect(clippy::cast_precision_loss, reason = "a histogram is no ledger")]
                self.tokens.get_or_create(&labels).observe(tokens as f64);
            }
        }
        let labels = CallLabels { gen_ai_operation_name, gen_ai_request_model, outcome };
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }
}
