//! The trailer that every object ends in, and the sums of its content.

use crc::{CRC_64_XZ, Crc, Table};
use md5::{Digest, Md5};

/// Bytes of a trailer.
pub(super) const TRAILER_BYTES: u64 = 192;
const TRAILER_LEN: usize = 192;
const MAGIC: &[u8; 8] = b"creelob1";
/// Bytes before the content type.
const FIXED: usize = 8 + 8 + 8 + 16 + 4 + 1;
const CONTENT_TYPE_MAX: usize = TRAILER_LEN - FIXED;
const CONTENT_TYPE: &str = "application/octet-stream";

/// The checksum that clients of the object protocol verify.
static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Length of the content.
    pub bytes: u64,
    /// CRC-64/XZ of the content.
    pub crc64: u64,
    /// MD5 of the content, or of the MD5s of its parts.
    pub md5: [u8; 16],
    /// How many parts it was put together of; 0 if it came whole.
    pub parts: u32,
    pub content_type: String,
    /// When the storage had it.
    pub modified_at_ms: i64,
}

impl Stored {
    /// Upper-case hexadecimal without quotes, with `-<parts>` where it was put together.
    pub fn etag(&self) -> String {
        let md5 = hex::encode_upper(self.md5);
        if self.parts == 0 { md5 } else { format!("{md5}-{}", self.parts) }
    }

    pub(super) fn trailer(&self) -> [u8; TRAILER_LEN] {
        let content_type = content_type(Some(&self.content_type));
        let length = u8::try_from(content_type.len()).unwrap_or(0);
        let mut out = [0; TRAILER_LEN];
        let fields: [&[u8]; 7] = [
            MAGIC,
            &self.bytes.to_le_bytes(),
            &self.crc64.to_le_bytes(),
            &self.md5,
            &self.parts.to_le_bytes(),
            &[length],
            content_type.as_bytes(),
        ];
        for (place, byte) in out.iter_mut().zip(fields.into_iter().flatten()) {
            *place = *byte;
        }
        out
    }

    /// Reads a trailer; `size` is the object's with it. `None` if it is damaged.
    pub(super) fn read(trailer: &[u8], size: u64, modified_at_ms: i64) -> Option<Self> {
        let mut rest = trailer.strip_prefix(MAGIC.as_slice()).filter(|_| trailer.len() == TRAILER_LEN)?;
        let bytes = u64::from_le_bytes(take(&mut rest)?);
        let crc64 = u64::from_le_bytes(take(&mut rest)?);
        let md5 = take(&mut rest)?;
        let parts = u32::from_le_bytes(take(&mut rest)?);
        let [length] = take(&mut rest)?;
        let content_type = std::str::from_utf8(rest.get(..usize::from(length))?).ok()?.to_owned();
        let stored = Self { bytes, crc64, md5, parts, content_type, modified_at_ms };
        (bytes.checked_add(TRAILER_BYTES) == Some(size)).then_some(stored)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(*first)
}

/// A content type that fits, or the one of bytes.
pub(super) fn content_type(given: Option<&str>) -> &str {
    let fits = |text: &&str| {
        (1..=CONTENT_TYPE_MAX).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
    };
    given.filter(fits).unwrap_or(CONTENT_TYPE)
}

/// Adds up a content that comes in pieces.
pub(super) struct Sums {
    bytes: u64,
    crc: crc::Digest<'static, u64, Table<16>>,
    md5: Md5,
}

impl Sums {
    pub(super) fn new() -> Self {
        Self { bytes: 0, crc: CRC.digest(), md5: Md5::new() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        self.crc.update(piece);
        self.md5.update(piece);
    }

    pub(super) fn finish(self, content_type: &str, modified_at_ms: i64) -> Stored {
        Stored {
            bytes: self.bytes,
            crc64: self.crc.finalize(),
            md5: self.md5.finalize().into(),
            parts: 0,
            content_type: content_type.to_owned(),
            modified_at_ms,
        }
    }
}

/// The MD5 over the MD5s of parts, as the ETag of what is put together.
pub(super) fn md5_of_parts<'a>(parts: impl Iterator<Item = &'a Stored>) -> [u8; 16] {
    let mut md5 = Md5::new();
    parts.for_each(|part| md5.update(part.md5));
    md5.finalize().into()
}

/// The checksum of a content.
pub(super) fn crc64(content: &[u8]) -> u64 {
    CRC.checksum(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(content: &[u8], content_type: &str) -> Stored {
        let mut sums = Sums::new();
        content.chunks(2).for_each(|piece| sums.add(piece));
        sums.finish(content_type, 7)
    }

    #[test]
    fn sums_are_those_that_clients_compute() {
        let hello = stored(b"hello", "a/b");
        assert_eq!(hello.etag(), "5D41402ABC4B2A76B9719D911017C592");
        // Of the provider's own client library.
        assert_eq!((hello.crc64, crc64(b"hello")), (11_177_612_005_948_864_433, 11_177_612_005_948_864_433));
        assert_eq!(Stored { parts: 3, ..hello }.etag(), "5D41402ABC4B2A76B9719D911017C592-3");
    }

    #[test]
    fn a_trailer_is_read_as_it_was_written_and_nothing_else_is() {
        for kind in ["application/zip", "", "x\ny", &"t".repeat(200)] {
            let written = stored(b"hello", kind);
            let trailer = written.trailer();
            let read = Stored::read(&trailer, 5 + TRAILER_BYTES, 7).unwrap();
            let expected = if kind == "application/zip" { kind } else { CONTENT_TYPE };
            assert_eq!(read, Stored { content_type: expected.to_owned(), ..written });
            assert_eq!(Stored::read(&trailer, 6 + TRAILER_BYTES, 7), None);
            assert_eq!(Stored::read(trailer.get(1..).unwrap(), 5 + TRAILER_BYTES, 7), None);
            assert_eq!(Stored::read(&[0; TRAILER_LEN], TRAILER_BYTES, 7), None);
        }
    }
}
