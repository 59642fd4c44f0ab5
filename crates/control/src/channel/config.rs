//! The JSON texts by which callers configure chat channels. Pure.
//!
//! A simple configuration is a bot's id and its secret; a custom one is what the agent's own channel takes. What is
//! wrong is said in words that never hold a part of the text: it contains secrets.

use creel_wire::secret::Secret;
use serde_json::{Map, Value};

use crate::model::config::mask_key;

/// Longest configuration, in bytes.
const JSON_BYTES_MAX: usize = 16 * 1024;
/// Longest id of a bot, in characters.
const BOT_ID_CHARS_MAX: usize = 256;
/// Members of which the values are shown as they are; every other text or number is masked. A list's items go by the
/// list's name.
const SHOWN: [&str; 19] = [
    "appKey",
    "appId",
    "clientId",
    "botId",
    "corpId",
    "agentId",
    "robotCode",
    "name",
    "domain",
    "dmPolicy",
    "groupPolicy",
    "allowFrom",
    "groupAllowFrom",
    "connectionMode",
    "messageType",
    "requireMention",
    "streaming",
    "textChunkLimit",
    "mediaMaxMb",
];

/// A chat program that agents can be reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelCode {
    DingTalk,
    WeChat,
    Feishu,
    Qq,
    WeCom,
}

/// How a channel is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfigMode {
    /// A bot's id and secret.
    Simple,
    /// What the agent's own channel takes.
    Custom,
}

/// A text that is none of the words of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of the known words")]
pub struct UnknownChannelWord;

impl ChannelCode {
    /// Every channel, in the order in which they are shown.
    pub const ALL: [ChannelCode; 5] = [
        ChannelCode::DingTalk,
        ChannelCode::WeChat,
        ChannelCode::Feishu,
        ChannelCode::Qq,
        ChannelCode::WeCom,
    ];

    /// The word in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelCode::DingTalk => "dingtalk-connector",
            ChannelCode::WeChat => "wechat",
            ChannelCode::Feishu => "feishu",
            ChannelCode::Qq => "qqbot",
            ChannelCode::WeCom => "wecom",
        }
    }

    /// What its bots' ids and secrets are called; none where a bot signs in otherwise.
    fn members(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            ChannelCode::DingTalk => (&["appKey", "clientId"], &["appSecret", "clientSecret"]),
            // It is signed in to by scanning a code.
            ChannelCode::WeChat => (&[], &[]),
            ChannelCode::Feishu => (&["appKey", "appId"], &["appSecret"]),
            ChannelCode::Qq => (&["appKey", "appId"], &["appSecret", "clientSecret"]),
            ChannelCode::WeCom => (&["appKey", "botId"], &["appSecret", "secret"]),
        }
    }
}

impl std::str::FromStr for ChannelCode {
    type Err = UnknownChannelWord;

    fn from_str(text: &str) -> Result<Self, UnknownChannelWord> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(UnknownChannelWord)
    }
}

impl ConfigMode {
    /// The word in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            ConfigMode::Simple => "Simple",
            ConfigMode::Custom => "Custom",
        }
    }
}

impl std::str::FromStr for ConfigMode {
    type Err = UnknownChannelWord;

    fn from_str(text: &str) -> Result<Self, UnknownChannelWord> {
        let all = [ConfigMode::Simple, ConfigMode::Custom];
        all.into_iter().find(|mode| mode.as_str() == text).ok_or(UnknownChannelWord)
    }
}

/// Checks a configuration; gives the id of the bot that it names, if it names one. What is wrong is said as a
/// sentence without its subject and full stop.
pub(super) fn check(code: ChannelCode, mode: ConfigMode, text: &Secret) -> Result<Option<String>, String> {
    if text.expose().len() > JSON_BYTES_MAX {
        return Err(format!("must be at most {JSON_BYTES_MAX} bytes"));
    }
    let Ok(Value::Object(map)) = serde_json::from_str(text.expose()) else {
        return Err("must be a JSON object".to_owned());
    };
    match mode {
        ConfigMode::Simple => check_simple(code, &map),
        ConfigMode::Custom => check_custom(code, &map),
    }
}

fn check_simple(code: ChannelCode, map: &Map<String, Value>) -> Result<Option<String>, String> {
    let (ids, secrets) = code.members();
    if ids.is_empty() {
        let problem = "must be {} for this channel: its bot signs in by a code that its owner scans";
        return if map.is_empty() { Ok(None) } else { Err(problem.to_owned()) };
    }
    let text = |names: &[&str]| {
        names.iter().find_map(|name| map.get(*name)?.as_str()).filter(|text| !text.trim().is_empty())
    };
    let (Some(id), Some(_), 2) = (text(ids), text(secrets), map.len()) else {
        return Err(format!(
            "must hold one of {} and one of {}, each a text, and nothing else; set ConfigMode to Custom for more",
            ids.join(", "),
            secrets.join(", ")
        ));
    };
    bot_id(id).map(Some)
}

fn check_custom(code: ChannelCode, map: &Map<String, Value>) -> Result<Option<String>, String> {
    if map.is_empty() {
        return Err("must not be empty; RemoveRuntimeChannel takes a channel away".to_owned());
    }
    // Each bot is to be known, so that none is bound twice.
    if map.contains_key("accounts") {
        return Err("must not hold accounts: a channel has one bot".to_owned());
    }
    let id = |names: &[&str]| names.iter().find_map(|name| scalar(map.get(*name)?));
    match id(code.members().0) {
        Some(id) => bot_id(&id).map(Some),
        None if code == ChannelCode::WeCom => wecom_agent(map).map(|id| bot_id(&id)).transpose(),
        None => Ok(None),
    }
}

/// An application of WeCom instead of a bot: `{"agent": {"corpId": …, "agentId": …}}`.
fn wecom_agent(map: &Map<String, Value>) -> Option<String> {
    let agent = map.get("agent")?.as_object()?;
    Some(format!("{}/{}", scalar(agent.get("corpId")?)?, scalar(agent.get("agentId")?)?))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn bot_id(text: &str) -> Result<String, String> {
    let id = text.trim();
    if id.is_empty() || id.chars().count() > BOT_ID_CHARS_MAX || id.chars().any(char::is_control) {
        return Err(format!("must name its bot by 1 to {BOT_ID_CHARS_MAX} characters"));
    }
    Ok(id.to_owned())
}

/// A configuration as it is shown: ids and settings as they are, everything that may be a secret masked.
pub(super) fn masked(text: &Secret) -> String {
    match serde_json::from_str(text.expose()) {
        Ok(value) => mask("", value).to_string(),
        // It was checked when it was stored.
        Err(_) => "{}".to_owned(),
    }
}

fn mask(name: &str, value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(name, value)| (name.clone(), mask(&name, value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| mask(name, item)).collect()),
        Value::String(_) | Value::Number(_) if SHOWN.contains(&name) => value,
        Value::String(text) => Value::String(mask_key(&Secret::new(text))),
        Value::Number(_) => Value::String("****".to_owned()),
        Value::Bool(_) | Value::Null => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_its_bot() {
        use ChannelCode::{DingTalk, Feishu, Qq, WeChat, WeCom};
        use ConfigMode::{Custom, Simple};
        for (code, mode, text, found) in [
            (DingTalk, Simple, r#"{"appKey":"abc","appSecret":"efg"}"#, Ok(Some("abc"))),
            (DingTalk, Simple, r#"{"clientId":" abc ","clientSecret":"efg"}"#, Ok(Some("abc"))),
            (WeCom, Simple, r#"{"botId":"b","secret":"s"}"#, Ok(Some("b"))),
            (Qq, Simple, r#"{"appId":"1","clientSecret":"s"}"#, Ok(Some("1"))),
            (WeChat, Simple, "{}", Ok(None)),
            (WeChat, Simple, r#"{"appKey":"abc","appSecret":"efg"}"#, Err(())),
            (DingTalk, Simple, "{}", Err(())),
            (DingTalk, Simple, r#"{"appKey":"abc"}"#, Err(())),
            (DingTalk, Simple, r#"{"appKey":"","appSecret":"efg"}"#, Err(())),
            (DingTalk, Simple, r#"{"appKey":"abc","appSecret":7}"#, Err(())),
            (DingTalk, Simple, r#"{"appKey":"abc","appSecret":"efg","enabled":true}"#, Err(())),
            (DingTalk, Simple, "[]", Err(())),
            (DingTalk, Simple, "not json", Err(())),
            (DingTalk, Custom, r#"{"enabled":true,"clientId":"abc","clientSecret":"s"}"#, Ok(Some("abc"))),
            (Qq, Custom, r#"{"appId":1020,"clientSecret":"s"}"#, Ok(Some("1020"))),
            (WeCom, Custom, r#"{"agent":{"corpId":"ww1","agentId":7,"corpSecret":"s"}}"#, Ok(Some("ww1/7"))),
            (Feishu, Custom, r#"{"enabled":false}"#, Ok(None)),
            (Feishu, Custom, r#"{"accounts":{"a":{"appId":"x"}}}"#, Err(())),
            (Feishu, Custom, "{}", Err(())),
        ] {
            let checked = check(code, mode, &Secret::new(text.to_owned()));
            let told = checked.as_ref().err().cloned().unwrap_or_default();
            assert!(!told.contains("efg") && !told.ends_with('.'), "{told}");
            assert_eq!(checked.as_ref().map(Option::as_deref).map_err(|_| ()), found, "{text}");
        }
        let long = format!(r#"{{"appKey":"abc","appSecret":"{}"}}"#, "s".repeat(JSON_BYTES_MAX));
        assert!(check(DingTalk, Simple, &Secret::new(long)).is_err());
    }

    #[test]
    fn only_ids_and_settings_are_shown() {
        for (text, shown) in [
            (r#"{"appKey":"abc","appSecret":"canary"}"#, r#"{"appKey":"abc","appSecret":"****"}"#),
            (
                r#"{"enabled":true,"agent":{"corpId":"ww1","agentId":7,"token":12345},"allowFrom":["*"]}"#,
                r#"{"enabled":true,"agent":{"corpId":"ww1","agentId":7,"token":"****"},"allowFrom":["*"]}"#,
            ),
            (
                r#"{"webhook":"https://host/?access_token=canary","tokens":["canary-0123456789"],"x":null}"#,
                r#"{"webhook":"****nary","tokens":["****6789"],"x":null}"#,
            ),
        ] {
            assert_eq!(masked(&Secret::new(text.to_owned())), shown);
        }
    }
}
