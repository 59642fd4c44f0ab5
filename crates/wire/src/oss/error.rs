//! Error codes of the object protocol, the HTTP status of each, and the provider's own number (EC) where it is known.

/// An error as a client of the object protocol sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OssError {
    pub code: OssCode,
    /// What is wrong and what to do next; never the text of an inner error.
    pub message: String,
}

impl OssError {
    /// An error with a text of its own.
    pub fn new(code: OssCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A code, its status and its EC, empty where the provider's is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OssCode(pub &'static str, pub u16, pub &'static str);

macro_rules! codes {
    ($($name:ident = $code:literal, $status:literal, $ec:literal;)+) => {
        impl OssCode {
            $(pub const $name: OssCode = OssCode($code, $status, $ec);)+
            /// Every code, for tests and documents.
            pub const ALL: &'static [OssCode] = &[$(OssCode::$name),+];
        }
    };
}

codes! {
    ACCESS_DENIED = "AccessDenied", 403, "0003-00000001";
    ENTITY_TOO_LARGE = "EntityTooLarge", 400, "";
    INTERNAL_ERROR = "InternalError", 500, "";
    INVALID_ACCESS_KEY_ID = "InvalidAccessKeyId", 403, "0002-00000902";
    INVALID_ARGUMENT = "InvalidArgument", 400, "";
    INVALID_DIGEST = "InvalidDigest", 400, "";
    INVALID_OBJECT_NAME = "InvalidObjectName", 400, "";
    INVALID_PART = "InvalidPart", 400, "";
    INVALID_PART_ORDER = "InvalidPartOrder", 400, "";
    INVALID_RANGE = "InvalidRange", 416, "";
    INVALID_SECURITY_TOKEN = "InvalidSecurityToken", 403, "";
    MALFORMED_XML = "MalformedXML", 400, "";
    METHOD_NOT_ALLOWED = "MethodNotAllowed", 405, "";
    NO_SUCH_BUCKET = "NoSuchBucket", 404, "0015-00000101";
    NO_SUCH_KEY = "NoSuchKey", 404, "0026-00000001";
    NO_SUCH_UPLOAD = "NoSuchUpload", 404, "";
    NOT_IMPLEMENTED = "NotImplemented", 501, "";
    QUOTA_EXCEEDED = "QuotaExceeded", 403, "";
    REQUEST_EXPIRED = "AccessDenied", 403, "0002-00000069";
    REQUEST_TIME_TOO_SKEWED = "RequestTimeTooSkewed", 403, "0002-00000504";
    REQUEST_TIMEOUT = "RequestTimeout", 400, "";
    SECURITY_TOKEN_EXPIRED = "SecurityTokenExpired", 403, "";
    SERVICE_UNAVAILABLE = "ServiceUnavailable", 503, "";
    SIGNATURE_DOES_NOT_MATCH = "SignatureDoesNotMatch", 403, "0002-00000040";
}
