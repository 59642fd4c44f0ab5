//! Errors in the shape of each dialect.

use serde::Serialize;
use serde_json::json;

use crate::dialect::Dialect;
use crate::sse;

/// An error; serialised it is OpenAI's object `{"message","type","param","code"}`.
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

/// What Anthropic calls an error of a status; what else is below 500 is an invalid request, and above an API error.
const ANTHROPIC_KINDS: &[(u16, &str)] = &[
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];

fn anthropic_kind(status: u16) -> &'static str {
    let known = ANTHROPIC_KINDS.iter().find(|(of, _)| *of == status);
    known.map_or(if status < 500 { "invalid_request_error" } else { "api_error" }, |(_, kind)| kind)
}

impl ErrorBody<'_> {
    /// The whole response body in OpenAI's shape, `{"error":{…}}`.
    pub fn to_bytes(&self) -> Vec<u8> {
        json!({"error": self}).to_string().into_bytes()
    }

    /// The whole response body for a client of `dialect`. Anthropic's shape has no place for `param` and `code`; they
    /// are added beside its members, where its SDKs keep them for whoever looks.
    pub fn body(&self, dialect: Dialect, status: u16) -> Vec<u8> {
        if dialect.is_anthropic() { self.anthropic(status).to_string().into_bytes() } else { self.to_bytes() }
    }

    /// An event that tells the client of a stream that there will be no good end.
    pub fn event(&self, dialect: Dialect, status: u16) -> Vec<u8> {
        let mut out = Vec::new();
        match dialect {
            Dialect::Messages | Dialect::CountTokens => {
                sse::write(&mut out, Some("error"), &self.anthropic(status));
            }
            Dialect::Responses => {
                let event =
                    json!({"type": "error", "code": self.code, "message": self.message, "param": self.param});
                sse::write(&mut out, Some("error"), &event);
            }
            Dialect::Chat | Dialect::Embeddings => sse::write(&mut out, None, &json!({"error": self})),
        }
        out
    }

    fn anthropic(&self, status: u16) -> serde_json::Value {
        let mut error = json!({"type": anthropic_kind(status), "message": self.message});
        for (name, value) in [("param", self.param), ("code", self.code)] {
            if let (Some(value), Some(members)) = (value, error.as_object_mut()) {
                members.insert(name.into(), value.into());
            }
        }
        json!({"type": "error", "error": error})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_its_shape() {
        let body = ErrorBody {
            message: "no \"m\"",
            kind: "invalid_request_error",
            param: Some("model"),
            code: None,
        };
        let openai =
            r#"{"error":{"message":"no \"m\"","type":"invalid_request_error","param":"model","code":null}}"#;
        let anthropic =
            r#"{"type":"error","error":{"type":"not_found_error","message":"no \"m\"","param":"model"}}"#;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        assert_eq!(text(body.to_bytes()), openai);
        assert_eq!(text(body.body(Dialect::Responses, 404)), openai);
        assert_eq!(text(body.body(Dialect::CountTokens, 404)), anthropic);
        assert_eq!(text(body.event(Dialect::Chat, 404)), format!("data: {openai}\n\n"));
        assert_eq!(text(body.event(Dialect::Messages, 404)), format!("event: error\ndata: {anthropic}\n\n"));
        assert_eq!(
            text(body.event(Dialect::Responses, 404)),
            "event: error\ndata: {\"type\":\"error\",\"code\":null,\"message\":\"no \\\"m\\\"\",\"param\":\"model\"}\n\n"
        );
    }

    #[test]
    fn statuses_without_a_kind_of_their_own_have_a_general_one() {
        let kinds = [400, 418, 429, 502, 529].map(anthropic_kind);
        let expect = [
            "invalid_request_error",
            "invalid_request_error",
            "rate_limit_error",
            "api_error",
            "overloaded_error",
        ];
        assert_eq!(kinds, expect);
    }
}
