//! Multipart uploads, but for the parts themselves.

use creel_control::object::UploadSession;
use creel_wire::oss::xml::{self, ListedPart};
use creel_wire::oss::{OssCode, OssError};
use http::StatusCode;
use hyper::body::Incoming;

use super::Head;
use super::answer::{Answer, oss_error};
use crate::app::App;
use crate::http::{BodyError, collect_body};

pub(super) async fn initiate(app: &App, session: &UploadSession, head: &Head) -> Result<Answer, OssError> {
    let made = app.objects.initiate(session, &head.address.key, head.header("content-type")).await;
    Ok(Answer::xml(xml::initiated(head.named(), &made.map_err(oss_error)?)))
}

pub(super) async fn list(app: &App, session: &UploadSession, head: &Head) -> Result<Answer, OssError> {
    let number = |name: &str, default: u16, max: u16| {
        let text = head.query.get(name).unwrap_or_default();
        let read = if text.is_empty() { Some(default) } else { text.parse().ok() };
        read.filter(|number| *number <= max)
            .ok_or_else(|| OssError::new(OssCode::INVALID_ARGUMENT, format!("{name} must be 0 to {max}.")))
    };
    let (marker, max) = (number("part-number-marker", 0, 10_000)?, number("max-parts", 1_000, 1_000)?);
    let parts = app.objects.parts(session, &head.address.key, head.upload_id()).await.map_err(oss_error)?;
    let listed: Vec<ListedPart> = parts
        .into_iter()
        .map(|part| ListedPart {
            number: part.number,
            etag: part.stored.etag(),
            bytes: part.stored.bytes,
            // oss2 reads no other milliseconds than these.
            last_modified: creel_wire::time::from_epoch_ms(part.stored.modified_at_ms)
                .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string())
                .unwrap_or_default(),
        })
        .collect();
    Ok(Answer::xml(xml::parts(head.named(), head.upload_id(), &listed, marker, usize::from(max))))
}

pub(super) async fn complete(
    app: &App,
    session: &UploadSession,
    head: &Head,
    body: &mut Incoming,
) -> Result<Answer, OssError> {
    let body = collect_body(body).await.map_err(|error| match error {
        BodyError::TooLarge => OssError::new(OssCode::ENTITY_TOO_LARGE, "The list of parts is too long."),
        BodyError::Incomplete => OssError::new(
            OssCode::REQUEST_TIMEOUT,
            "The body did not come in time or broke off. Send it again.",
        ),
    })?;
    let named: Vec<(u16, String)> =
        xml::read_complete(&body)?.into_iter().map(|part| (part.number, part.etag)).collect();
    let key = &head.address.key;
    let stored = app.objects.complete(session, key, head.upload_id(), &named).await.map_err(oss_error)?;
    let location = format!("{}/{key}", head.host);
    Ok(Answer::xml(xml::completed(head.named(), &location, &stored.etag())).sums(&stored))
}

pub(super) async fn abort(app: &App, session: &UploadSession, head: &Head) -> Result<Answer, OssError> {
    let key = &head.address.key;
    app.objects.abort(session, key, head.upload_id()).await.map_err(oss_error)?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
