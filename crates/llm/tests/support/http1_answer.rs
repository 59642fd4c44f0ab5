//! Reading a whole answer of an upstream, for tests and the fuzz target `http1_answer`.

use bytes::BytesMut;
use creel_llm::http1::{BadAnswer, Taken, take_head};
use http::Method;

/// What a client makes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) stays_open: bool,
    /// What stands behind the answer.
    pub(crate) rest: usize,
}

/// Reads an answer that comes in these pieces, after which the connection is closed.
pub(crate) fn follow<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    asked: &Method,
) -> Result<Seen, BadAnswer> {
    let (mut read, mut pieces) = (BytesMut::new(), pieces.into_iter());
    let head = loop {
        if let Some(head) = take_head(&mut read, asked)? {
            break head;
        }
        read.extend_from_slice(pieces.next().ok_or(BadAnswer::BrokenOff)?);
    };
    let (mut body, mut gathered) = (head.body, Vec::new());
    loop {
        match body.take(&mut read)? {
            Taken::Data(data) => {
                assert!(!data.is_empty(), "a piece of nothing");
                gathered.extend_from_slice(&data);
            }
            Taken::End => break,
            Taken::Nothing => match pieces.next() {
                Some(piece) => read.extend_from_slice(piece),
                None => {
                    body.closed()?;
                    break;
                }
            },
        }
    }
    let headers = head.answer.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()));
    let rest = read.len() + pieces.map(<[u8]>::len).sum::<usize>();
    let status = head.answer.status().as_u16();
    Ok(Seen { status, headers: headers.collect(), body: gathered, stays_open: head.stays_open, rest })
}
