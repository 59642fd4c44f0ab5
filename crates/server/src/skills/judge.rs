//! Asks a model about a skill.

use std::time::Duration;

use bytes::Bytes;
use creel_control::id_gen::random_text;
use creel_skills::analyse::Analysis;
use creel_skills::analyse::judge::{JudgeError, Prompt, analysis};
use creel_skills::package::Package;
use creel_wire::secret::Secret;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};

use crate::config::{JudgeConfig, OnFailure};
use crate::gateway::UpstreamClient;

/// What its findings are called.
pub(super) const NAME: &str = "judge";
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Characters of the mark that a skill cannot know: 95 bits.
const MARK_CHARS: usize = 16;

/// Why a model said nothing that can be used. No text holds the key.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the model did not answer within {0} seconds")]
    Timeout(u32),
    #[error("the model cannot be reached: is skills.judge.base_url right?")]
    Unreachable,
    #[error("the model's API answered with status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes or broke off")]
    Broken,
    #[error(transparent)]
    Answer(JudgeError),
}

#[derive(Debug)]
pub(super) struct Judge {
    client: UpstreamClient,
    config: JudgeConfig,
}

impl Judge {
    pub(super) fn new(config: &JudgeConfig) -> Result<Self, rustls::Error> {
        Ok(Self { client: UpstreamClient::new(CONNECT_MAX)?, config: config.clone() })
    }

    pub(super) fn on_failure(&self) -> OnFailure {
        self.config.on_failure
    }

    pub(super) async fn analyse(&self, package: &Package) -> Result<Analysis, CallError> {
        let bytes_max = usize::try_from(self.config.max_bytes).unwrap_or(usize::MAX);
        let prompt = Prompt::new(package, bytes_max, &random_text(MARK_CHARS));
        let limit = Duration::from_secs(u64::from(self.config.timeout_s));
        let answer = tokio::time::timeout(limit, self.ask(&prompt)).await;
        let answer = answer.unwrap_or(Err(CallError::Timeout(self.config.timeout_s)))?;
        let mut told = analysis(NAME, package, &answer).map_err(CallError::Answer)?;
        told.findings.extend(prompt.left_out(NAME));
        Ok(told)
    }

    async fn ask(&self, prompt: &Prompt) -> Result<Bytes, CallError> {
        let uri = format!("{}/chat/completions", self.config.base_url.trim_end_matches('/'));
        let mut request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("creel/", env!("CARGO_PKG_VERSION")));
        if let Some(key) = &self.config.api_key {
            request = request.header(header::AUTHORIZATION, bearer(key));
        }
        let body = prompt.body(&self.config.model).to_string();
        let request = request.body(Full::new(Bytes::from(body))).map_err(|_| CallError::Unreachable)?;
        let answer = self.client.send(request).await.map_err(|_| CallError::Unreachable)?;
        if !answer.status().is_success() {
            return Err(CallError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(body.map_err(|_| CallError::Broken)?.to_bytes())
    }
}

fn bearer(key: &Secret) -> String {
    format!("Bearer {}", key.expose())
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
