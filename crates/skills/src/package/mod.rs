//! Reads a skill package: a zip, a tar, a tar.gz, or a `SKILL.md` alone, told apart by their first bytes.
//!
//! - Everything happens in memory, within limits, each with its own code ([`PackageError::CODES`]).
//! - What is kept are the bytes that were uploaded, with four exceptions that are needed for an agent to find the
//!   skill: a single top folder is taken off, `skill.md` is called `SKILL.md`, a name that no agent takes is
//!   replaced in its front matter by the slug made of it, and what macOS adds to archives on its own (AppleDouble
//!   files and `.DS_Store`, known by their first bytes and not by their names) is left out.

mod archive;
mod canonical;
mod error;
mod manifest;
mod skill_file;
#[cfg(test)]
mod tests;
mod yaml;

use creel_wire::skill_content::{FILES_MAX, Files, content_hash, is_safe_path};

pub use archive::{Limits, is_archive, members};
pub use canonical::{pack, unpack};
pub use error::PackageError;
use error::{refuse, shown};
pub use manifest::{DESCRIPTION_CHARS_MAX, Manifest, normal_version};

use archive::{Entry, Kind};

/// Bytes of an uploaded package at the most.
pub const PACKAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The file that makes a folder a skill.
pub const SKILL_FILE: &str = "SKILL.md";

/// A package that was read: everything in it, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub manifest: Manifest,
    /// From the skill's own folder: a single top folder of the archive is taken off.
    pub files: Files,
    /// As [`content_hash`] gives it.
    pub content_hash: String,
}

/// Reads an uploaded package.
///
/// # Errors
/// See [`PackageError::CODES`]: a package is read whole or refused.
pub fn read(bytes: &[u8]) -> Result<Package, PackageError> {
    if bytes.len() as u64 > PACKAGE_BYTES_MAX {
        let message =
            format!("the package has more than {PACKAGE_BYTES_MAX} bytes: leave out what no agent reads");
        return Err(refuse(error::TOO_LARGE, message));
    }
    let Some(kind) = Kind::of(bytes) else {
        return alone(bytes);
    };
    // with what is left out and the top folder's name, which count for nothing afterwards
    let limits = Limits { files: 2 * FILES_MAX, ..Limits::SKILL };
    let mut entries = archive::entries(kind, bytes, &limits)?;
    entries.retain(|entry| !is_macos_addition(entry));
    let folder = take_top_folder(&mut entries);
    from_entries(entries, folder.as_deref())
}

/// The package of a skill's files that are not in an archive, such as a folder's: the same rules.
///
/// # Errors
/// As [`read`].
pub fn from_files(files: Files, folder: Option<&str>) -> Result<Package, PackageError> {
    let entries = files.into_iter().map(|(path, bytes)| Entry { path, bytes });
    from_entries(entries.filter(|entry| !is_macos_addition(entry)).collect(), folder)
}

/// A `SKILL.md` alone.
fn alone(bytes: &[u8]) -> Result<Package, PackageError> {
    let text = skill_file::text(bytes)?;
    if !text.starts_with("---") {
        let message = "the package is none of zip, tar, tar.gz and a SKILL.md that begins with `---`: \
                       upload one of these";
        return Err(refuse(error::READ_FAILED, message));
    }
    from_entries(vec![Entry { path: SKILL_FILE.to_owned(), bytes: bytes.to_vec() }], None)
}

fn from_entries(mut entries: Vec<Entry>, folder: Option<&str>) -> Result<Package, PackageError> {
    for entry in entries.iter_mut().filter(|entry| entry.path.eq_ignore_ascii_case(SKILL_FILE)) {
        SKILL_FILE.clone_into(&mut entry.path);
    }
    let mut files = archive::collect(entries, &Limits::SKILL, is_safe_path)?;
    let Some(bytes) = files.get(SKILL_FILE) else { return Err(no_skill_file(&files)) };
    let (manifest, rewritten) = skill_file::read(bytes, folder, &files)?;
    if let Some(bytes) = rewritten {
        files.insert(SKILL_FILE.to_owned(), bytes);
    }
    Ok(Package { content_hash: content_hash(&files), manifest, files })
}

fn no_skill_file(files: &Files) -> PackageError {
    let deeper: Vec<_> = files
        .keys()
        .filter(|path| path.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case(SKILL_FILE)))
        .take(3)
        .map(|path| shown(path))
        .collect();
    let found = if deeper.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("found {}: pack each skill's own folder", deeper.join(", "))
    };
    let message = format!("no SKILL.md at the top of the package or of its only folder; {found}");
    refuse(error::NO_SKILL_FILE, message)
}

/// What macOS adds on its own. A file that is only named so stays, and is scanned.
fn is_macos_addition(entry: &Entry) -> bool {
    const APPLE_DOUBLE: &[u8] = b"\x00\x05\x16\x07";
    const DS_STORE: &[u8] = b"\x00\x00\x00\x01Bud1";
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    name.starts_with("._") && entry.bytes.starts_with(APPLE_DOUBLE)
        || name == ".DS_Store" && entry.bytes.starts_with(DS_STORE)
}

/// Takes off the folder that everything is in, where the skill is in it; its name.
fn take_top_folder(entries: &mut [Entry]) -> Option<String> {
    let (folder, _) = entries.first()?.path.split_once('/')?;
    let folder = folder.to_owned();
    let inner = |path: &str| path.strip_prefix(&folder)?.strip_prefix('/').map(str::to_owned);
    let paths: Option<Vec<_>> = entries.iter().map(|entry| inner(&entry.path)).collect();
    let paths = paths?;
    if folder == ".." || !paths.iter().any(|path| path.eq_ignore_ascii_case(SKILL_FILE)) {
        return None;
    }
    entries.iter_mut().zip(paths).for_each(|(entry, path)| entry.path = path);
    Some(folder)
}
