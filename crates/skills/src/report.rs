//! What a scan says.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Worth knowing; never holds a skill.
    Info,
    /// Unusual, and common in honest skills.
    Low,
    /// Needs a look.
    Medium,
    /// Hardly ever honest.
    High,
    /// Malicious, or an open door.
    Critical,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    /// Such as `shell.download-and-run`: a family and a name, stable over versions.
    pub rule: String,
    pub severity: Severity,
    /// From the skill's folder; for something inside a decoded blob or a nested archive with `!` and where.
    pub file: String,
    /// From 1; `None` where lines mean nothing.
    pub line: Option<u32>,
    /// What it means, in words for whoever decides.
    pub message: String,
    /// The text that was found, shortened, control and invisible characters spelled out, secrets masked.
    pub excerpt: Option<String>,
    /// The analyser that says so: `rules`, or the name of an external one.
    pub analyser: String,
}

/// Something that was not read, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Unread {
    pub file: String,
    /// Why, in words: encrypted, compiled code, nested too deep, too large.
    pub reason: String,
}

/// The result of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    /// 0 to 100; 100 is clean.
    pub score: u8,
    /// Worst first; at most 1,000.
    pub findings: Vec<Finding>,
    /// Empty only when everything was read.
    pub unread: Vec<Unread>,
    pub files_total: u32,
    pub bytes_total: u64,
    pub bytes_read: u64,
    /// Names the rules that were applied, by a hash of them: other rules, another scan.
    pub rules_version: String,
}

impl Report {
    /// Whether every byte was read by everything that should read it.
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty()
    }

    /// The worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
