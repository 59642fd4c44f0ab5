//! The object protocol, as far as uploads need it: where a request points to, who it claims to be and whether that is
//! true, and the XML that goes both ways.
//!
//! Two steps as in [`crate::sign`], because the secret comes in between: [`Claim::of`] reads what the request says
//! without believing it, [`Claim::verify`] checks it against the secret. No clock here: see [`Claim::check_time`].

mod error;
mod v1;
mod v4;
pub mod xml;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;

pub use self::error::{OssCode, OssError};
use crate::params::Params;
use crate::secret::Secret;

/// Longest object key, in bytes: the provider's limit.
pub const KEY_BYTES_MAX: usize = 1_023;
/// How far clocks may be apart, either way.
pub const SKEW_MAX: SignedDuration = SignedDuration::from_mins(15);
/// Longest time a presigned address may be good for: the provider's limit.
pub const PRESIGNED_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// What stands for the hash of a body that is not signed, which is how clients of this protocol sign.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What a request points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Empty where none is named.
    pub bucket: String,
    /// Decoded; empty where only a bucket is named.
    pub key: String,
}

impl Address {
    /// The object at this host and raw path: `bucket` in the host's name, or else in the first part of the path. The
    /// key's slashes may be encoded or not.
    ///
    /// # Errors
    /// `InvalidObjectName` if the path is not UTF-8.
    pub fn of(host: &str, path: &str, bucket: &str) -> Result<Self, OssError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = if is_bucket_host(host, bucket) {
            (bucket.to_owned(), path)
        } else {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            (decoded(bucket)?, key)
        };
        Ok(Self { bucket, key: decoded(key)? })
    }
}

fn decoded(text: &str) -> Result<String, OssError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
        OssError::new(OssCode::INVALID_OBJECT_NAME, "The object's name is not percent-encoded UTF-8.")
    })
}

fn is_bucket_host(host: &str, bucket: &str) -> bool {
    host.get(..bucket.len()).is_some_and(|start| start.eq_ignore_ascii_case(bucket))
        && host.get(bucket.len()..).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a request is one of this protocol: by its host, its path, or the form of its signature.
pub fn is_object_request(host: &str, path: &str, query: &str, authorization: &str, bucket: &str) -> bool {
    let in_path = path.strip_prefix('/').and_then(|path| path.strip_prefix(bucket));
    is_bucket_host(host, bucket)
        || in_path.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || authorization.starts_with("OSS")
        || query.split('&').any(|pair| {
            ["OSSAccessKeyId=", "x-oss-signature=", "x-oss-credential="]
                .iter()
                .any(|name| pair.starts_with(name))
        })
}

/// A request as it was received.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// In upper case.
    pub method: &'a str,
    pub address: &'a Address,
    /// The decoded query; see [`query`].
    pub query: &'a Params,
    /// Names in any case, values as received. With HTTP/2, put the authority in as `host`.
    pub headers: &'a [(&'a str, &'a str)],
}

impl std::fmt::Debug for Request<'_> {
    /// Query and headers hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// The only value of a header, trimmed; twice the same header is as good as none.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let (_, value) = found.next()?;
        found.next().is_none().then(|| value.trim())
    }

    /// Names in lower case with their values, of the headers that `wanted` takes, sorted by name.
    fn sorted_headers(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, &'a str)> {
        let lower = self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim()));
        let mut found: Vec<(String, &str)> = lower.filter(|(name, _)| wanted(name)).collect();
        found.sort_unstable();
        found
    }
}

/// Decodes a query; a name without `=` has an empty value.
///
/// # Errors
/// `InvalidArgument` if it is too long, not UTF-8, or says two things.
pub fn query(raw: &str) -> Result<Params, OssError> {
    Params::decode(raw, b"").map_err(|error| OssError::new(OssCode::INVALID_ARGUMENT, error.message))
}

/// What a request says of itself, not yet believed.
#[derive(Debug)]
pub struct Claim {
    /// Whose secret signed it.
    pub access_key_id: String,
    /// What comes with temporary credentials, in whichever spelling.
    pub security_token: Option<Secret>,
    signature: String,
    scheme: Scheme,
    validity: Validity,
}

#[derive(Debug)]
enum Scheme {
    V1 {
        /// The date's line: the header's text, or when a presigned address ends.
        date: String,
    },
    V4 {
        date: String,
        scope: v4::Scope,
        additional_headers: Vec<String>,
    },
}

/// When a request may come.
#[derive(Debug, Clone, Copy)]
enum Validity {
    /// Close to when it was signed.
    At(Timestamp),
    /// Until then, of a presigned address.
    Until(Timestamp),
    /// Between the two.
    Between(Timestamp, Timestamp),
}

impl Claim {
    /// Reads the parts of the signature, which is in the `Authorization` header or in the query, of version 1 or 4.
    ///
    /// # Errors
    /// `AccessDenied` where there is none, `InvalidArgument` where it is malformed.
    pub fn of(request: &Request<'_>) -> Result<Self, OssError> {
        if let Some(authorization) = request.header("authorization") {
            return match authorization.split_once(' ') {
                Some(("OSS", rest)) => v1::of_header(request, rest),
                Some((v4::ALGORITHM, rest)) => v4::of_header(request, rest),
                _ => Err(malformed("Use signature version 1 or 4 in the Authorization header.")),
            };
        }
        if request.query.get("x-oss-signature-version").is_some() {
            return v4::of_query(request);
        }
        if request.query.get("Signature").is_some() {
            return v1::of_query(request);
        }
        Err(OssError::new(
            OssCode::ACCESS_DENIED,
            "Nothing is public here. Sign the request with what GetOssStsToken gives.",
        ))
    }

    /// Whether the signature was made with this secret over this request.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch` with the text that should have been signed, as clients look for it.
    pub fn verify(&self, request: &Request<'_>, secret: &Secret) -> Result<(), OssError> {
        let (string_to_sign, signature) = match &self.scheme {
            Scheme::V1 { date } => {
                let text = v1::string_to_sign(request, date);
                let signature = v1::signature(secret, &text);
                (text, signature)
            }
            Scheme::V4 { date, scope, additional_headers } => {
                let text = v4::string_to_sign(request, date, scope, additional_headers);
                let signature = v4::signature(secret, scope, &text);
                (text, signature)
            }
        };
        if crate::sign::same(&signature, &self.signature) {
            return Ok(());
        }
        // The V1 text holds the token, which the client sent in the first place; it goes nowhere else.
        Err(OssError::new(
            OssCode::SIGNATURE_DOES_NOT_MATCH,
            format!(
                "The signature is not the one that this secret makes. The server's string to sign: {string_to_sign}"
            ),
        ))
    }

    /// Whether it may come now.
    ///
    /// # Errors
    /// `RequestTimeTooSkewed`, or `AccessDenied` for a presigned address that is over.
    pub fn check_time(&self, now: Timestamp) -> Result<(), OssError> {
        let skewed = || {
            OssError::new(
                OssCode::REQUEST_TIME_TOO_SKEWED,
                format!(
                    "The request was signed more than {} minutes from the server's clock, which says {now:.0}.",
                    SKEW_MAX.as_mins()
                ),
            )
        };
        let is_over = match self.validity {
            Validity::At(at) => {
                return if now.duration_since(at).abs() <= SKEW_MAX { Ok(()) } else { Err(skewed()) };
            }
            Validity::Until(until) => until < now,
            Validity::Between(from, _) if from.duration_since(now) > SKEW_MAX => return Err(skewed()),
            Validity::Between(_, until) => until < now,
        };
        if is_over {
            return Err(OssError::new(
                OssCode::REQUEST_EXPIRED,
                "Request has expired. Make a new presigned address.",
            ));
        }
        Ok(())
    }

    /// The region that the signature is for, where it says one.
    pub fn region(&self) -> Option<&str> {
        match &self.scheme {
            Scheme::V1 { .. } => None,
            Scheme::V4 { scope, .. } => Some(&scope.region),
        }
    }
}

fn malformed(why: &str) -> OssError {
    OssError::new(OssCode::INVALID_ARGUMENT, format!("The signature cannot be read. {why}"))
}

/// The token in either spelling; both only if they agree.
fn token(one: Option<&str>, other: Option<&str>) -> Result<Option<Secret>, OssError> {
    let given = |text: Option<&'_ str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    match (given(one), given(other)) {
        (Some(one), Some(other)) if one != other => Err(malformed("Two security tokens are given.")),
        (Some(token), _) | (None, Some(token)) => {
            if token.len() > crate::sign::SECURITY_TOKEN_BYTES_MAX {
                return Err(malformed("The security token is too long."));
            }
            Ok(Some(Secret::new(token)))
        }
        (None, None) => Ok(None),
    }
}

fn header_token(request: &Request<'_>) -> Result<Option<Secret>, OssError> {
    token(request.header("x-oss-security-token"), request.header("security-token"))
}

fn query_token(request: &Request<'_>) -> Result<Option<Secret>, OssError> {
    token(request.query.get("x-oss-security-token"), request.query.get("security-token"))
}

#[cfg(test)]
mod tests;
