//! A whole answer by an assistant that no model gave: how an agent is told of a refusal, for agents show such a text
//! to their person, while they hide the text of most errors. Its usage is zero.

use serde_json::{Value, json};

use crate::dialect::Dialect;
use crate::sse;

/// What to say.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// Id of the answer, such as `chatcmpl-…`.
    pub id: &'a str,
    /// Seconds since 1970.
    pub created: i64,
    /// The model that was asked for.
    pub model: &'a str,
    /// What the person shall read.
    pub text: &'a str,
}

impl Notice<'_> {
    /// A chat completion: the answer to a request without `stream`.
    pub fn body(&self) -> Vec<u8> {
        self.chat().to_string().into_bytes()
    }

    /// The whole stream of a chat completion, with its usage where the client asked for it.
    pub fn stream(&self, include_usage: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let head = json!({"role": "assistant", "content": self.text});
        for (delta, reason) in [(head, Value::Null), (json!({}), "stop".into())] {
            let choices = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
            sse::write(&mut out, None, &self.chunk(choices));
        }
        if include_usage {
            let mut chunk = self.chunk(json!([]));
            if let Some(members) = chunk.as_object_mut() {
                members.insert("usage".into(), zero_chat());
            }
            sse::write(&mut out, None, &chunk);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        out
    }

    /// The answer in a dialect, as a stream or not; `None` for those whose answers are no texts.
    pub fn answer(&self, dialect: Dialect, stream: bool, include_usage: bool) -> Option<Vec<u8>> {
        Some(match (dialect, stream) {
            (Dialect::Chat, false) => self.body(),
            (Dialect::Chat, true) => self.stream(include_usage),
            (Dialect::Messages, false) => self.message(true).to_string().into_bytes(),
            (Dialect::Messages, true) => self.message_stream(),
            (Dialect::Responses, false) => self.response("completed").to_string().into_bytes(),
            (Dialect::Responses, true) => self.response_stream(),
            (Dialect::Embeddings | Dialect::CountTokens, _) => return None,
        })
    }

    fn chat(&self) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0, "finish_reason": "stop", "logprobs": null,
                "message": {"role": "assistant", "content": self.text, "refusal": null},
            }],
            "usage": zero_chat(),
        })
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices,
        })
    }

    fn message(&self, whole: bool) -> Value {
        let content = if whole { json!([{"type": "text", "text": self.text}]) } else { json!([]) };
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": whole.then_some("end_turn"), "stop_sequence": null,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        })
    }

    fn message_stream(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for event in [
            json!({"type": "message_start", "message": self.message(false)}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": self.text}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({
                "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                "usage": {"output_tokens": 0},
            }),
            json!({"type": "message_stop"}),
        ] {
            sse::write_typed(&mut out, &event);
        }
        out
    }

    fn part(&self) -> Value {
        json!({"type": "output_text", "text": self.text, "annotations": []})
    }

    fn item(&self, status: &str) -> Value {
        let content = if status == "completed" { json!([self.part()]) } else { json!([]) };
        let id = format!("msg_{}", self.id);
        json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
    }

    fn response(&self, status: &str) -> Value {
        let done = status == "completed";
        let usage = json!({
            "input_tokens": 0, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 0, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0,
        });
        json!({
            "id": self.id, "object": "response", "created_at": self.created, "status": status, "error": null,
            "incomplete_details": null, "instructions": null, "metadata": {}, "model": self.model,
            "output": if done { json!([self.item(status)]) } else { json!([]) },
            "parallel_tool_calls": true, "temperature": null, "tool_choice": "auto", "tools": [], "top_p": null,
            "usage": if done { usage } else { Value::Null },
        })
    }

    fn response_stream(&self) -> Vec<u8> {
        let item_id = format!("msg_{}", self.id);
        let at = |mut event: Value| {
            if let Some(members) = event.as_object_mut() {
                members.insert("item_id".into(), item_id.clone().into());
                members.insert("output_index".into(), 0.into());
                members.insert("content_index".into(), 0.into());
            }
            event
        };
        let empty = json!({"type": "output_text", "text": "", "annotations": []});
        let events = [
            json!({"type": "response.created", "response": self.response("in_progress")}),
            json!({"type": "response.in_progress", "response": self.response("in_progress")}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": self.item("in_progress")}),
            at(json!({"type": "response.content_part.added", "part": empty})),
            at(json!({"type": "response.output_text.delta", "delta": self.text, "logprobs": []})),
            at(json!({"type": "response.output_text.done", "text": self.text, "logprobs": []})),
            at(json!({"type": "response.content_part.done", "part": self.part()})),
            json!({"type": "response.output_item.done", "output_index": 0, "item": self.item("completed")}),
            json!({"type": "response.completed", "response": self.response("completed")}),
        ];
        let mut out = Vec::new();
        for (number, mut event) in events.into_iter().enumerate() {
            if let Some(members) = event.as_object_mut() {
                members.insert("sequence_number".into(), number.into());
            }
            sse::write_typed(&mut out, &event);
        }
        out
    }
}

fn zero_chat() -> Value {
    json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{self, Usage};

    const NOTICE: Notice<'_> = Notice { id: "chatcmpl-1", created: 5, model: "m", text: "a\n\n\"b\"" };

    #[test]
    fn a_notice_is_an_answer_that_used_nothing() {
        for (dialect, text, usage) in [
            (Dialect::Chat, "/choices/0/message/content", "/usage"),
            (Dialect::Messages, "/content/0/text", "/usage"),
            (Dialect::Responses, "/output/0/content/0/text", "/usage"),
        ] {
            let body = NOTICE.answer(dialect, false, false).expect("an answer");
            let body: Value = serde_json::from_slice(&body).expect("json");
            assert_eq!(body.pointer(text), Some(&NOTICE.text.into()), "{dialect:?}");
            let usage = body.pointer(usage).expect("usage").to_string();
            assert_eq!(usage::of(dialect, usage.as_bytes()), Some(Usage::default()), "{dialect:?}");
        }
        assert_eq!(NOTICE.answer(Dialect::Embeddings, false, false), None);
    }

    #[test]
    fn a_streamed_notice_says_the_same() {
        for (dialect, include_usage, events, last) in [
            (Dialect::Chat, false, 3, "[DONE]"),
            (Dialect::Chat, true, 4, "[DONE]"),
            (Dialect::Messages, false, 6, r#"{"type":"message_stop"}"#),
            (Dialect::Responses, false, 9, r#"{"type":"response.completed","#),
        ] {
            let mut data = Vec::new();
            let stream = NOTICE.answer(dialect, true, include_usage).expect("an answer");
            let keep = |event: sse::Event<'_>| data.push(event.data.expect("data").into_owned());
            sse::Splitter::new().push(&stream, keep).expect("short");
            assert_eq!(data.len(), events, "{dialect:?}");
            assert!(data[events - 1].starts_with(last.as_bytes()), "{dialect:?}");
            let text = serde_json::to_string(NOTICE.text).expect("text");
            assert!(data.iter().any(|data| String::from_utf8_lossy(data).contains(&text)), "{dialect:?}");
        }
    }
}
