//! What looks at skills beside the rules: commands that write SARIF, and a model.

use std::collections::BTreeSet;
use std::path::PathBuf;

use creel_wire::secret::Secret;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Longest time for one analyser: all of them together have to be done within the scan of a version.
const TIMEOUT_S_MAX: u32 = 300;
/// Hashes of what is known to be malicious.
const KNOWN_BAD_MAX: usize = 100_000;
/// Names that findings of this program have.
const OWN_NAMES: [&str; 2] = ["rules", "judge"];
/// In an argument of a command: the folder with the skill.
pub(crate) const SKILL_PLACE: &str = "{skill}";
/// In an argument of a command: the file to which the log is written.
pub(crate) const SARIF_PLACE: &str = "{sarif}";

/// Analysers of skills beside the rules.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkillsConfig {
    #[serde(rename = "analyser")]
    pub analysers: Vec<AnalyserConfig>,
    pub judge: Option<JudgeConfig>,
    /// SHA-256 (64 hex digits) of files, or of whole contents, that are known to be malicious; at most 100,000.
    pub known_bad: Vec<String>,
}

/// A command that analyses a skill and writes SARIF 2.1.0.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyserConfig {
    /// What its findings are called: `[a-z0-9-]`, at most 40.
    pub name: String,
    /// The program and its arguments; no shell is involved. `{skill}` in an argument is the folder with a private copy of
    /// the skill; `{sarif}` the file for the log, without which it is read from standard output.
    pub command: Vec<String>,
    /// How long it may take, 1 to 300 seconds.
    #[serde(default = "analyser_timeout_s")]
    pub timeout_s: u32,
    /// Names of the variables that it gets of this process's environment, beside PATH, HOME and LANG.
    #[serde(default)]
    pub environment: Vec<String>,
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// A model, asked through an OpenAI-compatible API, such as this server's own gateway.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeConfig {
    /// Where the API begins, such as `http://127.0.0.1:8081/v1`.
    pub base_url: String,
    pub model: String,
    /// File that holds the key; a line break at the end does not count. Without one, none is sent.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// What stands in that file.
    #[serde(skip)]
    pub api_key: Option<Secret>,
    /// How long an answer may take, 1 to 300 seconds.
    #[serde(default = "judge_timeout_s")]
    pub timeout_s: u32,
    /// Bytes of a skill's text that the model is shown, 1,000 to 4,000,000.
    #[serde(default = "judge_max_bytes")]
    pub max_bytes: u32,
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What follows where an analyser failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The skill counts as not read, and is held until the analyser succeeds.
    #[default]
    Hold,
    /// It is a finding of medium severity, which a person may accept.
    Review,
}

fn analyser_timeout_s() -> u32 {
    120
}

fn judge_timeout_s() -> u32 {
    60
}

fn judge_max_bytes() -> u32 {
    200_000
}

impl SkillsConfig {
    /// Reads the judge's key, and checks what serde cannot.
    pub(super) fn resolve(&mut self) -> Result<(), ConfigError> {
        let is_hash = |hash: &String| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if self.known_bad.len() > KNOWN_BAD_MAX || !self.known_bad.iter().all(is_hash) {
            let message = "must be at most 100,000 SHA-256 hashes, each 64 hexadecimal digits";
            return Err(ConfigError::value("skills.known_bad", message));
        }
        let mut names = BTreeSet::new();
        for analyser in &self.analysers {
            let key = || format!("skills.analyser {}", analyser.name);
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if analyser.name.is_empty() || analyser.name.len() > 40 || !analyser.name.bytes().all(is_name) {
                return Err(ConfigError::value(key(), "name must be 1 to 40 of a-z, 0-9 and -"));
            }
            if OWN_NAMES.contains(&analyser.name.as_str()) || !names.insert(&analyser.name) {
                return Err(ConfigError::value(key(), "the name is taken"));
            }
            let (program, arguments) = analyser.command.split_first().unzip();
            let names_skill =
                |arguments: &[String]| arguments.iter().any(|argument| argument.contains(SKILL_PLACE));
            if program.is_none_or(String::is_empty) || !arguments.is_some_and(names_skill) {
                let message = "command must name a program and have {skill} in one of its arguments";
                return Err(ConfigError::value(key(), message));
            }
            check_timeout(key(), analyser.timeout_s)?;
        }
        let Some(judge) = &mut self.judge else { return Ok(()) };
        let key = "skills.judge";
        let is_address =
            |uri: http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        if !judge.base_url.parse::<http::Uri>().is_ok_and(is_address) {
            let message = "base_url must be an address that begins with http:// or https://";
            return Err(ConfigError::value(key, message));
        }
        if judge.model.is_empty() {
            return Err(ConfigError::value(key, "model must not be empty"));
        }
        check_timeout(key.to_owned(), judge.timeout_s)?;
        if !(1_000..=4_000_000).contains(&judge.max_bytes) {
            return Err(ConfigError::value(key, "max_bytes must be 1000 to 4000000"));
        }
        if let Some(path) = &judge.api_key_file {
            let clear = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            judge.api_key = Some(Secret::new(clear.trim_end_matches(['\n', '\r']).to_owned()));
        }
        Ok(())
    }
}

fn check_timeout(key: String, timeout_s: u32) -> Result<(), ConfigError> {
    if (1..=TIMEOUT_S_MAX).contains(&timeout_s) {
        return Ok(());
    }
    Err(ConfigError::value(key, format!("timeout_s must be 1 to {TIMEOUT_S_MAX}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let analyser = |name: &str, rest: &str| format!("[[analyser]]\nname = '{name}'\n{rest}\n");
        let good = analyser("cisco", "command = ['scan', '{skill}', '--format=sarif']");
        let judge = "[judge]\nbase_url = 'http://127.0.0.1:8081/v1'\nmodel = 'm'\n";
        for (text, says) in [
            (good.clone() + judge, ""),
            (good.clone() + &good, "the name is taken"),
            (analyser("rules", "command = ['scan', '{skill}']"), "the name is taken"),
            (analyser("A b", "command = ['scan', '{skill}']"), "name must be"),
            (analyser("a", "command = []"), "{skill}"),
            (analyser("a", "command = ['scan {skill}']"), "{skill}"),
            (analyser("a", "command = ['scan', '{skill}']\ntimeout_s = 0"), "timeout_s"),
            (judge.replace("http:", "file:"), "base_url"),
            (judge.replace("'m'", "''"), "model"),
            (judge.to_owned() + "timeout_s = 301", "timeout_s"),
            (judge.to_owned() + "max_bytes = 10", "max_bytes"),
            (judge.to_owned() + "api_key_file = '/nonexistent/key'", "/nonexistent/key"),
        ] {
            let mut config: SkillsConfig = toml::from_str(&text).unwrap();
            match config.resolve() {
                Ok(()) => assert_eq!(says, "", "{text}"),
                Err(error) => {
                    assert!(!says.is_empty() && error.to_string().contains(says), "{text}: {error}");
                }
            }
        }
    }
}
