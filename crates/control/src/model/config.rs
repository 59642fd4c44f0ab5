//! The JSON texts that callers write: a provider's, a model's, and a group's default model. Pure.
//!
//! What is wrong is said in words that never hold a part of the text: it may contain a key.

use creel_wire::guest::ModelRef;
use creel_wire::secret::Secret;
use serde_json::{Map, Value, json};

use super::kinds::{GroupAgent, ProviderApi};

/// Longest JSON text, in bytes.
pub const JSON_BYTES_MAX: usize = 16 * 1024;
/// Longest base URL, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// Longest provider key, in bytes: it must fit into a header.
const KEY_BYTES_MAX: usize = 4096;
/// Shortest key of which the last characters are shown, in characters.
const KEY_SHOWN_FROM_CHARS: usize = 12;
/// Largest number of tokens that is believed.
const TOKENS_MAX: u64 = 1 << 40;
/// What models can take in, as agents name it.
const INPUTS: [&str; 4] = ["text", "image", "audio", "video"];
/// Members of a model's configuration; the last three are kept and shown, and change nothing.
const MODEL_MEMBERS: [&str; 9] =
    ["id", "name", "contextWindow", "maxTokens", "input", "reasoning", "cost", "compat", "contextTokens"];

/// What is wrong with a configuration, as a sentence without its subject and full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

fn wrong<T>(problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError(problem.into()))
}

fn object(text: &str) -> Result<Map<String, Value>, ConfigError> {
    if text.len() > JSON_BYTES_MAX {
        return wrong(format!("must be at most {JSON_BYTES_MAX} bytes"));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        _ => wrong("must be a JSON object"),
    }
}

/// How to reach a provider, as the caller wrote it.
#[derive(Debug)]
pub struct ProviderConfig {
    pub api: ProviderApi,
    /// `http` or `https`, without credentials, query and fragment, and without a slash at its end.
    pub base_url: String,
    pub api_key: Secret,
}

impl ProviderConfig {
    /// Reads `{"api": …, "apiKey": …, "baseUrl": …}`; nothing else may be in it.
    pub fn parse(text: &Secret) -> Result<Self, ConfigError> {
        let mut map = object(text.expose())?;
        let (api, key, url) =
            (map.shift_remove("api"), map.shift_remove("apiKey"), map.shift_remove("baseUrl"));
        if !map.is_empty() {
            return wrong("may hold only api, apiKey and baseUrl");
        }
        let (Some(Value::String(api)), Some(Value::String(key)), Some(Value::String(url))) = (api, key, url)
        else {
            return wrong("must hold api, apiKey and baseUrl, each a text");
        };
        let api_key = Secret::new(key);
        let api = check_api(&api)?;
        check_key(&api_key)?;
        Ok(Self { api, base_url: check_base_url(&url)?, api_key })
    }

    /// The configuration without its key, as it is stored.
    pub fn to_json(&self) -> String {
        keyless_json(self.api, &self.base_url)
    }
}

/// A provider's configuration without its key.
pub(super) fn keyless_json(api: ProviderApi, base_url: &str) -> String {
    json!({ "api": api.as_str(), "baseUrl": base_url }).to_string()
}

pub(super) fn check_api(api: &str) -> Result<ProviderApi, ConfigError> {
    let known = api.parse();
    known.or_else(|_| wrong(format!("must have one of these as its api: {}", ProviderApi::WORDS)))
}

pub(super) fn check_key(key: &Secret) -> Result<(), ConfigError> {
    let key = key.expose();
    let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !printable {
        return wrong(format!(
            "must have an apiKey of 1 to {KEY_BYTES_MAX} printable characters without spaces"
        ));
    }
    Ok(())
}

/// Checks an address that calls are sent to; gives it without a slash at its end.
pub fn check_base_url(url: &str) -> Result<String, ConfigError> {
    let problem = || {
        ConfigError(
            "must have a baseUrl that begins with http:// or https://, such as https://host/v1".into(),
        )
    };
    let url = url.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or_else(problem)?;
    if url.len() > URL_BYTES_MAX
        || !url.bytes().all(|byte| byte.is_ascii_graphic())
        || url.contains(['\\', '"', '<', '>'])
    {
        return Err(problem());
    }
    if url.contains(['?', '#']) {
        return wrong("must have a baseUrl without a query and without a fragment");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return wrong("must have a baseUrl without credentials in it; the key belongs into apiKey");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_ok = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    if host_ok && port_ok { Ok(url.to_owned()) } else { Err(problem()) }
}

/// How a key is shown: its beginning `sk-` and its last four characters, and nothing of a short one.
pub fn mask_key(key: &Secret) -> String {
    let key = key.expose();
    let chars = key.chars().count();
    if chars < KEY_SHOWN_FROM_CHARS {
        return "****".to_owned();
    }
    let prefix = if key.starts_with("sk-") { "sk-" } else { "" };
    let tail: String = key.chars().skip(chars - 4).collect();
    format!("{prefix}****{tail}")
}

/// What a model can do, from its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelTraits {
    /// Tokens.
    pub context_window: Option<u64>,
    /// Tokens.
    pub max_output_tokens: Option<u64>,
    /// Lower-case `text`, `image`, `audio`, `video`; never empty.
    pub input: Vec<String>,
    pub reasoning: bool,
}

/// A model's configuration: its text, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelConfigText {
    map: Map<String, Value>,
}

impl ModelConfigText {
    /// Reads a model's configuration; `None` is an empty one. An `id` in it must be the model's code.
    pub fn parse(text: Option<&str>, code: &str) -> Result<Self, ConfigError> {
        let map = text.map(object).transpose()?.unwrap_or_default();
        if map.keys().any(|key| !MODEL_MEMBERS.contains(&key.as_str())) {
            return wrong(format!("may hold only {}", MODEL_MEMBERS.join(", ")));
        }
        if map.get("id").is_some_and(|id| id.as_str() != Some(code)) {
            return wrong("must have the model's LlmCode as its id, or none");
        }
        if map
            .get("name")
            .is_some_and(|name| name.as_str().is_none_or(|name| name.is_empty() || name.len() > 512))
        {
            return wrong("must have a text of 1 to 512 bytes as its name, or none");
        }
        for member in ["contextWindow", "maxTokens", "contextTokens"] {
            let tokens_ok =
                |value: &Value| value.as_u64().is_some_and(|tokens| (1..=TOKENS_MAX).contains(&tokens));
            if map.get(member).is_some_and(|value| !tokens_ok(value)) {
                return wrong(format!("must have a positive whole number of tokens as {member}, or none"));
            }
        }
        if map.get("reasoning").is_some_and(|flag| !flag.is_boolean()) {
            return wrong("must have true or false as reasoning, or none");
        }
        if map.get("input").is_some_and(|input| !input_ok(input)) {
            return wrong(format!("must have a list of some of {} as input, or none", INPUTS.join(", ")));
        }
        if map.get("cost").is_some_and(|cost| !cost.is_object())
            || map.get("compat").is_some_and(|c| !c.is_object())
        {
            return wrong("must have an object as cost and as compat, or none");
        }
        Ok(Self { map })
    }

    /// The name in it.
    pub fn name(&self) -> Option<&str> {
        self.map.get("name").and_then(Value::as_str)
    }

    /// Sets what the caller left open.
    pub fn fill(&mut self, member: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.map.entry(member).or_insert_with(|| value.into());
        }
    }

    /// The text to store and show.
    pub fn to_json(&self) -> String {
        Value::Object(self.map.clone()).to_string()
    }

    /// What the model can do. Without `input` it takes text.
    pub fn traits(&self) -> ModelTraits {
        let tokens = |member: &str| self.map.get(member).and_then(Value::as_u64);
        let input = match self.map.get("input").and_then(Value::as_array) {
            Some(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => vec!["text".to_owned()],
        };
        ModelTraits {
            context_window: tokens("contextWindow"),
            max_output_tokens: tokens("maxTokens"),
            input,
            reasoning: self.map.get("reasoning").and_then(Value::as_bool).unwrap_or(false),
        }
    }
}

fn input_ok(input: &Value) -> bool {
    let known = |item: &Value| item.as_str().is_some_and(|item| INPUTS.contains(&item));
    input
        .as_array()
        .is_some_and(|items| !items.is_empty() && items.len() <= INPUTS.len() && items.iter().all(known))
}

/// The default model that a group's `Config` names, in the form of its agent; a common group takes either form.
pub fn parse_default(text: &str, agent: GroupAgent) -> Result<ModelRef, ConfigError> {
    const OPENCLAW: &str = r#"{"defaults":{"model":{"primary":"<ProviderName>/<LlmCode>"}}}"#;
    const HERMES: &str = r#"{"model":{"provider":"<ProviderName>","default":"<LlmCode>"}}"#;
    let map = object(text)?;
    let found = match agent {
        GroupAgent::OpenClaw => openclaw_default(&map),
        GroupAgent::HermesAgent => hermes_default(&map),
        GroupAgent::Common => openclaw_default(&map).or_else(|| hermes_default(&map)),
    };
    found.ok_or_else(|| match agent {
        GroupAgent::OpenClaw => ConfigError(format!("must be {OPENCLAW}")),
        GroupAgent::HermesAgent => ConfigError(format!("must be {HERMES}")),
        GroupAgent::Common => ConfigError(format!("must be {OPENCLAW} or {HERMES}")),
    })
}

/// The member `name` of an object, if it is the only one.
fn only<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    if map.len() == 1 { map.get(name)?.as_object() } else { None }
}

fn openclaw_default(map: &Map<String, Value>) -> Option<ModelRef> {
    let model = only(only(map, "defaults")?, "model")?;
    // A code may hold slashes, a provider's name may not.
    let (provider, code) = model.get("primary")?.as_str()?.split_once('/')?;
    (model.len() == 1).then(|| ModelRef { provider: provider.to_owned(), code: code.to_owned() })
}

fn hermes_default(map: &Map<String, Value>) -> Option<ModelRef> {
    let model = only(map, "model")?;
    let (provider, code) = (model.get("provider")?.as_str()?, model.get("default")?.as_str()?);
    (model.len() == 2).then(|| ModelRef { provider: provider.to_owned(), code: code.to_owned() })
}

/// The `Config` that names this default model; the inverse of [`parse_default`].
pub fn show_default(agent: GroupAgent, default: &ModelRef) -> String {
    let ModelRef { provider, code } = default;
    match agent {
        GroupAgent::HermesAgent => json!({ "model": { "provider": provider, "default": code } }),
        GroupAgent::OpenClaw | GroupAgent::Common => {
            json!({ "defaults": { "model": { "primary": format!("{provider}/{code}") } } })
        }
    }
    .to_string()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
