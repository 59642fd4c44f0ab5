//! Calls to addresses that the operator has configured, signed so that whoever answers them knows who asks.
//!
//! `creel-signature: t=<seconds since the epoch>,v1=<hexadecimal>`, where v1 is HMAC-SHA256 with the shared secret over
//! `<t>.<body>`. `creel-delivery` is the same in every attempt to say the same thing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use creel_control::clock::Clock;
use creel_wire::secret::Secret;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use sha2::Sha256;

use crate::config::WebhookConfig;
use crate::gateway::UpstreamClient;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a call has no usable answer. No text holds the address: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    #[error("the webhook did not answer in time")]
    Timeout,
    #[error("the webhook cannot be reached")]
    Unreachable,
    #[error("the webhook answered with status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("the webhook's answer is longer than 64 KiB or broke off")]
    Answer,
    #[error("the webhook's answer is not what was asked for")]
    Meaning,
}

/// One address.
#[derive(Debug)]
pub(crate) struct Webhook {
    client: UpstreamClient,
    uri: Uri,
    secret: Secret,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// For a configuration that was checked.
    pub(crate) fn new(config: &WebhookConfig, clock: Arc<dyn Clock>) -> Result<Self, rustls::Error> {
        Ok(Self {
            client: UpstreamClient::new(CONNECT_MAX)?,
            uri: config.url.parse().unwrap_or_default(),
            secret: config.secret.clone().unwrap_or_else(|| Secret::new(String::new())),
            timeout: Duration::from_secs(u64::from(config.timeout_seconds)),
            clock,
        })
    }

    /// Says something, once, and gives what a success answers.
    pub(crate) async fn post(&self, delivery: &str, body: &serde_json::Value) -> Result<Bytes, WebhookError> {
        match tokio::time::timeout(self.timeout, self.exchange(delivery, body.to_string())).await {
            Ok(answer) => answer,
            Err(_) => Err(WebhookError::Timeout),
        }
    }

    async fn exchange(&self, delivery: &str, body: String) -> Result<Bytes, WebhookError> {
        let seconds = self.clock.now_ms() / 1_000;
        let signature = format!("t={seconds},v1={}", sign(&self.secret, seconds, body.as_bytes()));
        let request = Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("creel/", env!("CARGO_PKG_VERSION")))
            .header("creel-signature", signature)
            .header("creel-delivery", delivery)
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| WebhookError::Unreachable)?;
        let answer = self.client.send(request).await.map_err(|_| WebhookError::Unreachable)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(WebhookError::Status(status));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(body.map_err(|_| WebhookError::Answer)?.to_bytes())
    }
}

/// HMAC-SHA256 over `<seconds>.<body>`, in hexadecimal.
fn sign(secret: &Secret, seconds: i64, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any key length is valid");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_any_other_tool() {
        // printf '1767323045.{}' | openssl dgst -sha256 -hmac secret
        let signature = sign(&Secret::new("secret".to_owned()), 1_767_323_045, b"{}");
        assert_eq!(signature, "4a10b40c9c842e332be9ba9d790f8f8df44002dca45fd184d766fa8db55ef209");
    }
}
