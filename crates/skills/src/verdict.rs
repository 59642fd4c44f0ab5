//! What a report means under a policy.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::{Finding, Report, Severity};

/// Places that a reason names at the most.
const NAMED_MAX: usize = 3;

/// Which findings matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Findings of this severity and above reject a skill.
    pub block: Severity,
    /// Findings of this severity and above need a look by somebody.
    pub review: Severity,
}

impl Default for Policy {
    fn default() -> Self {
        Self { block: Severity::High, review: Severity::Medium }
    }
}

/// What becomes of a skill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// All of it was read and nothing weighs.
    Passed,
    /// Somebody has to look.
    Review,
    /// Something blocks it.
    Rejected,
    /// Not all of it was read, whatever else was found: it is held.
    Incomplete,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "PASSED",
            Self::Review => "REVIEW",
            Self::Rejected => "REJECTED",
            Self::Incomplete => "INCOMPLETE",
        })
    }
}

/// The verdict, and why in words for people.
pub fn judge(report: &Report, policy: &Policy) -> (Verdict, String) {
    let from = |severity: Severity| -> Vec<&Finding> {
        report.findings.iter().filter(|finding| finding.severity >= severity).collect()
    };
    let blocking = from(policy.block);
    if !report.is_complete() {
        let named =
            named(report.unread.iter().map(|unread| format!("{} ({})", place(&unread.file), unread.reason)));
        let and = if blocking.is_empty() { String::new() } else { format!("; besides, {}", of(&blocking)) };
        return (Verdict::Incomplete, format!("not read to the end: {named}{and}"));
    }
    if !blocking.is_empty() {
        return (Verdict::Rejected, of(&blocking));
    }
    let reviewed = from(policy.review);
    if !reviewed.is_empty() {
        return (Verdict::Review, of(&reviewed));
    }
    (Verdict::Passed, "all of it was read and nothing of weight was found".to_owned())
}

fn of(findings: &[&Finding]) -> String {
    let mut sorted = findings.to_vec();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let told = |finding: &&Finding| {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{} at {}{line} ({})", finding.rule, place(&finding.file), finding.message)
    };
    format!("found {}", named(sorted.iter().map(told)))
}

/// A file as people are told of it.
fn place(file: &str) -> &str {
    if file.is_empty() { "the package" } else { file }
}

/// The first few, and how many more there are.
fn named(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(NAMED_MAX);
    let first: Vec<_> = all.take(NAMED_MAX).collect();
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    first.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unread;

    fn finding(rule: &str, severity: Severity) -> Finding {
        Finding {
            rule: rule.to_owned(),
            severity,
            file: "run.sh".to_owned(),
            line: Some(3),
            message: "it is bad".to_owned(),
            excerpt: None,
            analyser: "rules".to_owned(),
        }
    }

    fn report(findings: Vec<Finding>, unread: &[&str]) -> Report {
        let unread =
            unread.iter().map(|file| Unread { file: (*file).to_owned(), reason: "encrypted".to_owned() });
        let mut report = Report {
            score: 100,
            findings: Vec::new(),
            unread: Vec::new(),
            files_total: 1,
            bytes_total: 1,
            bytes_read: 1,
            rules_version: "1".to_owned(),
        };
        report.add(findings, unread.collect());
        report
    }

    #[test]
    fn what_was_not_read_is_held_and_what_weighs_is_named() {
        use Severity::{Critical, High, Info, Low, Medium};
        let strict = Policy { block: Medium, review: Low };
        let lenient = Policy { block: Critical, review: Critical };
        let usual = Policy::default();
        for (severity, policy, verdict) in [
            (Info, usual, Verdict::Passed),
            (Low, usual, Verdict::Passed),
            (Medium, usual, Verdict::Review),
            (High, usual, Verdict::Rejected),
            (Critical, usual, Verdict::Rejected),
            (Low, strict, Verdict::Review),
            (Medium, strict, Verdict::Rejected),
            (High, lenient, Verdict::Passed),
            (Critical, lenient, Verdict::Rejected),
        ] {
            let found = vec![finding("a.b", Info), finding("c.d", severity)];
            let (told, reason) = judge(&report(found.clone(), &[]), &policy);
            assert_eq!(told, verdict, "{severity:?}");
            assert_eq!(
                reason.contains("c.d at run.sh:3 (it is bad)"),
                verdict != Verdict::Passed,
                "{reason}"
            );
            let (held, _) = judge(&report(found, &["blob.bin"]), &policy);
            assert_eq!(held, Verdict::Incomplete);
        }
        assert_eq!(judge(&report(Vec::new(), &[]), &usual).0, Verdict::Passed);
    }

    #[test]
    fn reasons_name_a_few_worst_first() {
        let many = vec![finding("low", Severity::High), finding("worst", Severity::Critical)];
        let many: Vec<_> = many.into_iter().chain((0..5).map(|_| finding("more", Severity::High))).collect();
        let (_, reason) = judge(&report(many, &["a", ""]), &Policy::default());
        assert!(reason.starts_with(
            "not read to the end: a (encrypted), the package (encrypted); besides, found worst"
        ));
        assert!(reason.ends_with("and 4 more"), "{reason}");
    }

    #[test]
    fn another_analyser_adds_and_takes_nothing_away() {
        let mut told = report(vec![finding("a", Severity::High)], &[]);
        assert_eq!(told.score, 60);
        told.add(vec![finding("b", Severity::Critical), finding("a", Severity::High)], Vec::new());
        let rules: Vec<_> = told.findings.iter().map(|finding| finding.rule.as_str()).collect();
        assert_eq!((rules, told.score), (vec!["b", "a", "a"], 0));
        told.add((0..2_000).map(|_| finding("c", Severity::Low)).collect(), Vec::new());
        assert_eq!((told.findings.len(), told.worst()), (1_000, Some(Severity::Critical)));
    }
}
