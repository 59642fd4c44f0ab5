//! Signature version 4: HMAC-SHA256 with a key made for a day, a region and this product, over the whole request but its
//! body.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::{
    Claim, OssCode, OssError, PRESIGNED_MAX, Request, Scheme, UNSIGNED_PAYLOAD, Validity, header_token,
    malformed, query_token,
};
use crate::secret::Secret;
use crate::sign::{encode, hmac_sha256, sha256_hex};

pub(super) const ALGORITHM: &str = "OSS4-HMAC-SHA256";
const PRODUCT: &str = "oss";
const TERMINATOR: &str = "aliyun_v4_request";
/// More signed headers than any client has.
const ADDITIONAL_HEADERS_MAX: usize = 64;

/// What the key is made for.
#[derive(Debug)]
pub(super) struct Scope {
    /// `20260102`.
    pub(super) day: String,
    /// Such as `cn-hangzhou`.
    pub(super) region: String,
}

impl Scope {
    fn text(&self) -> String {
        format!("{}/{}/{PRODUCT}/{TERMINATOR}", self.day, self.region)
    }
}

/// Reads `Credential=…,AdditionalHeaders=…,Signature=…` in any order, with or without spaces.
pub(super) fn of_header(request: &Request<'_>, parts: &str) -> Result<Claim, OssError> {
    let (mut credential, mut additional, mut signature) = (None, None, None);
    for part in parts.split(',') {
        let (name, value) = part.trim().split_once('=').unwrap_or((part, ""));
        let slot = match name {
            "Credential" => &mut credential,
            "AdditionalHeaders" => &mut additional,
            "Signature" => &mut signature,
            _ => return Err(malformed("The Authorization header has a part that version 4 does not know.")),
        };
        if slot.replace(value).is_some() {
            return Err(malformed("A part of the Authorization header is given twice."));
        }
    }
    let date = request.header("x-oss-date");
    let date = date.ok_or_else(|| malformed("The header x-oss-date is missing or given twice."))?;
    let signed_at = moment(date)?;
    claim(
        Parts { credential, additional, signature, date },
        header_token(request)?,
        Validity::At(signed_at),
        request,
    )
}

/// Reads a presigned address.
pub(super) fn of_query(request: &Request<'_>) -> Result<Claim, OssError> {
    let get = |name| request.query.get(name);
    if get("x-oss-signature-version") != Some(ALGORITHM) {
        return Err(malformed("x-oss-signature-version must be OSS4-HMAC-SHA256."));
    }
    let date = get("x-oss-date").ok_or_else(|| malformed("The parameter x-oss-date is missing."))?;
    let from = moment(date)?;
    let seconds = get("x-oss-expires").and_then(|text| text.parse::<i64>().ok());
    let lasts =
        seconds.map(SignedDuration::from_secs).filter(|lasts| lasts.is_positive() && *lasts <= PRESIGNED_MAX);
    let lasts = lasts.ok_or_else(|| malformed("x-oss-expires must be 1 to 604800 seconds."))?;
    let until = from.checked_add(lasts).map_err(|_| malformed("x-oss-date is out of range."))?;
    claim(
        Parts {
            credential: get("x-oss-credential"),
            additional: get("x-oss-additional-headers"),
            signature: get("x-oss-signature"),
            date,
        },
        query_token(request)?,
        Validity::Between(from, until),
        request,
    )
}

struct Parts<'a> {
    credential: Option<&'a str>,
    additional: Option<&'a str>,
    signature: Option<&'a str>,
    date: &'a str,
}

fn claim(
    parts: Parts<'_>,
    security_token: Option<Secret>,
    validity: Validity,
    request: &Request<'_>,
) -> Result<Claim, OssError> {
    let bad = || malformed("The credential is <AccessKeyId>/<yyyymmdd>/<region>/oss/aliyun_v4_request.");
    let mut credential = parts.credential.ok_or_else(bad)?.split('/');
    let (Some(access_key_id), Some(day), Some(region), Some(PRODUCT), Some(TERMINATOR), None) = (
        credential.next(),
        credential.next(),
        credential.next(),
        credential.next(),
        credential.next(),
        credential.next(),
    ) else {
        return Err(bad());
    };
    if !parts.date.starts_with(day) || day.len() != 8 {
        return Err(malformed("The credential is for another day than x-oss-date."));
    }
    let payload = request.header("x-oss-content-sha256").unwrap_or(UNSIGNED_PAYLOAD);
    if payload != UNSIGNED_PAYLOAD {
        return Err(OssError::new(
            OssCode::INVALID_ARGUMENT,
            "x-oss-content-sha256 must be UNSIGNED-PAYLOAD. Content-MD5 is checked where it is given.",
        ));
    }
    let additional = parts.additional.filter(|names| !names.is_empty());
    let additional_headers: Vec<String> =
        additional.into_iter().flat_map(|names| names.split(';')).map(str::to_ascii_lowercase).collect();
    if additional_headers.len() > ADDITIONAL_HEADERS_MAX {
        return Err(malformed("At most 64 additional headers can be signed."));
    }
    let signature = parts.signature.ok_or_else(|| malformed("The signature itself is missing."))?;
    Ok(Claim {
        access_key_id: access_key_id.to_owned(),
        security_token,
        signature: signature.to_ascii_lowercase(),
        validity,
        scheme: Scheme::V4 {
            date: parts.date.to_owned(),
            scope: Scope { day: day.to_owned(), region: region.to_owned() },
            additional_headers,
        },
    })
}

/// Reads `20260102T030405Z`.
fn moment(text: &str) -> Result<Timestamp, OssError> {
    let read = || {
        let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok().filter(|_| text.len() == 16)?;
        Offset::UTC.to_timestamp(civil).ok()
    };
    read().ok_or_else(|| malformed("x-oss-date is not written as 20260102T030405Z."))
}

/// The text that is signed.
pub(super) fn string_to_sign(
    request: &Request<'_>,
    date: &str,
    scope: &Scope,
    additional: &[String],
) -> String {
    let canonical = canonical_request(request, additional);
    format!("{ALGORITHM}\n{date}\n{}\n{}", scope.text(), sha256_hex(canonical.as_bytes()))
}

fn canonical_request(request: &Request<'_>, additional: &[String]) -> String {
    let address = request.address;
    let path = match address.bucket.as_str() {
        "" => "/".to_owned(),
        bucket => format!("/{bucket}/{}", address.key),
    };
    let path = path.split('/').map(|part| encode(part).to_string()).collect::<Vec<_>>().join("/");
    let mut query: Vec<(String, String)> = request
        .query
        .iter()
        .filter(|(name, _)| *name != "x-oss-signature")
        .map(|(name, value)| (encode(name).to_string(), encode(value).to_string()))
        .collect();
    query.sort_unstable();
    let query: Vec<String> = query
        .into_iter()
        .map(|(name, value)| if value.is_empty() { name } else { format!("{name}={value}") })
        .collect();
    let is_signed = |name: &str| {
        name.starts_with("x-oss-")
            || matches!(name, "content-type" | "content-md5")
            || additional.iter().any(|other| other == name)
    };
    let headers: String = request
        .sorted_headers(is_signed)
        .into_iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    format!(
        "{}\n{path}\n{}\n{headers}\n{}\n{UNSIGNED_PAYLOAD}",
        request.method,
        query.join("&"),
        additional.join(";")
    )
}

/// Lower-hex HMAC.
pub(super) fn signature(secret: &Secret, scope: &Scope, string_to_sign: &str) -> String {
    let first = format!("aliyun_v4{}", secret.expose());
    let mut key = hmac_sha256(first.as_bytes(), scope.day.as_bytes());
    for part in [scope.region.as_str(), PRODUCT, TERMINATOR] {
        key = hmac_sha256(&key, part.as_bytes());
    }
    hex::encode(hmac_sha256(&key, string_to_sign.as_bytes()))
}
