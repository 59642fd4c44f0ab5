//! Writes an object as its bytes come, within its limit; it is there when all of it is.

use bytes::{Bytes, BytesMut};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use tokio::io::AsyncWriteExt;

use super::stored::{Stored, Sums, TRAILER_BYTES, content_type};
use super::usage::Admission;
use super::{ObjectError, Objects, UploadSession, step};

/// Smallest part of an S3; what is smaller goes in one piece.
const BUFFER_BYTES: usize = 5 << 20;
/// Small pieces are put together, so that a client that sends single bytes does not cost a buffer each.
const PIECE_BYTES: usize = 64 << 10;

/// An object under way. Dropped, nothing of it stays.
pub struct Writing {
    objects: Objects,
    writer: Option<BufWriter>,
    piece: BytesMut,
    sums: Sums,
    bytes_max: u64,
    content_type: String,
    admission: Admission,
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writing").field("bytes", &self.sums.bytes()).finish_non_exhaustive()
    }
}

impl Objects {
    /// Begins an upload of a name within the credentials' prefix; `bytes` is what the client says it has.
    ///
    /// # Errors
    /// If the name, the size or the account's uploads do not allow it.
    pub async fn begin(
        &self,
        session: &UploadSession,
        key: &str,
        given_type: Option<&str>,
        bytes: Option<u64>,
    ) -> Result<Writing, ObjectError> {
        let key = session.key(key)?;
        self.write(session, key.path(), given_type, bytes, key.kind.bytes_max()).await
    }

    /// Begins any object of the account of `session`.
    pub(super) async fn write(
        &self,
        session: &UploadSession,
        path: Path,
        given_type: Option<&str>,
        bytes: Option<u64>,
        bytes_max: u64,
    ) -> Result<Writing, ObjectError> {
        if bytes.is_some_and(|bytes| bytes > bytes_max) {
            return Err(ObjectError::TooLarge(bytes_max));
        }
        let wanted = bytes.unwrap_or(bytes_max).saturating_add(TRAILER_BYTES);
        let admission = self.admit(&session.account_id, wanted).await?;
        let writer =
            BufWriter::with_capacity(self.0.files.clone(), path, BUFFER_BYTES).with_max_concurrency(1);
        Ok(Writing {
            objects: self.clone(),
            writer: Some(writer),
            piece: BytesMut::new(),
            sums: Sums::new(),
            bytes_max,
            content_type: content_type(given_type).to_owned(),
            admission,
        })
    }

    /// Writes a small object whole.
    pub(super) async fn put(&self, path: &Path, content: Bytes, kind: &str) -> Result<Stored, ObjectError> {
        let mut sums = Sums::new();
        sums.add(&content);
        let stored = sums.finish(content_type(Some(kind)), self.now_ms());
        let trailer = Bytes::copy_from_slice(&stored.trailer());
        step(self.0.files.put(path, PutPayload::from_iter([content, trailer]))).await?;
        Ok(stored)
    }
}

impl Writing {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`ObjectError::TooLarge`], or what the storage says.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        self.sums.add(bytes);
        if self.sums.bytes() > self.bytes_max {
            return Err(ObjectError::TooLarge(self.bytes_max));
        }
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES { self.pass_on().await } else { Ok(()) }
    }

    async fn pass_on(&mut self) -> Result<(), ObjectError> {
        let piece = self.piece.split().freeze();
        match &mut self.writer {
            Some(writer) => step(writer.put(piece)).await,
            None => Ok(()),
        }
    }

    /// Ends it: from now on it is there. `md5` is what the client says it sent.
    ///
    /// # Errors
    /// [`ObjectError::Digest`], or what the storage says; then nothing is there.
    pub async fn finish(self, md5: Option<[u8; 16]>) -> Result<Stored, ObjectError> {
        self.end(|stored| match md5 {
            Some(md5) if md5 != stored.md5 => Err(ObjectError::Digest),
            _ => Ok(()),
        })
        .await
    }

    /// Ends it after `settle` has looked at it and changed it.
    pub(super) async fn end(
        mut self,
        settle: impl FnOnce(&mut Stored) -> Result<(), ObjectError>,
    ) -> Result<Stored, ObjectError> {
        let sums = std::mem::replace(&mut self.sums, Sums::new());
        let mut stored = sums.finish(&self.content_type, self.objects.now_ms());
        settle(&mut stored)?;
        self.piece.extend_from_slice(&stored.trailer());
        self.pass_on().await?;
        // Once it is being ended it can no longer be aborted.
        if let Some(mut writer) = self.writer.take() {
            let ended = tokio::time::timeout(super::STEP_MAX, writer.shutdown()).await;
            ended.map_err(|_| ObjectError::Timeout)?.map_err(|error| {
                ObjectError::Storage(object_store::Error::Generic {
                    store: "writer",
                    source: Box::new(error),
                })
            })?;
        }
        self.admission.stored(stored.bytes.saturating_add(TRAILER_BYTES));
        Ok(stored)
    }
}

impl Drop for Writing {
    /// What an S3 has of it already would stay there and cost.
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        self.objects.0.tasks.spawn("abort-upload", async move {
            if let Err(error) = step(writer.abort()).await {
                tracing::warn!(error = %error, "an upload that was broken off may have left parts behind");
            }
        });
    }
}
