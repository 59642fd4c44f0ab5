//! A span for each call, by OpenTelemetry's conventions for generative AI, sent by OTLP over HTTP.
//!
//! Spans wait in a bounded queue of the library's own thread and are dropped where it is full: a collector that is slow
//! or gone slows no call.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full, Limited};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanContext, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use super::{Outcome, Record};
use crate::gateway::upstream::UpstreamClient;

/// How long connecting to a collector may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a collector may take.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// How long what waits may take to be sent when the process ends.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// Longest answer of a collector that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why no spans can be sent.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint {endpoint:?} cannot be used: {problem}")]
pub struct BadTelemetry {
    endpoint: String,
    problem: String,
}

/// Makes and sends spans.
#[derive(Debug)]
pub struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

/// The span of a call that runs.
#[derive(Debug)]
pub(super) struct Open {
    span: opentelemetry_sdk::trace::Span,
}

impl Spans {
    /// Sends to a collector's base address, such as `http://127.0.0.1:4318`. Of calls without a trace of their own, so many
    /// percent begin one; a call within a trace follows the decision that it comes with.
    pub fn new(endpoint: &str, sample_percent: u8) -> Result<Self, BadTelemetry> {
        let bad = |problem: String| BadTelemetry { endpoint: endpoint.to_owned(), problem };
        let client = UpstreamClient::new(CONNECT_MAX).map_err(|error| bad(error.to_string()))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector { client, runtime: tokio::runtime::Handle::current() })
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_MAX)
            .build()
            .map_err(|error| bad(error.to_string()))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                f64::from(sample_percent) / 100.0,
            ))))
            .with_resource(Resource::builder().with_service_name("creel-gateway").build())
            .build();
        let tracer = provider.tracer("creel");
        Ok(Self { provider, tracer, propagator: TraceContextPropagator::new() })
    }

    pub(super) fn begin(&self, headers: &HeaderMap) -> Open {
        let parent = self.propagator.extract_with_context(&Context::new(), &Headers(headers));
        let builder = self.tracer.span_builder("chat").with_kind(SpanKind::Client);
        Open { span: self.tracer.build_with_context(builder, &parent) }
    }
}

impl Spans {
    /// Sends what waits; afterwards nothing is sent any more.
    pub async fn shutdown(&self) {
        let provider = self.provider.clone();
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(SHUTDOWN_MAX));
        if !matches!(ended.await, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be sent");
        }
    }
}

impl Open {
    fn context(&self) -> &SpanContext {
        self.span.span_context()
    }

    pub(super) fn trace_id(&self) -> String {
        self.context().trace_id().to_string()
    }

    /// The header that names this span.
    pub(super) fn traceparent(&self) -> Option<HeaderValue> {
        let context = self.context();
        let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
        HeaderValue::from_str(&format!("00-{trace}-{span}-{flags:02x}")).ok()
    }

    pub(super) fn end(mut self, record: &Record) {
        if !self.span.is_recording() {
            return;
        }
        let model = record.model.as_deref();
        self.span.update_name(match model {
            Some(model) => format!("{} {model}", record.operation),
            None => record.operation.to_owned(),
        });
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", record.operation),
            KeyValue::new("creel.call.id", record.call_id.to_string()),
            KeyValue::new("creel.account.id", record.account_id.to_string()),
            KeyValue::new("creel.runtime.id", record.runtime_id.to_string()),
            KeyValue::new("creel.outcome", record.outcome.as_str()),
            KeyValue::new("creel.tries", i64::from(record.tries)),
        ];
        let mut number = |name: &'static str, value: Option<u64>| {
            if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
                attributes.push(KeyValue::new(name, value));
            }
        };
        number(
            "gen_ai.usage.input_tokens",
            record.usage.map(|it| it.input + it.cached_input + it.cache_write),
        );
        number("gen_ai.usage.cache_read.input_tokens", record.usage.map(|it| it.cached_input));
        number("gen_ai.usage.output_tokens", record.usage.map(|it| it.output));
        number("creel.cost.micros", record.cost_micros.map(i64::unsigned_abs));
        number("creel.overhead.us", record.overhead_us);
        number("http.response.status_code", record.upstream_status.map(u64::from));
        let mut text = |name: &'static str, value: Option<&str>| {
            if let Some(value) = value {
                attributes.push(KeyValue::new(name, value.to_owned()));
            }
        };
        text("gen_ai.provider.name", record.provider.as_deref());
        text("gen_ai.request.model", model);
        if record.outcome != Outcome::Answered {
            let error = record.code.unwrap_or(record.outcome.as_str());
            text("error.type", Some(error));
            self.span.set_status(Status::error(error));
        }
        self.span.set_attributes(attributes);
        self.span.end();
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Sends on this process's runtime, for the library exports from a thread of its own.
#[derive(Debug)]
struct Collector {
    client: UpstreamClient,
    runtime: tokio::runtime::Handle,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = async move {
            let response = client.send(request.map(Full::new)).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        };
        // The timer is the runtime's too.
        self.runtime.spawn(async move { tokio::time::timeout(EXPORT_MAX, sent).await? }).await?
    }
}
