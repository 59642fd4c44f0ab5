//! What becomes of an error that the upstream answers.
//!
//! It is passed on with its status in the shape of the client's dialect, without anything that looks like a key. Three
//! kinds are the operator's own trouble and never shown as the agent's: a refused key, a refused account, and unpaid
//! bills.

use bytes::Bytes;
use creel_llm::dialect::Dialect;
use creel_llm::error::ErrorBody;
use http::StatusCode;
use serde::Deserialize;

use super::fault::Fault;
use super::ports::UpstreamKey;
use super::refusal::{self, Denial};

/// Longest message passed on, in bytes.
const MESSAGE_BYTES_MAX: usize = 4_000;
/// Stands where a key stood.
const REDACTED: &str = "[redacted]";

#[derive(Debug, Default, Deserialize)]
struct Reported {
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    param: Option<String>,
    #[serde(default)]
    code: Option<serde_json::Value>,
}

/// `{"error":{…}}`, `{"error":"…"}`, or the members themselves, as upstreams write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Body {
    Nested { error: Reported },
    Text { error: String },
    Flat(Reported),
}

fn read(body: &[u8]) -> Reported {
    match serde_json::from_slice(body) {
        Ok(Body::Nested { error }) | Ok(Body::Flat(error)) => error,
        Ok(Body::Text { error }) => Reported { message: Some(error), ..Reported::default() },
        Err(_) => Reported::default(),
    }
}

/// What to tell the client.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// In our words; the text is for the log.
    Deny(Denial),
    /// As the upstream said it.
    Pass(http::Response<Bytes>),
}

/// Codes of unpaid bills that come under other statuses: OpenAI's, DashScope's.
const UNPAID_CODES: &[&str] = &["insufficient_quota", "Arrearage", "billing_not_active"];
/// How messages begin that say so without a code: Anthropic's.
const UNPAID_MESSAGES: &[&str] = &["Your credit balance is too low"];

fn code_of(reported: &Reported) -> Option<String> {
    match &reported.code {
        Some(serde_json::Value::String(text)) => Some(text.clone()),
        Some(serde_json::Value::Null) | None => None,
        Some(other) => Some(other.to_string()),
    }
}

/// What an answer that is no success says of its target.
pub(crate) fn fault(status: StatusCode, body: &[u8]) -> Fault {
    let reported = read(body);
    if is_unpaid(&reported) { Fault::Key } else { Fault::of(status) }
}

fn is_unpaid(reported: &Reported) -> bool {
    let message = reported.message.as_deref().unwrap_or_default();
    code_of(reported).is_some_and(|code| UNPAID_CODES.contains(&code.as_str()))
        || UNPAID_MESSAGES.iter().any(|unpaid| message.starts_with(unpaid))
}

/// Judges an answer whose status is not a success, for a client of `dialect`.
pub(crate) fn judge(dialect: Dialect, status: StatusCode, body: &[u8], key: Option<&UpstreamKey>) -> Verdict {
    let reported = read(body);
    let code = code_of(&reported);
    let message = reported.message.as_deref().unwrap_or_default();
    if Fault::of(status) == Fault::Key || is_unpaid(&reported) {
        return Verdict::Deny(Denial::UpstreamCredentials);
    }
    // A redirect, or any other status that is no error, is none that a client could act on.
    let status =
        if status.is_client_error() || status.is_server_error() { status } else { StatusCode::BAD_GATEWAY };
    let redact = |text: &str| redacted(text, key);
    let message = match message {
        "" => format!("The model provider answered with status {}.", status.as_u16()),
        message => redact(message),
    };
    let kind = reported.kind.as_deref().map(redact);
    let fallback = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    let (param, code) = (reported.param.as_deref().map(redact), code.as_deref().map(redact));
    Verdict::Pass(refusal::error(
        dialect,
        status,
        &ErrorBody {
            message: &message,
            kind: kind.as_deref().unwrap_or(fallback),
            param: param.as_deref(),
            code: code.as_deref(),
        },
    ))
}

/// Without the key of this upstream, and without words that begin like one.
fn redacted(text: &str, key: Option<&UpstreamKey>) -> String {
    let without_key = key
        .and_then(|key| {
            key.with_clear(|key| if key.is_empty() { text.to_owned() } else { text.replace(key, REDACTED) })
        })
        .unwrap_or_else(|| text.to_owned());
    let is_key_byte = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '.');
    let mut out = String::with_capacity(without_key.len());
    let mut rest = without_key.as_str();
    while let Some(at) = rest.find("sk-") {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !is_key_byte(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let inside_word = before.ends_with(|c: char| c.is_ascii_alphanumeric());
        out.push_str(before);
        out.push_str(if inside_word || word.len() < 8 { word } else { REDACTED });
        rest = after;
    }
    out.push_str(rest);
    let mut end = out.len().min(MESSAGE_BYTES_MAX);
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use creel_wire::secret::Secret;

    use super::*;

    fn key() -> UpstreamKey {
        let key = UpstreamKey::clear(Secret::new("topsecret".into()));
        key.header().expect("a header");
        key
    }

    fn passed(status: u16, body: &str) -> (u16, String) {
        passed_to(Dialect::Chat, status, body)
    }

    fn passed_to(dialect: Dialect, status: u16, body: &str) -> (u16, String) {
        let status = StatusCode::from_u16(status).expect("status");
        match judge(dialect, status, body.as_bytes(), Some(&key())) {
            Verdict::Pass(response) => {
                (response.status().as_u16(), String::from_utf8(response.into_body().to_vec()).expect("text"))
            }
            Verdict::Deny(denial) => (0, denial.code().to_owned()),
        }
    }

    #[test]
    fn errors_keep_status_and_meaning() {
        let say = |message: &str, kind: &str, param: &str, code: &str| {
            format!(r#"{{"error":{{"message":"{message}","type":"{kind}","param":{param},"code":{code}}}}}"#)
        };
        for (status, body, expect_status, expect) in [
            (
                400,
                r#"{"error":{"message":"too long","type":"t","param":"messages","code":"context_length_exceeded"}}"#,
                400,
                say("too long", "t", r#""messages""#, r#""context_length_exceeded""#),
            ),
            (
                429,
                r#"{"message":"slow","code":7}"#,
                429,
                say("slow", "invalid_request_error", "null", r#""7""#),
            ),
            (500, r#"{"error":"boom"}"#, 500, say("boom", "server_error", "null", "null")),
            (
                503,
                "<html>",
                503,
                say("The model provider answered with status 503.", "server_error", "null", "null"),
            ),
            (
                302,
                "",
                502,
                say("The model provider answered with status 502.", "server_error", "null", "null"),
            ),
        ] {
            assert_eq!(passed(status, body), (expect_status, expect), "{status} {body}");
        }
    }

    #[test]
    fn errors_are_told_in_the_dialect_of_the_client() {
        let overloaded =
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#;
        let message = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        let chat = r#"{"error":{"message":"Overloaded","type":"overloaded_error","param":null,"code":null}}"#;
        assert_eq!(passed_to(Dialect::Messages, 529, overloaded), (529, message.to_owned()));
        assert_eq!(passed_to(Dialect::Chat, 529, overloaded), (529, chat.to_owned()));
        let slow =
            r#"{"error":{"message":"slow","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
        let expect = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow","code":"rate_limit_exceeded"}}"#;
        assert_eq!(passed_to(Dialect::Messages, 429, slow), (429, expect.to_owned()));
    }

    #[test]
    fn the_operators_trouble_is_not_the_agents() {
        for (status, body) in [
            (401, ""),
            (402, "x"),
            (403, "{}"),
            (429, r#"{"error":{"code":"insufficient_quota"}}"#),
            (400, r#"{"error":{"code":"Arrearage"}}"#),
            (
                400,
                r#"{"type":"error","error":{"message":"Your credit balance is too low to access the API."}}"#,
            ),
        ] {
            assert_eq!(passed(status, body), (0, "upstream_credentials".to_owned()), "{status} {body}");
        }
    }

    #[test]
    fn keys_never_pass() {
        let (_, body) = passed(
            400,
            r#"{"message":"bad topsecret and sk-proj-ab*****yz, task-force sk-x","code":"topsecret"}"#,
        );
        assert!(body.contains("bad [redacted] and [redacted], task-force sk-x"), "{body}");
        assert!(!body.contains("topsecret"), "{body}");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let (_, body) = passed(400, &format!(r#"{{"message":"x{}"}}"#, "\u{4e2d}".repeat(3_000)));
        assert!(body.len() < 4_200, "{}", body.len());
    }
}
