//! What the gateway itself says in the OpenAI dialect: errors, and refusals that a person can read.

use serde::Serialize;

/// An error in OpenAI's shape: `{"error":{"message","type","param","code"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody<'a> {
    /// For the reader: what is wrong and what to do next.
    pub message: &'a str,
    /// OpenAI's class, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The member at fault, where one is.
    pub param: Option<&'a str>,
    /// What a program matches on, such as `model_not_found`.
    pub code: Option<&'a str>,
}

impl ErrorBody<'_> {
    /// The whole response body.
    pub fn to_bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a ErrorBody<'a>,
        }
        // Only maps with keys that are not text, and a Serialize that fails by itself, can fail here.
        serde_json::to_vec(&Body { error: self }).unwrap_or_default()
    }
}

/// A whole answer by an assistant that no model gave: how an agent is told of a refusal, for agents show such a text
/// to their person, while they hide the text of most errors. Its usage is zero.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// Id of the completion, such as `chatcmpl-…`.
    pub id: &'a str,
    /// Seconds since 1970.
    pub created: i64,
    /// The model that was asked for.
    pub model: &'a str,
    /// What the person shall read.
    pub text: &'a str,
}

impl Notice<'_> {
    /// The answer to a request without `stream`.
    pub fn body(&self) -> Vec<u8> {
        let body = serde_json::json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0, "finish_reason": "stop", "logprobs": null,
                "message": {"role": "assistant", "content": self.text, "refusal": null},
            }],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        });
        body.to_string().into_bytes()
    }

    /// The whole stream, with its usage where the client asked for it.
    pub fn stream(&self, include_usage: bool) -> Vec<u8> {
        let chunk = |choices: serde_json::Value, usage: Option<serde_json::Value>| {
            let mut chunk = serde_json::json!({
                "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
                "choices": choices,
            });
            if let (Some(usage), Some(members)) = (usage, chunk.as_object_mut()) {
                members.insert("usage".into(), usage);
            }
            format!("data: {chunk}\n\n")
        };
        let mut out = chunk(
            serde_json::json!([{"index": 0, "delta": {"role": "assistant", "content": self.text}, "finish_reason": null}]),
            None,
        );
        out += &chunk(serde_json::json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), None);
        if include_usage {
            let usage = serde_json::json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
            out += &chunk(serde_json::json!([]), Some(usage));
        }
        out += "data: [DONE]\n\n";
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sse, usage};

    #[test]
    fn an_error_has_all_four_members() {
        let body = ErrorBody {
            message: "no \"m\"",
            kind: "invalid_request_error",
            param: Some("model"),
            code: None,
        };
        let expect =
            r#"{"error":{"message":"no \"m\"","type":"invalid_request_error","param":"model","code":null}}"#;
        assert_eq!(String::from_utf8(body.to_bytes()).expect("text"), expect);
    }

    const NOTICE: Notice<'_> = Notice { id: "chatcmpl-1", created: 5, model: "m", text: "a\n\n\"b\"" };

    #[test]
    fn a_notice_is_a_completion_without_usage() {
        let body: serde_json::Value = serde_json::from_slice(&NOTICE.body()).expect("json");
        assert_eq!(body["choices"][0]["message"]["content"], "a\n\n\"b\"");
        assert_eq!(body["choices"][0]["finish_reason"], "stop");
        assert_eq!(usage::decode(body["usage"].to_string().as_bytes()), None);
    }

    #[test]
    fn a_streamed_notice_says_the_same() {
        for (include_usage, events) in [(false, 3), (true, 4)] {
            let mut data = Vec::new();
            let stream = NOTICE.stream(include_usage);
            let keep = |event: sse::Event<'_>| data.push(event.data.expect("data").into_owned());
            sse::Splitter::new().push(&stream, keep).expect("short");
            assert_eq!(data.len(), events);
            assert_eq!(data.last().map(Vec::as_slice), Some(&b"[DONE]"[..]));
            let first: serde_json::Value = serde_json::from_slice(&data[0]).expect("json");
            assert_eq!(first["choices"][0]["delta"]["content"], "a\n\n\"b\"");
        }
    }
}
