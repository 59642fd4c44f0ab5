//! What was found, against what should be: a pure function. What it says is reported, and done where the policy says so.

use std::collections::BTreeMap;
use std::path::Path;

use creel_wire::guest::{
    DriftPolicy, SKILLS_SEEN_MAX, Skill, SkillInventory, SkillPin, SkillSeen, SkillState, SkillsConfig,
};

use super::managed::Standing;
use super::scan::{Found, Scan};
use crate::openclaw::rpc::clip;
use crate::openclaw::skills::{Listed, PLACES};

/// Bytes of a note at the most.
const NOTE_BYTES_MAX: usize = 400;
/// Bytes of a place at the most.
const PLACE_BYTES_MAX: usize = 256;
/// The place that only the guest writes.
const MANAGED: &str = "managed";

/// What the guest did and found for one skill that is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) standing: Standing,
    /// Why it is not there, in words.
    pub(crate) trouble: Option<Trouble>,
}

/// Why a skill is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is on its way, or tried again soon.
    Passing(String),
    Lasting(String),
}

/// All that is known.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) generation: i64,
    pub(crate) config: &'a SkillsConfig,
    pub(crate) placed: &'a BTreeMap<String, Placed>,
    pub(crate) scan: &'a Scan,
    /// What the running agent listed last; `None` when nothing was heard of it.
    pub(crate) listed: Option<&'a [Listed]>,
    /// The agent's directory and the folder of authorised skills in it, as the agent sees them.
    pub(crate) inside: &'a Path,
    pub(crate) managed: &'a Path,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) inventory: SkillInventory,
    /// What may not stay, with the words that the inventory has for it.
    pub(crate) remove: Vec<(Found, SkillSeen)>,
    /// Nothing is on its way any more.
    pub(crate) settled: bool,
}

/// Whether a changed content of ours is put back.
pub(crate) fn puts_back(config: &SkillsConfig) -> bool {
    config.secure || config.drift == DriftPolicy::Restore
}

pub(crate) fn judge(facts: &Facts<'_>) -> Verdict {
    let mut skills: Vec<SkillSeen> =
        facts.config.install.iter().map(|skill| installed(facts, skill)).collect();
    let settled = !skills.iter().any(|seen| seen.state == SkillState::Pending);
    let mut remove = Vec::new();
    let mut others = Vec::new();
    for found in &facts.scan.found {
        let found = &named(facts, found);
        let (state, removed) = state_of(facts.config, found);
        let seen = seen(found, state);
        if removed {
            remove.push((found.clone(), seen.clone()));
        }
        others.push(seen);
    }
    others.extend(elsewhere(facts));
    // What deceives comes first: a crowd of others must not push it off the list.
    others.sort_by_key(|seen| (seen.state != SkillState::Shadowing, seen.place.clone(), seen.name.clone()));
    skills.extend(others);
    let truncated = facts.scan.truncated || skills.len() > SKILLS_SEEN_MAX;
    skills.truncate(SKILLS_SEEN_MAX);
    Verdict { inventory: SkillInventory { generation: facts.generation, skills, truncated }, remove, settled }
}

fn installed(facts: &Facts<'_>, skill: &Skill) -> SkillSeen {
    let SkillPin { name, content_hash } = &skill.pin;
    let placed = facts.placed.get(name);
    let hash = match placed.map(|placed| &placed.standing) {
        Some(Standing::Whole(hash)) => Some(hash.clone()),
        Some(Standing::Changed(hash)) => hash.clone(),
        Some(Standing::Missing) | None => None,
    };
    let (state, note) = match placed {
        None => (SkillState::Pending, None),
        Some(Placed { trouble: Some(Trouble::Lasting(why)), .. }) => (SkillState::Failed, Some(why.clone())),
        Some(Placed { trouble: Some(Trouble::Passing(why)), .. }) => (SkillState::Pending, Some(why.clone())),
        Some(Placed { standing: Standing::Changed(_), .. }) => (SkillState::Modified, None),
        Some(Placed { standing: Standing::Whole(hash), .. }) if hash == content_hash => visible(facts, skill),
        Some(_) => (SkillState::Pending, None),
    };
    SkillSeen {
        name: name.clone(),
        place: MANAGED.to_owned(),
        content_hash: hash,
        state,
        note: note.map(|note| clip(&note, NOTE_BYTES_MAX)),
    }
}

/// How the agent itself sees a skill whose bytes are in their place.
fn visible(facts: &Facts<'_>, skill: &Skill) -> (SkillState, Option<String>) {
    if !skill.enabled {
        return (SkillState::Disabled, None);
    }
    let name = &skill.pin.name;
    let pending = |why: &str| (SkillState::Pending, Some(why.to_owned()));
    let Some(listed) = facts.listed else { return pending("the agent has not said yet that it sees it") };
    let Some(one) = listed.iter().find(|one| one.name == *name) else {
        return pending("the agent does not list it");
    };
    let dir = Path::new(&one.dir);
    let ours = dir.starts_with(facts.managed);
    if !ours {
        let same = facts.scan.found.iter().any(|found| {
            found.name == *name
                && found.hash.as_ref() == Some(&skill.pin.content_hash)
                && facts.inside.join(found.text()) == dir
        });
        if !same {
            let why = format!("the agent sees another skill of this name, in {}", one.dir);
            return (SkillState::Failed, Some(why));
        }
    }
    if one.eligible {
        (SkillState::Installed, None)
    } else if one.disabled {
        pending("the agent has it turned off, and is told to turn it on")
    } else {
        (SkillState::Failed, Some(format!("the agent cannot use it, it lacks {}", one.missing)))
    }
}

/// With the name that the agent has for it, where it lists it: that is the one it is used by.
fn named(facts: &Facts<'_>, found: &Found) -> Found {
    let dir = facts.inside.join(found.text());
    let listed = facts.listed.unwrap_or_default().iter().find(|one| Path::new(&one.dir) == dir);
    Found { name: listed.map_or(&found.name, |one| &one.name).clone(), ..found.clone() }
}

/// The state of something in a folder of the agent's, and whether it is to be removed.
fn state_of(config: &SkillsConfig, found: &Found) -> (SkillState, bool) {
    let restore = config.drift == DriftPolicy::Restore;
    let pins = |pin: &SkillPin| pin.name == found.name;
    let same = |pin: &SkillPin| found.hash.as_ref() == Some(&pin.content_hash);
    if let Some(skill) = config.install.iter().find(|skill| pins(&skill.pin)) {
        if same(&skill.pin) {
            let state = if skill.enabled { SkillState::Installed } else { SkillState::Disabled };
            return (state, false);
        }
        // It is visible instead of the authorised one: no policy of a secure agent leaves it there.
        return (SkillState::Shadowing, config.secure || restore);
    }
    let mut permitted = config.permitted.iter().filter(|pin| pins(pin)).peekable();
    if permitted.peek().is_some() {
        if permitted.any(same) {
            return (SkillState::Installed, false);
        }
        // Its name is on the agent's list, its bytes are not.
        return (SkillState::Modified, config.secure);
    }
    (SkillState::Foreign, config.secure && restore)
}

fn seen(found: &Found, state: SkillState) -> SkillSeen {
    SkillSeen {
        name: found.name.clone(),
        place: clip(&found.text(), PLACE_BYTES_MAX),
        content_hash: found.hash.clone(),
        state,
        note: found.note.as_ref().map(|note| clip(note, NOTE_BYTES_MAX)),
    }
}

/// What the agent lists and neither the package, nor we, nor a look into its folders explains. What is in one of the
/// folders that are looked into is left to the next look, if it came after this one.
fn elsewhere(facts: &Facts<'_>) -> Vec<SkillSeen> {
    let unknown = |one: &&Listed| {
        let dir = Path::new(&one.dir);
        // Something found may be a link, and what is listed then lies where that leads.
        let explained = facts.scan.found.iter().any(|found| found.hash.is_none() && found.name == one.name);
        let looked_into = PLACES.iter().any(|place| {
            let named = place.iter().take_while(|segment| **segment != "*");
            dir.starts_with(named.fold(facts.inside.to_owned(), |path, segment| path.join(segment)))
        });
        !one.packaged && !dir.starts_with(facts.managed) && !explained && !looked_into
    };
    let note = |one: &Listed| Some(clip(&format!("the agent lists it in {}", one.dir), NOTE_BYTES_MAX));
    let listed = facts.listed.unwrap_or_default().iter();
    listed
        .filter(unknown)
        .map(|one| SkillSeen {
            name: clip(&one.name, 64),
            place: clip(&one.source, 64),
            content_hash: None,
            state: if facts.config.install.iter().any(|skill| skill.pin.name == one.name) {
                SkillState::Shadowing
            } else {
                SkillState::Foreign
            },
            note: note(one),
        })
        .collect()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
