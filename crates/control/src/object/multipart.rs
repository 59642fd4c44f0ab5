//! Multipart uploads: parts wait below `parts` until the client names them; then they become one upload.
//!
//! The object 0 of an upload holds the name that it is for. Parts are objects as any other.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;

use super::key::{PLACE_CHARS, UploadKey};
use super::read::is_etag;
use super::stored::{Stored, TRAILER_BYTES, md5_of_parts};
use super::{ObjectError, Objects, STEP_MAX, UploadSession, Writing};
use crate::id_gen::random_text;

/// Parts of one upload at the most.
pub const PARTS_MAX: usize = 500;
/// How many trailers are read at once.
const LOOKS_AT_ONCE: usize = 8;

/// A part that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u16,
    pub stored: Stored,
}

impl Objects {
    /// Begins a multipart upload and gives its id.
    ///
    /// # Errors
    /// As [`Objects::begin`].
    pub async fn initiate(
        &self,
        session: &UploadSession,
        key: &str,
        given_type: Option<&str>,
    ) -> Result<String, ObjectError> {
        let key = session.key(key)?;
        let upload_id = random_text(PLACE_CHARS);
        let path = part_path(&key, &upload_id, 0)?;
        let name = key.key.as_bytes();
        let mut marker =
            self.write(session, path, given_type, Some(name.len() as u64), name.len() as u64).await?;
        marker.push(name).await?;
        marker.finish(None).await?;
        Ok(upload_id)
    }

    /// Begins a part; all parts together may have as much as an upload.
    ///
    /// # Errors
    /// [`ObjectError::NoUpload`]; else as [`Objects::begin`].
    pub async fn begin_part(
        &self,
        session: &UploadSession,
        key: &str,
        upload_id: &str,
        number: u16,
        bytes: Option<u64>,
    ) -> Result<Writing, ObjectError> {
        let key = session.key(key)?;
        self.marker(&key, upload_id).await?;
        let others = self.listed(&key, upload_id).await?;
        let others = others.into_iter().filter(|(other, _)| *other != number);
        let (count, sum) =
            others.fold((0, 0_u64), |(count, sum), (_, size)| (count + 1, sum.saturating_add(size)));
        if count >= PARTS_MAX {
            return Err(ObjectError::Quota);
        }
        let left = key.kind.bytes_max().saturating_sub(sum);
        self.write(session, part_path(&key, upload_id, number)?, None, bytes, left).await
    }

    /// The parts that wait, by number.
    ///
    /// # Errors
    /// [`ObjectError::NoUpload`].
    pub async fn parts(
        &self,
        session: &UploadSession,
        key: &str,
        upload_id: &str,
    ) -> Result<Vec<Part>, ObjectError> {
        let key = session.key(key)?;
        self.marker(&key, upload_id).await?;
        self.looked_at(&key, upload_id).await
    }

    /// Makes one upload of the named parts, in this order, and removes all of them. `named` are numbers and ETags.
    ///
    /// # Errors
    /// [`ObjectError::NoUpload`], [`ObjectError::BadPart`].
    pub async fn complete(
        &self,
        session: &UploadSession,
        key: &str,
        upload_id: &str,
        named: &[(u16, String)],
    ) -> Result<Stored, ObjectError> {
        let key = session.key(key)?;
        let marker = self.marker(&key, upload_id).await?;
        let waiting = self.looked_at(&key, upload_id).await?;
        let find = |(number, etag): &(u16, String)| {
            let found = waiting.iter().find(|part| part.number == *number);
            found.filter(|part| is_etag(etag, &part.stored)).ok_or(ObjectError::BadPart(*number))
        };
        let chosen = named.iter().map(find).collect::<Result<Vec<&Part>, _>>()?;
        let bytes = chosen.iter().map(|part| part.stored.bytes).sum();
        let kind = Some(marker.content_type.as_str());
        let mut writing = self.write(session, key.path(), kind, Some(bytes), key.kind.bytes_max()).await?;
        for part in &chosen {
            let path = part_path(&key, upload_id, part.number)?;
            let content = self.read(&path, &part.stored).await?;
            writing.push(&content).await?;
        }
        let (md5, count) = (md5_of_parts(chosen.iter().map(|part| &part.stored)), chosen.len());
        let stored = writing
            .end(|stored| {
                stored.md5 = md5;
                stored.parts = u32::try_from(count).unwrap_or(u32::MAX);
                Ok(())
            })
            .await?;
        self.remove(&key, upload_id).await?;
        Ok(stored)
    }

    /// Gives a multipart upload up.
    ///
    /// # Errors
    /// [`ObjectError::NoUpload`].
    pub async fn abort(
        &self,
        session: &UploadSession,
        key: &str,
        upload_id: &str,
    ) -> Result<(), ObjectError> {
        let key = session.key(key)?;
        self.marker(&key, upload_id).await?;
        self.remove(&key, upload_id).await
    }

    /// The object 0, if the upload is for this name.
    async fn marker(&self, key: &UploadKey, upload_id: &str) -> Result<Stored, ObjectError> {
        let path = part_path(key, upload_id, 0)?;
        let no_upload = |error| match error {
            ObjectError::NotFound => ObjectError::NoUpload,
            other => other,
        };
        let stored = self.look(&path).await.map_err(no_upload)?;
        let name: Bytes = self.read(&path, &stored).await.map_err(no_upload)?;
        if name == key.key.as_bytes() { Ok(stored) } else { Err(ObjectError::NoUpload) }
    }

    /// Numbers and bytes of the parts that wait.
    async fn listed(&self, key: &UploadKey, upload_id: &str) -> Result<Vec<(u16, u64)>, ObjectError> {
        let folder = key.parts_path(upload_id)?;
        let listed = self.0.files.list(Some(&folder)).take(PARTS_MAX + 2).try_collect::<Vec<_>>();
        let listed = tokio::time::timeout(STEP_MAX, listed).await.map_err(|_| ObjectError::Timeout)??;
        let numbered = listed.into_iter().filter_map(|found| {
            let number = found.location.filename()?.parse().ok().filter(|number| *number > 0)?;
            Some((number, found.size.saturating_sub(TRAILER_BYTES)))
        });
        Ok(numbered.collect())
    }

    async fn looked_at(&self, key: &UploadKey, upload_id: &str) -> Result<Vec<Part>, ObjectError> {
        let listed = self.listed(key, upload_id).await?;
        let looks = listed.into_iter().map(|(number, _)| async move {
            let stored = self.look(&part_path(key, upload_id, number)?).await?;
            Ok::<_, ObjectError>(Part { number, stored })
        });
        let looks = futures_util::stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE);
        let mut parts: Vec<Part> = looks.try_collect().await?;
        parts.sort_unstable_by_key(|part| part.number);
        Ok(parts)
    }

    /// Removes the parts, the object 0 first, so that nothing can be added to what is left by a crash.
    async fn remove(&self, key: &UploadKey, upload_id: &str) -> Result<(), ObjectError> {
        self.delete(&part_path(key, upload_id, 0)?).await?;
        for (number, _) in self.listed(key, upload_id).await? {
            self.delete(&part_path(key, upload_id, number)?).await?;
        }
        self.forget_usage(&key.account_id);
        Ok(())
    }
}

fn part_path(key: &UploadKey, upload_id: &str, number: u16) -> Result<Path, ObjectError> {
    Ok(key.parts_path(upload_id)?.join(format!("{number:05}")))
}
