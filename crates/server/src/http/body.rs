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
        collect_body(&mut body).await
    };
    if read == Err(BodyError::TooLarge) {
        // Whether the client came to an end makes no difference to the answer.
        drain(body, LINGER_BYTES_MAX).await;
    }
    read
}

/// The whole of a body that is to stay small; what is too large is left unread.
pub(crate) async fn collect_body(body: &mut Incoming) -> Result<Bytes, BodyError> {
    let collected = tokio::time::timeout(BODY_READ_DEADLINE, collect(body)).await;
    collected.unwrap_or(Err(BodyError::Incomplete))
}

/// Reads away what a refused client still sends, so much of it and for so long.
pub(crate) async fn drain(body: Incoming, bytes_max: usize) {
    let _ = tokio::time::timeout(LINGER_MAX, discard(body, bytes_max)).await;
}

async fn discard(mut body: Incoming, bytes_max: usize) {
    let mut bytes_left = bytes_max;
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
