//! ACS3-HMAC-SHA256, the signature of the current SDKs (`Authorization` header).
//!
//! The signed headers differ by SDK (Python signs all it sets, TypeScript only some), so the list is taken from the
//! request; `host` and every `x-acs-*` header that is there must be in it, for they say what is asked of whom.

use std::collections::BTreeMap;

use super::encoding::{canonical_query, hmac_sha256, same, sha256_hex};
use super::{Claim, Request, Scheme, incomplete, mismatch, part, token};
use crate::error::{ApiError, ErrorCode};
use crate::params::{Params, decode_pairs};
use crate::secret::Secret;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
/// Most signed headers; SDKs sign about ten.
const SIGNED_HEADERS_MAX: usize = 64;

/// Reads the claim from the `Authorization` header and what it points to.
pub(super) fn claim(request: &Request<'_>, params: &Params, authorization: &str) -> Result<Claim, ApiError> {
    let (algorithm, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if algorithm != ALGORITHM {
        return Err(ApiError::new(
            ErrorCode::INVALID_SIGNATURE_METHOD,
            format!("The Authorization header must use {ALGORITHM}."),
        ));
    }
    let mut parts = BTreeMap::new();
    for assignment in rest.split(',') {
        let (name, value) = assignment.trim().split_once('=').unwrap_or((assignment, ""));
        if parts.insert(name, value).is_some() {
            return Err(incomplete("A part of the Authorization header is given twice."));
        }
    }
    let of_header = |name| part(parts.get(name).copied(), &format!("{name} in the Authorization header"));
    let access_key_id = of_header("Credential")?;
    if request.header("x-acs-accesskey-id").is_some_and(|other| other != access_key_id) {
        return Err(incomplete("x-acs-accesskey-id and the Credential differ."));
    }
    let signed_headers: Vec<String> =
        of_header("SignedHeaders")?.split(';').map(str::to_ascii_lowercase).collect();
    check_signed_headers(request, &signed_headers)?;
    // the query is signed as well, so a client may put the two there
    let target = |header, name: &str| request.header(header).or_else(|| params.get(name));
    Ok(Claim {
        scheme: Scheme::Acs3,
        version: part(target("x-acs-version", "Version"), "x-acs-version")?,
        action: part(target("x-acs-action", "Action"), "x-acs-action")?,
        nonce: part(request.header("x-acs-signature-nonce"), "x-acs-signature-nonce")?,
        timestamp: part(request.header("x-acs-date"), "x-acs-date")?,
        security_token: token(request.header("x-acs-security-token")),
        signature: of_header("Signature")?,
        access_key_id,
        signed_headers,
    })
}

fn check_signed_headers(request: &Request<'_>, signed: &[String]) -> Result<(), ApiError> {
    if signed.len() > SIGNED_HEADERS_MAX {
        return Err(incomplete(&format!("At most {SIGNED_HEADERS_MAX} headers can be signed.")));
    }
    let is_signed = |name: &str| signed.iter().any(|other| other == name);
    if !is_signed("host") {
        return Err(incomplete("The host header must be signed."));
    }
    for (name, _) in request.headers {
        let name = name.to_ascii_lowercase();
        if name.starts_with("x-acs-") && !is_signed(&name) {
            return Err(incomplete(&format!("The header {name} must be signed.")));
        }
    }
    for name in signed {
        if request.header(name).is_none() {
            return Err(incomplete("A signed header is missing or given twice."));
        }
    }
    Ok(())
}

/// Checks the claim against the secret.
pub(super) fn verify(claim: &Claim, request: &Request<'_>, secret: &Secret) -> Result<(), ApiError> {
    let body_hash = sha256_hex(request.body);
    let claimed_hash = part(request.header("x-acs-content-sha256"), "x-acs-content-sha256")?;
    if !same(&claimed_hash.to_ascii_lowercase(), &body_hash) {
        return Err(ApiError::new(
            ErrorCode::SIGNATURE_DOES_NOT_MATCH,
            "The body is not the one that x-acs-content-sha256 was computed for.",
        ));
    }
    let query = canonical_query(decode_pairs(request.query).collect::<Result<_, _>>()?);
    let host = part(request.header("host"), "host")?;
    let mut shown = None;
    for host in host_forms(&host) {
        let headers: Vec<(&str, &str)> = claim
            .signed_headers
            .iter()
            .map(|name| {
                (name.as_str(), if name == "host" { &host } else { request.header(name).unwrap_or("") })
            })
            .collect();
        // the hash stands in the canonical request as the client wrote it
        let canonical = canonical_request(request.method, request.path, &query, &headers, &claimed_hash);
        let string_to_sign = string_to_sign(&canonical);
        if same(&signature(secret, &string_to_sign), &claim.signature.to_ascii_lowercase()) {
            return Ok(());
        }
        shown.get_or_insert(string_to_sign);
    }
    Err(mismatch(shown.as_deref().unwrap_or_default()))
}

/// The texts that may have been signed as `host`: as received, and with or without a scheme, because an SDK that is
/// given `http://host:port` as its endpoint signs that whole text.
fn host_forms(received: &str) -> Vec<String> {
    let bare = ["http://", "https://"].into_iter().find_map(|scheme| received.strip_prefix(scheme));
    match bare {
        Some(bare) => vec![received.to_owned(), bare.to_owned()],
        None => vec![received.to_owned(), format!("http://{received}"), format!("https://{received}")],
    }
}

/// `headers` in the order of the signed list, which SDKs sort by name.
fn canonical_request(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
    body_hash: &str,
) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{body_hash}")
}

fn string_to_sign(canonical: &str) -> String {
    format!("{ALGORITHM}\n{}", sha256_hex(canonical.as_bytes()))
}

fn signature(secret: &Secret, string_to_sign: &str) -> String {
    hex::encode(hmac_sha256(secret.expose().as_bytes(), string_to_sign.as_bytes()))
}

/// A call to sign, for clients.
#[derive(Clone, Copy)]
pub struct Acs3Call<'a> {
    /// `POST` or `GET`.
    pub method: &'a str,
    /// Value of the Host header, with the port unless it is the scheme's own.
    pub host: &'a str,
    /// API version.
    pub version: &'a str,
    /// Action name.
    pub action: &'a str,
    /// Query, encoded in any valid way.
    pub query: &'a str,
    /// Raw body, empty if there is none.
    pub body: &'a [u8],
    /// Type of the body; `None` if there is none.
    pub content_type: Option<&'a str>,
    /// Now, as [`TimeFormat::Seconds`](crate::time::TimeFormat::Seconds) writes it.
    pub date: &'a str,
    /// Never used before with this access key.
    pub nonce: &'a str,
    /// Set with temporary credentials.
    pub security_token: Option<&'a str>,
}

impl std::fmt::Debug for Acs3Call<'_> {
    /// Query and body may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acs3Call")
            .field("version", &self.version)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

/// Every header to send with a call to `/`, `authorization` among them, names in lower case.
///
/// # Errors
/// `InvalidParameter` if the query is not percent-encoded UTF-8.
pub fn sign(
    call: &Acs3Call<'_>,
    access_key_id: &str,
    secret: &Secret,
) -> Result<Vec<(String, String)>, ApiError> {
    let body_hash = sha256_hex(call.body);
    let mut headers = BTreeMap::from([
        ("host", call.host),
        ("x-acs-action", call.action),
        ("x-acs-content-sha256", body_hash.as_str()),
        ("x-acs-date", call.date),
        ("x-acs-signature-nonce", call.nonce),
        ("x-acs-version", call.version),
    ]);
    if let Some(content_type) = call.content_type {
        headers.insert("content-type", content_type);
    }
    if let Some(token) = call.security_token {
        headers.insert("x-acs-accesskey-id", access_key_id);
        headers.insert("x-acs-security-token", token);
    }
    let sorted: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, *value)).collect();
    let query = canonical_query(decode_pairs(call.query).collect::<Result<_, _>>()?);
    let canonical = canonical_request(call.method, "/", &query, &sorted, &body_hash);
    let signature = signature(secret, &string_to_sign(&canonical));
    let names = sorted.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let authorization =
        format!("{ALGORITHM} Credential={access_key_id},SignedHeaders={names},Signature={signature}");
    let mut out: Vec<(String, String)> =
        sorted.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    out.push(("authorization".to_owned(), authorization));
    Ok(out)
}
