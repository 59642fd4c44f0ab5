//! User ids for agents, one each, claimed for the whole host.
//!
//! A claim is a file named after the id that holds the sandbox's path, so that two servers on one host do not give
//! out the same. A claim whose sandbox is gone can be taken over; after a boot of the host the directory is empty
//! and sandboxes claim again what they had, or get another.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug)]
pub(super) struct Uids {
    dir: PathBuf,
    base: u32,
    count: u32,
}

impl Uids {
    pub(super) fn new(dir: &Path, base: u32, count: u32) -> Self {
        Self { dir: dir.to_owned(), base, count }
    }

    /// The id of the sandbox at `sandbox_dir`: `before` if nobody else has it. `None` when all are taken.
    pub(super) fn claim(&self, sandbox_dir: &Path, before: Option<u32>) -> io::Result<Option<u32>> {
        std::fs::create_dir_all(&self.dir)?;
        if let Some(uid) = before
            && self.try_claim(uid, sandbox_dir)?
        {
            return Ok(Some(uid));
        }
        for uid in self.base..self.base.saturating_add(self.count) {
            if self.try_claim(uid, sandbox_dir)? {
                return Ok(Some(uid));
            }
        }
        Ok(None)
    }

    fn try_claim(&self, uid: u32, sandbox_dir: &Path) -> io::Result<bool> {
        let path = self.dir.join(uid.to_string());
        // Twice at most: once more after removing a claim without a sandbox.
        for _ in 0..2 {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    file.write_all(sandbox_dir.as_os_str().as_bytes())?;
                    return Ok(true);
                }
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => {}
            }
            let holder = PathBuf::from(std::ffi::OsString::from_vec(std::fs::read(&path)?));
            if holder == sandbox_dir {
                return Ok(true);
            }
            // An empty claim is being written by somebody.
            if holder.as_os_str().is_empty() || holder.exists() {
                return Ok(false);
            }
            std::fs::remove_file(&path)?;
        }
        Ok(false)
    }

    /// Gives an id back, if this sandbox has it.
    pub(super) fn release(&self, uid: u32, sandbox_dir: &Path) -> io::Result<()> {
        let path = self.dir.join(uid.to_string());
        match std::fs::read(&path) {
            Ok(holder) if holder == sandbox_dir.as_os_str().as_bytes() => std::fs::remove_file(path),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_sandbox_and_outlives_none() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes: Vec<PathBuf> = ["a", "b", "c"].map(|name| dir.path().join(name)).into();
        for sandbox in &sandboxes {
            std::fs::create_dir(sandbox).unwrap();
        }
        let uids = Uids::new(&dir.path().join("uids"), 7000, 2);
        let claim = |n: usize, before| uids.claim(&sandboxes[n], before).unwrap();
        assert_eq!(claim(0, None), Some(7000));
        assert_eq!(claim(1, Some(7000)), Some(7001), "taken: another one");
        assert_eq!(claim(1, Some(7001)), Some(7001), "its own");
        assert_eq!(claim(2, None), None, "all taken");
        uids.release(7000, &sandboxes[1]).unwrap();
        assert_eq!(claim(2, None), None, "only the holder can give it back");
        std::fs::remove_dir(&sandboxes[0]).unwrap();
        assert_eq!(claim(2, None), Some(7000), "its sandbox is gone");
        uids.release(7000, &sandboxes[2]).unwrap();
        uids.release(7000, &sandboxes[2]).unwrap();
    }
}
