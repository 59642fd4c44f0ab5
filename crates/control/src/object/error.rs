//! What can go wrong with objects.

use crate::access::AccessError;
use crate::secrets::SecretsError;

/// Why an object was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("there is no such object; it was never uploaded whole, or was removed a day after")]
    NotFound,
    #[error("the object is not the one with this ETag")]
    ETagMismatch,
    #[error("at most {0} bytes are taken here")]
    TooLarge(u64),
    #[error("the object's name {0}")]
    BadKey(&'static str),
    #[error("the object's name is not below the prefix that was given out")]
    ForeignKey,
    #[error("the security token is not one that was given out here with this access key")]
    Token,
    #[error("the temporary credentials are over")]
    TokenExpired,
    #[error("the account has as many uploads waiting as it may have")]
    Quota,
    #[error("too many uploads are under way")]
    Busy,
    #[error("the content is not the one that Content-MD5 was computed for")]
    Digest,
    #[error("there is no such multipart upload; it was completed, aborted or never begun")]
    NoUpload,
    #[error("part {0} was not uploaded, or is another one than named")]
    BadPart(u16),
    #[error("it is no PNG, JPEG, GIF or WebP")]
    NotAnImage,
    #[error("the hash is not one of an object here")]
    BadHash,
    #[error("the stored object {0} is damaged")]
    Damaged(String),
    #[error("the object storage did not answer in time")]
    Timeout,
    #[error("reading or writing objects")]
    Storage(#[source] object_store::Error),
    #[error("making a security token")]
    Seal(#[source] SecretsError),
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            other => Self::Storage(other),
        }
    }
}

impl From<crate::store::StoreError> for ObjectError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Access(AccessError::Store(error))
    }
}
