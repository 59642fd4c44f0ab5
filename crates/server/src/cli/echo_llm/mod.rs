//! `creel echo-llm`: an upstream that answers with what it was told. For demos, tests and benchmarks.
//!
//! It speaks OpenAI's chat completions, responses and embeddings and Anthropic's messages, whole and streamed, and
//! lists one model. It keeps nothing and logs nothing. The same request always gets the same answer and the same usage:
//!
//! - input tokens: one for every four bytes, begun ones counted, of the JSON text of `messages` (and of `system`), in
//!   OpenAI's newer dialects of `input` (and of `instructions`);
//! - output tokens: one for every four bytes of the answer, begun ones counted; at least one of each;
//! - an answer longer than the request's output limit is cut there;
//! - `call NAME {…}`, where the request declares a tool of that name, is answered by that call, and a tool's result by
//!   its text.

mod answer;
mod echo;
mod vectors;

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use creel_control::tasks::Tasks;
use creel_llm::dialect::Dialect;
use creel_llm::error::ErrorBody;
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;

use echo::{Asked, Echo};

/// Longest request body, in bytes.
const BODY_BYTES_MAX: usize = 20 << 20;
/// How long a client may take to send its head.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long answers under way may take once the process shall end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);
/// The one model that is listed; any name is answered.
const MODEL: &str = "echo";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How answers are paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    /// Before an answer, and before each piece of a stream.
    delay: Duration,
    /// Pieces of a stream that carry text.
    chunks: usize,
}

/// Serves until the process is told to end. Prints one JSON line with its address when it is ready. `delay_ms` is
/// waited before each answer, and before each of the `chunks` pieces of a stream.
pub async fn run(listen: SocketAddr, delay_ms: u64, chunks: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    let address = listener.local_addr().context("reading the address")?;
    let ready = json!({"event": "ready", "address": format!("http://{address}")});
    writeln!(std::io::stdout(), "{ready}").context("printing the ready line")?;
    let tasks = Tasks::new();
    let pace = Pace { delay: Duration::from_millis(delay_ms), chunks: chunks.max(1) };
    tokio::select! {
        () = serve(listener, pace, &tasks) => {}
        told = told_to_end() => told?,
    }
    tasks.shutdown(SHUTDOWN_MAX).await;
    Ok(())
}

/// Done once the process is told to end.
pub(super) async fn told_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("watching for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

async fn serve(listener: TcpListener, pace: Pace, tasks: &Tasks) {
    loop {
        // A client that has gone before it was accepted, or a moment without file descriptors.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _best_effort = stream.set_nodelay(true);
        let service =
            service_fn(move |request| async move { Ok::<_, Infallible>(answer(request, pace).await) });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let stop = tasks.cancelled();
        tasks.spawn("echo.connection", async move {
            tokio::select! {
                // Whatever ends a connection, the client knows it.
                _ended = connection => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn answer(request: Request<Incoming>, pace: Pace) -> Response<Body> {
    let path = request.uri().path().strip_prefix("/v1").unwrap_or_default();
    let is_anthropic = request.headers().contains_key("anthropic-version");
    if path == "/models" && request.method() == Method::GET {
        return whole(StatusCode::OK, models(is_anthropic));
    }
    let found = Dialect::ALL.into_iter().find(|dialect| dialect.path() == path);
    let Some(dialect) = found.filter(|_| request.method() == Method::POST) else {
        let dialect = if is_anthropic { Dialect::Messages } else { Dialect::Chat };
        return refuse(dialect, StatusCode::NOT_FOUND, "there is no such path");
    };
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        let message = "the body is too large or did not arrive";
        return refuse(dialect, StatusCode::PAYLOAD_TOO_LARGE, message);
    };
    let body = body.to_bytes();
    let invalid = |message| refuse(dialect, StatusCode::BAD_REQUEST, message);
    let Ok(asked) = serde_json::from_slice::<Asked<'_>>(&body) else {
        return invalid("the body is not a request with a model");
    };
    if !pace.delay.is_zero() {
        tokio::time::sleep(pace.delay).await;
    }
    if dialect == Dialect::Embeddings {
        let vectors = vectors::answer(&asked);
        return vectors
            .map_or_else(|| invalid("input must be texts or tokens"), |body| whole(StatusCode::OK, body));
    }
    let Some(echo) = Echo::of(&asked) else {
        return invalid("messages, or input, must be a list of messages");
    };
    if dialect == Dialect::CountTokens {
        return whole(StatusCode::OK, json!({"input_tokens": echo.input_tokens}).to_string());
    }
    if !asked.stream.unwrap_or(false) {
        return whole(StatusCode::OK, answer::whole(dialect, &echo).to_string());
    }
    let events = answer::stream(dialect, &echo, pace.chunks);
    let body = if pace.delay.is_zero() {
        Full::new(Bytes::from(events.concat())).boxed_unsync()
    } else {
        paced(events, pace.delay)
    };
    respond(StatusCode::OK, "text/event-stream", body)
}

fn models(is_anthropic: bool) -> String {
    if is_anthropic {
        let created_at = "1970-01-01T00:00:00Z";
        let model = json!({
            "type": "model", "id": MODEL, "display_name": "Echo", "created_at": created_at, "lifecycle": "active",
        });
        return json!({"data": [model], "has_more": false, "first_id": MODEL, "last_id": MODEL}).to_string();
    }
    let model = json!({"id": MODEL, "object": "model", "created": 0, "owned_by": "creel"});
    json!({"object": "list", "data": [model]}).to_string()
}

fn paced(events: Vec<String>, delay: Duration) -> Body {
    let frames = stream::unfold((events.into_iter(), true), move |(mut events, first)| async move {
        let event = events.next()?;
        if !first {
            tokio::time::sleep(delay).await;
        }
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), (events, false)))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn whole(status: StatusCode, body: String) -> Response<Body> {
    respond(status, "application/json", Full::new(Bytes::from(body)).boxed_unsync())
}

fn refuse(dialect: Dialect, status: StatusCode, message: &str) -> Response<Body> {
    let error = ErrorBody { message, kind: "invalid_request_error", param: None, code: None };
    let body = error.body(dialect, status.as_u16());
    respond(status, "application/json", Full::new(Bytes::from(body)).boxed_unsync())
}
