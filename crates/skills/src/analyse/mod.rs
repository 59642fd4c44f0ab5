//! Analysers that are not ours: what they are given and what their answers mean. They add findings, and where one
//! fails, the package counts as not read; nothing they say makes a finding less.

pub mod judge;
pub mod sarif;

use crate::report::{Finding, Severity, Unread};
use crate::shown::spelled;

/// Characters of a finding's message at the most.
const MESSAGE_CHARS_MAX: usize = 500;
/// Characters of a name (a rule, a file) at the most.
const NAME_CHARS_MAX: usize = 200;

/// What analysers beside the rules say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    pub findings: Vec<Finding>,
    /// Not empty where an analyser failed: the package is held.
    pub unread: Vec<Unread>,
}

impl Analysis {
    /// That an analyser said nothing that could be used.
    pub fn failed(analyser: &str, reason: &str) -> Self {
        let reason = format!("the analyser {analyser} failed: {}", spelled(reason, MESSAGE_CHARS_MAX));
        Self { findings: Vec::new(), unread: vec![Unread { file: String::new(), reason }] }
    }

    /// The same as a finding that a person may accept.
    pub fn failed_for_review(analyser: &str, reason: &str) -> Self {
        let finding = Finding {
            rule: format!("{analyser}.failed"),
            severity: Severity::Medium,
            file: String::new(),
            line: None,
            message: format!("the analyser failed: {}", spelled(reason, MESSAGE_CHARS_MAX)),
            excerpt: None,
            analyser: analyser.to_owned(),
        };
        Self { findings: vec![finding], unread: Vec::new() }
    }

    /// What both say.
    pub fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.unread.extend(other.unread);
    }
}
