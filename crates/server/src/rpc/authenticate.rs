//! Who asks: signature, key, time and nonce of a request.

use std::sync::Arc;

use creel_control::policy::Policy;
use creel_control::principal::Known;
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::id::{AccessKeyId, PrincipalId};
use creel_wire::params::Params;
use creel_wire::secret::Secret;
use creel_wire::sign::{self, Claim};
use creel_wire::time::TimeFormat;
use jiff::SignedDuration;

use super::nonces::{SKEW_SECONDS_MAX, Stale};
use super::{WholeRequest, account_error};
use crate::app::App;
use crate::ops::{self, nonce_used};

/// An authenticated request: whose it is, and what of it was signed.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) key_id: AccessKeyId,
    pub(super) known: Arc<Known>,
    /// What temporary credentials are narrowed to, if they are.
    pub(super) session: Option<Policy>,
    pub(super) version: String,
    pub(super) action: String,
    pub(super) nonce: String,
}

/// Credentials whose signature was found good.
struct Credentials {
    key_id: AccessKeyId,
    principal_id: PrincipalId,
    session: Option<Policy>,
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
    let key_id = AccessKeyId::parse(&claim.access_key_id).map_err(|_| unknown_key())?;
    let credentials = if key_id.is_temporary() {
        temporary(app, &claim, key_id, |secret| claim.verify(&signed, params, secret))?
    } else {
        permanent(app, &claim, key_id, |secret| claim.verify(&signed, params, secret)).await?
    };
    let known = find_principal(app, &credentials.principal_id).await?;
    let Credentials { key_id, session, .. } = credentials;
    check_fresh(app, &claim, &key_id)?;
    if !key_id.is_temporary() {
        app.principals.note_use(&key_id);
    }
    Ok(Caller { key_id, known, session, version: claim.version, action: claim.action, nonce: claim.nonce })
}

async fn permanent(
    app: &App,
    claim: &Claim,
    key_id: AccessKeyId,
    verify: impl FnOnce(&Secret) -> Result<(), ApiError>,
) -> Result<Credentials, ApiError> {
    let found = app.accounts.find_key(&key_id).await.map_err(|error| account_error(&error))?;
    let key = found.ok_or_else(unknown_key)?;
    verify(&key.secret)?;
    // Only who holds the secret learns that the key is turned off.
    if !key.active {
        return Err(ApiError::new(
            ErrorCode::ACCESS_KEY_INACTIVE,
            "The access key is turned off. Ask the administrator of the account.",
        ));
    }
    if claim.security_token.is_some() {
        return Err(ApiError::new(
            ErrorCode::SECURITY_TOKEN_MALFORMED,
            "The security token does not belong to this access key. Leave it out with a permanent key.",
        ));
    }
    Ok(Credentials { key_id, principal_id: key.principal_id.clone(), session: None })
}

/// The secret is in the token, which only we can have made.
fn temporary(
    app: &App,
    claim: &Claim,
    key_id: AccessKeyId,
    verify: impl FnOnce(&Secret) -> Result<(), ApiError>,
) -> Result<Credentials, ApiError> {
    let Some(token) = &claim.security_token else {
        return Err(ApiError::new(
            ErrorCode::SECURITY_TOKEN_MISSING,
            "Temporary credentials are three: send the security token together with the key.",
        ));
    };
    let session = app.principals.open_token(key_id.as_str(), token).map_err(|_| {
        ApiError::new(
            ErrorCode::SECURITY_TOKEN_MALFORMED,
            "The security token is not one that was given out here with this access key.",
        )
    })?;
    verify(&session.secret)?;
    if app.clock.now_ms() >= session.expires_at_ms {
        return Err(ApiError::new(
            ErrorCode::SECURITY_TOKEN_EXPIRED,
            "The temporary credentials are over. Get new ones with CreateTemporaryCredentials.",
        ));
    }
    Ok(Credentials { key_id, principal_id: session.principal_id, session: session.policy })
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

fn unknown_key() -> ApiError {
    ApiError::new(ErrorCode::ACCESS_KEY_NOT_FOUND, "The access key does not exist.")
}

/// Whose key it is. One that was deleted a moment ago has no keys any more.
async fn find_principal(app: &App, id: &PrincipalId) -> Result<Arc<Known>, ApiError> {
    let found = app.principals.find(id).await.map_err(ops::principal::api_error)?;
    let known = found.ok_or_else(unknown_key)?;
    if known.principal.active {
        return Ok(known);
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
