//! Archives as files in memory: which kind it is, what it may hold, and how its names are read.
//!
//! Sizes in headers are never believed: what is counted is what came out.

mod budget;
mod names;
mod tar_read;
mod zip_read;

use std::collections::HashMap;

use creel_wire::skill_content::{
    CONTENT_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, Files, PATH_BYTES_MAX, PATH_DEPTH_MAX, is_safe_path,
};
use flate2::read::MultiGzDecoder;

use super::error::{self, PackageError, refuse, shown};
use budget::Budget;

/// Entries of an archive at the most, folders and what is left out among them.
const ENTRIES_MAX: usize = 4 * FILES_MAX;
/// What a tar says about an entry beside its bytes: two headers, a long name, padding.
const TAR_ENTRY_OVERHEAD: u64 = 4 * 1024;

/// How much may come out of one archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub files: usize,
    /// Of all files.
    pub bytes: u64,
    pub file_bytes: u64,
}

impl Limits {
    /// Those of a skill.
    pub const SKILL: Self = Self { files: FILES_MAX, bytes: CONTENT_BYTES_MAX, file_bytes: FILE_BYTES_MAX };
}

/// What an archive is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Zip,
    Gzip,
    Tar,
    /// An archive that is not read here, and what it is called.
    Other(&'static str),
}

impl Kind {
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        const OTHER: [(&[u8], &str); 9] = [
            (b"7z\xbc\xaf\x27\x1c", "7z"),
            (b"Rar!\x1a\x07", "RAR"),
            (b"\xfd7zXZ\0", "xz"),
            (b"BZh", "bzip2"),
            (b"\x28\xb5\x2f\xfd", "Zstandard"),
            (b"\x04\x22\x4d\x18", "LZ4"),
            (b"MSCF", "cabinet"),
            (b"!<arch>\n", "ar"),
            (b"xar!", "xar"),
        ];
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            return Some(Self::Zip);
        }
        if bytes.starts_with(b"\x1f\x8b\x08") {
            return Some(Self::Gzip);
        }
        if tar_read::is_tar(bytes) {
            return Some(Self::Tar);
        }
        OTHER.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, name)| Self::Other(name))
    }
}

/// One file of an archive, its name decoded.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

/// Whether [`members`] has a reader for these bytes, or at least knows them for an archive.
pub fn is_archive(bytes: &[u8]) -> bool {
    Kind::of(bytes).is_some()
}

/// The files of an archive inside a package, for who wants to look into it: one level of it. Whoever looks into
/// archives within archives counts the levels and hands on what is left of the limits.
///
/// Differs from a package in what is allowed: paths may be long and deep (nothing unpacks them here) and need no
/// `SKILL.md`, and nothing is left out. A gzip that holds no tar is one file, `content`.
///
/// # Errors
/// As [`super::read`]: what cannot be read to its end is an error, never a part.
pub fn members(bytes: &[u8], limits: &Limits) -> Result<Files, PackageError> {
    let kind = Kind::of(bytes);
    let kind = kind.ok_or_else(|| refuse(error::READ_FAILED, "the file is no archive that is known here"))?;
    collect(entries(kind, bytes, limits)?, limits, |path| path.split('/').all(is_safe_path))
}

/// All files of an archive, in its order.
pub(crate) fn entries(kind: Kind, bytes: &[u8], limits: &Limits) -> Result<Vec<Entry>, PackageError> {
    match kind {
        Kind::Zip => zip_read::entries(bytes, limits),
        Kind::Tar => tar_read::entries(bytes, limits),
        Kind::Gzip => {
            let inner = gunzip(bytes, limits)?;
            if tar_read::is_tar(&inner) {
                return tar_read::entries(&inner, limits);
            }
            Budget::new(limits, None).check_file("content", inner.len() as u64)?;
            Ok(vec![Entry { path: "content".to_owned(), bytes: inner }])
        }
        Kind::Other(name) => Err(refuse(
            error::UNSUPPORTED,
            format!("the archive is a {name} one, which is not read: pack the files as zip or tar.gz"),
        )),
    }
}

/// Everything in a gzip file: a tar's headers count, so the limit is above that of the files.
fn gunzip(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, PackageError> {
    let overhead = TAR_ENTRY_OVERHEAD.saturating_mul(limits.files.min(ENTRIES_MAX) as u64);
    let total = limits.bytes.saturating_add(overhead);
    let whole = Limits { files: 1, bytes: total, file_bytes: total };
    let mut budget = Budget::new(&whole, Some(bytes.len()));
    budget.read("the gzip file", MultiGzDecoder::new(bytes))
}

/// Files by path. Two paths that are one file on a system that folds case or normalises, or a file where another
/// path has a folder, are refused.
pub(crate) fn collect(
    entries: Vec<Entry>,
    limits: &Limits,
    is_safe: impl Fn(&str) -> bool,
) -> Result<Files, PackageError> {
    if entries.len() > limits.files {
        return Err(too_many(limits.files));
    }
    let mut files = Files::new();
    let mut seen: HashMap<String, bool> = HashMap::new();
    for Entry { path, bytes } in entries {
        if !is_safe(&path) {
            return Err(unsafe_path(&path));
        }
        let folded = names::folded(&path);
        let folders = folded.match_indices('/').map(|(at, _)| folded.get(..at).unwrap_or_default());
        for folder in folders {
            if !seen.get(folder).copied().unwrap_or(true) {
                return Err(twice(&path));
            }
            if !seen.contains_key(folder) {
                seen.insert(folder.to_owned(), true);
            }
        }
        if seen.insert(folded, false).is_some() {
            return Err(twice(&path));
        }
        files.insert(path, bytes);
    }
    Ok(files)
}

fn twice(path: &str) -> PackageError {
    refuse(
        error::DUPLICATE_PATH,
        format!(
            "{} is there twice: two entries have this path, or paths that differ only by case, accents' form or in \
             being a file here and a folder there. Keep one of them",
            shown(path)
        ),
    )
}

/// Which rule of [`is_safe_path`] this path breaks.
fn unsafe_path(path: &str) -> PackageError {
    let here = shown(path);
    if path.split('/').all(is_safe_path) {
        if path.len() > PATH_BYTES_MAX {
            let message = format!("the path {here} has more than {PATH_BYTES_MAX} bytes: shorten it");
            return refuse(error::PATH_TOO_LONG, message);
        }
        let message = format!("the path {here} is deeper than {PATH_DEPTH_MAX} folders: flatten it");
        return refuse(error::PATH_TOO_DEEP, message);
    }
    if path.split('/').any(|segment| segment.len() > PATH_BYTES_MAX) {
        let message = format!("the path {here} has a part of more than {PATH_BYTES_MAX} bytes: shorten it");
        return refuse(error::PATH_TOO_LONG, message);
    }
    refuse(
        error::UNSAFE_PATH,
        format!(
            "the path {here} is not one below the skill's folder on every system: use relative paths with `/`, \
             without `..`, `\\`, `:`, control characters, or parts that are empty or end in a dot or space"
        ),
    )
}

fn too_many(files: usize) -> PackageError {
    refuse(
        error::TOO_MANY_FILES,
        format!("the archive has more than {files} files: leave out what no agent reads"),
    )
}
