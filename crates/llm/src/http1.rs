//! What goes over an upstream's connection: HTTP/1.1 as a client speaks it. The gateway's pool moves the bytes.
//!
//! Heads are parsed by `httparse`, as in hyper. hyper's own client is not used: it is made for a task of its own beside
//! its caller, and the channels between both cost more than all that is done here (`bench/README.md`). Where an answer
//! could be read in two ways it is refused, or nothing follows it on its connection (RFC 9112, section 6.3).

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

/// Headers of an answer, and trailers behind it, at the most.
const HEADERS_MAX: usize = 100;
/// Bytes of an answer's head at the most.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What the head of a request usually needs.
const HEAD_BYTES_USUAL: usize = 768;
/// Bytes of the line before a chunk, and of all trailers, at the most.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Why an answer cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// What should be a head is none, or one that turns to another protocol.
    #[error("the head of the answer is not HTTP/1.1")]
    Head,
    /// More than 64 KiB or 100 headers.
    #[error("the head of the answer is too long")]
    HeadTooLong,
    /// Its end is told in no way that can be read in one way alone.
    #[error("the answer does not say how long it is")]
    Length,
    /// The line before a chunk, the end behind one or a trailer is malformed or too long.
    #[error("a chunk of the answer is malformed")]
    Chunk,
    /// Nothing more comes, and something is missing.
    #[error("the connection was closed before the answer's end")]
    BrokenOff,
    /// Bytes came before a request was sent.
    #[error("there is an answer to nothing")]
    Unasked,
}

/// The head of a request, ready to be sent. Its length is stated unless there is neither a body nor a method that has
/// one.
///
/// There is room for `room` more bytes behind it.
pub fn encode(head: &Parts, body_bytes: usize, room: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES_USUAL + room);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| bytes.extend_from_slice(part));
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    put(&[head.method.as_str().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\n"]);
    if !head.headers.contains_key(header::HOST)
        && let Some(authority) = head.uri.authority()
    {
        // Without the name of a user, which is nobody's business there.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        put(&[b"host: ", host.as_bytes(), b"\r\n"]);
    }
    for (name, value) in &head.headers {
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    if body_bytes > 0 || !matches!(head.method, Method::GET | Method::HEAD | Method::DELETE) {
        put(&[b"content-length: ", body_bytes.to_string().as_bytes(), b"\r\n"]);
    }
    put(&[b"\r\n"]);
    bytes
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are still to come.
    Sized(u64),
    /// It comes in chunks, which end with an empty one.
    Chunked(Chunks),
    /// It ends with its connection.
    UntilClosed,
}

/// What comes next of a body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// The line before a chunk.
    Size,
    /// So many bytes of one.
    Data(u64),
    /// The end of the line behind one.
    DataEnd,
    /// Trailers, of which so many bytes were read away.
    Trailers(usize),
    /// Nothing.
    End,
}

/// An answer's head.
#[derive(Debug)]
pub struct Head {
    /// Its status, version and headers.
    pub answer: Response<()>,
    /// What follows it.
    pub body: Body,
    /// Another request may follow on the connection.
    pub stays_open: bool,
}

/// Takes an answer's head off what was read; `None` if it is not there in full. Interim answers are passed over.
///
/// # Errors
/// A head that is none, is too long, or does not tell where its answer ends.
pub fn take_head(read: &mut BytesMut, asked: &Method) -> Result<Option<Head>, BadAnswer> {
    loop {
        let mut space = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let length = match config.parse_response_with_uninit_headers(&mut parsed, read, &mut space) {
            Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
            Ok(httparse::Status::Partial) if read.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(BadAnswer::HeadTooLong),
            Err(_) => return Err(BadAnswer::Head),
        };
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(BadAnswer::Head)?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(BadAnswer::Head);
        }
        if status.is_informational() {
            read.advance(length);
            continue;
        }
        let mut headers = HeaderMap::with_capacity(parsed.headers.len());
        for header in &*parsed.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| BadAnswer::Head)?;
            headers.append(name, HeaderValue::from_bytes(header.value).map_err(|_| BadAnswer::Head)?);
        }
        let is_newest = parsed.version == Some(1);
        read.advance(length);
        let body = body_of(&headers, status, asked)?;
        // Chunks win over a length, which must not be believed by anybody behind us either; and whoever says both is
        // confused, so that nothing else is read from that connection.
        let is_clear = !matches!(body, Body::Chunked(_)) || headers.remove(header::CONTENT_LENGTH).is_none();
        let stays_open = is_newest
            && is_clear
            && body != Body::UntilClosed
            && !says(&headers, header::CONNECTION, "close");
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        *answer.version_mut() = if is_newest { Version::HTTP_11 } else { Version::HTTP_10 };
        *answer.headers_mut() = headers;
        return Ok(Some(Head { answer, body, stays_open }));
    }
}

fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|said| said.trim().eq_ignore_ascii_case(word))
}

fn body_of(headers: &HeaderMap, status: StatusCode, asked: &Method) -> Result<Body, BadAnswer> {
    if asked == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Body::Sized(0));
    }
    let encodings = headers.get_all(header::TRANSFER_ENCODING);
    if let Some(encoding) = encodings.iter().next() {
        let is_chunked = encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        let is_known = is_chunked && encodings.iter().count() == 1;
        return if is_known { Ok(Body::Chunked(Chunks::Size)) } else { Err(BadAnswer::Length) };
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).into_iter();
    let Some(length) = lengths.next() else { return Ok(Body::UntilClosed) };
    let digits = length.to_str().ok().map(str::trim);
    let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    let digits = digits.filter(|_| lengths.all(|other| other == length));
    digits.and_then(|digits| digits.parse().ok()).map(Body::Sized).ok_or(BadAnswer::Length)
}

/// What was taken of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// These bytes, at least one.
    Data(Bytes),
    /// More must be read first.
    Nothing,
    /// That was all.
    End,
}

impl Body {
    /// Nothing of it is still to come.
    pub fn is_at_end(self) -> bool {
        matches!(self, Self::Sized(0) | Self::Chunked(Chunks::End))
    }

    /// How many bytes it is certain to have still.
    pub fn bytes_left(self) -> u64 {
        match self {
            Self::Sized(left) | Self::Chunked(Chunks::Data(left)) => left,
            _ => 0,
        }
    }

    /// The connection was closed by its other end.
    ///
    /// # Errors
    /// [`BadAnswer::BrokenOff`] if that is not where the body ends.
    pub fn closed(self) -> Result<(), BadAnswer> {
        if self == Self::UntilClosed || self.is_at_end() { Ok(()) } else { Err(BadAnswer::BrokenOff) }
    }

    /// Takes a piece off what was read.
    ///
    /// # Errors
    /// [`BadAnswer::Chunk`].
    pub fn take(&mut self, read: &mut BytesMut) -> Result<Taken, BadAnswer> {
        match self {
            Self::Sized(0) => Ok(Taken::End),
            _ if read.is_empty() && !self.is_at_end() => Ok(Taken::Nothing),
            Self::Sized(left) => Ok(Taken::Data(split(read, left))),
            Self::UntilClosed => Ok(Taken::Data(read.split().freeze())),
            Self::Chunked(chunks) => chunks.take(read),
        }
    }
}

/// As much of the next `left` bytes as there is.
fn split(read: &mut BytesMut, left: &mut u64) -> Bytes {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
    *left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
    read.split_to(count).freeze()
}

impl Chunks {
    fn take(&mut self, read: &mut BytesMut) -> Result<Taken, BadAnswer> {
        loop {
            match self {
                Self::Size => match httparse::parse_chunk_size(read) {
                    Ok(httparse::Status::Complete((length, size))) if length <= LINE_BYTES_MAX => {
                        read.advance(length);
                        *self = if size == 0 { Self::Trailers(0) } else { Self::Data(size) };
                    }
                    Ok(httparse::Status::Partial) if read.len() < LINE_BYTES_MAX => {
                        return Ok(Taken::Nothing);
                    }
                    _ => return Err(BadAnswer::Chunk),
                },
                Self::Data(left) => {
                    if read.is_empty() {
                        return Ok(Taken::Nothing);
                    }
                    let data = split(read, left);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Taken::Data(data));
                }
                Self::DataEnd => match read.get(..2) {
                    Some(b"\r\n") => {
                        read.advance(2);
                        *self = Self::Size;
                    }
                    None if read.first().is_none_or(|byte| *byte == b'\r') => return Ok(Taken::Nothing),
                    _ => return Err(BadAnswer::Chunk),
                },
                Self::Trailers(before) => {
                    let Some(end) = read.iter().position(|byte| *byte == b'\n') else {
                        let is_long = *before + read.len() > LINE_BYTES_MAX;
                        return if is_long { Err(BadAnswer::Chunk) } else { Ok(Taken::Nothing) };
                    };
                    let line = read.split_to(end + 1);
                    let passed = *before + line.len();
                    match line.as_ref() {
                        b"\r\n" => *self = Self::End,
                        _ if passed > LINE_BYTES_MAX || !line.ends_with(b"\r\n") => {
                            return Err(BadAnswer::Chunk);
                        }
                        _ => *self = Self::Trailers(passed),
                    }
                }
                Self::End => return Ok(Taken::End),
            }
        }
    }
}
