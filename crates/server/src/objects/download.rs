//! GetObject, HeadObject, and icons by the address that ListSkills answers.

use axum::body::Body;
use creel_control::object::{ByteRange, Stored, UploadSession};
use creel_wire::oss::{OssCode, OssError};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderName, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};

use super::Head;
use super::answer::{Answer, oss_error};
use crate::app::App;

/// A day: an icon's address is good for longer, and its content never changes.
const ICON_CACHE: HeaderValue = HeaderValue::from_static("private, max-age=86400, immutable");

pub(super) async fn head(app: &App, session: &UploadSession, head: &Head) -> Result<Answer, OssError> {
    let stored = app.objects.head(session, &head.address.key).await.map_err(oss_error)?;
    Ok(described(Answer::empty(StatusCode::OK), &stored).text(CONTENT_LENGTH, &stored.bytes.to_string()))
}

pub(super) async fn get(app: &App, session: &UploadSession, head: &Head) -> Result<Answer, OssError> {
    let key = &head.address.key;
    let stored = app.objects.head(session, key).await.map_err(oss_error)?;
    let (from, to, is_part) = match head.header("range").and_then(byte_range) {
        None => (0, stored.bytes, false),
        Some(range) => {
            let (from, to) = range.within(stored.bytes).ok_or_else(|| {
                OssError::new(OssCode::INVALID_RANGE, format!("The object has {} bytes.", stored.bytes))
            })?;
            (from, to, true)
        }
    };
    let content = app.objects.stream(session, key, from, to).await.map_err(oss_error)?;
    let status = if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let answer = described(Answer::empty(status), &stored)
        .text(CONTENT_LENGTH, &to.saturating_sub(from).to_string())
        .body(Body::from_stream(content));
    if is_part {
        let last = to.saturating_sub(1);
        return Ok(answer.text(CONTENT_RANGE, &format!("bytes {from}-{last}/{}", stored.bytes)));
    }
    Ok(answer)
}

fn described(answer: Answer, stored: &Stored) -> Answer {
    let kind = if stored.parts == 0 { "Normal" } else { "Multipart" };
    let modified = creel_wire::time::from_epoch_ms(stored.modified_at_ms)
        .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    answer
        .sums(stored)
        .text(CONTENT_TYPE, &stored.content_type)
        .text(LAST_MODIFIED, &modified.unwrap_or_default())
        .with(ACCEPT_RANGES, HeaderValue::from_static("bytes"))
        // Whatever was uploaded is never a page of ours.
        .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"))
        .with(HeaderName::from_static("x-oss-object-type"), HeaderValue::from_static(kind))
        .with(HeaderName::from_static("x-oss-storage-class"), HeaderValue::from_static("Standard"))
}

/// One range; anything else asks for the whole, as HTTP has it.
fn byte_range(text: &str) -> Option<ByteRange> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (from, to) {
        ("", count) => count.parse().ok().map(ByteRange::Last),
        (from, "") => from.parse().ok().map(ByteRange::From),
        (from, to) => {
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            (from <= to).then_some(ByteRange::Between(from, to))
        }
    }
}

/// A picture by an address that was made here: whoever has it may see it.
pub(super) async fn icon(app: &App, head: &Head, hash: &str) -> Result<Answer, OssError> {
    let expires = head.query.get("expires").and_then(|text| text.parse().ok());
    let signature = head.query.get("signature").unwrap_or_default();
    if !expires.is_some_and(|expires| app.objects.is_icon_url(hash, expires, signature)) {
        return Err(OssError::new(
            OssCode::REQUEST_EXPIRED,
            "The icon's address is over or was not made here. Get a new one with ListSkills.",
        ));
    }
    let (kind, content) = app.objects.get_icon(hash).await.map_err(oss_error)?;
    Ok(Answer::empty(StatusCode::OK)
        .text(CONTENT_TYPE, kind.content_type())
        .text(CONTENT_LENGTH, &content.len().to_string())
        .with(CACHE_CONTROL, ICON_CACHE)
        .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"))
        .body(Body::from(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_has_them() {
        for (text, within) in [
            ("bytes=0-3", Some(Some((0, 4)))),
            ("bytes=2-", Some(Some((2, 10)))),
            ("bytes=-3", Some(Some((7, 10)))),
            ("bytes=-30", Some(Some((0, 10)))),
            ("bytes=8-99", Some(Some((8, 10)))),
            ("bytes=10-", Some(None)),
            ("bytes=3-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(byte_range(text).map(|range| range.within(10)), within, "{text}");
        }
    }
}
