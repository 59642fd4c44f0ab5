//! A skill's content as server and guest both count it: which paths it may have, and the hash that pins it.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Files of one skill at the most.
pub const FILES_MAX: usize = 2_000;
/// Bytes of all files of one skill at the most.
pub const CONTENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of one file at the most.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Bytes of a path at the most.
pub const PATH_BYTES_MAX: usize = 240;
/// Folders above a file at the most.
pub const PATH_DEPTH_MAX: usize = 12;

/// Files by their path from the skill's folder, with `/`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Whether `path` names a file below the skill's folder and nothing else, on every system an agent may run on.
pub fn is_safe_path(path: &str) -> bool {
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && !segment.ends_with(['.', ' '])
            && !segment.contains(['\\', ':', '\0'])
            && !segment.chars().any(char::is_control)
    };
    path.len() <= PATH_BYTES_MAX && path.split('/').count() <= PATH_DEPTH_MAX && path.split('/').all(segment)
}

/// SHA-256 in lower-case hex over the sorted paths and bytes: for each file the length of its path, its path, the
/// length of its bytes (both 8 bytes, big-endian) and its bytes. Dotfiles count; modes and times do not.
pub fn content_hash(files: &Files) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        hash.update((path.len() as u64).to_be_bytes());
        hash.update(path.as_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether an installed file may be run: those that name their interpreter.
pub fn is_executable(bytes: &[u8]) -> bool {
    bytes.starts_with(b"#!")
}

/// Whether a skill may have this name (the agentskills.io rule): `[a-z0-9]` and single hyphens between, at most 64.
pub fn is_skill_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_folder_are_safe() {
        for good in ["SKILL.md", ".env", "a/b/c.txt", "技能/说明.md", "..a/b", "scripts/run.sh"] {
            assert!(is_safe_path(good), "{good}");
        }
        let long = "a".repeat(PATH_BYTES_MAX + 1);
        let deep = ["a"; PATH_DEPTH_MAX + 1].join("/");
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".",
            "a/.",
            "C:/x",
            "a\\b",
            "a\0b",
            "x.",
            "x ",
            &long,
            &deep,
        ] {
            assert!(!is_safe_path(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_hash_tells_paths_from_bytes_and_does_not_depend_on_order() {
        let files = |pairs: &[(&str, &str)]| -> Files {
            pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let hash = content_hash(&files(&[("a", "bc"), ("d", "")]));
        assert_eq!(hash, content_hash(&files(&[("d", ""), ("a", "bc")])));
        assert_eq!(hash.len(), 64);
        for other in [[("ab", "c"), ("d", "")], [("a", "b"), ("cd", "")], [("a", "bc"), (".d", "")]] {
            assert_ne!(hash, content_hash(&files(&other)));
        }
    }

    #[test]
    fn names_are_those_of_agentskills() {
        for good in ["pdf", "a-b-c", "x1", &"a".repeat(64)] {
            assert!(is_skill_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "a b", "技能", &"a".repeat(65)] {
            assert!(!is_skill_name(bad), "{bad}");
        }
    }
}
