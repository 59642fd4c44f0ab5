//! What a scan says.

use std::collections::BTreeSet;

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

impl Severity {
    /// As in the API and in a store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

impl std::str::FromStr for Severity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical]
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or(())
    }
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

/// Findings of one report at the most.
pub(crate) const FINDINGS_MAX: usize = 1_000;

/// 100 less what the findings weigh: each rule counts once in full, its next places a little.
pub(crate) fn score(findings: &[Finding]) -> u8 {
    let weight = |severity: Severity| match severity {
        Severity::Info => 0,
        Severity::Low => 2,
        Severity::Medium => 12,
        Severity::High => 40,
        Severity::Critical => 70,
    };
    let mut seen = BTreeSet::new();
    let lost: u32 = findings
        .iter()
        .map(|finding| {
            if seen.insert(&finding.rule) { weight(finding.severity) } else { weight(finding.severity) / 10 }
        })
        .sum();
    u8::try_from(100_u32.saturating_sub(lost)).unwrap_or(0)
}

impl Report {
    /// Adds what another analyser says. Nothing that was found becomes less by it.
    pub fn add(&mut self, findings: Vec<Finding>, unread: Vec<Unread>) {
        self.findings.extend(findings);
        // stable: of the same weight, the earlier analyser's come first
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.findings.truncate(FINDINGS_MAX);
        self.unread.extend(unread);
        self.score = score(&self.findings);
    }

    /// Whether every byte was read by everything that should read it.
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty()
    }

    /// The worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
