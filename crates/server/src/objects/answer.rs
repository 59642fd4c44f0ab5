//! Answers of the object protocol, and the one mapping of errors to it.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use creel_control::access::AccessError;
use creel_control::object::{ObjectError, Stored};
use creel_wire::oss::{self, OssCode, OssError};
use http::header::{CONTENT_TYPE, ETAG, HeaderName};
use http::{HeaderValue, Response, StatusCode};

use crate::ops;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-oss-request-id");
const CRC64: HeaderName = HeaderName::from_static("x-oss-hash-crc64ecma");
const XML: HeaderValue = HeaderValue::from_static("application/xml");

/// A success before it has its request id.
pub(super) struct Answer(Response<Body>);

impl Answer {
    pub(super) fn empty(status: StatusCode) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Self(response)
    }

    pub(super) fn xml(text: String) -> Self {
        Self::empty(StatusCode::OK).body(Body::from(text)).with(CONTENT_TYPE, XML)
    }

    pub(super) fn body(mut self, body: Body) -> Self {
        *self.0.body_mut() = body;
        self
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    /// A header of text that we made; what is no header is left out.
    pub(super) fn text(self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.with(name, value),
            Err(_) => self,
        }
    }

    /// What clients check of an object: its ETag and its checksum.
    pub(super) fn sums(self, stored: &Stored) -> Self {
        self.text(ETAG, &format!("\"{}\"", stored.etag())).text(CRC64, &stored.crc64.to_string())
    }

    pub(super) fn respond(self, request_id: &str) -> Response<Body> {
        self.text(REQUEST_ID, request_id).0
    }
}

/// An error as both SDKs read it; the answer to HEAD has no body and carries the same in a header.
pub(super) fn refusal(error: &OssError, request_id: &str, host: &str, is_head: bool) -> Response<Body> {
    let xml = oss::xml::error(error, request_id, host);
    let status = StatusCode::from_u16(error.code.1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Answer::empty(status).with(CONTENT_TYPE, XML);
    if !error.code.2.is_empty() {
        answer = answer.text(HeaderName::from_static("x-oss-ec"), error.code.2);
    }
    if is_head {
        answer.text(HeaderName::from_static("x-oss-err"), &BASE64.encode(&xml)).respond(request_id)
    } else {
        answer.body(Body::from(xml)).respond(request_id)
    }
}

/// The one mapping of what can go wrong with objects.
pub(super) fn oss_error(error: ObjectError) -> OssError {
    let code = match &error {
        ObjectError::NotFound => OssCode::NO_SUCH_KEY,
        ObjectError::NoUpload => OssCode::NO_SUCH_UPLOAD,
        ObjectError::BadPart(_) => OssCode::INVALID_PART,
        ObjectError::TooLarge(_) => OssCode::ENTITY_TOO_LARGE,
        ObjectError::BadKey(_) => OssCode::INVALID_OBJECT_NAME,
        ObjectError::ForeignKey => OssCode::ACCESS_DENIED,
        ObjectError::Token => OssCode::INVALID_SECURITY_TOKEN,
        ObjectError::TokenExpired => OssCode::SECURITY_TOKEN_EXPIRED,
        ObjectError::Quota => OssCode::QUOTA_EXCEEDED,
        ObjectError::Busy => OssCode::SERVICE_UNAVAILABLE,
        ObjectError::Digest => OssCode::INVALID_DIGEST,
        ObjectError::BadHash => OssCode::NO_SUCH_KEY,
        ObjectError::ETagMismatch | ObjectError::NotAnImage => OssCode::INVALID_ARGUMENT,
        ObjectError::Timeout | ObjectError::Storage(_) | ObjectError::Access(AccessError::Store(_)) => {
            tracing::error!(error = %ops::chain(&error), "the object storage failed");
            return OssError::new(
                OssCode::SERVICE_UNAVAILABLE,
                "The service is not ready for this request now. Try again.",
            );
        }
        ObjectError::Damaged(_) | ObjectError::Seal(_) | ObjectError::Access(_) => {
            return internal(&error);
        }
    };
    let advice = match &error {
        ObjectError::ForeignKey => {
            ": use the ObjectKeyPrefix that GetOssStsToken answered, a slash and a name"
        }
        ObjectError::TokenExpired => ": get new ones with GetOssStsToken",
        ObjectError::Quota => ": they are removed after a day, or when a skill was made of them",
        ObjectError::Busy => ": try again when one has ended",
        _ => "",
    };
    OssError::new(code, format!("{}{advice}.", ops::sentence(&error.to_string())))
}

/// A failure of ours: the chain of causes goes to the log.
pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> OssError {
    tracing::error!(error = %ops::chain(error), "a request for an object failed");
    OssError::new(
        OssCode::INTERNAL_ERROR,
        "The request failed because of an internal error. Try again; if it stays, give the RequestId to the operator.",
    )
}
