//! Answers in the documented form.

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use creel_wire::error::ApiError;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::http::{JSON, error_json};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-acs-request-id");
/// Milliseconds; what makes the official Python SDK raise its throttling exception.
const RETRY_AFTER: HeaderName = HeaderName::from_static("x-acs-retry-after");
/// Longest host that is shown again.
const HOST_BYTES_MAX: usize = 255;

/// The host as the client named it, for HostId.
pub(super) fn host<B>(request: &Request<B>) -> String {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host =
        header.or_else(|| request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or_default();
    host.get(..host.len().min(HOST_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// 200 with the output, a JSON object, and RequestId in front of its fields.
pub(super) fn success(request_id: &str, output: &Bytes) -> Response<Body> {
    let mut body = BytesMut::with_capacity(output.len() + request_id.len() + 20);
    body.put_slice(br#"{"RequestId":""#);
    // Made by us of hexadecimal digits and dashes: nothing in it needs escaping.
    body.put_slice(request_id.as_bytes());
    body.put_u8(b'"');
    match output.strip_prefix(b"{") {
        Some(b"}") | None => body.put_u8(b'}'),
        Some(fields) => {
            body.put_u8(b',');
            body.put_slice(fields);
        }
    }
    respond(StatusCode::OK, request_id, body.freeze())
}

/// The documented error.
pub(super) fn failure(request_id: &str, host: &str, error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = error_json(request_id, host, &error.code, &error.message);
    if let (Some(detail), Some(fields)) = (&error.access_denied, body.as_object_mut()) {
        // Texts alone always serialise.
        fields.insert("AccessDeniedDetail".to_owned(), serde_json::to_value(detail).unwrap_or_default());
    }
    let mut response = respond(status, request_id, Bytes::from(body.to_string()));
    if let Some(retry_after_ms) = error.retry_after_ms {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_ms.max(1)));
    }
    response
}

fn respond(status: StatusCode, request_id: &str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, request_id);
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_request_id_stands_in_every_answer() {
        assert_eq!(text(success("ID", &Bytes::from_static(b"{}"))).await, r#"{"RequestId":"ID"}"#);
        assert_eq!(
            text(success("ID", &Bytes::from_static(br#"{"A":1}"#))).await,
            r#"{"RequestId":"ID","A":1}"#
        );
        let mut error = ApiError::missing("RegionId");
        error.retry_after_ms = Some(0);
        let response = failure("ID", "host", &error);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let body: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(body["Code"], "MissingRegionId");
        assert_eq!((body["RequestId"].as_str(), body["HostId"].as_str()), (Some("ID"), Some("host")));
    }
}
