//! The folder of authorised skills, which the agent can read and not write.
//!
//! Contents lie in `.store/<hash>`, whole from their first moment; `<name>` is a link to one of them. A link is replaced
//! by renaming another over it, so there is always one version and never a half, and what a crash leaves is something
//! that no link leads to: [`Managed::keep_only`] removes it.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, fchown, symlink};
use std::path::{Path, PathBuf};

use creel_wire::guest::SkillPin;
use creel_wire::skill_content::{Files, content_hash, is_executable};

use super::tree::{Fingerprint, look, open_trusted, read};
use crate::files::{Ownership, ensure_dir};

/// Not seen by OpenClaw, which passes over names with a dot.
const STORE: &str = ".store";

/// What is there under the name of a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Missing,
    /// Exactly the content with this hash.
    Whole(String),
    /// Not what was installed; the hash of what is there, if it can be read.
    Changed(Option<String>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Managed {
    dir: PathBuf,
    /// The agent's user and group, where they are not the guest's.
    user: Option<(u32, u32)>,
    /// What was read already, by the name of the content.
    known: HashMap<String, (Fingerprint, String)>,
}

impl Managed {
    pub(crate) fn new(dir: PathBuf, user: Option<(u32, u32)>) -> Self {
        Self { dir, user, known: HashMap::new() }
    }

    fn store(&self) -> PathBuf {
        self.dir.join(STORE)
    }

    /// Compares what is there with what its name promises.
    pub(crate) fn standing(&mut self, name: &str) -> Standing {
        let target = match std::fs::read_link(self.dir.join(name)) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Standing::Missing,
            Err(_) => return Standing::Changed(None),
        };
        let hash = target.strip_prefix(STORE).ok().and_then(Path::to_str).filter(|hash| is_hash(hash));
        let Some(hash) = hash else { return Standing::Changed(None) };
        match self.hash_of(hash) {
            Some(found) if found == hash => Standing::Whole(found),
            other => Standing::Changed(other),
        }
    }

    fn hash_of(&mut self, name: &str) -> Option<String> {
        let dir = open_trusted(&self.store().join(name)).ok()?;
        let fingerprint = look(&dir).ok()?.fingerprint;
        if let Some((known, hash)) = self.known.get(name)
            && *known == fingerprint
        {
            return Some(hash.clone());
        }
        let hash = content_hash(&read(&dir).ok()?);
        self.known.insert(name.to_owned(), (fingerprint, hash.clone()));
        Some(hash)
    }

    /// Puts a content under its name, in place of whatever is there. The files have the pin's hash.
    pub(crate) fn install(&mut self, pin: &SkillPin, files: &Files) -> io::Result<()> {
        ensure_dir(&self.store(), self.folder())?;
        let place = self.store().join(&pin.content_hash);
        if self.hash_of(&pin.content_hash).as_deref() != Some(&pin.content_hash) {
            self.known.remove(&pin.content_hash);
            let beside = |what: &str| self.store().join(format!(".{what}-{}", pin.content_hash));
            let (fresh, old) = (beside("new"), beside("old"));
            remove(&fresh)?;
            self.write(&fresh, files)?;
            remove(&old)?;
            match std::fs::rename(&place, &old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::fs::rename(&fresh, &place)?,
            }
            sync_dir(&self.store())?;
            remove(&old)?;
        }
        let link = self.dir.join(format!(".{}.new", pin.name));
        remove(&link)?;
        symlink(Path::new(STORE).join(&pin.content_hash), &link)?;
        let name = self.dir.join(&pin.name);
        // A link is renamed over; nothing can be renamed over a folder, which is none of ours.
        if std::fs::symlink_metadata(&name).is_ok_and(|meta| meta.is_dir()) {
            remove(&name)?;
        }
        std::fs::rename(&link, &name)?;
        sync_dir(&self.dir)
    }

    fn write(&self, root: &Path, files: &Files) -> io::Result<()> {
        self.make_dir(root)?;
        for (path, bytes) in files {
            let path = root.join(path);
            let above: Vec<&Path> = path.ancestors().skip(1).take_while(|dir| *dir != root).collect();
            for dir in above.into_iter().rev() {
                if !dir.exists() {
                    self.make_dir(dir)?;
                }
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(bytes)?;
            let run = if is_executable(bytes) { 0o110 } else { 0 };
            let mode = if self.user.is_some() { 0o640 } else { 0o600 } | run;
            if let Some((_, gid)) = self.user {
                fchown(&file, Some(0), Some(gid))?;
            }
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()?;
        }
        Ok(())
    }

    fn folder(&self) -> Ownership {
        let mode = if self.user.is_some() { 0o750 } else { 0o700 };
        Ownership { owner: self.user.map(|(_, gid)| (0, gid)), mode }
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let Ownership { owner, mode } = self.folder();
        DirBuilder::new().mode(0o700).create(path)?;
        if let Some((uid, gid)) = owner {
            chown(path, Some(uid), Some(gid))?;
        }
        std::fs::set_permissions(path, Permissions::from_mode(mode))
    }

    /// Removes every name and every content that is none of these.
    pub(crate) fn keep_only(&mut self, wanted: &[&SkillPin]) -> io::Result<()> {
        for (name, path) in entries(&self.dir)? {
            if name != STORE && !wanted.iter().any(|pin| pin.name == name) {
                remove(&path)?;
            }
        }
        let linked: Vec<PathBuf> =
            wanted.iter().filter_map(|pin| std::fs::read_link(self.dir.join(&pin.name)).ok()).collect();
        for (name, path) in entries(&self.store())? {
            if !linked.contains(&Path::new(STORE).join(&name)) {
                self.known.remove(&name);
                // Out of its name first: half of a content must not have it.
                let old = self.store().join(format!(".old-{name}"));
                std::fs::rename(&path, &old)?;
                remove(&old)?;
            }
        }
        Ok(())
    }
}

/// Whether this can be the hash of a content, and so the name of a folder.
pub(crate) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn entries(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
            .collect(),
    }
}

/// Removes whatever has this name, and no less when nothing has.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> (SkillPin, Files) {
        let files = Files::from([
            ("SKILL.md".to_owned(), text.as_bytes().to_vec()),
            ("scripts/a/run.sh".to_owned(), b"#!/bin/sh\n".to_vec()),
        ]);
        (SkillPin { name: "pdf".to_owned(), content_hash: content_hash(&files) }, files)
    }

    fn managed() -> (tempfile::TempDir, Managed) {
        let dir = tempfile::tempdir().unwrap();
        let managed = Managed::new(dir.path().to_owned(), None);
        (dir, managed)
    }

    #[test]
    fn a_version_follows_another_and_nothing_stays_behind() {
        let (dir, mut managed) = managed();
        let ((one, first), (two, second)) = (content("one"), content("two"));
        assert_eq!(managed.standing("pdf"), Standing::Missing);
        managed.install(&one, &first).unwrap();
        assert_eq!(managed.standing("pdf"), Standing::Whole(one.content_hash.clone()));
        let mode =
            |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("pdf/scripts/a/run.sh"), mode("pdf/SKILL.md")), (0o710, 0o600));
        managed.install(&two, &second).unwrap();
        assert_eq!(std::fs::read(dir.path().join("pdf/SKILL.md")).unwrap(), b"two");
        // What a crash may leave at any of its moments.
        std::fs::create_dir(dir.path().join(".store/.new-x")).unwrap();
        std::fs::create_dir(dir.path().join(".store/.old-x")).unwrap();
        symlink("nowhere", dir.path().join(".pdf.new")).unwrap();
        managed.keep_only(&[&two]).unwrap();
        let names =
            |path: &Path| entries(path).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&dir.path().join(STORE)), std::slice::from_ref(&two.content_hash));
        assert_eq!(names(dir.path()).len(), 2);
        managed.keep_only(&[]).unwrap();
        assert_eq!((managed.standing("pdf"), names(dir.path())), (Standing::Missing, vec![STORE.to_owned()]));
    }

    #[test]
    fn what_was_changed_is_seen_and_replaced() {
        let (dir, mut managed) = managed();
        let (pin, files) = content("one");
        managed.install(&pin, &files).unwrap();
        assert!(matches!(managed.standing("pdf"), Standing::Whole(_)));
        std::fs::write(dir.path().join("pdf/SKILL.md"), "TWO").unwrap();
        assert!(matches!(managed.standing("pdf"), Standing::Changed(Some(_))));
        managed.install(&pin, &files).unwrap();
        assert_eq!(managed.standing("pdf"), Standing::Whole(pin.content_hash.clone()));
        // A folder in the link's place, and a link to elsewhere.
        std::fs::remove_file(dir.path().join("pdf")).unwrap();
        std::fs::create_dir_all(dir.path().join("pdf/x")).unwrap();
        assert_eq!(managed.standing("pdf"), Standing::Changed(None));
        managed.install(&pin, &files).unwrap();
        std::fs::remove_file(dir.path().join("pdf")).unwrap();
        symlink("/etc", dir.path().join("pdf")).unwrap();
        assert_eq!(managed.standing("pdf"), Standing::Changed(None));
        managed.install(&pin, &files).unwrap();
        assert_eq!(managed.standing("pdf"), Standing::Whole(pin.content_hash));
    }
}
