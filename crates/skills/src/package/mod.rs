//! Reads a skill package: a zip, a tar.gz, or a `SKILL.md` alone.

use creel_wire::skill_content::Files;
use serde::{Deserialize, Serialize};

/// Bytes of an uploaded package at the most.
pub const PACKAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A package that was read: everything in it, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub manifest: Manifest,
    /// From the skill's own folder: a single top folder of the archive is taken off.
    pub files: Files,
    /// As [`creel_wire::skill_content::content_hash`] gives it.
    pub content_hash: String,
}

/// What the front matter of `SKILL.md` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `[a-z0-9-]`, at most 64: the skill's name, its slug and its folder.
    pub name: String,
    /// At most 1,024 characters.
    pub description: String,
    /// Semantic; `None` where the front matter has none.
    pub version: Option<String>,
    /// For people: a title or the first heading; `None` where there is none.
    pub display_name: Option<String>,
    /// Variables that it needs, sorted, without the API key's.
    pub required_env: Vec<String>,
    /// The variable that its API key goes to (`metadata.openclaw.primaryEnv` or what Hermes calls so).
    pub api_key_env: Option<String>,
    /// Programs that it needs.
    pub required_bins: Vec<String>,
    /// As written.
    pub license: Option<String>,
    /// What changed in this version: the front matter's, else the newest part of a `CHANGELOG.md`; at most 4,000
    /// characters.
    pub change_log: Option<String>,
}

/// Why a package cannot be read. Its text goes to whoever uploaded it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PackageError {
    /// Such as `Package.TooLarge`; the whole list is [`PackageError::CODES`].
    pub code: &'static str,
    /// What is wrong, where, and what to do about it.
    pub message: String,
}
