//! `GET /guest/v1/skills/<content hash>`: a skill's content, for guests of agents that are authorised for it.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use creel_control::object::ObjectError;
use creel_control::skill::SkillError;
use creel_wire::guest::{SKILL_FETCH_HEADER, SKILL_FETCH_SKEW_S, skill_fetch_signing_input};
use creel_wire::id::RuntimeId;
use ed25519_dalek::Signature;

use super::link::verifying_key;
use super::{GuestLinks, fetches};

/// All refusals look alike: a guest that may not have a skill need not learn whether it exists.
pub(super) async fn fetch(
    State(links): State<GuestLinks>,
    Path(content_hash): Path<String>,
    headers: HeaderMap,
) -> Response {
    let content = match caller(&links, &headers, &content_hash).await {
        Ok(Some(runtime_id)) => {
            let Some(running) = links.inner.fetches.admit(&runtime_id) else { return busy() };
            let found = links.inner.skills.content_for(&runtime_id, &content_hash).await;
            found.map(|found| found.map(|found| (running, found)))
        }
        Ok(None) => return StatusCode::FORBIDDEN.into_response(),
        Err(error) => Err(error),
    };
    match content {
        Ok(Some((running, (bytes, content)))) => {
            let body = fetches::body(&links.inner.tasks, running, bytes, content);
            let head = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar")),
                (header::CONTENT_LENGTH, HeaderValue::from(bytes)),
            ];
            (head, body).into_response()
        }
        Ok(None) => StatusCode::FORBIDDEN.into_response(),
        Err(SkillError::Object(ObjectError::NotFound)) => {
            tracing::error!(content_hash, "the content of a published skill is not among the objects");
            StatusCode::NOT_FOUND.into_response()
        }
        Err(error) => {
            tracing::warn!(error = %error, "giving a skill to a guest failed");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Guests ask again by themselves.
fn busy() -> Response {
    let text = "other guests fetch skills: ask again in a second or more";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], text).into_response()
}

/// Who asks, once it is proved.
async fn caller(
    links: &GuestLinks,
    headers: &HeaderMap,
    content_hash: &str,
) -> Result<Option<RuntimeId>, SkillError> {
    let Some(proof) = headers.get(SKILL_FETCH_HEADER).and_then(|value| value.to_str().ok()).and_then(proof)
    else {
        return Ok(None);
    };
    let (runtime_id, unix_s, signature) = proof;
    let now_s = links.inner.store.clock().now_ms() / 1_000;
    if now_s.abs_diff(unix_s) > SKILL_FETCH_SKEW_S.unsigned_abs() {
        return Ok(None);
    }
    let guest = links.inner.guests.find(&runtime_id).await.map_err(|error| match error {
        creel_control::guest::GuestError::Store(error) => SkillError::Store(error),
        _ => SkillError::RuntimeNotFound(runtime_id.to_string()),
    })?;
    let key = guest
        .filter(|guest| !guest.runtime_deleted)
        .and_then(|guest| guest.public_key.as_deref().and_then(verifying_key));
    let input = skill_fetch_signing_input(&runtime_id, content_hash, unix_s);
    let proved = key.is_some_and(|key| key.verify_strict(&input, &Signature::from_bytes(&signature)).is_ok());
    Ok(proved.then_some(runtime_id))
}

/// `<runtime id>:<unix seconds>:<signature>`
fn proof(text: &str) -> Option<(RuntimeId, i64, [u8; 64])> {
    let mut parts = text.splitn(3, ':');
    let runtime_id = RuntimeId::parse(parts.next()?).ok()?;
    let unix_s = parts.next()?.parse().ok()?;
    let signature = BASE64.decode(parts.next()?).ok()?.try_into().ok()?;
    Some((runtime_id, unix_s, signature))
}
