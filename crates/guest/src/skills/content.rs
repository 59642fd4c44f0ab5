//! A skill's bytes on their way to the agent: fetched by hash, believed only when they hash to it, and kept for the
//! next start, which may have no server.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use creel_wire::guest::SKILL_FETCH_HEADER;
use creel_wire::skill_content::{
    CONTENT_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, Files, content_hash, is_safe_path,
};
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::files::{Ownership, ensure_dir, write_atomic};
use crate::http::{HttpClient, HttpError};
use crate::identity::Identity;

/// What the archive of the largest allowed skill may have: its bytes, and a header and padding for every file.
const ARCHIVE_BYTES_MAX: u64 = CONTENT_BYTES_MAX + 4 * 1024 * FILES_MAX as u64;
/// A fetch may take this long, and a second more for each of [`BYTES_A_SECOND`].
const FETCH_DEADLINE_S: u64 = 30;
const BYTES_A_SECOND: u64 = 256 * 1024;

/// Why a skill's content is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("the server could not be asked for its content")]
    Http(#[from] HttpError),
    #[error("building the request for its content")]
    Request(#[from] http::Error),
    #[error("the server answered {0} to the request for its content")]
    Status(StatusCode),
    #[error("its content has {got} bytes, and {max} are allowed")]
    TooLong { got: u64, max: u64 },
    #[error("its content is not a plain archive of files: {0}")]
    Archive(String),
    #[error("its content has the hash {0}, which is not the authorised one")]
    Hash(String),
    #[error("its content could not be kept")]
    Keep(#[from] io::Error),
}

impl ContentError {
    /// Whether asking again soon may help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Http(_) | Self::Keep(_) => true,
            Self::Status(status) => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
            Self::Request(_) | Self::TooLong { .. } | Self::Archive(_) | Self::Hash(_) => false,
        }
    }

    /// For operators; causes included.
    pub(crate) fn words(&self) -> String {
        let mut words = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            words.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        words
    }
}

/// Archives by hash in the guest's directory.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}.tar"))
    }

    /// The files with this hash; `None` when they are not here or not what they were.
    pub(crate) fn get(&self, hash: &str) -> Option<Files> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(self.path(hash)).ok()?;
        file.take(ARCHIVE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
        read_archive(&bytes, hash).ok()
    }

    fn put(&self, hash: &str, archive: &[u8]) -> io::Result<()> {
        ensure_dir(&self.dir, Ownership { owner: None, mode: 0o700 })?;
        write_atomic(&self.path(hash), archive, 0o600)
    }

    /// Removes what is not wanted any more, and leaves what is just being written.
    pub(crate) fn keep_only(&self, wanted: impl Fn(&str) -> bool) {
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_str().map(|name| name.trim_start_matches('.').trim_end_matches(".new"));
            let hash = name.and_then(|name| name.strip_suffix(".tar"));
            if !hash.is_some_and(&wanted) && std::fs::remove_file(entry.path()).is_err() {
                tracing::warn!("the archive of a skill was not removed");
            }
        }
    }
}

/// Where contents come from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    http: HttpClient,
    server_url: String,
    identity: Arc<Identity>,
    cache: Cache,
}

impl Source {
    pub(crate) fn new(http: HttpClient, server_url: &str, identity: Arc<Identity>, cache: Cache) -> Self {
        Self { http, server_url: server_url.trim_end_matches('/').to_owned(), identity, cache }
    }

    /// Fetches one content into the cache. `archive_bytes` is the most that the server says it has.
    pub(crate) async fn fetch(&self, hash: String, archive_bytes: u64) -> Result<(), ContentError> {
        let max = archive_bytes.min(ARCHIVE_BYTES_MAX);
        let request = Request::get(format!("{}/guest/v1/skills/{hash}", self.server_url))
            .header(SKILL_FETCH_HEADER, self.identity.sign_skill_fetch(&hash))
            .body(Full::<Bytes>::default())?;
        let deadline = Duration::from_secs(FETCH_DEADLINE_S + max / BYTES_A_SECOND);
        let bytes_max = usize::try_from(max).unwrap_or(usize::MAX);
        let (status, body) = self.http.send_within(request, deadline, bytes_max).await?;
        if status != StatusCode::OK {
            return Err(ContentError::Status(status));
        }
        let cache = self.cache.clone();
        let kept = move || {
            read_archive(&body, &hash)?;
            Ok(cache.put(&hash, &body)?)
        };
        tokio::task::spawn_blocking(kept).await.map_err(io::Error::other)?
    }
}

/// The files of an archive that has exactly this hash.
fn read_archive(bytes: &[u8], hash: &str) -> Result<Files, ContentError> {
    if bytes.len() as u64 > ARCHIVE_BYTES_MAX {
        return Err(ContentError::TooLong { got: bytes.len() as u64, max: ARCHIVE_BYTES_MAX });
    }
    let bad = |what: String| ContentError::Archive(what);
    let unreadable = |error: io::Error| ContentError::Archive(error.to_string());
    let mut files = Files::new();
    let mut total = 0u64;
    for entry in tar::Archive::new(bytes).entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular || !is_safe_path(&path) {
            return Err(bad(format!("{path:?} is not a file below the skill's folder")));
        }
        total = total.saturating_add(entry.size());
        if entry.size() > FILE_BYTES_MAX || total > CONTENT_BYTES_MAX || files.len() >= FILES_MAX {
            return Err(bad("it has more than a skill may have".to_owned()));
        }
        let mut content = Vec::new();
        entry.take(FILE_BYTES_MAX).read_to_end(&mut content).map_err(unreadable)?;
        if files.insert(path.clone(), content).is_some() {
            return Err(bad(format!("{path:?} is there twice")));
        }
    }
    let found = content_hash(&files);
    if found == hash { Ok(files) } else { Err(ContentError::Hash(found)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            // As `set_path` would not: hostile archives have any path.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn hash_of(pairs: &[(&str, &str)]) -> String {
        let files = pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        content_hash(&files)
    }

    #[test]
    fn an_archive_is_believed_by_its_hash_alone() {
        let file = tar::EntryType::Regular;
        let bytes = archive(&[("SKILL.md", file, "one"), ("a/b.sh", file, "#!/bin/sh")]);
        let hash = hash_of(&[("SKILL.md", "one"), ("a/b.sh", "#!/bin/sh")]);
        let files = read_archive(&bytes, &hash).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["SKILL.md", "a/b.sh"]);
        let other = archive(&[("SKILL.md", file, "two"), ("a/b.sh", file, "#!/bin/sh")]);
        let error = read_archive(&other, &hash).unwrap_err();
        assert!(matches!(&error, ContentError::Hash(_)) && !error.is_passing(), "{error}");
    }

    #[test]
    fn paths_links_and_doubles_are_refused() {
        let file = tar::EntryType::Regular;
        for entries in [
            &[("../x", file, "x")][..],
            &[("/etc/x", file, "x")],
            &[("x", tar::EntryType::Symlink, "")],
            &[("x", tar::EntryType::Link, "")],
            &[("x", tar::EntryType::Directory, "")],
            &[("x", tar::EntryType::Fifo, "")],
            &[("x", file, "x"), ("x", file, "y")],
        ] {
            let refused = read_archive(&archive(entries), "any");
            assert!(matches!(refused, Err(ContentError::Archive(_))), "{entries:?}: {refused:?}");
        }
        assert!(read_archive(b"not an archive at all", "any").is_err());
    }

    #[test]
    fn what_is_kept_survives_and_what_was_changed_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("skills"));
        let hash = hash_of(&[("SKILL.md", "one")]);
        assert!(cache.get(&hash).is_none());
        cache.put(&hash, &archive(&[("SKILL.md", tar::EntryType::Regular, "one")])).unwrap();
        assert_eq!(cache.get(&hash).unwrap().len(), 1);
        std::fs::write(cache.path(&hash), archive(&[("SKILL.md", tar::EntryType::Regular, "two")])).unwrap();
        assert!(cache.get(&hash).is_none());
        // Another skill is on its way to the disk meanwhile.
        let written = cache.dir.join(format!(".{hash}.tar.new"));
        std::fs::write(&written, "half").unwrap();
        cache.keep_only(|kept| kept == hash);
        assert!(cache.path(&hash).exists() && written.exists());
        cache.keep_only(|kept| kept != hash);
        assert!(!cache.path(&hash).exists() && !written.exists());
    }
}
