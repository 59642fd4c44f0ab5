//! RPC signature version 1, HMAC-SHA1 over all parameters, of the older SDKs and CLI profiles.
//!
//! Everything stands among the parameters, action and version too; headers are not signed and so are not read.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encoding::{canonical_query, encode, hmac_sha1, same};
use super::{Claim, Request, Scheme, incomplete, mismatch, part, token};
use crate::error::{ApiError, ErrorCode};
use crate::params::Params;
use crate::secret::Secret;

/// Reads the claim from the parameters.
pub(super) fn claim(params: &Params, signature: &str) -> Result<Claim, ApiError> {
    let of_params = |name| part(params.get(name), name);
    if of_params("SignatureMethod")? != "HMAC-SHA1" {
        return Err(ApiError::new(ErrorCode::INVALID_SIGNATURE_METHOD, "SignatureMethod must be HMAC-SHA1."));
    }
    if of_params("SignatureVersion")? != "1.0" {
        return Err(incomplete("SignatureVersion must be 1.0."));
    }
    // the core SDK sends it, empty; other types (bearer tokens, private keys) do not use this signature
    if params.get("SignatureType").is_some_and(|kind| !kind.is_empty()) {
        return Err(ApiError::new(ErrorCode::INVALID_SIGNATURE_METHOD, "SignatureType must be empty."));
    }
    Ok(Claim {
        scheme: Scheme::Rpc1,
        version: of_params("Version")?,
        action: of_params("Action")?,
        access_key_id: of_params("AccessKeyId")?,
        nonce: of_params("SignatureNonce")?,
        timestamp: of_params("Timestamp")?,
        security_token: token(params.get("SecurityToken")),
        signature: part(Some(signature), "Signature")?,
        signed_headers: Vec::new(),
    })
}

/// Checks the claim against the secret.
pub(super) fn verify(
    claim: &Claim,
    request: &Request<'_>,
    params: &Params,
    secret: &Secret,
) -> Result<(), ApiError> {
    let string_to_sign = string_to_sign(request.method, params);
    if same(&signature(secret, &string_to_sign), &claim.signature) {
        return Ok(());
    }
    Err(mismatch(&string_to_sign))
}

/// Base64 signature of a call with all its parameters but `Signature`, for clients.
pub fn sign(method: &str, params: &Params, secret: &Secret) -> String {
    signature(secret, &string_to_sign(method, params))
}

fn string_to_sign(method: &str, params: &Params) -> String {
    let signed = params.iter().filter(|(name, _)| *name != "Signature");
    let canonical =
        canonical_query(signed.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))).collect());
    format!("{method}&%2F&{}", encode(&canonical))
}

fn signature(secret: &Secret, string_to_sign: &str) -> String {
    let key = format!("{}&", secret.expose());
    STANDARD.encode(hmac_sha1(key.as_bytes(), string_to_sign.as_bytes()))
}
