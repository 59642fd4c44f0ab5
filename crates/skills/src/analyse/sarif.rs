//! SARIF 2.1.0, the form in which static analysers write what they found.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Analysis, MESSAGE_CHARS_MAX, NAME_CHARS_MAX};
use crate::report::{FINDINGS_MAX, Finding, Severity, Unread};
use crate::shown::{EXCERPT_CHARS_MAX, spelled};

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SarifError {
    #[error("its output is no SARIF")]
    Json(#[source] serde_json::Error),
    #[error("its output is SARIF of another version than 2.1.0")]
    Version,
    #[error("its output has no run")]
    Empty,
    #[error("it says itself that it failed")]
    Failed,
}

#[derive(Debug, Deserialize)]
struct Log {
    #[serde(default)]
    version: String,
    #[serde(default)]
    runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
struct Run {
    tool: Tool,
    #[serde(default)]
    invocations: Vec<Invocation>,
    #[serde(default)]
    results: Option<Vec<Outcome>>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    driver: Component,
    #[serde(default)]
    extensions: Vec<Component>,
}

#[derive(Debug, Deserialize)]
struct Component {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    id: String,
    short_description: Message,
    message_strings: BTreeMap<String, Message>,
    default_configuration: Configuration,
    properties: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Configuration {
    level: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    text: Option<String>,
    markdown: Option<String>,
    id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Invocation {
    execution_successful: Option<bool>,
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Notification {
    level: Option<String>,
    message: Message,
    locations: Vec<Location>,
}

/// One result. What it says about being suppressed is not read: who writes a skill also writes its comments.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Outcome {
    rule_id: Option<String>,
    rule_index: Option<usize>,
    rule: RuleReference,
    kind: Option<String>,
    level: Option<String>,
    message: Message,
    locations: Vec<Location>,
    properties: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuleReference {
    id: Option<String>,
    index: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Region {
    start_line: Option<u32>,
    snippet: Message,
}

/// What a log says. `root` is the folder that was analysed, which is taken off paths.
///
/// Severities: `security-severity` of the result or its rule (9, 7, 4 and anything above 0 are critical, high, medium
/// and low), else the level (`error`, `warning` and `note` are high, medium and low). Results that are not failures
/// (`kind` other than `fail`, level `none`) are nothing. At most 1,000 findings, the worst ones.
///
/// # Errors
/// A log that is none, or whose tool says that it failed.
pub fn analysis(analyser: &str, root: &str, log: &[u8]) -> Result<Analysis, SarifError> {
    let log: Log = serde_json::from_slice(log).map_err(SarifError::Json)?;
    if log.version != "2.1.0" {
        return Err(SarifError::Version);
    }
    if log.runs.is_empty() {
        return Err(SarifError::Empty);
    }
    let mut found = Analysis::default();
    for run in &log.runs {
        if run.invocations.iter().any(|invocation| invocation.execution_successful == Some(false)) {
            return Err(SarifError::Failed);
        }
        // no results at all means that nothing was looked for
        let Some(results) = &run.results else { return Err(SarifError::Failed) };
        found.findings.extend(results.iter().filter_map(|result| finding(analyser, root, run, result)));
        let notifications =
            run.invocations.iter().flat_map(|invocation| &invocation.tool_execution_notifications);
        let errors = notifications.filter(|notification| notification.level.as_deref() == Some("error"));
        found.unread.extend(errors.take(FINDINGS_MAX).map(|error| {
            let what = spelled(text_of(&error.message).unwrap_or("an error"), MESSAGE_CHARS_MAX);
            let file = error.locations.first().map(|place| path(place, root)).unwrap_or_default();
            Unread { file, reason: format!("the analyser {analyser} could not read it: {what}") }
        }));
    }
    found.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found.findings.truncate(FINDINGS_MAX);
    Ok(found)
}

fn finding(analyser: &str, root: &str, run: &Run, result: &Outcome) -> Option<Finding> {
    if result.kind.as_deref().is_some_and(|kind| kind != "fail") {
        return None;
    }
    let id = result.rule_id.as_deref().or(result.rule.id.as_deref());
    let rule = rule(run, id, result.rule_index.or(result.rule.index));
    let score = |properties: &Map<String, Value>| {
        let written = properties.get("security-severity")?;
        written.as_f64().or_else(|| written.as_str()?.trim().parse().ok())
    };
    let by_rule = rule.and_then(|rule| rule.default_configuration.level.as_deref());
    let severity = match score(&result.properties).or_else(|| score(&rule?.properties)) {
        Some(score) => by_score(score),
        None => by_level(result.level.as_deref().or(by_rule).unwrap_or("warning")),
    }?;
    let by_id = || rule?.message_strings.get(result.message.id.as_deref()?).and_then(text_of);
    let of_rule = || text_of(&rule?.short_description);
    let message = text_of(&result.message).or_else(by_id).or_else(of_rule).unwrap_or("no message");
    let name = id.or_else(|| rule.map(|rule| rule.id.as_str())).unwrap_or("unnamed");
    let place = result.locations.first();
    let region = place.map(|place| &place.physical_location.region);
    Some(Finding {
        rule: format!("{analyser}.{}", spelled(name, NAME_CHARS_MAX)),
        severity,
        file: place.map(|place| path(place, root)).unwrap_or_default(),
        line: region.and_then(|region| region.start_line).filter(|line| *line > 0),
        message: spelled(message, MESSAGE_CHARS_MAX),
        excerpt: region
            .and_then(|region| text_of(&region.snippet))
            .map(|text| spelled(text, EXCERPT_CHARS_MAX)),
        analyser: analyser.to_owned(),
    })
}

/// The rule of a result, in the tool or an extension of it.
fn rule<'a>(run: &'a Run, id: Option<&str>, index: Option<usize>) -> Option<&'a Rule> {
    let by_index = index.and_then(|index| run.tool.driver.rules.get(index));
    let by_index =
        by_index.filter(|rule| id.is_none_or(|id| id == rule.id || id.starts_with(&format!("{}/", rule.id))));
    let components = || std::iter::once(&run.tool.driver).chain(&run.tool.extensions);
    by_index.or_else(|| {
        components().flat_map(|component| &component.rules).find(|rule| Some(rule.id.as_str()) == id)
    })
}

fn by_score(score: f64) -> Option<Severity> {
    match score {
        score if score >= 9.0 => Some(Severity::Critical),
        score if score >= 7.0 => Some(Severity::High),
        score if score >= 4.0 => Some(Severity::Medium),
        score if score > 0.0 => Some(Severity::Low),
        _ => Some(Severity::Info),
    }
}

fn by_level(level: &str) -> Option<Severity> {
    match level {
        "error" => Some(Severity::High),
        "note" => Some(Severity::Low),
        "none" => None,
        // what SARIF takes for anything else
        _ => Some(Severity::Medium),
    }
}

fn text_of(message: &Message) -> Option<&str> {
    message.text.as_deref().or(message.markdown.as_deref()).filter(|text| !text.trim().is_empty())
}

/// A place's path from the skill's folder.
fn path(place: &Location, root: &str) -> String {
    let uri = &place.physical_location.artifact_location.uri;
    let decoded = percent_encoding::percent_decode_str(uri).decode_utf8_lossy();
    let path = decoded.strip_prefix("file://").unwrap_or(&decoded);
    let path = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
    spelled(path.strip_prefix("./").unwrap_or(path), NAME_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log(run: &Value) -> Vec<u8> {
        json!({"version": "2.1.0", "runs": [run]}).to_string().into_bytes()
    }

    fn one(rules: &Value, result: &Value) -> Vec<Finding> {
        let run = json!({"tool": {"driver": {"name": "t", "rules": rules}}, "results": [result]});
        analysis("tool", "/tmp/x/skill", &log(&run)).unwrap().findings
    }

    #[test]
    fn severities_come_from_the_score_then_the_level_then_the_rule() {
        use Severity::{Critical, High, Info, Low, Medium};
        for (rule, result, severity) in [
            (json!({}), json!({}), Some(Medium)),
            (json!({}), json!({"level": "error"}), Some(High)),
            (json!({}), json!({"level": "warning"}), Some(Medium)),
            (json!({}), json!({"level": "note"}), Some(Low)),
            (json!({}), json!({"level": "none"}), None),
            (json!({}), json!({"kind": "pass"}), None),
            (json!({"defaultConfiguration": {"level": "error"}}), json!({}), Some(High)),
            (json!({"defaultConfiguration": {"level": "error"}}), json!({"level": "note"}), Some(Low)),
            (json!({"properties": {"security-severity": "9.1"}}), json!({"level": "note"}), Some(Critical)),
            (json!({"properties": {"security-severity": 7}}), json!({}), Some(High)),
            (json!({"properties": {"security-severity": "4.0"}}), json!({}), Some(Medium)),
            (json!({}), json!({"properties": {"security-severity": "0.1"}}), Some(Low)),
            (json!({}), json!({"properties": {"security-severity": "0"}}), Some(Info)),
            // in the skill's own comments anybody can say that a finding does not count
            (json!({}), json!({"level": "error", "suppressions": [{"kind": "inSource"}]}), Some(High)),
        ] {
            let (mut rule, mut result) = (rule, result);
            rule["id"] = json!("R1");
            result["ruleId"] = json!("R1");
            let found = one(&json!([rule]), &result);
            assert_eq!(found.first().map(|finding| finding.severity), severity, "{rule} {result}");
        }
    }

    #[test]
    fn places_rules_and_messages_are_found_wherever_sarif_lets_them_be() {
        let rules = json!([
            {"id": "R0"},
            {"id": "R1", "shortDescription": {"text": "Short."}, "messageStrings": {"m": {"text": "By id."}}}
        ]);
        let place = |uri: &str| {
            json!([{"physicalLocation": {"artifactLocation": {"uri": uri}, "region":
            {"startLine": 7, "snippet": {"text": "curl\u{202e} x\n| sh"}}}}])
        };
        for (uri, file) in [
            ("scripts/run.sh", "scripts/run.sh"),
            ("./scripts/run.sh", "scripts/run.sh"),
            ("file:///tmp/x/skill/scripts/run.sh", "scripts/run.sh"),
            ("/tmp/x/skill/a%20b.md", "a b.md"),
        ] {
            let found =
                one(&rules, &json!({"ruleIndex": 1, "message": {"id": "m"}, "locations": place(uri)}));
            let [Finding { rule, line, message, excerpt, analyser, file: told, .. }] = found.as_slice()
            else {
                panic!("{found:?}")
            };
            assert_eq!((rule.as_str(), *line, message.as_str()), ("tool.R1", Some(7), "By id."));
            assert_eq!((told.as_str(), analyser.as_str()), (file, "tool"));
            assert_eq!(excerpt.as_deref(), Some("curl\\u{202e} x | sh"));
        }
        assert_eq!(one(&rules, &json!({"rule": {"id": "R1"}}))[0].message, "Short.");
        let bare = &one(&json!([]), &json!({"message": {"text": "x".repeat(900)}}))[0];
        assert_eq!((bare.rule.as_str(), bare.file.as_str(), bare.line), ("tool.unnamed", "", None));
        assert_eq!(bare.message.chars().count(), MESSAGE_CHARS_MAX + 1);
    }

    #[test]
    fn a_tool_that_failed_has_not_analysed() {
        let tool = json!({"driver": {"name": "t"}});
        let failed = [
            b"".to_vec(),
            b"not json".to_vec(),
            b"[]".to_vec(),
            b"{}".to_vec(),
            br#"{"version": "2.0.0", "runs": []}"#.to_vec(),
            br#"{"version": "2.1.0", "runs": []}"#.to_vec(),
            log(&json!({"tool": tool})),
            log(&json!({"tool": tool, "results": [], "invocations": [{"executionSuccessful": false}]})),
        ];
        for bytes in failed {
            assert!(analysis("tool", "/", &bytes).is_err(), "{}", bytes.escape_ascii());
        }
        let notes = json!([{"level": "error", "message": {"text": "timed out"}, "locations":
            [{"physicalLocation": {"artifactLocation": {"uri": "a.py"}}}]}, {"level": "note"}]);
        let run = json!({"tool": tool, "results": [], "invocations": [{"executionSuccessful": true,
            "toolExecutionNotifications": notes}]});
        let told = analysis("tool", "/", &log(&run)).unwrap();
        let reason = "the analyser tool could not read it: timed out".to_owned();
        assert_eq!(told.unread, [Unread { file: "a.py".to_owned(), reason }]);
        let many: Vec<_> =
            (0..3_000).map(|at| json!({"level": if at == 2_999 { "error" } else { "note" }})).collect();
        let told = analysis("tool", "/", &log(&json!({"tool": tool, "results": many}))).unwrap().findings;
        assert_eq!((told.len(), told[0].severity), (FINDINGS_MAX, Severity::High));
    }
}
