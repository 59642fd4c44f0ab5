//! Counters for `/metrics`. Labels come from closed sets: declared actions and outcome classes, never ids.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Label of a request whose action is not built, so that strangers cannot make labels.
const ACTION_UNKNOWN: &str = "unknown";
/// From 0.5 ms to 8 s, each twice the last.
const BUCKET_FIRST_SECONDS: f64 = 0.0005;
const BUCKETS: u16 = 15;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    Success,
    ClientError,
    Throttled,
    ServerError,
}

impl Outcome {
    /// The class of an HTTP status.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Throttled,
            500.. => Self::ServerError,
            400.. => Self::ClientError,
            _ => Self::Success,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    action: &'static str,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

/// All counters of a process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<OutcomeLabel, Histogram>,
}

impl Metrics {
    /// With the API's own counters registered.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("creel");
        let requests = Family::default();
        let durations = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(BUCKET_FIRST_SECONDS, 2.0, BUCKETS))) as fn() -> Histogram,
        );
        registry.register("api_requests", "Requests to the API", requests.clone());
        registry.register(
            "api_request_duration_seconds",
            "Time to answer a request to the API",
            durations.clone(),
        );
        Self { registry: Mutex::new(registry), requests, durations }
    }

    /// Lets others show their counters beside these.
    pub(crate) fn register(&self, show: impl FnOnce(&mut Registry)) {
        show(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts an answered request; `action` is `None` unless it is one that is built.
    pub(crate) fn count_request(&self, action: Option<&'static str>, outcome: Outcome, took: Duration) {
        let action = action.unwrap_or(ACTION_UNKNOWN);
        self.requests.get_or_create(&RequestLabels { action, outcome }).inc();
        self.durations.get_or_create(&OutcomeLabel { outcome }).observe(took.as_secs_f64());
    }

    /// The text for Prometheus.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}
