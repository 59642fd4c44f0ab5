//! Gives the refusals that `hyper` writes by itself the form that the API documents.
//!
//! A request line or headers over the limits never become a request, so no handler can answer them: `hyper` writes a
//! bare status line with an empty body (400, 414, 431) and closes the connection. SDKs cannot read an empty body.
//! This wrapper of the stream recognises such a head where it is written and writes the documented JSON instead.
//! Our own answers always have a body and thus another `content-length`. A refusal that is written together with an
//! earlier answer of the same connection (pipelining) is left as it is.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use creel_control::id_gen::IdGen;
use creel_wire::error::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{HEAD_BYTES_MAX, QUERY_BYTES_MAX};

/// How long, and how much of, what a refused client still sends is read away.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 8 << 20;

/// A stream on which bare refusals of `hyper` become documented ones.
#[derive(Debug)]
pub(super) struct Refusals<S> {
    stream: S,
    ids: IdGen,
    /// What still has to be written instead of a bare refusal.
    pending: Vec<u8>,
    /// How many bytes of it are written.
    written: usize,
    /// Set once a refusal was written: what still comes in is read away for a while before the end.
    lingering: Option<Lingering>,
}

/// A connection that is closed while the client still sends is reset, and the client may never see the refusal.
#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S> Refusals<S> {
    pub(super) fn new(stream: S, ids: IdGen) -> Self {
        Self { stream, ids, pending: Vec::new(), written: 0, lingering: None }
    }
}

/// The documented form of a bare refusal; `None` for everything else.
fn documented(head: &[u8], ids: &IdGen) -> Option<Vec<u8>> {
    let (reason, code, message) = match head.strip_prefix(b"HTTP/1.1 ")?.get(..3)? {
        b"414" => (
            "URI Too Long",
            ErrorCode::QUERY_TOO_LONG,
            format!(
                "The query holds at most {QUERY_BYTES_MAX} bytes. Send parameters as a form body instead."
            ),
        ),
        b"431" => (
            "Request Header Fields Too Large",
            ErrorCode::HEADERS_TOO_LARGE,
            format!("Request line and headers together hold at most {HEAD_BYTES_MAX} bytes."),
        ),
        b"400" => {
            ("Bad Request", ErrorCode::INVALID_REQUEST, "The bytes are not an HTTP request.".to_owned())
        }
        _ => return None,
    };
    let text = std::str::from_utf8(head).ok()?;
    if !text.ends_with("\r\n\r\n") || !text.to_ascii_lowercase().contains("\r\ncontent-length: 0\r\n") {
        return None;
    }
    let request_id = ids.request_id();
    let ErrorCode(code, status) = code;
    let body = super::error_body(&request_id, "", code, &message);
    let (length, content_type) = (body.len(), super::JSON);
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
         x-acs-request-id: {request_id}\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    Some(answer)
}

impl<S: AsyncWrite + Unpin> Refusals<S> {
    /// Writes what is pending; ready once nothing is.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.pending.get(self.written..).filter(|rest| !rest.is_empty()) {
            let count = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Refusals<S> {
    /// Reads away what a refused client still sends; ready at its end or at ours.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(lingering) = &mut self.lingering else { return Poll::Ready(()) };
        let mut space = [0; 8 * 1024];
        while lingering.bytes_left > 0 && lingering.until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut space);
            match std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    lingering.bytes_left = lingering.bytes_left.saturating_sub(buffer.filled().len());
                }
                _ => break,
            }
        }
        self.lingering = None;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Refusals<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(documented) = documented(bytes, &self.ids) {
            // Said to be written; a flush or shutdown, which always follows, waits until it is.
            self.pending = documented;
            self.written = 0;
            let until = Box::pin(tokio::time::sleep(LINGER_MAX));
            self.lingering = Some(Lingering { until, bytes_left: LINGER_BYTES_MAX });
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            // A bare refusal is one slice; more hold a body as well.
            [bytes] => self.poll_write(cx, bytes),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_pending(cx))?;
        std::task::ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.poll_linger(cx).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusals<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_rewritten() {
        let ids = IdGen::new(std::sync::Arc::new(creel_control::clock::SystemClock));
        let bare = b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let text = String::from_utf8(documented(bare, &ids).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["Code"], "RequestQueryTooLong");
        assert!(head.contains(&format!("content-length: {}", text.len() - head.len() - 4)), "{head}");
        for other in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nbody",
            b"{}",
        ] {
            assert!(documented(other, &ids).is_none());
        }
    }
}
