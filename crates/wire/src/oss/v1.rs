//! Signature version 1: HMAC-SHA1 over the method, three headers, the `x-oss-` headers and the resource.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::{Claim, OssError, Request, Scheme, Validity, header_token, malformed, query_token};
use crate::secret::Secret;
use crate::sign::hmac_sha1;

/// The names in a query that are signed, as both official clients have them: also those of operations that are not here,
/// so that who asks for one is told so.
#[rustfmt::skip]
const SUBRESOURCES: &[&str] = &[
    "accessPoint", "accessPointPolicy", "acl", "append", "asyncFetch", "bucketArchiveDirectRead",
    "bucketInfo", "callback", "callback-var", "cloudboxes", "cname", "comp", "continuation-token", "cors",
    "delete", "encryption", "endTime", "group", "httpsConfig", "inventory", "inventoryId", "lifecycle",
    "link", "live", "location", "logging", "metaQuery", "objectInfo", "objectMeta", "partNumber", "policy",
    "position", "publicAccessBlock", "qos", "qosInfo", "qosRequester", "redundancyTransition", "referer",
    "regionList", "replication", "replicationLocation", "replicationProgress", "requestPayment",
    "requesterQosInfo", "resourceGroup", "resourcePool", "resourcePoolBuckets", "resourcePoolInfo",
    "response-cache-control", "response-content-disposition", "response-content-encoding",
    "response-content-language", "response-content-type", "response-expires", "restore", "security-token",
    "sequential", "startTime", "stat", "status", "style", "styleName", "symlink", "tagging",
    "transferAcceleration", "uploadId", "uploads", "versionId", "versioning", "versions", "vod", "website",
    "worm", "wormExtend", "wormId", "x-oss-ac-forward-allow", "x-oss-ac-source-ip", "x-oss-ac-subnet-mask",
    "x-oss-ac-vpc-id", "x-oss-access-point-name", "x-oss-async-process", "x-oss-process",
    "x-oss-redundancy-transition-taskid", "x-oss-request-payer", "x-oss-target-redundancy-type",
    "x-oss-traffic-limit", "x-oss-write-get-object-response",
];

/// Reads `<AccessKeyId>:<signature>`.
pub(super) fn of_header(request: &Request<'_>, credentials: &str) -> Result<Claim, OssError> {
    let (access_key_id, signature) = credentials
        .trim()
        .split_once(':')
        .ok_or_else(|| malformed("Version 1 is `OSS <AccessKeyId>:<signature>`."))?;
    let date = request.header("x-oss-date").or_else(|| request.header("date"));
    let date = date.ok_or_else(|| malformed("The Date header is missing or given twice."))?;
    let signed_at = rfc2822::parse(date).map_err(|_| malformed("The Date header is no date of HTTP."))?;
    Ok(Claim {
        access_key_id: access_key_id.to_owned(),
        security_token: header_token(request)?,
        signature: signature.to_owned(),
        validity: Validity::At(signed_at.timestamp()),
        scheme: Scheme::V1 { date: date.to_owned() },
    })
}

/// Reads a presigned address.
pub(super) fn of_query(request: &Request<'_>) -> Result<Claim, OssError> {
    let part = |name: &str| {
        request.query.get(name).ok_or_else(|| malformed(&format!("The parameter {name} is missing.")))
    };
    let expires = part("Expires")?;
    let until = expires.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    Ok(Claim {
        access_key_id: part("OSSAccessKeyId")?.to_owned(),
        security_token: query_token(request)?,
        signature: part("Signature")?.to_owned(),
        validity: Validity::Until(until.ok_or_else(|| malformed("Expires are seconds since 1970."))?),
        scheme: Scheme::V1 { date: expires.to_owned() },
    })
}

/// The text that is signed; `date` is the date's header, or when a presigned address ends.
pub(super) fn string_to_sign(request: &Request<'_>, date: &str) -> String {
    let header = |name| request.header(name).unwrap_or_default();
    let headers: String = request
        .sorted_headers(|name| name.starts_with("x-oss-"))
        .into_iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let address = request.address;
    let resource = match address.bucket.as_str() {
        "" => "/".to_owned(),
        bucket => format!("/{bucket}/{}", address.key),
    };
    let subresources: Vec<String> = request
        .query
        .iter()
        .filter(|(name, _)| SUBRESOURCES.contains(name))
        .map(|(name, value)| if value.is_empty() { name.to_owned() } else { format!("{name}={value}") })
        .collect();
    let mark = if subresources.is_empty() { "" } else { "?" };
    format!(
        "{}\n{}\n{}\n{date}\n{headers}{resource}{mark}{}",
        request.method,
        header("content-md5"),
        header("content-type"),
        subresources.join("&")
    )
}

/// Base64 of the HMAC.
pub(super) fn signature(secret: &Secret, string_to_sign: &str) -> String {
    BASE64.encode(hmac_sha1(secret.expose().as_bytes(), string_to_sign.as_bytes()))
}
