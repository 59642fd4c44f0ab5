//! A stream of a message as a stream of chunks of a chat completion, event by event.

use serde_json::{Value, json};

use super::whole::chat_usage;
use super::{Naming, finish_reason};
use crate::sse;
use crate::usage::Usage;

/// Between two events.
#[derive(Debug)]
pub(crate) struct ToChat {
    naming: Naming,
    include_usage: bool,
    /// Calls of tools that have begun; the last one's place is one less.
    calls: u64,
    /// The call that is open has no arguments yet.
    without_arguments: bool,
}

impl ToChat {
    pub(crate) fn new(naming: Naming, include_usage: bool) -> Self {
        Self { naming, include_usage, calls: 0, without_arguments: false }
    }

    /// Takes an event and appends what it becomes.
    pub(crate) fn event(&mut self, kind: &str, data: &Value, usage: Option<Usage>, out: &mut Vec<u8>) {
        match kind {
            "message_start" => {
                for (to, from) in
                    [(&mut self.naming.id, "/message/id"), (&mut self.naming.model, "/message/model")]
                {
                    if let Some(text) = data.pointer(from).and_then(Value::as_str) {
                        text.clone_into(to);
                    }
                }
                self.delta(json!({"role": "assistant", "content": ""}), out);
            }
            "content_block_start" => self.block_start(data.get("content_block").unwrap_or(&Value::Null), out),
            "content_block_delta" => self.block_delta(data.get("delta").unwrap_or(&Value::Null), out),
            "content_block_stop" => self.block_stop(out),
            "message_delta" => {
                if let Some(reason) = data.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    self.chunk(
                        json!([{"index": 0, "delta": {}, "finish_reason": finish_reason(reason)}]),
                        None,
                        out,
                    );
                }
            }
            "message_stop" => {
                if self.include_usage {
                    self.chunk(json!([]), Some(chat_usage(&usage.unwrap_or_default())), out);
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
            "ping" => out.extend_from_slice(b": ping\n\n"),
            "error" => {
                let text = |name: &str| data.pointer(name).and_then(Value::as_str);
                let error = json!({
                    "message": text("/error/message").unwrap_or("The model provider broke off its answer."),
                    "type": text("/error/type").unwrap_or("server_error"), "param": null, "code": null,
                });
                sse::write(out, None, &json!({"error": error}));
            }
            _ => {}
        }
    }

    fn block_start(&mut self, block: &Value, out: &mut Vec<u8>) {
        let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" if !text("text").is_empty() => self.delta(json!({"content": text("text")}), out),
            "thinking" if !text("thinking").is_empty() => self.thinking(text("thinking"), out),
            "redacted_thinking" => self.delta(json!({"thinking_blocks": [block]}), out),
            "tool_use" => {
                let input = block
                    .get("input")
                    .filter(|input| input.as_object().is_some_and(|input| !input.is_empty()));
                let arguments = input.map(Value::to_string).unwrap_or_default();
                self.without_arguments = arguments.is_empty();
                let function = json!({"name": text("name"), "arguments": arguments});
                let call =
                    json!({"index": self.calls, "id": text("id"), "type": "function", "function": function});
                self.calls += 1;
                self.delta(json!({"tool_calls": [call]}), out);
            }
            _ => {}
        }
    }

    fn block_delta(&mut self, delta: &Value, out: &mut Vec<u8>) {
        let text = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text_delta" => self.delta(json!({"content": text("text")}), out),
            "thinking_delta" => self.thinking(text("thinking"), out),
            "signature_delta" => {
                let block = json!({"type": "thinking", "thinking": "", "signature": text("signature")});
                self.delta(json!({"thinking_blocks": [block]}), out);
            }
            "input_json_delta" if !text("partial_json").is_empty() => {
                self.without_arguments = false;
                self.arguments(text("partial_json"), out);
            }
            _ => {}
        }
    }

    fn block_stop(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.without_arguments) {
            self.arguments("{}", out);
        }
    }

    /// In both forms: as text for whoever shows it, and as a block that can be put together again and given back.
    fn thinking(&self, text: &str, out: &mut Vec<u8>) {
        let block = json!({"type": "thinking", "thinking": text});
        self.delta(json!({"reasoning_content": text, "thinking_blocks": [block]}), out);
    }

    fn arguments(&self, part: &str, out: &mut Vec<u8>) {
        let index = self.calls.saturating_sub(1);
        self.delta(json!({"tool_calls": [{"index": index, "function": {"arguments": part}}]}), out);
    }

    fn delta(&self, delta: Value, out: &mut Vec<u8>) {
        self.chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]), None, out);
    }

    fn chunk(&self, choices: Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = json!({
            "id": self.naming.id, "object": "chat.completion.chunk", "created": self.naming.created_s,
            "model": self.naming.model, "choices": choices,
        });
        if let (Some(usage), Some(members)) = (usage, chunk.as_object_mut()) {
            members.insert("usage".into(), usage);
        }
        sse::write(out, None, &chunk);
    }
}
