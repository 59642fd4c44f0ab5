//! Contents by their hash: skills as they were taken in, and icons with their addresses.

use bytes::Bytes;
use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::{ByteStream, FileKind, ObjectError, Objects};

/// For how many days the address of an icon is good at least; at most for twice as many.
pub const ICON_URL_DAYS: i64 = 1;
const DAY_SECONDS: i64 = 24 * 60 * 60;
const SKILL_TYPE: &str = "application/octet-stream";

/// Pictures that are shown. SVG is none: it can hold scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IconType {
    Png,
    Jpeg,
    Gif,
    WebP,
}

impl IconType {
    /// By the first bytes of a file.
    pub fn of(content: &[u8]) -> Option<Self> {
        if content.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if content.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else if content.starts_with(b"GIF87a") || content.starts_with(b"GIF89a") {
            Some(Self::Gif)
        } else if content.starts_with(b"RIFF") && content.get(8..12) == Some(b"WEBP") {
            Some(Self::WebP)
        } else {
            None
        }
    }

    /// As HTTP says it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }
}

impl Objects {
    /// Keeps a skill's content under the hash that pins it. The same again makes it as new for [`Objects::collect`].
    ///
    /// # Errors
    /// [`ObjectError::BadHash`] if the hash is not 64 characters of lower-case hexadecimal.
    pub async fn put_skill(&self, content_hash: &str, content: Bytes) -> Result<(), ObjectError> {
        self.put(&content_path("skills", content_hash)?, content, SKILL_TYPE).await.map(|_| ())
    }

    /// A skill's content.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`]; [`ObjectError::Damaged`] if it is no longer what was put.
    pub async fn get_skill(&self, content_hash: &str) -> Result<Bytes, ObjectError> {
        let path = content_path("skills", content_hash)?;
        let stored = self.look(&path).await?;
        self.read(&path, &stored).await
    }

    /// A skill's content and its length, as it comes: not held in memory, and not checked.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`].
    pub async fn stream_skill(&self, content_hash: &str) -> Result<(u64, ByteStream), ObjectError> {
        let path = content_path("skills", content_hash)?;
        let bytes = self.look(&path).await?.bytes;
        Ok((bytes, self.content(&path, 0, bytes).await?))
    }

    /// Removes a skill's content; one that is gone is no error.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn delete_skill(&self, content_hash: &str) -> Result<(), ObjectError> {
        self.delete(&content_path("skills", content_hash)?).await
    }

    /// Keeps a picture and gives its hash, by which it is named from then on.
    ///
    /// # Errors
    /// [`ObjectError::NotAnImage`], [`ObjectError::TooLarge`].
    pub async fn put_icon(&self, content: Bytes) -> Result<String, ObjectError> {
        let bytes_max = FileKind::Icon.bytes_max();
        if content.len() as u64 > bytes_max {
            return Err(ObjectError::TooLarge(bytes_max));
        }
        let kind = IconType::of(&content).ok_or(ObjectError::NotAnImage)?;
        let hash = hex::encode(Sha256::digest(&content));
        self.put(&content_path("icons", &hash)?, content, kind.content_type()).await?;
        Ok(hash)
    }

    /// A picture.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`].
    pub async fn get_icon(&self, hash: &str) -> Result<(IconType, Bytes), ObjectError> {
        let path = content_path("icons", hash)?;
        let stored = self.look(&path).await?;
        let content = self.read(&path, &stored).await?;
        let kind = IconType::of(&content).ok_or_else(|| ObjectError::Damaged(path.to_string()))?;
        Ok((kind, content))
    }

    /// Removes a picture; one that is gone is no error.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn delete_icon(&self, hash: &str) -> Result<(), ObjectError> {
        self.delete(&content_path("icons", hash)?).await
    }

    /// An address under `base`, such as `http://127.0.0.1:8080`, at which anybody who has it sees the picture for a day or
    /// two. It is the same all day long, so that browsers need not load it again.
    pub fn icon_url(&self, base: &str, hash: &str) -> String {
        let today = self.now_ms().div_euclid(1_000 * DAY_SECONDS);
        let expires = (today + 2 * ICON_URL_DAYS) * DAY_SECONDS;
        let signature = hex::encode(self.icon_tag(hash, expires));
        let base = base.trim_end_matches('/');
        format!("{base}/{}/icons/{hash}?expires={expires}&signature={signature}", super::BUCKET)
    }

    /// Whether an icon's address was made here and is still good; `expires` and `signature` are its own.
    pub fn is_icon_url(&self, hash: &str, expires: i64, signature: &str) -> bool {
        let Ok(tag) = hex::decode(signature) else { return false };
        let expires_le = expires.to_le_bytes();
        self.now_ms() < expires.saturating_mul(1_000)
            && self.0.icon_key.verifies(&[hash.as_bytes(), &expires_le], &tag)
    }

    fn icon_tag(&self, hash: &str, expires: i64) -> [u8; 32] {
        self.0.icon_key.tag(&[hash.as_bytes(), &expires.to_le_bytes()])
    }
}

fn content_path(folder: &str, hash: &str) -> Result<Path, ObjectError> {
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash { Ok(Path::from(format!("{folder}/{hash}"))) } else { Err(ObjectError::BadHash) }
}
