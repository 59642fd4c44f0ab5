//! Removes what nobody needs any more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{ObjectError, Objects, STEP_MAX, step};

/// Contents that something names.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Content hashes of every version of every skill.
    pub skills: BTreeSet<String>,
    /// Hashes of every icon.
    pub icons: BTreeSet<String>,
}

/// How many objects were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub uploads: u64,
    pub contents: u64,
}

impl Objects {
    /// Removes uploads from before `before_ms`, and contents from before it that `kept` does not name. Take `before_ms`
    /// long before `kept` was looked up: a content that was put since is never removed.
    ///
    /// # Errors
    /// What the storage says; what was removed until then is gone.
    pub async fn collect(&self, before_ms: i64, kept: &Kept) -> Result<Collected, ObjectError> {
        let mut collected = Collected::default();
        for folder in ["uploads", "parts"] {
            collected.uploads += self.sweep(folder, before_ms, |_| false).await?;
        }
        for (folder, named) in [("skills", &kept.skills), ("icons", &kept.icons)] {
            collected.contents += self.sweep(folder, before_ms, |name| named.contains(name)).await?;
        }
        if let Some(directory) = self.0.directory.clone() {
            let swept = tokio::task::spawn_blocking(move || sweep_staged(directory, before_ms));
            let swept = swept.await.map_err(|_| ObjectError::Timeout)?;
            collected.uploads += swept;
        }
        Ok(collected)
    }

    async fn sweep(
        &self,
        folder: &str,
        before_ms: i64,
        is_kept: impl Fn(&str) -> bool,
    ) -> Result<u64, ObjectError> {
        let is_old = |found: &ObjectMeta| found.last_modified.timestamp_millis() < before_ms;
        let mut listed = self.0.files.list(Some(&Path::from(folder)));
        let mut removed = 0;
        loop {
            let next =
                tokio::time::timeout(STEP_MAX, listed.next()).await.map_err(|_| ObjectError::Timeout)?;
            let Some(found) = next.transpose()? else { return Ok(removed) };
            if !is_old(&found) || found.location.filename().is_some_and(&is_kept) {
                continue;
            }
            // It may have been put again since it was listed.
            match step(self.0.files.head(&found.location)).await {
                Ok(now) if is_old(&now) => {}
                Ok(_) | Err(ObjectError::NotFound) => continue,
                Err(error) => return Err(error),
            }
            self.delete(&found.location).await?;
            removed += 1;
        }
    }
}

/// Removes the files of uploads that a crash cut off: named as the object with `#` and a number, and listed by nobody.
fn sweep_staged(directory: PathBuf, before_ms: i64) -> u64 {
    let before = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(before_ms).unwrap_or(0));
    let entries = walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok);
    let staged = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy();
        let number = name.rsplit_once('#').map(|(_, number)| number);
        entry.file_type().is_file()
            && number.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let old = staged.filter(|entry| {
        let modified = entry.metadata().ok().and_then(|metadata| metadata.modified().ok());
        modified.is_some_and(|modified| modified < before)
    });
    let removed = old.filter(|entry| std::fs::remove_file(entry.path()).is_ok());
    removed.map(|_| 1).sum()
}
