//! Reads objects, and checks what it reads.

use bytes::Bytes;
use creel_wire::id::AccountId;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::key::UploadKey;
use super::stored::{Stored, TRAILER_BYTES, crc64};
use super::{ObjectError, Objects, STEP_MAX, UploadSession, step};

/// The content as it comes.
pub type ByteStream = BoxStream<'static, Result<Bytes, ObjectError>>;

/// Which bytes are wanted, as a client says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the last, both counted from 0 and included.
    Between(u64, u64),
    /// From this one on.
    From(u64),
    /// So many at the end.
    Last(u64),
}

impl ByteRange {
    /// The first byte and the one after the last, in a content of so many bytes; `None` if none of it is there.
    pub fn within(self, bytes: u64) -> Option<(u64, u64)> {
        let (from, to) = match self {
            Self::Between(from, last) => (from, last.saturating_add(1).min(bytes)),
            Self::From(from) => (from, bytes),
            Self::Last(count) => (bytes.saturating_sub(count), bytes),
        };
        (from < to).then_some((from, to))
    }
}

impl Objects {
    /// What is known of an upload within the credentials' prefix.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`], or [`ObjectError::ForeignKey`] for the name of another prefix.
    pub async fn head(&self, session: &UploadSession, key: &str) -> Result<Stored, ObjectError> {
        self.look(&session.key(key)?.path()).await
    }

    /// A part of an upload's content: from the first byte to the one after the last.
    ///
    /// # Errors
    /// As [`Objects::head`].
    pub async fn stream(
        &self,
        session: &UploadSession,
        key: &str,
        from: u64,
        to: u64,
    ) -> Result<ByteStream, ObjectError> {
        self.content(&session.key(key)?.path(), from, to).await
    }

    /// The whole content of an account's upload, if it is the one with this ETag, which may have quotes and be in any
    /// case.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`] also for the name of another account's upload, [`ObjectError::ETagMismatch`],
    /// [`ObjectError::TooLarge`].
    pub async fn read_upload(
        &self,
        account_id: &AccountId,
        key: &str,
        etag: &str,
        bytes_max: u64,
    ) -> Result<Bytes, ObjectError> {
        let key = own(account_id, key)?;
        let path = key.path();
        let stored = self.look(&path).await?;
        if !is_etag(etag, &stored) {
            return Err(ObjectError::ETagMismatch);
        }
        if stored.bytes > bytes_max.min(key.kind.bytes_max()) {
            return Err(ObjectError::TooLarge(bytes_max.min(key.kind.bytes_max())));
        }
        self.read(&path, &stored).await
    }

    /// Removes an account's upload that is no longer needed.
    ///
    /// # Errors
    /// What the storage says; one that is gone is no error.
    pub async fn delete_upload(&self, account_id: &AccountId, key: &str) -> Result<(), ObjectError> {
        self.delete(&own(account_id, key)?.path()).await?;
        self.forget_usage(account_id);
        Ok(())
    }

    /// Reads the trailer.
    pub(super) async fn look(&self, path: &Path) -> Result<Stored, ObjectError> {
        let options = GetOptions { range: Some(GetRange::Suffix(TRAILER_BYTES)), ..GetOptions::default() };
        let found = step(self.0.files.get_opts(path, options)).await?;
        let (size, modified_at_ms) = (found.meta.size, found.meta.last_modified.timestamp_millis());
        let trailer = step(found.bytes()).await?;
        Stored::read(&trailer, size, modified_at_ms).ok_or_else(|| ObjectError::Damaged(path.to_string()))
    }

    /// Reads the whole content and checks it.
    pub(super) async fn read(&self, path: &Path, stored: &Stored) -> Result<Bytes, ObjectError> {
        let content = if stored.bytes == 0 {
            Bytes::new()
        } else {
            let range = Some(GetRange::Bounded(0..stored.bytes));
            let found =
                step(self.0.files.get_opts(path, GetOptions { range, ..GetOptions::default() })).await?;
            step(found.bytes()).await?
        };
        if content.len() as u64 == stored.bytes && crc64(&content) == stored.crc64 {
            return Ok(content);
        }
        Err(ObjectError::Damaged(path.to_string()))
    }

    /// A part of the content.
    pub(super) async fn content(&self, path: &Path, from: u64, to: u64) -> Result<ByteStream, ObjectError> {
        if from >= to {
            return Ok(futures_util::stream::empty().boxed());
        }
        let range = Some(GetRange::Bounded(from..to));
        let found = step(self.0.files.get_opts(path, GetOptions { range, ..GetOptions::default() })).await?;
        let pieces = found.into_stream();
        // Each piece gets its own time.
        let timed = futures_util::stream::unfold(pieces, |mut pieces| async move {
            match tokio::time::timeout(STEP_MAX, pieces.next()).await {
                Ok(piece) => piece.map(|piece| (piece.map_err(ObjectError::from), pieces)),
                Err(_) => Some((Err(ObjectError::Timeout), futures_util::stream::empty().boxed())),
            }
        });
        Ok(timed.boxed())
    }
}

/// The upload, if it is the account's.
fn own(account_id: &AccountId, key: &str) -> Result<UploadKey, ObjectError> {
    match UploadKey::parse(key) {
        Ok(key) if key.account_id == *account_id => Ok(key),
        _ => Err(ObjectError::NotFound),
    }
}

/// Whether a client means this object: with or without quotes, in any case.
pub fn is_etag(etag: &str, stored: &Stored) -> bool {
    etag.trim().trim_matches('"').eq_ignore_ascii_case(&stored.etag())
}
