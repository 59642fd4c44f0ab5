//! What a request and a stream cost in this crate: `cargo run --release -p creel-llm --example bench`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that prints figures and may stop"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use creel_llm::answer::Answer;
use creel_llm::convert::Naming;
use creel_llm::dialect::Dialect;
use creel_llm::request::{OutputField, Request, Rewrite};
use creel_llm::tokens::Sample;
use serde_json::{Value, json};

const REWRITE: Rewrite<'static> =
    Rewrite { model: "model-1", output_tokens_max: None, output_field: OutputField::MaxTokens };

/// An agent's request of about so many bytes: a long system prompt, tools, and turns with calls.
fn agent(bytes: usize) -> Value {
    let tool = |index: usize| {
        json!({"type": "function", "function": {"name": format!("tool_{index}"), "description": "Does a thing.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}}})
    };
    let tools: Vec<Value> = (0..(bytes / 3_000).clamp(1, 20)).map(tool).collect();
    let mut messages = vec![json!({"role": "system", "content": ""})];
    let mut index = 0;
    let turn_bytes = 1_500;
    while messages.len() < 2 || bytes / 2 > (index + 1) * turn_bytes {
        let id = format!("call_{index}");
        messages.push(json!({"role": "user", "content": "Look at the file and tell what you see, please."}));
        messages
            .push(json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function",
            "function": {"name": "tool_0", "arguments": "{\"path\": \"/src/main.rs\"}"}}]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": "fn main() {\n    work();\n}\n".repeat(38)}));
        index += 1;
    }
    messages.push(json!({"role": "user", "content": "Go on."}));
    let mut request = json!({"model": "provider/model-1", "messages": messages, "tools": tools, "stream": true,
        "stream_options": {"include_usage": true}, "max_tokens": 4096});
    let line = "You are an agent. Keep to the \"rules\" below.\n- Never guess.\n";
    let lines = bytes.saturating_sub(request.to_string().len()) / (line.len() + 4);
    request["messages"][0]["content"] = line.repeat(lines).into();
    request
}

/// The least of a few rounds, each of at least 50 ms, per call.
fn time<T>(mut call: impl FnMut() -> T) -> u128 {
    let mut best = u128::MAX;
    for _ in 0..5 {
        let (start, mut calls) = (Instant::now(), 0u128);
        while start.elapsed() < Duration::from_millis(50) {
            for _ in 0..8 {
                black_box(call());
            }
            calls += 8;
        }
        best = best.min(start.elapsed().as_nanos() / calls);
    }
    best
}

fn send(from: Dialect, body: &[u8], to: Dialect) -> Option<Vec<u8>> {
    let request = Request::read(from, body).expect("a request");
    request.for_upstream(body, to, &REWRITE).expect("convertible").body
}

fn chat_stream(events: usize) -> Vec<u8> {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": "model-1", "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
    let mut out = String::new();
    for _ in 0..events {
        out += &chunk(delta(json!({"content": " token"}), Value::Null), Value::Null);
    }
    out += &chunk(delta(json!({}), "stop".into()), Value::Null);
    out += &chunk(json!([]), json!({"prompt_tokens": 9, "completion_tokens": events}));
    (out + "data: [DONE]\n\n").into_bytes()
}

fn follow(asked: &Request, upstream: Dialect, parts: &[Bytes]) -> Vec<Bytes> {
    let naming = || Naming { id: "call-1".into(), created_s: 1_800_000_000, model: "m".into() };
    let mut answer = Answer::new(asked, upstream, true, naming);
    let mut out: Vec<Bytes> = Vec::new();
    for part in parts {
        out.extend(answer.push(part.clone()).expect("an answer").now);
    }
    answer.end().expect("an answer");
    out.extend(answer.waiting());
    assert!(answer.usage().is_some_and(|usage| usage.output > 0));
    out
}

fn main() {
    println!(
        "{:>9}  {:>10} {:>10} {:>12} {:>12} {:>10}   ns a request",
        "bytes", "read", "+ rewrite", "to messages", "to chat", "sample"
    );
    for bytes in [2_000, 41_000, 500_000] {
        let chat = agent(bytes).to_string().into_bytes();
        let sampled = Bytes::copy_from_slice(&chat);
        let messages = send(Dialect::Chat, &chat, Dialect::Messages).expect("converted");
        println!(
            "{:>9}  {:>10} {:>10} {:>12} {:>12} {:>10}",
            chat.len(),
            time(|| Request::read(Dialect::Chat, &chat).expect("a request")),
            time(|| send(Dialect::Chat, &chat, Dialect::Chat)),
            time(|| send(Dialect::Chat, &chat, Dialect::Messages)),
            time(|| send(Dialect::Messages, &messages, Dialect::Chat)),
            time(|| Sample::of_request(&sampled)),
        );
    }
    let events = 200;
    let asked = |dialect: Dialect, usage: bool| {
        let body = format!(r#"{{"model":"m","stream":true,"stream_options":{{"include_usage":{usage}}}}}"#);
        Request::read(dialect, body.as_bytes()).expect("a request")
    };
    let chat: Vec<Bytes> =
        chat_stream(events).split_inclusive(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect();
    let chat: Vec<Bytes> = chat.chunks(2).map(|lines| lines.concat().into()).collect();
    let messages = follow(&asked(Dialect::Messages, true), Dialect::Chat, &chat);
    println!("\n{:>24}   ns an event of {events}", "");
    for (name, client, usage, upstream, parts) in [
        ("chat", Dialect::Chat, true, Dialect::Chat, &chat),
        ("chat, usage hidden", Dialect::Chat, false, Dialect::Chat, &chat),
        ("messages", Dialect::Messages, true, Dialect::Messages, &messages),
        ("chat to messages", Dialect::Messages, true, Dialect::Chat, &chat),
        ("messages to chat", Dialect::Chat, true, Dialect::Messages, &messages),
    ] {
        let asked = asked(client, usage);
        println!("{name:>24}   {:>6}", time(|| follow(&asked, upstream, parts)) / events as u128);
    }
}
