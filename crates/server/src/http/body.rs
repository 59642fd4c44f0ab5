//! Reads a request's body within its limit and its deadline.

use std::time::Duration;

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

/// How long, and how much of, a body that is too large is read away: a client that still sends would see its
/// connection reset, and never the refusal.
const LINGER_MAX: Duration = Duration::from_secs(5);
const LINGER_BYTES_MAX: usize = 16 << 20;

/// The whole body.
pub(crate) async fn read_body(mut body: Incoming) -> Result<Bytes, BodyError> {
    let read = if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        Err(BodyError::TooLarge)
    } else {
        let collected = tokio::time::timeout(BODY_READ_DEADLINE, collect(&mut body)).await;
        collected.unwrap_or(Err(BodyError::Incomplete))
    };
    if read == Err(BodyError::TooLarge) {
        // Whether the client came to an end makes no difference to the answer.
        let _ = tokio::time::timeout(LINGER_MAX, discard(body)).await;
    }
    read
}

async fn discard(mut body: Incoming) {
    let mut bytes_left = LINGER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = bytes_left.checked_sub(bytes) else { return };
        bytes_left = left;
    }
}

async fn collect(body: &mut Incoming) -> Result<Bytes, BodyError> {
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
