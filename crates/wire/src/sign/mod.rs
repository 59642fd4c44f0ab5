//! The two request signatures of the RPC API: which one a request has, who it claims to be, and whether that is true.
//!
//! Two steps, because the secret is looked up between them: [`Claim::of`] reads what the request says without
//! believing it, [`Claim::verify`] checks it against the secret. Nothing of a claim may have an effect before
//! `verify` succeeds. No clock and no memory here: the caller checks [`check_skew`] with its own clock, and remembers
//! nonces.

mod acs3;
mod encoding;
mod rpc1;

use jiff::{SignedDuration, Timestamp};

pub use self::acs3::{Acs3Call, sign as sign_acs3};
pub(crate) use self::encoding::{RESERVED, encode, hmac_sha1, hmac_sha256, same, sha256_hex};
pub use self::rpc1::sign as sign_rpc1;
use crate::error::{ApiError, ErrorCode};
use crate::params::Params;
use crate::secret::Secret;
use crate::time::TimeFormat;

/// Longest nonce accepted, in bytes: it is remembered.
pub const NONCE_BYTES_MAX: usize = 128;
/// Longest security token accepted, in bytes.
pub const SECURITY_TOKEN_BYTES_MAX: usize = 4096;

/// A request as it was received.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `POST` or `GET`, in upper case.
    pub method: &'a str,
    /// Path without the query, still encoded: `/`.
    pub path: &'a str,
    /// Query without the question mark, still encoded.
    pub query: &'a str,
    /// Names in any case, values as received. With HTTP/2, put the authority in as `host`.
    pub headers: &'a [(&'a str, &'a str)],
    /// Raw body.
    pub body: &'a [u8],
}

impl std::fmt::Debug for Request<'_> {
    /// Query, headers and body may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// The only value of a header, trimmed. Twice the same header is as good as none: nobody could say which one
    /// was signed.
    fn header(&self, name: &str) -> Option<&'a str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let (_, value) = found.next()?;
        found.next().is_none().then(|| value.trim())
    }
}

/// Which signature a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: ACS3-HMAC-SHA256 …`, of the current SDKs.
    Acs3,
    /// `Signature` among the parameters, HMAC-SHA1, of the older SDKs.
    Rpc1,
}

/// What a request says of itself, not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which signature it has.
    pub scheme: Scheme,
    /// API version and action: from a signed place, as the scheme has it.
    pub version: String,
    /// See `version`.
    pub action: String,
    /// Whose secret signed it.
    pub access_key_id: String,
    /// Made for one request.
    pub nonce: String,
    /// When it was signed, as text; see [`check_skew`].
    pub timestamp: String,
    /// Set with temporary credentials.
    pub security_token: Option<Secret>,
    /// The signature, lower hex or base64 as the scheme has it.
    signature: String,
    /// Names of the signed headers in their order; empty for [`Scheme::Rpc1`].
    signed_headers: Vec<String>,
}

impl Claim {
    /// Reads the signature's parts from a request and its decoded parameters.
    ///
    /// # Errors
    /// `IncompleteSignature` if a part is missing or malformed, `InvalidSignatureMethod` for another algorithm.
    pub fn of(request: &Request<'_>, params: &Params) -> Result<Self, ApiError> {
        let claim = match (request.header("authorization"), params.get("Signature")) {
            (Some(authorization), _) => acs3::claim(request, params, authorization)?,
            (None, Some(signature)) => rpc1::claim(params, signature)?,
            (None, None) => {
                return Err(incomplete("It has neither one Authorization header nor a Signature parameter."));
            }
        };
        if claim.nonce.is_empty() || claim.nonce.len() > NONCE_BYTES_MAX {
            return Err(incomplete(&format!(
                "The signature nonce must have 1 to {NONCE_BYTES_MAX} characters."
            )));
        }
        let token_bytes = claim.security_token.as_ref().map_or(0, |token| token.expose().len());
        if token_bytes > SECURITY_TOKEN_BYTES_MAX {
            return Err(ApiError::new(
                ErrorCode::SECURITY_TOKEN_MALFORMED,
                "The security token is too long.",
            ));
        }
        Ok(claim)
    }

    /// Checks the signature, and for [`Scheme::Acs3`] that the body is the one that was signed.
    ///
    /// `request` and `params` must be those that the claim was read from.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch`. For [`Scheme::Rpc1`] the message ends with the server's string to sign, which the core
    /// SDK compares with its own: it holds every parameter, so it must not be logged.
    pub fn verify(&self, request: &Request<'_>, params: &Params, secret: &Secret) -> Result<(), ApiError> {
        match self.scheme {
            Scheme::Acs3 => acs3::verify(self, request, secret),
            Scheme::Rpc1 => rpc1::verify(self, request, params, secret),
        }
    }
}

/// Checks that a request was signed not longer than `skew_max` ago, nor further ahead.
///
/// # Errors
/// `InvalidTimeStamp.Format` for anything but `YYYY-MM-DDThh:mm:ssZ`, `InvalidTimeStamp.Expired` outside the window.
pub fn check_skew(timestamp: &str, now: Timestamp, skew_max: SignedDuration) -> Result<(), ApiError> {
    let signed_at = TimeFormat::Seconds.read(timestamp).ok_or_else(|| {
        ApiError::new(
            ErrorCode::TIMESTAMP_FORMAT,
            "The timestamp of the signature must be UTC in the form YYYY-MM-DDThh:mm:ssZ.",
        )
    })?;
    if now.duration_since(signed_at).abs() <= skew_max {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::TIMESTAMP_EXPIRED,
        format!(
            "The request was signed at {timestamp}, the server's clock says {}. They may differ by {} minutes at most.",
            TimeFormat::Seconds.write(now),
            skew_max.as_mins()
        ),
    ))
}

fn incomplete(why: &str) -> ApiError {
    ApiError::new(
        ErrorCode::INCOMPLETE_SIGNATURE,
        format!("The request is not signed as it has to be. {why}"),
    )
}

fn mismatch(string_to_sign: &str) -> ApiError {
    // older SDKs look for these very words and compare what follows with their own string
    ApiError::new(
        ErrorCode::SIGNATURE_DOES_NOT_MATCH,
        format!(
            "Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}"
        ),
    )
}

/// The value of a parameter or header that every signature has.
fn part(value: Option<&str>, name: &str) -> Result<String, ApiError> {
    let found = value.filter(|value| !value.is_empty());
    found.map(str::to_owned).ok_or_else(|| incomplete(&format!("{name} is missing or given twice.")))
}

/// The secret token, if there is one.
fn token(value: Option<&str>) -> Option<Secret> {
    value.filter(|token| !token.is_empty()).map(|token| Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests;
