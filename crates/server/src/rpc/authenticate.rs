//! Who asks: signature, key, time and nonce of a request.

use std::sync::Arc;

use creel_control::account::AccessKey;
use creel_control::principal::Principal;
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::id::{AccessKeyId, PrincipalId};
use creel_wire::params::Params;
use creel_wire::sign::{self, Claim};
use creel_wire::time::TimeFormat;
use jiff::SignedDuration;

use super::nonces::{SKEW_SECONDS_MAX, Stale};
use super::{WholeRequest, account_error};
use crate::app::App;
use crate::ops::{self, nonce_used};

/// An authenticated request: its key, and what of it was signed.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) key: Arc<AccessKey>,
    pub(super) principal: Arc<Principal>,
    pub(super) version: String,
    pub(super) action: String,
    pub(super) nonce: String,
}

/// Authenticates a request and uses up its nonce.
pub(super) async fn authenticate(
    app: &App,
    request: &WholeRequest,
    params: &Params,
) -> Result<Caller, ApiError> {
    let headers = signed_headers(request);
    let signed = sign::Request {
        method: request.head.method.as_str(),
        path: request.head.uri.path(),
        query: request.query(),
        headers: &headers,
        body: &request.body,
    };
    let claim = Claim::of(&signed, params)?;
    let key = find_key(app, &claim.access_key_id).await?;
    claim.verify(&signed, params, &key.secret)?;
    // Only who holds the secret learns that the key is turned off.
    if !key.active {
        return Err(ApiError::new(
            ErrorCode::ACCESS_KEY_INACTIVE,
            "The access key is turned off. Ask the administrator of the account.",
        ));
    }
    if claim.security_token.is_some() {
        // Temporary credentials are not given out for the API, so no token belongs to any key.
        return Err(ApiError::new(
            ErrorCode::SECURITY_TOKEN_MALFORMED,
            "The security token does not belong to this access key. Leave it out with a permanent key.",
        ));
    }
    let principal = find_principal(app, &key.principal_id).await?;
    check_fresh(app, &claim, &key.id)?;
    app.principals.note_use(&key.id);
    Ok(Caller { key, principal, version: claim.version, action: claim.action, nonce: claim.nonce })
}

/// Headers as the signature sees them; HTTP/2 carries the host as the authority.
fn signed_headers(request: &WholeRequest) -> Vec<(&str, &str)> {
    let head = &request.head;
    let text = |value| std::str::from_utf8(value).ok();
    let mut headers: Vec<(&str, &str)> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), text(value.as_bytes())?)))
        .collect();
    if !head.headers.contains_key(http::header::HOST)
        && let Some(authority) = head.uri.authority()
    {
        headers.push(("host", authority.as_str()));
    }
    headers
}

async fn find_key(app: &App, id: &str) -> Result<Arc<AccessKey>, ApiError> {
    let id = AccessKeyId::parse(id).map_err(|_| unknown_key())?;
    app.accounts.find_key(&id).await.map_err(|error| account_error(&error))?.ok_or_else(unknown_key)
}

fn unknown_key() -> ApiError {
    ApiError::new(ErrorCode::ACCESS_KEY_NOT_FOUND, "The access key does not exist.")
}

/// Whose key it is. One that was deleted a moment ago has no keys any more.
async fn find_principal(app: &App, id: &PrincipalId) -> Result<Arc<Principal>, ApiError> {
    let found = app.principals.find(id).await.map_err(ops::principal::api_error)?;
    let principal = found.ok_or_else(unknown_key)?;
    if principal.active {
        return Ok(principal);
    }
    Err(ApiError::new(
        ErrorCode::ACCESS_KEY_INACTIVE,
        "The principal of this key is turned off. Ask the administrator of the account.",
    ))
}

fn check_fresh(app: &App, claim: &Claim, key: &AccessKeyId) -> Result<(), ApiError> {
    let now = app.clock.now();
    sign::check_skew(&claim.timestamp, now, SignedDuration::from_secs(SKEW_SECONDS_MAX))?;
    let expired =
        || ApiError::new(ErrorCode::TIMESTAMP_EXPIRED, "The request was signed too long ago. Sign it anew.");
    let signed_at = TimeFormat::Seconds.read(&claim.timestamp).ok_or_else(expired)?;
    match app.nonces.admit(key, &claim.nonce, signed_at.as_second(), now.as_second()) {
        Ok(()) => Ok(()),
        Err(Stale::Used) => Err(nonce_used()),
        Err(Stale::Expired) => Err(expired()),
    }
}
