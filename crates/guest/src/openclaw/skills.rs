//! Skills as OpenClaw 2026.9.6 knows them: where it looks, what its configuration says of them, what it lists.
//!
//! The authorised ones are in a folder that the agent cannot write, named by `skills.load.extraDirs`. That is the
//! place OpenClaw ranks lowest: [`PLACES`] come before it, and so does what the package carries ([`Packaged`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use creel_wire::guest::{Skill, SkillsConfig};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::config::{AgentPaths, SecretFiles};

/// Named where no bundled skill is allowed: OpenClaw takes an empty list for no list.
const NO_BUNDLED: &str = "creel-none";
/// OpenClaw looks at no more folders of one place unless told; beyond half of it, it is told.
const PLACE_DEFAULT: usize = 200;

/// Where agents put skills of their own, from the agent's directory; `*` is every folder there. All of these hide an
/// authorised one of the same name.
pub(crate) const PLACES: &[&[&str]] = &[
    &["workspace", "skills"],
    &["workspace", ".agents", "skills"],
    &["home", ".agents", "skills"],
    &["home", ".openclaw", "skills"],
    LINKS,
    &["state", "agents", "*", "agent", "workshop-skills"],
];

/// The skills that come with OpenClaw's package. They hide one of ours, which then needs a link in the agent's
/// [`LINKS`].
#[derive(Debug)]
pub(crate) struct Packaged {
    dir: PathBuf,
    /// Where OpenClaw links those of its plugins, as the agent sees it. It follows these links to its plugins only.
    generated: PathBuf,
    names: BTreeSet<String>,
}

impl Packaged {
    pub(crate) fn new(package_dir: &Path, inside: &AgentPaths) -> Self {
        let paths = |dir: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let plugins =
            paths(&package_dir.join("dist/extensions")).into_iter().map(|plugin| plugin.join("skills"));
        let own = [package_dir.join("skills"), package_dir.join("custodian-skills")];
        let skills = own.into_iter().chain(plugins).flat_map(|folder| paths(&folder));
        let names = skills.filter_map(|skill| Some(skill.file_name()?.to_str()?.to_owned())).collect();
        Self { dir: package_dir.to_owned(), generated: inside.state().join("plugin-skills"), names }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether what OpenClaw lists in `dir` is the package's.
    fn is_at(&self, name: &str, dir: &Path) -> bool {
        dir.starts_with(&self.dir) || self.has(name) && dir == self.generated.join(name)
    }
}

/// A folder of the agent's that comes before the package, and in which OpenClaw follows links anywhere.
pub(crate) const LINKS: &[&str] = &["state", "skills"];

/// What the configuration says beside the rest of it.
pub(super) fn overlay(skills: &SkillsConfig, paths: &AgentPaths, files: &mut SecretFiles) -> Value {
    let mut entries = Map::new();
    for skill in &skills.install {
        entries.insert(skill.pin.name.clone(), entry(skill, files));
    }
    let mut section = Map::new();
    section.insert("load".to_owned(), json!({ "extraDirs": [paths.skills_dir()] }));
    section.insert("entries".to_owned(), Value::Object(entries));
    if skills.install.len() > PLACE_DEFAULT / 2 {
        let most = skills.install.len() * 2;
        let limits = json!({ "maxCandidatesPerRoot": most, "maxSkillsLoadedPerSource": most,
                             "maxSkillsInPrompt": most });
        section.insert("limits".to_owned(), limits);
    }
    if !skills.secure {
        return json!({ "skills": section });
    }
    section.insert("allowBundled".to_owned(), json!([NO_BUNDLED]));
    section.insert("install".to_owned(), json!({ "allowUploadedArchives": false }));
    let names = skills.install.iter().map(|skill| &skill.pin.name);
    let allowed: BTreeSet<&String> = names.chain(skills.permitted.iter().map(|pin| &pin.name)).collect();
    json!({
        "skills": section,
        "agents": { "defaults": { "skills": allowed } },
        // Enabled without a program that decides: every installation is refused.
        "security": { "installPolicy": { "enabled": true } },
        // Commands on the agent's own list of approvals run, all others wait for a person, and are denied without one.
        "tools": { "exec": { "mode": "ask" }, "deny": ["skill_workshop"] },
    })
}

fn entry(skill: &Skill, files: &mut SecretFiles) -> Value {
    let mut entry = Map::new();
    entry.insert("enabled".to_owned(), json!(skill.enabled));
    if let Some(key) = &skill.api_key {
        // A short name: OpenClaw limits those of references, and names of skills are longer.
        let digest = Sha256::digest(skill.pin.name.as_bytes());
        let label: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        entry.insert("apiKey".to_owned(), files.reference(&format!("skill-{label}"), key));
    }
    if !skill.env.is_empty() {
        // OpenClaw takes nothing but text here. The agent could read a file as well as this.
        let env: BTreeMap<&String, &str> =
            skill.env.iter().map(|(name, value)| (name, value.expose())).collect();
        entry.insert("env".to_owned(), json!(env));
    }
    Value::Object(entry)
}

/// What of a configuration decides about skills, without secrets: the same from the file and from the running agent.
pub(super) fn view(config: &Value) -> Value {
    let at = |pointer: &str| config.pointer(pointer).unwrap_or(&Value::Null);
    let mut entries = BTreeMap::new();
    for (name, entry) in at("/skills/entries").as_object().into_iter().flatten() {
        let env = entry.get("env").and_then(Value::as_object).into_iter().flatten();
        let names: BTreeSet<&String> = env.map(|(name, _)| name).collect();
        entries.insert(name, json!([entry.get("enabled"), names, entry.get("apiKey").is_some()]));
    }
    json!({
        "dirs": at("/skills/load/extraDirs"),
        "bundled": at("/skills/allowBundled"),
        "allowed": at("/agents/defaults/skills"),
        "exec": at("/tools/exec/mode"),
        "deny": at("/tools/deny"),
        "policy": at("/security/installPolicy/enabled"),
        "entries": entries,
    })
}

/// One skill as OpenClaw lists it: of those with the same name only the one that wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// As the agent sees it, links followed in some places and not in others.
    pub(crate) dir: String,
    pub(crate) source: String,
    /// From the package or one of its plugins.
    pub(crate) packaged: bool,
    pub(crate) eligible: bool,
    /// Turned off by the configuration that runs.
    pub(crate) disabled: bool,
    /// Why it is not eligible, in words; empty otherwise.
    pub(crate) missing: String,
}

/// Reads the payload of `skills.status`.
pub(super) fn listed(payload: &Value, package: &Packaged) -> Vec<Listed> {
    let skills = payload.get("skills").and_then(Value::as_array);
    skills.into_iter().flatten().filter_map(|skill| listed_one(skill, package)).collect()
}

fn listed_one(skill: &Value, package: &Packaged) -> Option<Listed> {
    let text = |name: &str| skill.get(name).and_then(Value::as_str).unwrap_or_default();
    let flag = |name: &str| skill.get(name).and_then(Value::as_bool).unwrap_or_default();
    let name = skill.get("name")?.as_str()?.to_owned();
    let mut missing = Vec::new();
    for (kind, values) in skill.get("missing").and_then(Value::as_object).into_iter().flatten() {
        let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !values.is_empty() {
            let kind = match kind.as_str() {
                "bins" => "programs",
                "anyBins" => "one of the programs",
                "env" => "environment variables",
                "config" => "settings",
                "os" => "an operating system of",
                other => other,
            };
            missing.push(format!("{kind} {}", values.join(", ")));
        }
    }
    let key = text("skillKey");
    if !key.is_empty() && key != name {
        missing.push(format!("its settings, which it wants under the name {key}"));
    }
    if flag("blockedByAllowlist") || flag("blockedByAgentFilter") {
        missing.push("permission of the agent's list of skills".to_owned());
    }
    let dir = text("baseDir").to_owned();
    let packaged = flag("bundled") || package.is_at(&name, Path::new(&dir));
    Some(Listed {
        name,
        packaged,
        source: text("source").to_owned(),
        eligible: flag("eligible") && missing.is_empty(),
        disabled: flag("disabled"),
        missing: missing.join("; "),
        dir,
    })
}

#[cfg(test)]
#[path = "skills_tests.rs"]
mod tests;
