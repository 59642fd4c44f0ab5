//! Reads a folder that its owner may change meanwhile, to deceive us: beneath an open handle, one name at a time, never
//! through a link, nothing but regular files and folders, and not without bounds.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use creel_wire::skill_content::{
    CONTENT_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, Files, PATH_DEPTH_MAX, is_safe_path,
};
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

/// Why a folder is not read as a skill.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("{0} is neither a file nor a folder, or has a name that a skill may not have")]
    Special(String),
    #[error("it has more than a skill may have")]
    TooMuch,
    #[error("it could not be read")]
    Io(#[from] io::Error),
}

impl TreeError {
    /// For operators; causes included.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Io(error) => format!("it could not be read: {error}"),
            other => other.to_string(),
        }
    }
}

/// What a folder looks like from outside; another one whenever something in it was written.
pub(crate) type Fingerprint = [u8; 32];

/// What a look at a folder saw: enough to know whether it must be read again, and what that would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) bytes: u64,
}

/// Looks at all of `dir` without reading a file.
pub(crate) fn look(dir: &Dir) -> Result<Look, TreeError> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    walk(dir, "", &mut 0, &mut |path, _, _, meta| {
        let mut line = String::with_capacity(path.len() + 80);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "{path}\0{} {} {} {} {} {} {}",
            meta.dev(),
            meta.ino(),
            meta.size(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec()
        );
        hash.update((line.len() as u64).to_be_bytes());
        hash.update(line.as_bytes());
        bytes += meta.size();
        if bytes > CONTENT_BYTES_MAX { Err(TreeError::TooMuch) } else { Ok(()) }
    })?;
    Ok(Look { fingerprint: hash.finalize().into(), bytes })
}

/// Reads all of `dir`.
pub(crate) fn read(dir: &Dir) -> Result<Files, TreeError> {
    let mut files = Files::new();
    let mut left = CONTENT_BYTES_MAX;
    walk(dir, "", &mut 0, &mut |path, parent, name, _| {
        let bytes = read_file(parent, name, FILE_BYTES_MAX.min(left))?;
        left = left.saturating_sub(bytes.len() as u64);
        files.insert(path.to_owned(), bytes);
        Ok(())
    })?;
    Ok(files)
}

/// One file of a folder, which must be regular and no longer than `bytes_max`.
pub(crate) fn read_file(parent: &Dir, name: &str, bytes_max: u64) -> Result<Vec<u8>, TreeError> {
    let mut options = OpenOptions::new();
    // Without waiting: a pipe opens at once, and is then seen to be one.
    options.read(true).follow(FollowSymlinks::No).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = parent.open_with(name, &options)?;
    if !file.metadata()?.is_file() {
        return Err(TreeError::Special(name.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(TreeError::TooMuch) } else { Ok(bytes) }
}

/// Visits every file below `dir` with its path, its folder and its name.
fn walk(
    dir: &Dir,
    prefix: &str,
    seen: &mut usize,
    visit: &mut impl FnMut(&str, &Dir, &str, &Metadata) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    if prefix.split('/').count() > PATH_DEPTH_MAX {
        return Err(TreeError::TooMuch);
    }
    let mut names = Vec::new();
    for entry in dir.entries()? {
        *seen += 1;
        // Folders count too, or empty ones would be without bounds.
        if *seen > 2 * FILES_MAX {
            return Err(TreeError::TooMuch);
        }
        let name = entry?.file_name();
        names.push(
            name.into_string().map_err(|name| TreeError::Special(name.to_string_lossy().into_owned()))?,
        );
    }
    names.sort();
    for name in names {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let meta = dir.symlink_metadata(&name)?;
        if !is_safe_path(&path) || !(meta.is_dir() || meta.is_file()) {
            return Err(TreeError::Special(path));
        }
        if meta.is_dir() {
            walk(&dir.open_dir_nofollow(&name)?, &path, seen, visit)?;
        } else {
            visit(&path, dir, &name, &meta)?;
        }
    }
    Ok(())
}

/// Opens a folder below `dir`, none of whose names may be a link.
pub(crate) fn descend<'a>(dir: &Dir, segments: impl IntoIterator<Item = &'a str>) -> io::Result<Dir> {
    segments.into_iter().try_fold(dir.try_clone()?, |dir, segment| dir.open_dir_nofollow(segment))
}

/// A folder that the agent cannot replace.
pub(crate) fn open_trusted(path: &Path) -> io::Result<Dir> {
    Dir::open_ambient_dir(path, cap_std::ambient_authority())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn dir_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = temp.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let dir = open_trusted(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn what_was_written_changes_the_look_and_the_files() {
        let (temp, dir) = dir_with(&[("SKILL.md", "one"), ("a/.b", "two")]);
        let first = look(&dir).unwrap();
        assert_eq!((first.bytes, &look(&dir).unwrap()), (6, &first));
        assert_eq!(read(&dir).unwrap().keys().collect::<Vec<_>>(), ["SKILL.md", "a/.b"]);
        std::fs::write(temp.path().join("a/.b"), "TWO").unwrap();
        assert_ne!(look(&dir).unwrap().fingerprint, first.fingerprint);
        assert_eq!(read(&dir).unwrap()["a/.b"], b"TWO");
    }

    #[test]
    fn links_and_pipes_are_neither_followed_nor_waited_for() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        let (temp, dir) = dir_with(&[("SKILL.md", "x")]);
        symlink(secret.path(), temp.path().join("link")).unwrap();
        assert!(matches!(look(&dir), Err(TreeError::Special(path)) if path == "link"));
        assert!(matches!(read(&dir), Err(TreeError::Special(_))));
        assert!(read_file(&dir, "link", 10).is_err());
        std::fs::remove_file(temp.path().join("link")).unwrap();
        nix::unistd::mkfifo(&temp.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(read(&dir), Err(TreeError::Special(_))));
        assert!(
            matches!(read_file(&dir, "pipe", 10), Err(TreeError::Special(_))),
            "no writer, and no waiting"
        );
        // A folder in the way that is a link leads nowhere.
        symlink("/etc", temp.path().join("etc")).unwrap();
        assert!(descend(&dir, ["etc"]).is_err());
    }

    #[test]
    fn size_number_and_depth_are_bounded() {
        let (temp, dir) = dir_with(&[("big", "x")]);
        let big = std::fs::File::create(temp.path().join("big")).unwrap();
        // Sparse: it costs nothing, and says it has all of this.
        big.set_len(CONTENT_BYTES_MAX + 1).unwrap();
        assert!(matches!(look(&dir), Err(TreeError::TooMuch)));
        assert!(matches!(read(&dir), Err(TreeError::TooMuch)));
        let (temp, dir) = dir_with(&[("d/x", "x")]);
        for n in 0..2 * FILES_MAX {
            std::fs::write(temp.path().join(format!("d/{n}")), "").unwrap();
        }
        assert!(matches!(look(&dir), Err(TreeError::TooMuch)));
        let deep = ["d"; PATH_DEPTH_MAX + 2].join("/");
        let (_temp, dir) = dir_with(&[(&format!("{deep}/x"), "x")]);
        assert!(look(&dir).is_err());
    }
}
