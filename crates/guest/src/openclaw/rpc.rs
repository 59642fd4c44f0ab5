//! Talks to a running OpenClaw on the loopback interface: probes, its administrative RPC, and chat.

use std::time::Duration;

use bytes::Bytes;
use creel_wire::secret::Secret;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use super::config::Expected;
use super::skills;
use crate::http::{HttpClient, HttpError};

/// A probe that takes longer says that the agent does not answer.
const PROBE_DEADLINE: Duration = Duration::from_secs(10);
/// An administrative call took 2 s once on a loaded machine.
const RPC_DEADLINE: Duration = Duration::from_secs(20);
/// Longest text taken over from an answer into an error, in bytes.
const ERROR_BYTES_MAX: usize = 500;

/// Why OpenClaw has not done what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RpcError {
    #[error("calling OpenClaw")]
    Http(#[from] HttpError),
    #[error("building a call to OpenClaw")]
    Request(#[source] http::Error),
    #[error("OpenClaw answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("OpenClaw's answer is not what its documents say: {0}")]
    Answer(&'static str),
    #[error("talking to OpenClaw")]
    Socket(#[source] Box<tungstenite::Error>),
}

impl RpcError {
    pub(super) fn socket(error: tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }

    /// What OpenClaw said instead of an answer over its WebSocket.
    pub(super) fn refused(answer: &Value) -> Self {
        Self::Refused { status: StatusCode::FORBIDDEN, message: error_message(Some(answer)) }
    }
}

/// Where one running OpenClaw listens and what opens it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) port: u16,
    pub(crate) token: Secret,
}

/// A client for one running OpenClaw.
#[derive(Debug, Clone)]
pub(crate) struct OpenClawClient {
    http: HttpClient,
    endpoint: Endpoint,
}

/// How far OpenClaw is with the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It uses what we wrote.
    Yes,
    /// It still uses something else.
    NotYet,
    /// It will not: what is wrong, in its words.
    Invalid(String),
}

impl OpenClawClient {
    pub(crate) fn new(http: HttpClient, endpoint: Endpoint) -> Self {
        Self { http, endpoint }
    }

    /// `/healthz`: the process answers.
    pub(crate) async fn is_healthy(&self) -> bool {
        self.probe("/healthz").await
    }

    /// `/readyz`: it has finished starting.
    pub(crate) async fn is_ready(&self) -> bool {
        self.probe("/readyz").await
    }

    async fn probe(&self, path: &str) -> bool {
        let Ok(request) = Request::get(self.uri(path)).body(Full::default()) else { return false };
        matches!(self.http.send(request, PROBE_DEADLINE).await, Ok((StatusCode::OK, _)))
    }

    /// Compares what OpenClaw uses with what we want it to use.
    pub(crate) async fn applied(&self, expected: &Expected) -> Result<Applied, RpcError> {
        let body = json!({ "method": "config.get", "params": {} });
        let answer = self.post("/api/v1/admin/rpc", &body, RPC_DEADLINE).await?;
        let payload = answer.get("payload").ok_or(RpcError::Answer("no payload"))?;
        Ok(judge(payload, expected))
    }

    /// One turn of the conversation `session`.
    pub(crate) async fn chat(
        &self,
        session: &str,
        message: &str,
        deadline: Duration,
    ) -> Result<String, RpcError> {
        let body = json!({
            "model": "openclaw",
            "user": session,
            "messages": [{ "role": "user", "content": message }],
        });
        let answer = self.post("/v1/chat/completions", &body, deadline).await?;
        let text = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
        text.map(str::to_owned).ok_or(RpcError::Answer("no text in the reply"))
    }

    pub(super) fn http(&self) -> &HttpClient {
        &self.http
    }

    pub(super) fn token(&self) -> &Secret {
        &self.endpoint.token
    }

    pub(super) fn uri(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.endpoint.port)
    }

    async fn post(&self, path: &str, body: &Value, deadline: Duration) -> Result<Value, RpcError> {
        let request = Request::post(self.uri(path))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.endpoint.token.expose()))
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(RpcError::Request)?;
        let (status, bytes) = self.http.send(request, deadline).await?;
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        if !status.is_success() {
            return Err(RpcError::Refused { status, message: error_message(answer.as_ref()) });
        }
        answer.ok_or(RpcError::Answer("not JSON"))
    }
}

fn error_message(answer: Option<&Value>) -> String {
    let message = answer.and_then(|answer| answer.pointer("/error/message")).and_then(Value::as_str);
    clip(message.unwrap_or("no reason given"), ERROR_BYTES_MAX)
}

/// The first `bytes_max` bytes at most, cut between characters.
pub(crate) fn clip(text: &str, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Reads the payload of `config.get`. The two hashes are keyed by OpenClaw: only their equality says something.
fn judge(payload: &Value, expected: &Expected) -> Applied {
    if payload.get("valid").and_then(Value::as_bool) != Some(true) {
        return Applied::Invalid(issues(payload));
    }
    let hash = |name: &str| payload.get(name).and_then(Value::as_str);
    let same =
        hash("configRevisionHash").is_some() && hash("configRevisionHash") == hash("appliedConfigHash");
    let running = payload.get("runtimeConfig").unwrap_or(&Value::Null);
    let mut wanted = expected.providers.clone();
    wanted.sort();
    let same = same && models_in(running) == wanted && skills::view(running) == expected.skills;
    if same { Applied::Yes } else { Applied::NotYet }
}

fn models_in(running: &Value) -> Vec<(String, Vec<String>)> {
    let providers = running.pointer("/models/providers").and_then(Value::as_object);
    let code = |model: &Value| model.get("id").and_then(Value::as_str).map(str::to_owned);
    let codes = |provider: &Value| -> Vec<String> {
        let models = provider.get("models").and_then(Value::as_array);
        models.into_iter().flatten().filter_map(code).collect()
    };
    let mut all: Vec<(String, Vec<String>)> =
        providers.into_iter().flatten().map(|(name, provider)| (name.clone(), codes(provider))).collect();
    all.sort();
    all
}

fn issues(payload: &Value) -> String {
    let text = |issue: &Value| {
        let field = |name: &str| issue.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{}: {}", field("path"), field("message"))
    };
    let list = payload.get("issues").and_then(Value::as_array);
    let all: Vec<String> = list.into_iter().flatten().map(text).collect();
    let reason = if all.is_empty() { "no reason given".to_owned() } else { all.join("; ") };
    clip(&format!("OpenClaw refuses the configuration: {reason}"), ERROR_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        let providers = vec![("p".to_owned(), vec!["a".to_owned()])];
        Expected { providers, primary: None, skills: skills::view(&Value::Null) }
    }

    fn check(payload: &Value, want: &Applied) {
        assert_eq!(judge(payload, &expected()), *want, "{payload}");
    }

    #[test]
    fn applied_means_equal_hashes_and_our_models() {
        let running = |id: &str| json!({ "models": { "providers": { "p": { "models": [{ "id": id }] } } } });
        let payload = |applied: &str, id: &str| {
            json!({ "valid": true, "configRevisionHash": "h", "appliedConfigHash": applied,
                    "runtimeConfig": running(id) })
        };
        check(&payload("h", "a"), &Applied::Yes);
        check(&payload("g", "a"), &Applied::NotYet);
        check(&payload("h", "b"), &Applied::NotYet);
        check(&json!({ "valid": true }), &Applied::NotYet);
    }

    #[test]
    fn an_invalid_file_is_told_with_its_issues() {
        let payload = json!({ "valid": false, "issues": [{ "path": "models.mode", "message": "bad" }] });
        check(&payload, &Applied::Invalid("OpenClaw refuses the configuration: models.mode: bad".to_owned()));
        check(
            &json!({ "valid": false }),
            &Applied::Invalid("OpenClaw refuses the configuration: no reason given".to_owned()),
        );
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(clip("añb", 2), "a");
        assert_eq!(clip("añb", 9), "añb");
    }
}
