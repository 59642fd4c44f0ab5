//! Addresses that Creel calls, with the secret that its calls are signed with.

use std::path::PathBuf;

use creel_wire::secret::Secret;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Environment};

/// Longest wait for an answer, in seconds: below the deadline of an operation that asks.
const TIMEOUT_SECONDS_MAX: u32 = 20;

/// An address of the operator's.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// `https://…`, or `http://…` within a trusted network. May hold a password, so it is masked.
    #[serde(serialize_with = "masked")]
    pub url: String,
    /// Name of the environment variable that holds the secret.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// File that holds it; a line break at the end does not count.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The secret itself. Exactly one of the three is given.
    #[serde(default, serialize_with = "super::masked_secret")]
    pub secret: Option<Secret>,
    /// How long an answer may take, 1 to 20 seconds.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u32,
}

fn timeout_seconds() -> u32 {
    5
}

fn masked<S: serde::Serializer>(_: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("[secret]")
}

impl WebhookConfig {
    /// Puts the secret from its variable or file into `secret`, and checks what serde cannot. `key` names the table.
    pub(super) fn resolve(&mut self, key: &str, environment: &dyn Environment) -> Result<(), ConfigError> {
        let given = [self.secret.is_some(), self.secret_env.is_some(), self.secret_file.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Err(ConfigError::value(key, "give one of secret, secret_env and secret_file"));
        }
        let is_address =
            |uri: http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        if !self.url.parse::<http::Uri>().is_ok_and(is_address) {
            return Err(ConfigError::value(
                key,
                "url must be an address that begins with http:// or https://",
            ));
        }
        if !(1..=TIMEOUT_SECONDS_MAX).contains(&self.timeout_seconds) {
            return Err(ConfigError::value(
                key,
                format!("timeout_seconds must be 1 to {TIMEOUT_SECONDS_MAX}"),
            ));
        }
        if let Some(name) = &self.secret_env {
            let clear = environment.get(name).filter(|clear| !clear.is_empty());
            let clear = clear.ok_or_else(|| {
                ConfigError::value(key, format!("the environment variable {name} (secret_env) is not set"))
            })?;
            self.secret = Some(Secret::new(clear));
        }
        if let Some(path) = &self.secret_file {
            let clear = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            self.secret = Some(Secret::new(clear.trim_end_matches(['\n', '\r']).to_owned()));
        }
        Ok(())
    }
}
