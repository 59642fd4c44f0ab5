//! PutObject and UploadPart: takes a body as it comes, within its size and its time.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use creel_control::object::{Stored, UploadSession, Writing};
use creel_wire::oss::{OssCode, OssError};
use http::header::HeaderName;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::Head;
use super::answer::{Answer, oss_error};
use crate::app::App;

/// How long one upload may take: 32 MiB at 110 KiB a second.
const UPLOAD_MAX: Duration = Duration::from_secs(300);
/// How long a client may send nothing.
const IDLE_MAX: Duration = Duration::from_secs(30);

pub(super) async fn put(
    app: &App,
    session: &UploadSession,
    head: &Head,
    body: &mut Incoming,
) -> Result<Answer, OssError> {
    let md5 = content_md5(head)?;
    let (key, bytes) = (&head.address.key, body.size_hint().exact());
    let content_type = head.header("content-type");
    let writing = app.objects.begin(session, key, content_type, bytes).await.map_err(oss_error)?;
    receive(writing, body, md5).await
}

pub(super) async fn part(
    app: &App,
    session: &UploadSession,
    head: &Head,
    body: &mut Incoming,
) -> Result<Answer, OssError> {
    let md5 = content_md5(head)?;
    let number = head.query.get("partNumber").and_then(|text| text.parse::<u16>().ok());
    let number = number
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| OssError::new(OssCode::INVALID_ARGUMENT, "partNumber must be 1 to 10000."))?;
    let (key, bytes) = (&head.address.key, body.size_hint().exact());
    let writing = app.objects.begin_part(session, key, head.upload_id(), number, bytes).await;
    receive(writing.map_err(oss_error)?, body, md5).await
}

async fn receive(
    mut writing: Writing,
    body: &mut Incoming,
    md5: Option<[u8; 16]>,
) -> Result<Answer, OssError> {
    let end = Instant::now() + UPLOAD_MAX;
    let broken = || {
        OssError::new(OssCode::REQUEST_TIMEOUT, "The body did not come in time or broke off. Send it again.")
    };
    loop {
        let until = end.min(Instant::now() + IDLE_MAX);
        let frame = tokio::time::timeout_at(until, body.frame()).await.map_err(|_| broken())?;
        let Some(frame) = frame else { break };
        if let Ok(data) = frame.map_err(|_| broken())?.into_data() {
            writing.push(&data).await.map_err(oss_error)?;
        }
    }
    let stored = writing.finish(md5).await.map_err(oss_error)?;
    Ok(uploaded(&stored))
}

fn uploaded(stored: &Stored) -> Answer {
    let md5 = HeaderName::from_static("content-md5");
    Answer::empty(StatusCode::OK).sums(stored).text(md5, &BASE64.encode(stored.md5))
}

/// What the client says the body's MD5 is.
fn content_md5(head: &Head) -> Result<Option<[u8; 16]>, OssError> {
    if head.headers.get_all("content-md5").iter().count() > 1
        || head.headers.contains_key(header::CONTENT_ENCODING)
    {
        return Err(OssError::new(
            OssCode::INVALID_ARGUMENT,
            "Give Content-MD5 once, and no Content-Encoding: objects are kept as they come.",
        ));
    }
    let Some(text) = head.header("content-md5") else { return Ok(None) };
    let md5 = BASE64.decode(text).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    md5.map(Some)
        .ok_or_else(|| OssError::new(OssCode::INVALID_DIGEST, "Content-MD5 is the base64 of 16 bytes."))
}
