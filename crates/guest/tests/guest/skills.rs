//! Skills through a whole guest: fetched, installed, looked after, and whole whenever the guest is killed.

use std::path::Path;
use std::time::Duration;

use creel_wire::guest::{
    DesiredState, DriftPolicy, Skill, SkillInventory, SkillPin, SkillSeen, SkillState, SkillsConfig,
};
use creel_wire::skill_content::{Files, content_hash};
use nix::sys::signal::Signal;

use crate::fixture::{Guest, PATIENCE};
use crate::server::FakeServer;
use crate::{desired, receipt, uses};

/// An archive as the server packs it, and what pins it.
pub(crate) fn pack(files: &Files) -> (String, Vec<u8>) {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    (content_hash(files), builder.into_inner().unwrap())
}

pub(crate) fn files(pairs: &[(&str, &str)]) -> Files {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// A skill whose content the server has.
pub(crate) fn skill(server: &FakeServer, name: &str, files: &Files) -> Skill {
    let (content_hash, archive) = pack(files);
    let archive_bytes = archive.len() as u64;
    server.keep_content(&content_hash, archive);
    Skill {
        pin: SkillPin { name: name.to_owned(), content_hash },
        version: "1.0.0".to_owned(),
        archive_bytes,
        enabled: true,
        env: std::collections::BTreeMap::new(),
        api_key: None,
    }
}

pub(crate) fn wish(generation: i64, install: &[&Skill], secure: bool, drift: DriftPolicy) -> DesiredState {
    let install = install.iter().map(|skill| (*skill).clone()).collect();
    let skills = SkillsConfig { install, permitted: Vec::new(), secure, drift };
    DesiredState { skills: Some(skills), ..desired(generation, &["m"]) }
}

/// The next inventory of this generation that has what is wanted.
pub(crate) async fn inventory(
    server: &FakeServer,
    patience: Duration,
    generation: i64,
    wanted: impl Fn(&SkillInventory) -> bool,
) -> SkillInventory {
    server.inventory(patience, |seen| seen.generation == generation && wanted(seen)).await
}

pub(crate) fn find<'a>(
    inventory: &'a SkillInventory,
    name: &str,
    state: SkillState,
) -> Option<&'a SkillSeen> {
    inventory.skills.iter().find(|seen| seen.name == name && seen.state == state)
}

fn has(name: &'static str, state: SkillState) -> impl Fn(&SkillInventory) -> bool {
    move |inventory| find(inventory, name, state).is_some()
}

/// The hash of what lies in a folder.
fn hash_of(dir: &Path) -> Option<String> {
    fn collect(dir: &Path, prefix: &str, files: &mut Files) -> std::io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type()?.is_dir() {
                collect(&entry.path(), &format!("{path}/"), files)?;
            } else {
                files.insert(path, std::fs::read(entry.path())?);
            }
        }
        Ok(())
    }
    let mut files = Files::new();
    collect(dir, "", &mut files).ok()?;
    Some(content_hash(&files))
}

#[tokio::test]
async fn from_the_server_to_the_agent_and_away_again() {
    let server = FakeServer::start().await;
    let one =
        skill(&server, "pdf", &files(&[("SKILL.md", "---\nname: pdf\n---\none"), ("run.sh", "#!/bin/sh\n")]));
    let two = skill(&server, "pdf", &files(&[("SKILL.md", "---\nname: pdf\n---\ntwo")]));
    let lacking = skill(&server, "needy", &files(&[("SKILL.md", "---\nname: needy\n---\nneeds: gh\n")]));
    let unknown =
        Skill { pin: SkillPin { name: "gone".to_owned(), content_hash: "0".repeat(64) }, ..one.clone() };
    let mut forged = skill(&server, "forged", &files(&[("SKILL.md", "other")]));
    server.keep_content(&"1".repeat(64), pack(&files(&[("SKILL.md", "other")])).1);
    forged.pin.content_hash = "1".repeat(64);
    server.set_desired(wish(1, &[&one, &lacking, &unknown, &forged], false, DriftPolicy::Warn));
    let guest = Guest::start(&server);
    receipt(&server, uses(1)).await;
    let seen = inventory(&server, PATIENCE, 1, |seen| {
        let failed = ["needy", "gone", "forged"];
        find(seen, "pdf", SkillState::Installed).is_some()
            && failed.iter().all(|name| find(seen, name, SkillState::Failed).is_some())
    })
    .await;
    let note = |name: &str| find(&seen, name, SkillState::Failed).unwrap().note.clone().unwrap();
    assert_eq!(note("needy"), "the agent cannot use it, it lacks programs gh");
    assert!(note("gone").contains("404"), "{}", note("gone"));
    assert!(note("forged").contains("not the authorised one"), "{}", note("forged"));
    let place = guest.path("agent/config/skills/pdf");
    assert_eq!(hash_of(&place).unwrap(), one.pin.content_hash);
    assert!(!guest.path("agent/config/skills/forged").exists());

    server.set_desired(wish(2, &[&two], false, DriftPolicy::Warn));
    let hash = two.pin.content_hash.clone();
    inventory(&server, PATIENCE, 2, |seen| {
        find(seen, "pdf", SkillState::Installed).is_some_and(|seen| seen.content_hash.as_ref() == Some(&hash))
    })
    .await;
    let off = Skill { enabled: false, ..two.clone() };
    server.set_desired(wish(3, &[&off], false, DriftPolicy::Warn));
    inventory(&server, PATIENCE, 3, has("pdf", SkillState::Disabled)).await;
    receipt(&server, uses(3)).await;

    // The next guest needs no server to have what it had.
    server.set_desired(wish(4, &[&two], false, DriftPolicy::Warn));
    inventory(&server, PATIENCE, 4, has("pdf", SkillState::Installed)).await;
    let fetches = server.fetches();
    server.forget_inventories();
    let guest = guest.replace(&server);
    inventory(&server, PATIENCE, 4, has("pdf", SkillState::Installed)).await;
    assert_eq!(server.fetches(), fetches);

    server.set_desired(wish(5, &[], false, DriftPolicy::Warn));
    inventory(&server, PATIENCE, 5, |seen| seen.skills.is_empty()).await;
    assert!(std::fs::symlink_metadata(guest.path("agent/config/skills/pdf")).is_err());
    assert_eq!(std::fs::read_dir(guest.path("guest/skills")).unwrap().count(), 0);
    assert_eq!(guest.starts().len(), 1, "never restarted for any of it");
    assert!(!guest.log().contains("canary"));
}

#[tokio::test]
async fn drift_is_told_and_where_the_policy_says_so_undone() {
    let server = FakeServer::start().await;
    let one = skill(&server, "pdf", &files(&[("SKILL.md", "---\nname: pdf\n---\none")]));
    server.set_desired(wish(1, &[&one], false, DriftPolicy::Warn));
    let guest = Guest::start(&server);
    inventory(&server, PATIENCE, 1, has("pdf", SkillState::Installed)).await;
    let (own, shadow) =
        (guest.path("agent/config/skills/pdf/SKILL.md"), guest.path("agent/workspace/skills/pdf"));
    std::fs::write(&own, "tampered").unwrap();
    inventory(&server, PATIENCE, 1, has("pdf", SkillState::Modified)).await;
    std::fs::create_dir_all(&shadow).unwrap();
    std::fs::write(shadow.join("SKILL.md"), "---\nname: pdf\n---\nevil").unwrap();
    inventory(&server, PATIENCE, 1, has("pdf", SkillState::Shadowing)).await;
    assert!(shadow.exists() && std::fs::read(&own).unwrap() == b"tampered", "warned, and no more");

    server.go_away().await;
    server.set_desired(wish(2, &[&one], false, DriftPolicy::Restore));
    server.come_back();
    let seen = inventory(&server, PATIENCE, 2, has("pdf", SkillState::Installed)).await;
    let taken = find(&seen, "pdf", SkillState::Shadowing).expect("what was done stays told for a while");
    let note = taken.note.clone().unwrap();
    let kept = note.rsplit_once('/').unwrap().1;
    assert!(!shadow.exists());
    let kept = guest.path("guest/quarantine").join(kept).join("SKILL.md");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "---\nname: pdf\n---\nevil");
    assert_eq!(hash_of(own.parent().unwrap()).unwrap(), one.pin.content_hash);

    // Somebody else's is nobody's business here, and may not stay on a secure agent.
    let foreign = guest.path("agent/workspace/skills/own");
    std::fs::create_dir_all(&foreign).unwrap();
    std::fs::write(foreign.join("SKILL.md"), "---\nname: own\n---\n").unwrap();
    inventory(&server, PATIENCE, 2, has("own", SkillState::Foreign)).await;
    assert!(foreign.exists());
    server.set_desired(wish(3, &[&one], true, DriftPolicy::Restore));
    inventory(&server, PATIENCE, 3, |seen| {
        find(seen, "own", SkillState::Foreign)
            .is_some_and(|seen| seen.note.as_ref().is_some_and(|note| note.contains("quarantine")))
    })
    .await;
    assert!(!foreign.exists());
}

#[tokio::test]
async fn a_server_without_skills_leaves_all_alone() {
    let server = FakeServer::start().await;
    let one = skill(&server, "pdf", &files(&[("SKILL.md", "---\nname: pdf\n---\none")]));
    server.set_desired(wish(1, &[&one], true, DriftPolicy::Restore));
    let guest = Guest::start(&server);
    inventory(&server, PATIENCE, 1, has("pdf", SkillState::Installed)).await;
    server.set_desired(desired(2, &["m"]));
    receipt(&server, uses(2)).await;
    let foreign = guest.path("agent/workspace/skills/own");
    std::fs::create_dir_all(&foreign).unwrap();
    std::fs::write(foreign.join("SKILL.md"), "---\nname: own\n---\n").unwrap();
    server.set_desired(wish(3, &[&one], false, DriftPolicy::Warn));
    inventory(&server, PATIENCE, 3, has("own", SkillState::Foreign)).await;
    assert!(guest.path("agent/config/skills/pdf/SKILL.md").exists() && foreign.exists());
}

#[tokio::test]
async fn a_guest_killed_at_any_moment_leaves_one_version_or_the_other() {
    const ROUNDS: u64 = 48;
    let server = FakeServer::start().await;
    // Many files take long enough to be killed between any two.
    let version = |n: u64| {
        let mut files = files(&[("SKILL.md", "---\nname: pdf\n---\n")]);
        for file in 0..30 {
            files.insert(format!("d{}/f{file}", file % 7), format!("version {n} file {file}").into_bytes());
        }
        skill(&server, "pdf", &files)
    };
    let versions: Vec<Skill> = (0..4).map(version).collect();
    let known = |hash: &String| versions.iter().any(|version| version.pin.content_hash == *hash);
    server.set_desired(wish(1, &[&versions[0]], true, DriftPolicy::Restore));
    let mut guest = Guest::start(&server);
    let place = guest.path("agent/config/skills/pdf");
    inventory(&server, PATIENCE, 1, has("pdf", SkillState::Installed)).await;
    let mut random = 0x5eed_u64;
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let next = &versions[usize::try_from((round + 1) % 4).unwrap()];
        let generation = i64::try_from(round).unwrap() + 2;
        server.set_desired(wish(generation, &[next], true, DriftPolicy::Restore));
        // The moment of the kill is what is varied.
        tokio::time::sleep(Duration::from_micros((random >> 33) % 1_000_000)).await;
        guest.signal(Signal::SIGKILL);
        guest.child.wait().unwrap();
        let found = hash_of(&place).expect("there is always one");
        assert!(known(&found), "round {round}: a half version");
        let done = if found == next.pin.content_hash { "new" } else { "old" };
        *seen.entry(done.to_owned()).or_default() += 1;
        guest = guest.replace(&server);
        server.next_link(PATIENCE).await;
    }
    eprintln!("what {ROUNDS} kills left: {seen:?}");
    let last = &versions[usize::try_from(ROUNDS % 4).unwrap()];
    let hash = last.pin.content_hash.clone();
    let generation = i64::try_from(ROUNDS).unwrap() + 2;
    server.set_desired(wish(generation, &[last], true, DriftPolicy::Restore));
    inventory(&server, PATIENCE, generation, |seen| {
        find(seen, "pdf", SkillState::Installed).is_some_and(|seen| seen.content_hash.as_ref() == Some(&hash))
    })
    .await;
    let names = |path: &str| {
        let mut names: Vec<String> = std::fs::read_dir(guest.path(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("agent/config/skills"), [".store", "pdf"]);
    assert_eq!(names("agent/config/skills/.store"), std::slice::from_ref(&hash));
    // None at all where the version that was wanted last was still in its place.
    assert!(names("guest/skills").iter().all(|name| *name == format!("{hash}.tar")));
}
