//! Outcomes as a SARIF 2.1.0 log, which editors and code hosts show.

use std::collections::BTreeSet;

use creel_skills::report::Severity;
use serde_json::{Value, json};

use super::scan::{Outcome, file_path};

/// One run over all skills. Files that were not read are notifications.
pub(super) fn log(outcomes: &[Outcome]) -> Value {
    let findings =
        || outcomes.iter().flat_map(|outcome| outcome.findings.iter().map(move |finding| (outcome, finding)));
    let rules: BTreeSet<_> = findings().map(|(_, finding)| finding.rule.as_str()).collect();
    let results: Vec<_> = findings()
        .map(|(outcome, finding)| {
            let artifact = json!({"uri": file_path(&outcome.path, &finding.file)});
            let place = match finding.line {
                None => json!({"artifactLocation": artifact}),
                Some(line) => json!({"artifactLocation": artifact, "region": {"startLine": line}}),
            };
            json!({
                "ruleId": finding.rule,
                "level": level(finding.severity),
                "message": {"text": finding.message},
                "locations": [{"physicalLocation": place}],
                "properties": {"security-severity": score(finding.severity)},
            })
        })
        .collect();
    let unread =
        outcomes.iter().flat_map(|outcome| outcome.unread.iter().map(move |unread| (outcome, unread)));
    let mut notifications: Vec<_> = unread
        .map(|(outcome, unread)| notification(&file_path(&outcome.path, &unread.file), &unread.reason))
        .collect();
    let refused = outcomes.iter().filter(|outcome| outcome.is_refused());
    notifications.extend(refused.map(|outcome| notification(&outcome.path, &outcome.reason)));
    json!({
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{
            "tool": {"driver": {
                "name": "creel",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_iter().map(|rule| json!({"id": rule})).collect::<Vec<_>>(),
            }},
            "invocations": [{"executionSuccessful": true, "toolExecutionNotifications": notifications}],
            "results": results,
        }],
    })
}

fn notification(uri: &str, text: &str) -> Value {
    json!({
        "level": "error",
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}}}],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}

fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "0.0",
        Severity::Low => "2.0",
        Severity::Medium => "5.0",
        Severity::High => "8.0",
        Severity::Critical => "9.5",
    }
}
