//! Who this guest is: a key pair it made itself, bound to a runtime by a one-use token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use creel_wire::guest::{
    EnrollRequest, EnrollResponse, PROTOCOL_VERSION, hello_signing_input, skill_fetch_signing_input,
};
use creel_wire::id::RuntimeId;
use creel_wire::secret::Secret;
use ed25519_dalek::{Signer, SigningKey};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use zeroize::Zeroizing;

use crate::backoff::Backoff;
use crate::error::GuestError;
use crate::files::{read_json, write_atomic, write_json};
use crate::http::HttpClient;
use crate::options::GuestOptions;

const ENROLL_DEADLINE: Duration = Duration::from_secs(20);

/// A guest that the server knows.
pub(crate) struct Identity {
    key: SigningKey,
    pub(crate) runtime_id: RuntimeId,
    /// The agent's key for the LLM gateway.
    pub(crate) virtual_key: Secret,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("runtime_id", &self.runtime_id).finish_non_exhaustive()
    }
}

impl Identity {
    /// Base64 of the signature that answers a challenge.
    pub(crate) fn sign_hello(&self, nonce: &str, boot_id: &str) -> String {
        let input = hello_signing_input(nonce, &self.runtime_id, boot_id);
        STANDARD.encode(self.key.sign(&input).to_bytes())
    }

    /// The header's value with which a skill's content is fetched now.
    pub(crate) fn sign_skill_fetch(&self, content_hash: &str) -> String {
        #[expect(clippy::disallowed_methods, reason = "the server compares it with its own clock")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let unix_s = now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let input = skill_fetch_signing_input(&self.runtime_id, content_hash, unix_s);
        let signature = STANDARD.encode(self.key.sign(&input).to_bytes());
        format!("{}:{unix_s}:{signature}", self.runtime_id)
    }
}

/// How enrolment ended.
#[derive(Debug)]
pub(crate) enum Enrolled {
    Yes(Box<Identity>),
    /// The server does not take the token, and will not later.
    Refused(String),
}

/// The identity on disk, or a new one for the token. Tries until the server answers.
pub(crate) async fn ensure_identity(
    options: &GuestOptions,
    http: &HttpClient,
) -> Result<Enrolled, GuestError> {
    let key = ensure_key(&options.guest_dir.join("identity.key"))?;
    let enrolled_file = options.guest_dir.join("enrolled.json");
    let file_error = |action, path: &Path, source| GuestError::File { action, path: path.to_owned(), source };
    let known: Option<EnrollResponse> =
        read_json(&enrolled_file).map_err(|source| file_error("reading", &enrolled_file, source))?;
    let answer = match known {
        Some(answer) => answer,
        None => {
            let token_file = options.enroll_token_file.as_ref().ok_or(GuestError::NotEnrolled)?;
            let token = read_token(token_file)?.ok_or(GuestError::NotEnrolled)?;
            match enroll(options, http, &key, token).await? {
                Ok(answer) => answer,
                Err(reason) => return Ok(Enrolled::Refused(reason)),
            }
        }
    };
    write_json(&enrolled_file, &answer).map_err(|source| file_error("writing", &enrolled_file, source))?;
    if let Some(token_file) = &options.enroll_token_file {
        // Spent. A driver that gives another writes it again.
        match std::fs::remove_file(token_file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error("removing", token_file, source));
            }
            _ => {}
        }
    }
    let (runtime_id, virtual_key) = (answer.runtime_id, answer.virtual_key);
    Ok(Enrolled::Yes(Box::new(Identity { key, runtime_id, virtual_key })))
}

fn ensure_key(path: &PathBuf) -> Result<SigningKey, GuestError> {
    let failed = |action, source| GuestError::File { action, path: path.clone(), source };
    match std::fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => {
            let seed = <[u8; 32]>::try_from(bytes.as_slice())
                .map_err(|_| failed("reading", std::io::ErrorKind::InvalidData.into()))?;
            Ok(SigningKey::from_bytes(&seed))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let seed: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
            write_atomic(path, seed.as_slice(), 0o600).map_err(|source| failed("writing", source))?;
            Ok(SigningKey::from_bytes(&seed))
        }
        Err(source) => Err(failed("reading", source)),
    }
}

fn read_token(path: &PathBuf) -> Result<Option<Secret>, GuestError> {
    match std::fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => Ok(Some(Secret::new(text.trim().to_owned()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(GuestError::File { action: "reading", path: path.clone(), source }),
    }
}

/// The outer error is ours, the inner one the server's last word.
async fn enroll(
    options: &GuestOptions,
    http: &HttpClient,
    key: &SigningKey,
    token: Secret,
) -> Result<Result<EnrollResponse, String>, GuestError> {
    let public_key = STANDARD.encode(key.verifying_key().to_bytes());
    let body = EnrollRequest { protocol: PROTOCOL_VERSION, token, public_key };
    let body = serde_json::to_vec(&body).map_err(|error| GuestError::Server(error.to_string()))?;
    let uri = format!("{}/guest/v1/enroll", options.server_url.trim_end_matches('/'));
    let mut backoff = Backoff::new(&options.timing);
    loop {
        let request = Request::post(&uri)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.clone())))
            .map_err(|error| GuestError::Server(error.to_string()))?;
        match http.send(request, ENROLL_DEADLINE).await {
            Ok((StatusCode::OK, bytes)) => match serde_json::from_slice(&bytes) {
                Ok(answer) => return Ok(Ok(answer)),
                Err(_) => tracing::warn!("the server's answer to an enrolment is not readable, trying again"),
            },
            Ok((status, _)) if is_final(status) => {
                return Ok(Err(format!("the server refused the enrolment token ({status})")));
            }
            Ok((status, _)) => tracing::warn!(%status, "the server did not enrol this guest, trying again"),
            Err(error) => tracing::warn!(error = %error, "the server was not reached, trying again"),
        }
        backoff.pause().await;
    }
}

/// Answers that asking again with the same token will not change.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verdict_on_the_token_is_final() {
        let finals = [400, 401, 403, 404, 409, 410].map(|code| is_final(StatusCode::from_u16(code).unwrap()));
        assert_eq!(finals, [true; 6]);
        let again = [200, 408, 429, 500, 503].map(|code| is_final(StatusCode::from_u16(code).unwrap()));
        assert_eq!(again, [false; 5]);
    }

    #[test]
    fn a_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        let first = ensure_key(&path).unwrap();
        assert_eq!(ensure_key(&path).unwrap().to_bytes(), first.to_bytes());
        std::fs::write(&path, "short").unwrap();
        assert!(ensure_key(&path).is_err());
    }
}
