//! Looks for skills in the folders that are the agent's own, every few seconds. What has not changed since the last look
//! is not read again; what a hostile agent puts there costs no more than [`ENTRIES_MAX`] and [`READ_BYTES_MAX`] a look.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use creel_wire::skill_content::content_hash;

use super::tree::{Fingerprint, descend, look, open_trusted, read, read_file};
use crate::openclaw::rpc::clip;
use crate::openclaw::skills::{LINKS, PLACES};

/// Names that one look goes through, in all places.
const ENTRIES_MAX: usize = 20_000;
/// What one look reads of files that changed.
const READ_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Skills that one look finds. More than an inventory lists, so that many hide none of those that matter.
const FOUND_MAX: usize = 4_000;
/// As deep as OpenClaw looks for skills in folders of folders.
const DEPTH_MAX: usize = 6;
/// OpenClaw takes no longer ones.
const SKILL_FILE_BYTES_MAX: u64 = 256 * 1024;
const SKILL_FILE: &str = "SKILL.md";

/// One skill that was found, or something in the way that OpenClaw may take for some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// From the agent's directory: the names of the folders and its own.
    pub(crate) path: Vec<String>,
    /// As OpenClaw would call it.
    pub(crate) name: String,
    /// `None` where it could not be read.
    pub(crate) hash: Option<String>,
    pub(crate) note: Option<String>,
}

impl Found {
    pub(crate) fn text(&self) -> String {
        self.path.join("/")
    }
}

/// What one look saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) found: Vec<Found>,
    /// There was more than one look goes through.
    pub(crate) truncated: bool,
}

#[derive(Debug)]
struct Known {
    fingerprint: Fingerprint,
    name: String,
    hash: Option<String>,
    note: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// The agent's directory, whose own folders the agent cannot replace.
    root: PathBuf,
    /// Where links that are ours lead to, as the agent sees it.
    ours: PathBuf,
    known: HashMap<Vec<String>, Known>,
}

impl Scanner {
    pub(crate) fn new(root: PathBuf, ours: PathBuf) -> Self {
        Self { root, ours, known: HashMap::new() }
    }

    pub(crate) fn scan(&mut self) -> io::Result<Scan> {
        let root = open_trusted(&self.root)?;
        let mut look = Looking {
            scanner: self,
            scan: Scan::default(),
            entries_left: ENTRIES_MAX,
            bytes_left: READ_BYTES_MAX,
            seen: Vec::new(),
        };
        for place in PLACES {
            look.place(&root, place, Vec::new());
        }
        let Looking { scan, seen, .. } = look;
        self.known.retain(|path, _| seen.contains(path));
        Ok(scan)
    }
}

struct Looking<'a> {
    scanner: &'a mut Scanner,
    scan: Scan,
    entries_left: usize,
    bytes_left: u64,
    seen: Vec<Vec<String>>,
}

impl Looking<'_> {
    /// Goes on towards a place. Whatever is missing is no place; a link on the way is one that cannot be trusted.
    fn place(&mut self, dir: &Dir, rest: &[&str], path: Vec<String>) {
        let Some((segment, rest)) = rest.split_first() else { return self.folder(dir, path, 0) };
        let names = if *segment == "*" { self.names(dir) } else { vec![(*segment).to_owned()] };
        for name in names {
            let mut path = path.clone();
            path.push(name.clone());
            let Ok(meta) = dir.symlink_metadata(&name) else { continue };
            if meta.is_symlink() {
                self.push(path, name, "a link stands where the agent looks for skills");
            } else if let Ok(inner) = dir.open_dir_nofollow(&name) {
                self.place(&inner, rest, path);
            }
        }
    }

    /// A folder with skills in it or in its folders, or that is one.
    fn folder(&mut self, dir: &Dir, path: Vec<String>, depth: usize) {
        if dir.symlink_metadata(SKILL_FILE).is_ok() {
            return self.skill(dir, path);
        }
        if depth >= DEPTH_MAX {
            return;
        }
        for name in self.names(dir) {
            let Ok(meta) = dir.symlink_metadata(&name) else { continue };
            let mut path = path.clone();
            path.push(name.clone());
            if meta.is_symlink() {
                let target = dir.read_link_contents(&name).unwrap_or_default();
                let ours = path.iter().rev().skip(1).rev().eq(LINKS.iter());
                if ours && target == self.scanner.ours.join(&name) {
                    continue;
                }
                self.push(path, name, "a link, which is not followed");
            } else if let Ok(inner) = dir.open_dir_nofollow(&name) {
                self.folder(&inner, path, depth + 1);
            }
        }
    }

    fn push(&mut self, path: Vec<String>, name: String, note: &str) {
        let name = clip(&name, 64);
        let found = Found { path, name, hash: None, note: Some(note.to_owned()) };
        self.found(found);
    }

    fn found(&mut self, found: Found) {
        if self.scan.found.len() < FOUND_MAX {
            self.scan.found.push(found);
        } else {
            self.scan.truncated = true;
        }
    }

    /// The names that OpenClaw would look at, sorted, within what is left for this look.
    fn names(&mut self, dir: &Dir) -> Vec<String> {
        let mut names = Vec::new();
        let Ok(entries) = dir.entries() else { return names };
        for entry in entries.flatten() {
            let Some(left) = self.entries_left.checked_sub(1) else {
                self.scan.truncated = true;
                break;
            };
            self.entries_left = left;
            let name = entry.file_name().into_string().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('.') && name != "node_modules" {
                names.push(name);
            }
        }
        names.sort();
        names
    }

    fn skill(&mut self, dir: &Dir, path: Vec<String>) {
        self.seen.push(path.clone());
        let folder = path.last().cloned().unwrap_or_default();
        let seen = match look(dir) {
            Ok(seen) => seen,
            Err(error) => {
                let text = read_file(dir, SKILL_FILE, SKILL_FILE_BYTES_MAX).unwrap_or_default();
                let name = name_in(&text).unwrap_or(folder);
                let note = Some(error.words());
                return self.found(Found { path, name, hash: None, note });
            }
        };
        let known = self.scanner.known.get(&path);
        if known.is_none_or(|known| known.fingerprint != seen.fingerprint) {
            let Some(left) = self.bytes_left.checked_sub(seen.bytes) else {
                let note = Some("too much changed at once; it is read with the next looks".to_owned());
                let name = clip(&folder, 64);
                return self.found(Found { path, name, hash: None, note });
            };
            self.bytes_left = left;
            let (name, hash, note) = match read(dir) {
                Ok(files) => {
                    let name = files.get(SKILL_FILE).and_then(|text| name_in(text));
                    (name.unwrap_or(folder), Some(content_hash(&files)), None)
                }
                Err(error) => (folder, None, Some(error.words())),
            };
            let known = Known { fingerprint: seen.fingerprint, name: clip(&name, 64), hash, note };
            self.scanner.known.insert(path.clone(), known);
        }
        if let Some(known) = self.scanner.known.get(&path) {
            let Known { name, hash, note, .. } = known;
            let (name, hash, note) = (name.clone(), hash.clone(), note.clone());
            self.found(Found { path, name, hash, note });
        }
    }
}

/// The `name` in a front matter, as plain YAML has it. Where somebody hides it in a form that only a parser of all of
/// YAML reads, what OpenClaw itself lists tells (`judge`).
fn name_in(skill_file: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(skill_file).ok()?;
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let value = lines.take_while(|line| line.trim_end() != "---").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim_end().trim_matches(['"', '\'']) == "name").then_some(value)
    })?;
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| clip(value, 64))
}

/// Opens the folder that something was found in.
pub(crate) fn open_parent(root: &Path, found: &Found) -> io::Result<Dir> {
    let above = found.path.len().saturating_sub(1);
    descend(&open_trusted(root)?, found.path.iter().take(above).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn scanner(root: &Path) -> Scanner {
        Scanner::new(root.to_owned(), PathBuf::from("/run/agent/config/skills"))
    }

    fn brief(scan: &Scan) -> Vec<(String, String, bool)> {
        scan.found.iter().map(|one| (one.text(), one.name.clone(), one.hash.is_some())).collect()
    }

    #[test]
    fn every_place_is_looked_at_in_folders_of_folders() {
        let dir = tempfile::tempdir().unwrap();
        let skill = |name: &str| format!("---\nname: {name}\ndescription: x\n---\n");
        write(dir.path(), "workspace/skills/group/sub/a/SKILL.md", &skill("pdf # not this"));
        write(dir.path(), "workspace/skills/group/sub/a/skills/inner/SKILL.md", &skill("inside"));
        write(dir.path(), "workspace/.agents/skills/b/SKILL.md", "no front matter");
        write(dir.path(), "home/.agents/skills/c/SKILL.md", &skill("'c'"));
        write(dir.path(), "home/.openclaw/skills/SKILL.md", &skill("root"));
        write(dir.path(), "state/skills/.hidden/SKILL.md", &skill("hidden"));
        write(dir.path(), "state/agents/main/agent/workshop-skills/w/SKILL.md", &skill("w"));
        let seen = brief(&scanner(dir.path()).scan().unwrap());
        let want = |path: &str, name: &str| (path.to_owned(), name.to_owned(), true);
        assert_eq!(
            seen,
            [
                want("workspace/skills/group/sub/a", "pdf"),
                want("workspace/.agents/skills/b", "b"),
                want("home/.agents/skills/c", "c"),
                want("home/.openclaw/skills", "root"),
                want("state/agents/main/agent/workshop-skills/w", "w"),
            ]
        );
    }

    #[test]
    fn links_are_named_and_not_followed() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(elsewhere.path(), "s/SKILL.md", "---\nname: evil\n---\n");
        std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
        symlink(elsewhere.path(), dir.path().join("workspace/skills")).unwrap();
        std::fs::create_dir_all(dir.path().join("state/skills")).unwrap();
        symlink(elsewhere.path().join("s"), dir.path().join("state/skills/evil")).unwrap();
        symlink("/run/agent/config/skills/ours", dir.path().join("state/skills/ours")).unwrap();
        symlink("/run/agent/config/skills/ours", dir.path().join("state/skills/other")).unwrap();
        std::fs::create_dir_all(dir.path().join("state/skills/fifo")).unwrap();
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&dir.path().join("state/skills/fifo/SKILL.md"), mode).unwrap();
        let seen = brief(&scanner(dir.path()).scan().unwrap());
        let want = |path: &str, name: &str| (path.to_owned(), name.to_owned(), false);
        assert_eq!(
            seen,
            [
                want("workspace/skills", "skills"),
                want("state/skills/evil", "evil"),
                want("state/skills/fifo", "fifo"),
                want("state/skills/other", "other"),
            ]
        );
    }

    #[test]
    fn a_change_is_seen_and_a_flood_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "workspace/skills/a/SKILL.md", "---\nname: a\n---\none");
        let mut scanner = scanner(dir.path());
        let first = scanner.scan().unwrap();
        assert_eq!(scanner.scan().unwrap(), first);
        write(dir.path(), "workspace/skills/a/extra", "two");
        assert_ne!(scanner.scan().unwrap().found[0].hash, first.found[0].hash);
        for n in 0..=FOUND_MAX {
            write(dir.path(), &format!("workspace/skills/s{n}/SKILL.md"), "x");
        }
        let flooded = scanner.scan().unwrap();
        assert_eq!((flooded.found.len(), flooded.truncated), (FOUND_MAX, true));
    }
}
