//! An echo in the words of each dialect, whole and as a stream.

use creel_llm::dialect::Dialect;
use creel_llm::sse;
use serde_json::{Value, json};

use super::echo::{Echo, Said};

/// Id of every call of a tool.
const CALL_ID: &str = "call_echo";

/// The answer as one body.
pub(super) fn whole(dialect: Dialect, echo: &Echo<'_>) -> Value {
    match dialect {
        Dialect::Messages => {
            let block = match &echo.said {
                Said::Text(text) => json!({"type": "text", "text": text}),
                Said::Call { name, arguments } => {
                    let input: Value = serde_json::from_str(arguments).unwrap_or_default();
                    json!({"type": "tool_use", "id": CALL_ID, "name": name, "input": input})
                }
            };
            let usage = json!({"input_tokens": echo.input_tokens, "output_tokens": echo.output_tokens});
            message(echo, json!([block]), stop_reason(echo).into(), usage)
        }
        Dialect::Responses => response(echo, true),
        Dialect::Chat | Dialect::Embeddings | Dialect::CountTokens => {
            let message = match &echo.said {
                Said::Text(text) => json!({"role": "assistant", "content": text}),
                Said::Call { name, arguments } => {
                    let function = json!({"name": name, "arguments": arguments});
                    let call = json!({"id": CALL_ID, "type": "function", "function": function});
                    json!({"role": "assistant", "content": null, "tool_calls": [call]})
                }
            };
            json!({
                "id": "chatcmpl-echo", "object": "chat.completion", "created": 0, "model": echo.model,
                "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(echo)}],
                "usage": chat_usage(echo),
            })
        }
    }
}

/// The events of a stream; those that carry text are `chunks` or fewer.
pub(super) fn stream(dialect: Dialect, echo: &Echo<'_>, chunks: usize) -> Vec<String> {
    match dialect {
        Dialect::Messages => message_stream(echo, chunks),
        Dialect::Responses => response_stream(echo, chunks),
        Dialect::Chat | Dialect::Embeddings | Dialect::CountTokens => chat_stream(echo, chunks),
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

impl Said {
    /// What is sent in pieces.
    fn words(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Call { arguments, .. } => arguments,
        }
    }
}

fn finish_reason(echo: &Echo<'_>) -> &'static str {
    match (&echo.said, echo.is_cut) {
        (Said::Call { .. }, _) => "tool_calls",
        (Said::Text(_), true) => "length",
        (Said::Text(_), false) => "stop",
    }
}

fn stop_reason(echo: &Echo<'_>) -> &'static str {
    match (&echo.said, echo.is_cut) {
        (Said::Call { .. }, _) => "tool_use",
        (Said::Text(_), true) => "max_tokens",
        (Said::Text(_), false) => "end_turn",
    }
}

fn event(data: &Value) -> String {
    let mut out = Vec::new();
    sse::write(&mut out, data.get("type").and_then(Value::as_str), data);
    String::from_utf8(out).unwrap_or_default()
}

fn chat_usage(echo: &Echo<'_>) -> Value {
    json!({
        "prompt_tokens": echo.input_tokens, "completion_tokens": echo.output_tokens,
        "total_tokens": echo.input_tokens + echo.output_tokens,
    })
}

fn chat_stream(echo: &Echo<'_>, chunks: usize) -> Vec<String> {
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": "chatcmpl-echo", "object": "chat.completion.chunk", "created": 0, "model": echo.model,
            "choices": choices,
        });
        if let (Some(usage), Some(members)) = (usage, chunk.as_object_mut()) {
            members.insert("usage".into(), usage);
        }
        event(&chunk)
    };
    let delta = |delta: Value, reason: Option<&str>| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}]), None)
    };
    let mut events = Vec::new();
    for (index, piece) in pieces(echo.said.words(), chunks).into_iter().enumerate() {
        events.push(match &echo.said {
            Said::Text(_) => delta(json!({"role": "assistant", "content": piece}), None),
            Said::Call { name, .. } if index == 0 => {
                let function = json!({"name": name, "arguments": piece});
                let call = json!({"index": 0, "id": CALL_ID, "type": "function", "function": function});
                delta(json!({"role": "assistant", "content": null, "tool_calls": [call]}), None)
            }
            Said::Call { .. } => {
                delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}), None)
            }
        });
    }
    let mut end = delta(json!({}), Some(finish_reason(echo)));
    if echo.include_usage {
        end += &chunk(json!([]), Some(chat_usage(echo)));
    }
    events.push(end + "data: [DONE]\n\n");
    events
}

fn message(echo: &Echo<'_>, content: Value, stop_reason: Value, usage: Value) -> Value {
    json!({
        "id": "msg_echo", "type": "message", "role": "assistant", "model": echo.model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    })
}

fn message_stream(echo: &Echo<'_>, chunks: usize) -> Vec<String> {
    let usage = json!({"input_tokens": echo.input_tokens, "output_tokens": 1});
    let begun = message(echo, json!([]), Value::Null, usage);
    let block = match &echo.said {
        Said::Text(_) => json!({"type": "text", "text": ""}),
        Said::Call { name, .. } => json!({"type": "tool_use", "id": CALL_ID, "name": name, "input": {}}),
    };
    let start = event(&json!({"type": "message_start", "message": begun}));
    let mut events =
        vec![start + &event(&json!({"type": "content_block_start", "index": 0, "content_block": block}))];
    events.extend(pieces(echo.said.words(), chunks).into_iter().map(|piece| {
        let delta = match &echo.said {
            Said::Text(_) => json!({"type": "text_delta", "text": piece}),
            Said::Call { .. } => json!({"type": "input_json_delta", "partial_json": piece}),
        };
        event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }));
    let end = [
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta", "delta": {"stop_reason": stop_reason(echo), "stop_sequence": null},
            "usage": {"output_tokens": echo.output_tokens},
        }),
        json!({"type": "message_stop"}),
    ];
    events.push(end.iter().map(event).collect());
    events
}

/// The one item of a response's output.
fn item(echo: &Echo<'_>, done: bool) -> Value {
    let status = if done { "completed" } else { "in_progress" };
    match &echo.said {
        Said::Text(text) => {
            let content = if done { json!([part(text)]) } else { json!([]) };
            json!({"id": "msg_echo", "type": "message", "status": status, "role": "assistant", "content": content})
        }
        Said::Call { name, arguments } => json!({
            "id": "fc_echo", "type": "function_call", "status": status, "call_id": CALL_ID, "name": name,
            "arguments": if done { arguments } else { "" },
        }),
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn response(echo: &Echo<'_>, done: bool) -> Value {
    let usage = json!({
        "input_tokens": echo.input_tokens, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": echo.output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": echo.input_tokens + echo.output_tokens,
    });
    let status = match (done, echo.is_cut) {
        (false, _) => "in_progress",
        (true, true) => "incomplete",
        (true, false) => "completed",
    };
    let details = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
    json!({
        "id": "resp_echo", "object": "response", "created_at": 0, "status": status, "error": null,
        "incomplete_details": details, "instructions": null, "metadata": {}, "model": echo.model,
        "output": if done { json!([item(echo, true)]) } else { json!([]) },
        "parallel_tool_calls": true, "temperature": null, "tool_choice": "auto", "tools": [], "top_p": null,
        "usage": if done { usage } else { Value::Null },
    })
}

fn response_stream(echo: &Echo<'_>, chunks: usize) -> Vec<String> {
    let (kind, id) = match &echo.said {
        Said::Text(_) => ("response.output_text", "msg_echo"),
        Said::Call { .. } => ("response.function_call_arguments", "fc_echo"),
    };
    let words = echo.said.words();
    let is_text = matches!(echo.said, Said::Text(_));
    let place = |kind: String, name: &str, value: Value| {
        let mut event = json!({"type": kind, "item_id": id, "output_index": 0, name: value});
        if let Some(members) = event.as_object_mut().filter(|_| is_text) {
            members.insert("content_index".into(), 0.into());
            members.insert("logprobs".into(), json!([]));
        }
        event
    };
    let part_event = |kind: &str, text: &str| json!({"type": kind, "item_id": id, "output_index": 0, "content_index": 0, "part": part(text)});
    let mut groups = vec![vec![
        json!({"type": "response.created", "response": response(echo, false)}),
        json!({"type": "response.in_progress", "response": response(echo, false)}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item(echo, false)}),
    ]];
    if is_text {
        groups.push(vec![part_event("response.content_part.added", "")]);
    }
    groups.extend(
        pieces(words, chunks)
            .into_iter()
            .map(|piece| vec![place(format!("{kind}.delta"), "delta", piece.into())]),
    );
    let mut end = if is_text {
        vec![
            place(format!("{kind}.done"), "text", words.into()),
            part_event("response.content_part.done", words),
        ]
    } else {
        vec![place(format!("{kind}.done"), "arguments", words.into())]
    };
    end.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item(echo, true)}));
    let last = if echo.is_cut { "response.incomplete" } else { "response.completed" };
    end.push(json!({"type": last, "response": response(echo, true)}));
    groups.push(end);
    let mut number = 0;
    let mut numbered = |mut data: Value| {
        if let Some(members) = data.as_object_mut() {
            members.insert("sequence_number".into(), number.into());
        }
        number += 1;
        event(&data)
    };
    groups.into_iter().map(|group| group.into_iter().map(&mut numbered).collect()).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use creel_llm::answer::Answer;
    use creel_llm::convert::Naming;
    use creel_llm::request::Request;
    use creel_llm::usage::Usage;

    use super::*;
    use crate::cli::echo_llm::echo::Asked;

    fn follow(dialect: Dialect, stream: bool, body: String) -> (String, Option<Usage>) {
        let asked = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
        let asked = Request::read(dialect, asked.as_bytes()).expect("a request");
        let naming = || Naming { id: String::new(), created_s: 0, model: String::new() };
        let mut answer = Answer::new(&asked, dialect, stream, naming);
        let mut out = answer.push(Bytes::from(body)).expect("an answer").now.unwrap_or_default().to_vec();
        answer.end().expect("an answer");
        out.extend(answer.waiting().unwrap_or_default());
        (String::from_utf8(out).expect("text"), answer.usage())
    }

    #[test]
    fn a_stream_says_what_a_whole_answer_says() {
        let texts = [
            r#"{"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"h\u00e9llo wo"}]}"#,
            r#"{"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"call f {\"a\": 1}"}],"tools":[{"name":"f"}]}"#,
        ];
        for body in texts {
            let asked: Asked<'_> = serde_json::from_str(body).expect("a request");
            let echo = Echo::of(&asked).expect("messages");
            let used = Usage {
                input: echo.input_tokens as u64,
                output: echo.output_tokens as u64,
                ..Usage::default()
            };
            for dialect in [Dialect::Chat, Dialect::Messages, Dialect::Responses] {
                let (_, told) = follow(dialect, false, whole(dialect, &echo).to_string());
                assert_eq!(told, Some(used), "{dialect:?}");
                for chunks in [1, 3, 100] {
                    let events = stream(dialect, &echo, chunks);
                    assert!(events.len() <= chunks.min(echo.said.words().len()) + 3, "{events:?}");
                    let (out, told) = follow(dialect, true, events.concat());
                    assert_eq!((out, told), (events.concat(), Some(used)), "{dialect:?}");
                    let pointers = [
                        "/choices/0/delta/content",
                        "/choices/0/delta/tool_calls/0/function/arguments",
                        "/delta/text",
                        "/delta/partial_json",
                        "/delta",
                    ];
                    let mut words = String::new();
                    let read = |event: sse::Event<'_>| {
                        let data: Value =
                            serde_json::from_slice(&event.data.expect("data")).unwrap_or_default();
                        let found = pointers.iter().find_map(|at| data.pointer(at).and_then(Value::as_str));
                        words += found.unwrap_or_default();
                    };
                    sse::Splitter::new().push(events.concat().as_bytes(), read).expect("short events");
                    assert_eq!(words, echo.said.words(), "{dialect:?}");
                }
            }
        }
    }
}
