//! Reads a request's body within its limit and its deadline.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{BODY_BYTES_MAX, BODY_READ_DEADLINE};

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is too large")]
    TooLarge,
    #[error("the body did not come in time or broke off")]
    Incomplete,
}

/// The whole body.
pub(crate) async fn read_body(body: Incoming) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(BODY_READ_DEADLINE, collect(body)).await {
        Ok(read) => read,
        Err(_) => Err(BodyError::Incomplete),
    }
}

async fn collect(mut body: Incoming) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Incomplete)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        // Nearly every body is one frame, which is then not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if !first.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
