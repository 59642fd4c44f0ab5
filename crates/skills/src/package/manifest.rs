//! What the front matter of a `SKILL.md` says: agentskills.io, and what OpenClaw and Hermes Agent add to it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{self, PackageError, refuse, shown};
use super::yaml;

/// Characters of a description at the most (agentskills.io).
pub const DESCRIPTION_CHARS_MAX: usize = 1_024;
const DISPLAY_NAME_CHARS_MAX: usize = 128;
const LICENSE_CHARS_MAX: usize = 256;
const CHANGE_LOG_CHARS_MAX: usize = 4_000;
const VERSION_CHARS_MAX: usize = 64;
/// Variables, and programs, at the most; and bytes of each.
const NEEDS_MAX: usize = 64;
const NEED_BYTES_MAX: usize = 128;
/// Where OpenClaw looks below `metadata`: its own name first, then those it had before.
const OPENCLAW_KEYS: [&str; 4] = ["openclaw", "clawdbot", "clawdis", "moltbot"];

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
    /// The variable that its API key goes to: `metadata.openclaw.primaryEnv`; without one, as Hermes' forms are, the
    /// only required variable that is called a key or token.
    pub api_key_env: Option<String>,
    /// Programs that it needs.
    pub required_bins: Vec<String>,
    /// As written.
    pub license: Option<String>,
    /// What changed in this version: the front matter's, else the newest part of a `CHANGELOG.md`; at most 4,000
    /// characters.
    pub change_log: Option<String>,
}

/// The keys that are read. Text is what it looks like in the file: `1.10` is a version and not a number.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrontMatter {
    pub(super) name: Option<String>,
    pub(super) slug: Option<String>,
    description: Option<String>,
    version: Option<String>,
    #[serde(alias = "display_name", alias = "displayName")]
    title: Option<String>,
    license: Value,
    #[serde(alias = "change_log", alias = "changeLog")]
    changelog: Value,
    metadata: Value,
    required_environment_variables: Value,
    prerequisites: Value,
    setup: Value,
}

/// `metadata.version` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VersionBelow {
    metadata: MetadataVersion,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetadataVersion {
    version: Option<String>,
}

impl FrontMatter {
    pub(super) fn parse(text: &str) -> Result<Self, PackageError> {
        yaml::parse(text).map_err(|cause| {
            refuse(
                error::BAD_FRONT_MATTER,
                format!("the front matter of SKILL.md is not what it should be: {cause}"),
            )
        })
    }

    /// The manifest of a skill called `name`. `heading` and `change_log` are what other places say, where the front
    /// matter says nothing; `text` is the front matter.
    pub(super) fn manifest(
        self,
        name: String,
        heading: Option<&str>,
        change_log: Option<&str>,
        text: &str,
    ) -> Result<Manifest, PackageError> {
        let description = self.description.unwrap_or_default().trim().to_owned();
        if description.is_empty() || description.chars().count() > DESCRIPTION_CHARS_MAX {
            return Err(refuse(
                error::BAD_DESCRIPTION,
                format!(
                    "the front matter of SKILL.md needs a `description` of 1 to {DESCRIPTION_CHARS_MAX} characters \
                     that says what the skill does and when to use it"
                ),
            ));
        }
        let below = || {
            // a metadata that is a text has no version to be read as written
            let below = yaml::parse::<VersionBelow>(text).unwrap_or_default();
            below.metadata.version
        };
        let written = self.version.or_else(below);
        let version = written.map(|version| normal_version(&version)).transpose()?.flatten();
        let metadata = object(self.metadata);
        let mut needs = Needs::default();
        needs.openclaw(&metadata)?;
        needs.hermes(&self.required_environment_variables, &self.prerequisites, &self.setup)?;
        let (required_env, api_key_env, required_bins) = needs.told();
        let own = self.title.or_else(|| text_of(metadata.get("title")));
        let display_name = own.as_deref().or(heading).and_then(|text| limited(text, DISPLAY_NAME_CHARS_MAX));
        let own = text_of(Some(&self.changelog)).or_else(|| text_of(metadata.get("changelog")));
        let change_log = own.as_deref().or(change_log).and_then(|text| limited(text, CHANGE_LOG_CHARS_MAX));
        let license = text_of(Some(&self.license)).and_then(|text| limited(&text, LICENSE_CHARS_MAX));
        Ok(Manifest {
            name,
            description,
            version,
            display_name,
            required_env,
            api_key_env,
            required_bins,
            license,
            change_log,
        })
    }
}

/// A semantic version of what people write: `1.0` is `1.0.0`, `v2` is `2.0.0`, `2026.01.05` is `2026.1.5`.
///
/// # Errors
/// What no semantic version can be made of.
pub fn normal_version(written: &str) -> Result<Option<String>, PackageError> {
    let text = written.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let (core, rest) = bare.split_at(bare.find(['-', '+']).unwrap_or(bare.len()));
    let parts: Result<Vec<u64>, _> = core.split('.').map(str::parse).collect();
    let version =
        parts.ok().filter(|parts| parts.len() <= 3 && text.len() <= VERSION_CHARS_MAX).and_then(|parts| {
            let part = |at: usize| parts.get(at).copied().unwrap_or_default();
            let full = format!("{}.{}.{}{rest}", part(0), part(1), part(2));
            semver::Version::parse(&full).ok()
        });
    let version = version.ok_or_else(|| {
        let here = shown(text);
        refuse(
            error::BAD_VERSION,
            format!("{here} is no semantic version: write one such as `1.2.0` or `1.2.0-beta.1`"),
        )
    })?;
    Ok(Some(version.to_string()))
}

/// What the front matter says that the skill needs.
#[derive(Debug, Default)]
struct Needs {
    env: BTreeSet<String>,
    bins: BTreeSet<String>,
    primary: Option<String>,
}

impl Needs {
    fn openclaw(&mut self, metadata: &Map<String, Value>) -> Result<(), PackageError> {
        let Some(told) = OPENCLAW_KEYS.iter().find_map(|key| metadata.get(*key)) else { return Ok(()) };
        let told = object(told.clone());
        let requires = told.get("requires").cloned().map(object).unwrap_or_default();
        for name in texts(requires.get("env")) {
            self.add_env(&name)?;
        }
        for entry in list(told.get("envVars")) {
            if entry.get("required").and_then(Value::as_bool) != Some(false)
                && let Some(name) = text_of(entry.get("name").or(Some(entry)))
            {
                self.add_env(&name)?;
            }
        }
        for name in texts(requires.get("bins")) {
            self.add_bin(&name)?;
        }
        if let Some(name) = text_of(told.get("primaryEnv")) {
            self.add_env(&name)?;
            self.primary = Some(name);
        }
        Ok(())
    }

    /// The current form, that of its setup, and the one before both.
    fn hermes(
        &mut self,
        variables: &Value,
        prerequisites: &Value,
        setup: &Value,
    ) -> Result<(), PackageError> {
        let secrets = setup.get("collect_secrets");
        for entry in list(Some(variables)).iter().copied().chain(list(secrets)) {
            let is_optional = entry.get("optional").and_then(Value::as_bool) == Some(true);
            let named = entry.get("name").or_else(|| entry.get("env_var")).or(Some(entry));
            if let Some(name) = text_of(named).filter(|_| !is_optional) {
                self.add_env(&name)?;
            }
        }
        for name in texts(prerequisites.get("env_vars")) {
            self.add_env(&name)?;
        }
        for name in texts(prerequisites.get("commands")) {
            self.add_bin(&name)?;
        }
        Ok(())
    }

    fn add_env(&mut self, name: &str) -> Result<(), PackageError> {
        let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let is_name = name.bytes().next().is_some_and(is_start)
            && name.bytes().all(|byte| is_start(byte) || byte.is_ascii_digit());
        if !is_name || name.len() > NEED_BYTES_MAX || self.env.len() >= NEEDS_MAX {
            let message = format!(
                "the front matter of SKILL.md requires the environment variable {}: at most {NEEDS_MAX} of them, each \
                 a name of letters, digits and `_` of at most {NEED_BYTES_MAX} bytes",
                shown(name)
            );
            return Err(refuse(error::BAD_FRONT_MATTER, message));
        }
        self.env.insert(name.to_owned());
        Ok(())
    }

    fn add_bin(&mut self, name: &str) -> Result<(), PackageError> {
        let is_name = !name.chars().any(|c| c.is_control() || c.is_whitespace());
        if !is_name || name.len() > NEED_BYTES_MAX || self.bins.len() >= NEEDS_MAX {
            let message = format!(
                "the front matter of SKILL.md requires the program {}: at most {NEEDS_MAX} of them, each a name without \
                 spaces of at most {NEED_BYTES_MAX} bytes",
                shown(name)
            );
            return Err(refuse(error::BAD_FRONT_MATTER, message));
        }
        self.bins.insert(name.to_owned());
        Ok(())
    }

    /// Variables without the API key's, the API key's, programs.
    fn told(mut self) -> (Vec<String>, Option<String>, Vec<String>) {
        let is_key = |name: &&String| {
            let name = name.to_ascii_uppercase();
            ["KEY", "TOKEN"].iter().any(|end| name.ends_with(end))
        };
        let mut keys = self.env.iter().filter(is_key);
        let only = keys.next().filter(|_| keys.next().is_none()).cloned();
        let key = self.primary.or(only);
        if let Some(key) = &key {
            self.env.remove(key);
        }
        (self.env.into_iter().collect(), key, self.bins.into_iter().collect())
    }
}

/// A map, also one that is written as JSON in a text, as OpenClaw takes it; empty for anything else.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
        _ => Map::new(),
    }
}

/// The items of a list, or the one that stands in a list's place.
fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(item) => vec![item],
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    list(value).into_iter().filter_map(|item| text_of(Some(item))).collect()
}

fn text_of(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A text without what is around it, cut off behind so many characters; `None` for an empty one.
fn limited(text: &str, chars: usize) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(chars).collect())
}
