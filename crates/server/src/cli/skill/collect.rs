//! Finds skills below paths and reads them into memory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use creel_skills::package::{self, Limits, PACKAGE_BYTES_MAX, Package, PackageError, SKILL_FILE};
use creel_wire::skill_content::Files;

/// Folders between a named path and a skill at the most.
const DEPTH_MAX: usize = 8;
/// What archives with skills are called, where they are looked for in a folder.
const ENDINGS: [&str; 5] = [".zip", ".skill", ".tar", ".tgz", ".tar.gz"];

/// One skill on this machine.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// A folder with a `SKILL.md`.
    Folder(PathBuf),
    /// An archive, or a `SKILL.md` alone.
    File(PathBuf),
}

impl Found {
    pub(super) fn path(&self) -> &Path {
        let (Self::Folder(path) | Self::File(path)) = self;
        path
    }

    /// The skill in memory; the inner error is the package's, the outer one this machine's.
    pub(super) fn read(&self) -> anyhow::Result<Result<Package, PackageError>> {
        match self {
            Self::File(path) => Ok(package::read(&read_file(path, PACKAGE_BYTES_MAX)?)),
            Self::Folder(path) => {
                let mut folder = Folder { files: Files::new(), bytes: 0 };
                let name =
                    path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
                match folder.add(path, "")? {
                    Some(refused) => Ok(Err(refused)),
                    None => Ok(package::from_files(folder.files, name.as_deref())),
                }
            }
        }
    }
}

/// The skills at a path: the path's own, or those below it, sorted.
pub(super) fn find(path: &Path) -> anyhow::Result<Vec<Found>> {
    let is_folder = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.is_dir();
    if !is_folder {
        return Ok(vec![Found::File(path.to_path_buf())]);
    }
    let mut found = Vec::new();
    below(path, DEPTH_MAX, &mut found)?;
    found.sort();
    anyhow::ensure!(
        !found.is_empty(),
        "no skill below {}: no folder with a SKILL.md, no archive",
        path.display()
    );
    Ok(found)
}

fn below(folder: &Path, depth: usize, found: &mut Vec<Found>) -> anyhow::Result<()> {
    let entries = entries(folder)?;
    let is_skill = |(name, _): &(String, std::fs::FileType)| name.eq_ignore_ascii_case(SKILL_FILE);
    if entries.iter().any(is_skill) {
        found.push(Found::Folder(folder.to_path_buf()));
        return Ok(());
    }
    for (name, kind) in entries {
        let path = folder.join(&name);
        if kind.is_dir() && depth > 0 {
            below(&path, depth - 1, found)?;
        } else if kind.is_file() && ENDINGS.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending)) {
            found.push(Found::File(path));
        }
    }
    Ok(())
}

/// Names and kinds; links are not followed.
fn entries(folder: &Path) -> anyhow::Result<Vec<(String, std::fs::FileType)>> {
    let reading = || format!("reading {}", folder.display());
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let kind = entry.file_type().with_context(reading)?;
        all.push((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    Ok(all)
}

/// What was read of a folder so far.
struct Folder {
    files: Files,
    bytes: u64,
}

impl Folder {
    /// Adds what is in `folder`, which is `prefix` from the skill's. Gives why this is no package.
    fn add(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<Option<PackageError>> {
        for (name, kind) in entries(folder)? {
            let (path, from_skill) = (folder.join(&name), format!("{prefix}{name}"));
            if kind.is_dir() {
                // deeper than any path may be, the path itself is refused
                if prefix.len() > creel_wire::skill_content::PATH_BYTES_MAX {
                    return Ok(Some(refused("Package.PathTooLong", &from_skill, "is too long a path")));
                }
                if let Some(refused) = self.add(&path, &format!("{from_skill}/"))? {
                    return Ok(Some(refused));
                }
                continue;
            }
            if kind.is_symlink() {
                return Ok(Some(refused("Package.LinkRefused", &from_skill, "is a link")));
            }
            if !kind.is_file() {
                return Ok(Some(refused(
                    "Package.SpecialFile",
                    &from_skill,
                    "is neither a file nor a folder",
                )));
            }
            let bytes = read_file(&path, Limits::SKILL.file_bytes)?;
            self.bytes += bytes.len() as u64;
            if bytes.len() as u64 > Limits::SKILL.file_bytes {
                return Ok(Some(refused("Package.FileTooLarge", &from_skill, "is too large")));
            }
            if self.bytes > Limits::SKILL.bytes || self.files.len() > Limits::SKILL.files {
                return Ok(Some(refused(
                    "Package.ContentTooLarge",
                    &from_skill,
                    "is more than a skill may have",
                )));
            }
            self.files.insert(from_skill, bytes);
        }
        Ok(None)
    }
}

fn refused(code: &'static str, path: &str, what: &str) -> PackageError {
    PackageError { code, message: format!("{path:?} {what}") }
}

/// At most a byte more than `bytes_max`.
fn read_file(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reading = || format!("reading {}", path.display());
    let file = File::open(path).with_context(reading)?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).with_context(reading)?;
    Ok(bytes)
}
