//! Counts what comes out of an archive.

use std::io::Read;

use super::super::error::{self, PackageError, refuse, shown};
use super::Limits;

/// How many times larger the files may be than the archive, once they are larger than [`RATIO_FREE`]. Text
/// reaches 10, rows of a table 50; a bomb 1,000.
const RATIO_MAX: u64 = 100;
/// Bytes that may come out whatever the ratio.
const RATIO_FREE: u64 = 4 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    /// Bytes that may come out by the ratio; none where nothing is compressed.
    by_ratio: Option<u64>,
    bytes: u64,
}

impl Budget {
    /// `compressed` is the archive's size, where it is compressed.
    pub(super) fn new(limits: &Limits, compressed: Option<usize>) -> Self {
        let by_ratio = compressed.map(|size| (size as u64).saturating_mul(RATIO_MAX).max(RATIO_FREE));
        Self { limits: *limits, by_ratio, bytes: 0 }
    }

    /// Reads to the end, and not a chunk further than the limits allow.
    pub(super) fn read(&mut self, path: &str, mut reader: impl Read) -> Result<Vec<u8>, PackageError> {
        let mut bytes = Vec::new();
        let mut chunk = [0; CHUNK];
        loop {
            let read = match reader.read(&mut chunk) {
                Ok(0) => return Ok(bytes),
                Ok(read) => chunk.get(..read).unwrap_or_default(),
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(cause) => {
                    let message = format!("{} cannot be read: {cause}. Pack it again", shown(path));
                    return Err(refuse(error::READ_FAILED, message));
                }
            };
            bytes.extend_from_slice(read);
            self.bytes = self.bytes.saturating_add(read.len() as u64);
            self.check_file(path, bytes.len() as u64)?;
        }
    }

    /// What came out so far, and `file_bytes` of it in this file.
    pub(super) fn check_file(&self, path: &str, file_bytes: u64) -> Result<(), PackageError> {
        if self.by_ratio.is_some_and(|most| self.bytes > most) {
            return Err(refuse(
                error::EXPANDS_TOO_MUCH,
                format!("the archive expands to more than {RATIO_MAX} times its size, at {}", shown(path)),
            ));
        }
        if self.bytes.max(file_bytes) > self.limits.bytes {
            let most = self.limits.bytes;
            let message =
                format!("the files have more than {most} bytes together: leave out what no agent reads");
            return Err(refuse(error::CONTENT_TOO_LARGE, message));
        }
        if file_bytes > self.limits.file_bytes {
            let most = self.limits.file_bytes;
            let message =
                format!("{} has more than {most} bytes: leave it out or make it smaller", shown(path));
            return Err(refuse(error::FILE_TOO_LARGE, message));
        }
        Ok(())
    }
}
