//! `creel echo-llm`: an upstream that answers with what it was told. For demos, tests and benchmarks.
//!
//! It speaks OpenAI's chat completions and Anthropic's messages, whole and streamed, and lists one model. It keeps
//! nothing and logs nothing. The same request always gets the same answer and the same usage:
//!
//! - input tokens: one for every four bytes, begun ones counted, of the JSON text of `messages` (and of `system`);
//! - output tokens: one for every four bytes of the answer, begun ones counted; at least one of each;
//! - an answer longer than the request's output limit is cut there.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use creel_control::tasks::Tasks;
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

/// Longest request body, in bytes.
const BODY_BYTES_MAX: usize = 20 << 20;
/// How long a client may take to send its head.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long answers under way may take once the process shall end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);
/// Bytes of text that one token stands for.
const TOKEN_BYTES: usize = 4;
/// The one model that is listed; any name is answered.
const MODEL: &str = "echo";

/// OpenClaw sends what it knows itself as a user message behind the person's; it begins with this.
const OPENCLAW_CONTEXT: &str = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>";
/// OpenClaw writes this line below the person's words.
const OPENCLAW_RUNTIME: &str = "\n\nRuntime: agent=";

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
    let dialect = match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/chat/completions") => Dialect::OpenAi,
        (&Method::POST, "/v1/messages") => Dialect::Anthropic,
        (&Method::GET, "/v1/models") => {
            let model = json!({"id": MODEL, "object": "model", "created": 0, "owned_by": "creel"});
            return whole(StatusCode::OK, json!({"object": "list", "data": [model]}).to_string());
        }
        _ => return refuse(StatusCode::NOT_FOUND, "there is no such path"),
    };
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or did not arrive");
    };
    let body = body.to_bytes();
    let asked: Asked<'_> = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(_) => {
            return refuse(StatusCode::BAD_REQUEST, "the body is not a request with model and messages");
        }
    };
    let Ok(echo) = Echo::of(&asked) else {
        return refuse(StatusCode::BAD_REQUEST, "messages must be a list of messages");
    };
    if !pace.delay.is_zero() {
        tokio::time::sleep(pace.delay).await;
    }
    if !asked.stream.unwrap_or(false) {
        return whole(StatusCode::OK, dialect.whole(&echo));
    }
    let events = dialect.stream(&echo, pace.chunks);
    let body = if pace.delay.is_zero() {
        Full::new(Bytes::from(events.concat())).boxed_unsync()
    } else {
        paced(events, pace.delay)
    };
    respond(StatusCode::OK, "text/event-stream", body)
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

fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": null});
    whole(status, json!({"error": error}).to_string())
}

/// A request of either dialect.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: &'a RawValue,
    #[serde(borrow, default)]
    system: Option<&'a RawValue>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

impl Message<'_> {
    fn text(&self) -> String {
        match self.content.and_then(|content| serde_json::from_str(content.get()).ok()) {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => {
                parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join("\n")
            }
            None => String::new(),
        }
    }
}

/// What is answered, and its usage.
#[derive(Debug, PartialEq, Eq)]
struct Echo<'a> {
    model: &'a str,
    text: String,
    is_cut: bool,
    include_usage: bool,
    input_tokens: usize,
    output_tokens: usize,
}

fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(TOKEN_BYTES).max(1)
}

impl<'a> Echo<'a> {
    fn of(asked: &'a Asked<'_>) -> Result<Self, serde_json::Error> {
        let messages: Vec<Message<'_>> = serde_json::from_str(asked.messages.get())?;
        let said = messages.iter().rev().filter(|message| message.role == "user");
        let mut text = said
            .map(|message| persons_words(&message.text()))
            .find(|text| !text.is_empty())
            .unwrap_or_default();
        let limit = asked.max_tokens.into_iter().chain(asked.max_completion_tokens).min();
        let bytes_max = limit.unwrap_or(usize::MAX).max(1).saturating_mul(TOKEN_BYTES);
        let is_cut = text.len() > bytes_max;
        if is_cut {
            let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        let input_bytes = asked.messages.get().len() + asked.system.map_or(0, |system| system.get().len());
        Ok(Self {
            model: &asked.model,
            is_cut,
            include_usage: asked.stream_options.as_ref().and_then(|o| o.include_usage).unwrap_or(false),
            input_tokens: tokens(input_bytes),
            output_tokens: tokens(text.len()),
            text,
        })
    }
}

/// The words of the person in a message, without what OpenClaw adds: a context of its own (a message of its own,
/// or behind the words), the time before the words, and a line about its runtime below them.
fn persons_words(text: &str) -> String {
    let words = text.split(OPENCLAW_CONTEXT).next().unwrap_or_default();
    let words = words.split(OPENCLAW_RUNTIME).next().unwrap_or_default().trim();
    without_time(words).to_owned()
}

/// Takes off a leading `[Tue 2026-11-24 04:05 UTC] `.
fn without_time(words: &str) -> &str {
    const DAYS: [&str; 7] = ["Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "];
    const STAMP_BYTES_MAX: usize = 48;
    let stamped = words.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match stamped {
        Some((stamp, rest))
            if stamp.len() <= STAMP_BYTES_MAX
                && DAYS.iter().any(|day| stamp.starts_with(day))
                && stamp.contains(':') =>
        {
            rest.trim_start()
        }
        _ => words,
    }
}

/// `text` in `count` pieces of about the same size; fewer where it is shorter.
fn pieces(text: &str, count: usize) -> Vec<&str> {
    let size = text.len().div_ceil(count.max(1)).max(1);
    let mut out = Vec::with_capacity(count);
    let mut rest = text;
    while !rest.is_empty() {
        let at =
            (size.min(rest.len())..=rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(at);
        out.push(piece);
        rest = tail;
    }
    if out.is_empty() { vec![""] } else { out }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    fn whole(self, echo: &Echo<'_>) -> String {
        match self {
            Self::OpenAi => json!({
                "id": "chatcmpl-echo", "object": "chat.completion", "created": 0, "model": echo.model,
                "choices": [{
                    "index": 0, "message": {"role": "assistant", "content": echo.text},
                    "finish_reason": if echo.is_cut { "length" } else { "stop" },
                }],
                "usage": openai_usage(echo),
            }),
            Self::Anthropic => json!({
                "id": "msg_echo", "type": "message", "role": "assistant", "model": echo.model,
                "content": [{"type": "text", "text": echo.text}],
                "stop_reason": if echo.is_cut { "max_tokens" } else { "end_turn" }, "stop_sequence": null,
                "usage": {"input_tokens": echo.input_tokens, "output_tokens": echo.output_tokens},
            }),
        }
        .to_string()
    }

    /// The events of a stream; the ones that carry text are `chunks` or fewer.
    fn stream(self, echo: &Echo<'_>, chunks: usize) -> Vec<String> {
        match self {
            Self::OpenAi => openai_stream(echo, chunks),
            Self::Anthropic => anthropic_stream(echo, chunks),
        }
    }
}

fn openai_usage(echo: &Echo<'_>) -> serde_json::Value {
    json!({
        "prompt_tokens": echo.input_tokens, "completion_tokens": echo.output_tokens,
        "total_tokens": echo.input_tokens + echo.output_tokens,
    })
}

fn openai_stream(echo: &Echo<'_>, chunks: usize) -> Vec<String> {
    let event = |choices: serde_json::Value, usage: Option<serde_json::Value>| {
        let mut chunk = json!({
            "id": "chatcmpl-echo", "object": "chat.completion.chunk", "created": 0, "model": echo.model,
            "choices": choices,
        });
        if let (Some(usage), Some(members)) = (usage, chunk.as_object_mut()) {
            members.insert("usage".into(), usage);
        }
        format!("data: {chunk}\n\n")
    };
    let mut events: Vec<String> = pieces(&echo.text, chunks)
        .into_iter()
        .map(|piece| {
            let delta = json!({"role": "assistant", "content": piece});
            event(json!([{"index": 0, "delta": delta, "finish_reason": null}]), None)
        })
        .collect();
    let reason = if echo.is_cut { "length" } else { "stop" };
    let mut end = event(json!([{"index": 0, "delta": {}, "finish_reason": reason}]), None);
    if echo.include_usage {
        end += &event(json!([]), Some(openai_usage(echo)));
    }
    end += "data: [DONE]\n\n";
    events.push(end);
    events
}

fn anthropic_stream(echo: &Echo<'_>, chunks: usize) -> Vec<String> {
    let event = |kind: &str, mut data: serde_json::Value| {
        if let Some(members) = data.as_object_mut() {
            members.insert("type".into(), kind.into());
        }
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let message = json!({
        "id": "msg_echo", "type": "message", "role": "assistant", "model": echo.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": echo.input_tokens, "output_tokens": 1},
    });
    let block = json!({"index": 0, "content_block": {"type": "text", "text": ""}});
    let start = event("message_start", json!({"message": message})) + &event("content_block_start", block);
    let mut events = vec![start];
    events.extend(pieces(&echo.text, chunks).into_iter().map(|piece| {
        event("content_block_delta", json!({"index": 0, "delta": {"type": "text_delta", "text": piece}}))
    }));
    let reason = if echo.is_cut { "max_tokens" } else { "end_turn" };
    let delta = json!({
        "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": echo.output_tokens},
    });
    let end = event("content_block_stop", json!({"index": 0})) + &event("message_delta", delta);
    events.push(end + &event("message_stop", json!({})));
    events
}

#[cfg(test)]
mod tests {
    use creel_llm::{sse, usage};

    use super::*;

    fn echo_of(body: &str, check: impl FnOnce(&Echo<'_>)) {
        let asked: Asked<'_> = serde_json::from_str(body).expect("a request");
        check(&Echo::of(&asked).expect("messages"));
    }

    #[test]
    fn the_last_words_of_the_person_are_echoed() {
        let stamped = r"[Tue 2026-11-24 04:05 UTC] Hello, \u4e2d\n\nRuntime: agent=main | host=vm";
        let context = r"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nnone\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>";
        for (messages, expect) in [
            (r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#.to_owned(), "a"),
            (r#"[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"[b] c"}]}]"#.into(), "[b] c"),
            (
                format!(
                    r#"[{{"role":"system","content":"s"}},{{"role":"user","content":"{stamped}"}},
                       {{"role":"user","content":[{{"type":"text","text":"{context}"}}]}}]"#
                ),
                "Hello, \u{4e2d}",
            ),
            (format!(r#"[{{"role":"user","content":"{stamped}\n{context}"}}]"#), "Hello, \u{4e2d}"),
            (r#"[{"role":"user"},{"role":"tool","content":"t"}]"#.into(), ""),
        ] {
            echo_of(&format!(r#"{{"model":"m","messages":{messages}}}"#), |echo| assert_eq!(echo.text, expect));
        }
    }

    #[test]
    fn usage_follows_the_documented_rule() {
        let messages = r#"[{"role":"user","content":"12345"}]"#;
        echo_of(&format!(r#"{{"model":"m","system":"12","messages":{messages}}}"#), |echo| {
            assert_eq!((echo.input_tokens, echo.output_tokens), ((messages.len() + 4).div_ceil(4), 2));
        });
        echo_of(&format!(r#"{{"model":"m","max_tokens":1,"messages":{messages}}}"#), |echo| {
            assert_eq!((echo.text.as_str(), echo.is_cut, echo.output_tokens), ("1234", true, 1));
        });
    }

    #[test]
    fn a_stream_says_what_a_whole_answer_says() {
        let body = r#"{"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"h\u00e9llo wo"}]}"#;
        echo_of(body, |echo| {
            for chunks in [1, 3, 100] {
                let (mut text, mut used) = (String::new(), None);
                let stream = Dialect::OpenAi.stream(echo, chunks).concat();
                let read = |event: sse::Event<'_>| {
                    let data = event.data.expect("data");
                    used = usage::of_chunk(&data).or(used);
                    let chunk: serde_json::Value = serde_json::from_slice(&data).unwrap_or_default();
                    text += chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
                };
                sse::Splitter::new().push(stream.as_bytes(), read).expect("short events");
                assert_eq!(text, echo.text);
                let used = used.expect("usage").usage;
                assert_eq!((used.input, used.output), (echo.input_tokens as u64, echo.output_tokens as u64));
                let anthropic = Dialect::Anthropic.stream(echo, chunks).concat();
                assert!(
                    anthropic.contains(&format!(r#""usage":{{"output_tokens":{}}}"#, echo.output_tokens))
                );
            }
        });
    }
}
