//! The object protocol on the admin listener: as much of it as clients need to upload a package or an icon with what
//! GetOssStsToken gave them. `docs/objects.md` says what that is.
//!
//! Order of checks: form of the signature, token, signature, principal, time, bucket, operation. Nothing is stored for
//! a stranger, and nothing but their own uploads is shown to anybody.

mod answer;
mod authenticate;
mod download;
mod multipart;
mod storage;
mod upload;

use std::time::Duration;

use axum::body::Body;
use creel_control::object::{BUCKET, UploadSession};
use creel_wire::oss::{self, Address, OssCode, OssError};
use creel_wire::params::Params;
use http::{HeaderMap, Method, Request, Response, header};
use hyper::body::Incoming;

use crate::app::App;
use crate::http::{Outcome, drain};
use answer::Answer;
pub(crate) use storage::{StorageError, open};

/// How much of a refused upload is read away, so that the client sees the refusal: twice the largest.
const DRAINED_BYTES_MAX: usize = 64 << 20;

/// How long anything may take; uploads have shorter times of their own.
const RUN_MAX: Duration = Duration::from_secs(360);

/// What of a query belongs to the protocol; the rest names operations that are not here.
const QUERY_KNOWN: &[&str] = &[
    "Expires",
    "OSSAccessKeyId",
    "Signature",
    "encoding-type",
    "max-parts",
    "objectMeta",
    "part-number-marker",
    "partNumber",
    "security-token",
    "uploadId",
    "uploads",
    "x-oss-additional-headers",
    "x-oss-credential",
    "x-oss-date",
    "x-oss-expires",
    "x-oss-security-token",
    "x-oss-signature",
    "x-oss-signature-version",
];
/// Headers that ask for what is not done here, and whose absence would hurt.
const HEADERS_UNKNOWN: &[&str] = &[
    "x-oss-callback",
    "x-oss-copy-source",
    "x-oss-forbid-overwrite",
    "x-oss-server-side-encryption",
    "x-oss-symlink-target",
];

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    AbortMultipartUpload,
    CompleteMultipartUpload,
    GetIcon,
    GetObject,
    HeadObject,
    InitiateMultipartUpload,
    ListParts,
    PutObject,
    UploadPart,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::AbortMultipartUpload => "AbortMultipartUpload",
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::GetIcon => "GetIcon",
            Self::GetObject => "GetObject",
            Self::HeadObject => "HeadObject",
            Self::InitiateMultipartUpload => "InitiateMultipartUpload",
            Self::ListParts => "ListParts",
            Self::PutObject => "PutObject",
            Self::UploadPart => "UploadPart",
        }
    }

    fn of(method: &Method, query: &Params) -> Option<Self> {
        let (uploads, upload_id) = (query.get("uploads").is_some(), query.get("uploadId").is_some());
        let part = query.get("partNumber").is_some();
        if query.get("objectMeta").is_some() {
            // GetObjectMeta, by which clients look whether an object exists: less than HeadObject, and in it.
            return (method == Method::HEAD).then_some(Self::HeadObject);
        }
        match (method, uploads, upload_id, part) {
            (&Method::PUT, false, false, false) => Some(Self::PutObject),
            (&Method::PUT, false, true, true) => Some(Self::UploadPart),
            (&Method::POST, true, false, false) => Some(Self::InitiateMultipartUpload),
            (&Method::POST, false, true, false) => Some(Self::CompleteMultipartUpload),
            (&Method::GET, false, true, false) => Some(Self::ListParts),
            (&Method::GET, false, false, false) => Some(Self::GetObject),
            (&Method::HEAD, false, false, false) => Some(Self::HeadObject),
            (&Method::DELETE, false, true, false) => Some(Self::AbortMultipartUpload),
            _ => None,
        }
    }
}

/// The head of a request, read.
struct Head {
    method: Method,
    host: String,
    address: Address,
    query: Params,
    headers: HeaderMap,
}

impl Head {
    fn read(parts: &http::request::Parts) -> Result<Self, OssError> {
        let host = host(&parts.headers, &parts.uri).to_owned();
        let address = Address::of(&host, parts.uri.path(), BUCKET)?;
        let query = oss::query(parts.uri.query().unwrap_or_default())?;
        Ok(Self { method: parts.method.clone(), host, address, query, headers: parts.headers.clone() })
    }

    /// The only value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    /// The id of the multipart upload that is meant.
    fn upload_id(&self) -> &str {
        self.query.get("uploadId").unwrap_or_default()
    }

    fn named(&self) -> oss::xml::Named<'_> {
        let url_encoded = self.query.get("encoding-type") == Some("url");
        oss::xml::Named { bucket: &self.address.bucket, key: &self.address.key, url_encoded }
    }
}

/// Whether a request is for this protocol.
pub(crate) fn is_object_request(request: &Request<Incoming>) -> bool {
    let authorization =
        request.headers().get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    oss::is_object_request(
        host(request.headers(), request.uri()),
        request.uri().path(),
        request.uri().query().unwrap_or_default(),
        std::str::from_utf8(authorization).unwrap_or_default(),
        BUCKET,
    )
}

/// As the client names it; HTTP/2 carries it as the authority.
fn host<'a>(headers: &'a HeaderMap, uri: &'a http::Uri) -> &'a str {
    let header = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

/// Answers one request, counts it and logs it: id, operation, code and duration, never what it held.
pub(crate) async fn answer(app: &App, request: Request<Incoming>) -> Response<Body> {
    let started = tokio::time::Instant::now();
    let request_id = app.ids.request_id();
    let is_head = request.method() == Method::HEAD;
    let shown_host = host(request.headers(), request.uri()).to_owned();
    let (parts, mut body) = request.into_parts();
    let mut operation = None;
    let result = dispatch(app, &parts, &mut body, &mut operation).await;
    let action = operation.map(Operation::name);
    let (code, response) = match result {
        Ok(answer) => ("ok", answer.respond(&request_id)),
        Err(error) => {
            // Else its connection would be reset under a client that still sends, and the refusal be lost.
            drain(body, DRAINED_BYTES_MAX).await;
            (error.code.0, answer::refusal(&error, &request_id, &shown_host, is_head))
        }
    };
    let (took, outcome) = (started.elapsed(), Outcome::of_status(response.status().as_u16()));
    app.metrics.count_request(action, outcome, took);
    let action = action.unwrap_or("unknown");
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(request.id = %request_id, action, code, took_ms, "{action} answered {code}");
    response
}

async fn dispatch(
    app: &App,
    parts: &http::request::Parts,
    body: &mut Incoming,
    seen: &mut Option<Operation>,
) -> Result<Answer, OssError> {
    let head = Head::read(parts)?;
    if let Some(hash) = head.address.key.strip_prefix("icons/")
        && head.address.bucket == BUCKET
        && matches!(head.method, Method::GET | Method::HEAD)
    {
        *seen = Some(Operation::GetIcon);
        return download::icon(app, &head, hash).await;
    }
    let session = authenticate::authenticate(app, &head).await?;
    let operation = operation(&head)?;
    *seen = Some(operation);
    match tokio::time::timeout(RUN_MAX, run(app, operation, &session, &head, body)).await {
        Ok(answered) => answered,
        Err(_) => Err(OssError::new(OssCode::SERVICE_UNAVAILABLE, "The operation took too long. Try again.")),
    }
}

/// What is asked for, if it is something that is here.
fn operation(head: &Head) -> Result<Operation, OssError> {
    if head.address.bucket.is_empty() || head.address.key.is_empty() {
        return Err(OssError::new(
            OssCode::ACCESS_DENIED,
            "These credentials are for uploads below one prefix. They neither list nor change buckets.",
        ));
    }
    if head.address.bucket != BUCKET {
        return Err(OssError::new(
            OssCode::NO_SUCH_BUCKET,
            format!("The bucket does not exist. The one that GetOssStsToken answers is {BUCKET}."),
        ));
    }
    let strange = head.query.iter().map(|(name, _)| name).find(|name| {
        // What the answer to a GET is to look like is the client's own wish, and changes nothing.
        !QUERY_KNOWN.contains(name) && !name.starts_with("response-")
    });
    let header = HEADERS_UNKNOWN.iter().find(|name| head.headers.contains_key(**name));
    if strange.is_some() || header.is_some() {
        return Err(OssError::new(
            OssCode::NOT_IMPLEMENTED,
            "A parameter or header asks for something that is not done here. Upload by PutObject or in parts.",
        ));
    }
    Operation::of(&head.method, &head.query).ok_or_else(|| {
        OssError::new(
            OssCode::METHOD_NOT_ALLOWED,
            "These credentials are for uploads: PUT, GET, HEAD, and POST and DELETE of multipart uploads.",
        )
    })
}

async fn run(
    app: &App,
    operation: Operation,
    session: &UploadSession,
    head: &Head,
    body: &mut Incoming,
) -> Result<Answer, OssError> {
    match operation {
        Operation::PutObject => upload::put(app, session, head, body).await,
        Operation::UploadPart => upload::part(app, session, head, body).await,
        Operation::GetObject => download::get(app, session, head).await,
        Operation::HeadObject => download::head(app, session, head).await,
        Operation::InitiateMultipartUpload => multipart::initiate(app, session, head).await,
        Operation::ListParts => multipart::list(app, session, head).await,
        Operation::CompleteMultipartUpload => multipart::complete(app, session, head, body).await,
        Operation::AbortMultipartUpload => multipart::abort(app, session, head).await,
        // Has its own way in.
        Operation::GetIcon => download::icon(app, head, "").await,
    }
}
