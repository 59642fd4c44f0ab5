//! What the guest changes in folders that belong to the agent: one name at a time, beneath open handles, never through
//! a link of the agent's, and nothing is deleted but links that were ours.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use nix::fcntl::AtFlags;
use nix::unistd::{Gid, Uid, fchownat};

use super::scan::{Found, open_parent};
use super::tree::open_trusted;
use crate::files::{Ownership, ensure_dir};
use crate::openclaw::skills::LINKS;

/// What is kept of the things that were taken away; the oldest give way.
const QUARANTINE_MAX: usize = 64;

/// Where things lie that were taken away from the agent.
#[derive(Debug)]
pub(crate) struct Quarantine {
    /// In the guest's directory, which the agent cannot enter.
    dir: PathBuf,
    root: PathBuf,
}

impl Quarantine {
    pub(crate) fn new(dir: PathBuf, root: PathBuf) -> Self {
        Self { dir, root }
    }

    /// Moves what was found out of the agent's reach; gives the name that it has now.
    pub(crate) fn take(&self, found: &Found) -> io::Result<String> {
        ensure_dir(&self.dir, Ownership { owner: None, mode: 0o700 })?;
        let last = found.path.last().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = open_parent(&self.root, found)?;
        let mut kept = self.kept()?;
        let number = kept.last().map_or(1, |(number, _)| number + 1);
        let name = format!("{number:06}-{}", last.trim_start_matches('.'));
        // A rename: a link is moved as a link, and nothing in it is read.
        parent.rename(last, &open_trusted(&self.dir)?, &name)?;
        kept.push((number, name.clone()));
        for (_, old) in kept.iter().take(kept.len().saturating_sub(QUARANTINE_MAX)) {
            self.drop_old(old)?;
        }
        Ok(name)
    }

    /// By their numbers, oldest first.
    fn kept(&self) -> io::Result<Vec<(u64, String)>> {
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(number) = name.split('-').next().and_then(|number| number.parse().ok()) {
                kept.push((number, name));
            }
        }
        kept.sort();
        Ok(kept)
    }

    fn drop_old(&self, name: &str) -> io::Result<()> {
        let dir = open_trusted(&self.dir)?;
        if dir.symlink_metadata(name)?.is_dir() { dir.remove_dir_all(name) } else { dir.remove_file(name) }
    }
}

/// Makes exactly these links into the folder of authorised skills, in the agent's folder that comes before its package.
/// Whatever else has such a name stays, and is judged.
pub(crate) fn ensure_links(
    root: &Path,
    user: Option<(u32, u32)>,
    ours: &Path,
    names: &BTreeSet<&str>,
) -> io::Result<()> {
    let mut dir = open_trusted(root)?;
    for segment in LINKS {
        let made = match dir.open_dir_nofollow(segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && names.is_empty() => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                dir.create_dir(segment)?;
                if let Some((uid, gid)) = user {
                    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                    fchownat(&dir, *segment, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                }
                dir.open_dir_nofollow(segment)?
            }
            opened => opened?,
        };
        dir = made;
    }
    for name in links(&dir, ours)? {
        if !names.contains(name.as_str()) {
            dir.remove_file(&name)?;
        }
    }
    for name in names {
        match dir.symlink_contents(ours.join(name), name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Names of the links in `dir` that lead to a skill of ours by the same name.
fn links(dir: &Dir, ours: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in dir.entries()?.take(20_000) {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if dir.read_link_contents(&name).is_ok_and(|target| target == ours.join(&name)) {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(path: &[&str]) -> Found {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        Found { path, name: "x".to_owned(), hash: None, note: None }
    }

    #[test]
    fn what_is_taken_is_moved_whole_and_the_oldest_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let (root, kept) = (dir.path().join("agent"), dir.path().join("quarantine"));
        let quarantine = Quarantine::new(kept.clone(), root.clone());
        let skill = root.join("workspace/skills/x");
        for n in 0..QUARANTINE_MAX + 2 {
            std::fs::create_dir_all(&skill).unwrap();
            std::fs::write(skill.join("n"), n.to_string()).unwrap();
            let name = quarantine.take(&found(&["workspace", "skills", "x"])).unwrap();
            assert_eq!(std::fs::read_to_string(kept.join(name).join("n")).unwrap(), n.to_string());
        }
        assert_eq!(std::fs::read_dir(&kept).unwrap().count(), QUARANTINE_MAX);
        assert!(!kept.join("000001-x").exists() && !skill.exists());
        assert!(quarantine.take(&found(&["workspace", "skills", "x"])).is_err());
    }

    #[test]
    fn a_link_is_taken_as_a_link_and_none_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (root, kept) = (dir.path().join("agent"), dir.path().join("quarantine"));
        let precious = dir.path().join("precious");
        std::fs::create_dir_all(precious.join("x")).unwrap();
        std::fs::create_dir_all(root.join("workspace")).unwrap();
        symlink(&precious, root.join("workspace/skills")).unwrap();
        let quarantine = Quarantine::new(kept.clone(), root);
        assert!(quarantine.take(&found(&["workspace", "skills", "x"])).is_err());
        let name = quarantine.take(&found(&["workspace", "skills"])).unwrap();
        assert!(std::fs::symlink_metadata(kept.join(name)).unwrap().is_symlink());
        assert!(precious.join("x").exists());
    }

    #[test]
    fn links_are_made_and_removed_and_what_is_the_agents_stays() {
        let dir = tempfile::tempdir().unwrap();
        let ours = Path::new("/run/agent/config/skills");
        let set = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<&str>>();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        ensure_links(dir.path(), None, ours, &set(&[])).unwrap();
        assert!(!dir.path().join("state/skills").exists(), "nothing is made for nothing");
        let user = nix::unistd::Uid::effective().is_root().then_some((2_138_000_011, 2_138_000_012));
        ensure_links(dir.path(), user, ours, &set(&["a", "b"])).unwrap();
        if let Some((uid, _)) = user {
            let made = std::fs::metadata(dir.path().join("state/skills")).unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), uid);
        }
        let target = |name: &str| std::fs::read_link(dir.path().join("state/skills").join(name)).ok();
        assert_eq!(target("a"), Some(ours.join("a")));
        std::fs::remove_file(dir.path().join("state/skills/b")).unwrap();
        std::fs::create_dir(dir.path().join("state/skills/b")).unwrap();
        symlink("/etc", dir.path().join("state/skills/c")).unwrap();
        ensure_links(dir.path(), None, ours, &set(&["b"])).unwrap();
        assert_eq!((target("a"), target("b"), target("c")), (None, None, Some("/etc".into())));
        std::fs::rename(dir.path().join("state/skills"), dir.path().join("elsewhere")).unwrap();
        symlink(dir.path().join("elsewhere"), dir.path().join("state/skills")).unwrap();
        assert!(ensure_links(dir.path(), None, ours, &set(&["d"])).is_err());
    }
}
