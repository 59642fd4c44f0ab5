//! What a report means under a policy: a pure function, so that another policy judges what is there anew.

use creel_skills::report::Report;
use creel_skills::verdict::{self, Verdict};

use super::{Decided, Decision, PublishStatus, ScanStatus, SkillPolicy};

/// What becomes of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) scan_status: ScanStatus,
    pub(crate) publish_status: PublishStatus,
    /// Empty where it is published.
    pub(crate) reason: String,
}

/// Findings that matter under a policy, each by rule and file, sorted: what an approval is about.
pub(crate) fn weighty(report: &Report, policy: &SkillPolicy) -> Vec<String> {
    let mut names: Vec<String> = report
        .findings
        .iter()
        .filter(|finding| finding.severity >= policy.review)
        .map(|finding| format!("{} {}", finding.rule, finding.file))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Only what was read to its end, has nothing that blocks, and was approved where that is asked for, is published. A
/// decision stands for the findings it was made about: more of them void it.
pub(crate) fn judge(report: &Report, policy: &SkillPolicy, decided: Option<&Decided>) -> Judgement {
    let (verdict, reason) = verdict::judge(report, &policy.verdict());
    let scan_status = match verdict {
        Verdict::Passed => ScanStatus::Passed,
        Verdict::Review => ScanStatus::Review,
        Verdict::Rejected => ScanStatus::Rejected,
        Verdict::Incomplete => ScanStatus::Incomplete,
    };
    let refused = decided.filter(|decided| decided.decision == Decision::Rejected);
    if let Some(decided) = refused {
        let reason = format!("{} rejected it: {}", decided.by, decided.reason);
        return Judgement { scan_status, publish_status: PublishStatus::Draft, reason };
    }
    let accepted = |decided: &Decided| {
        decided.decision == Decision::Approved
            && weighty(report, policy).iter().all(|name| decided.accepted.contains(name))
    };
    let published = match scan_status {
        ScanStatus::Passed => true,
        ScanStatus::Review => decided.is_some_and(accepted),
        ScanStatus::Scanning | ScanStatus::Rejected | ScanStatus::Incomplete => false,
    };
    if published {
        Judgement { scan_status, publish_status: PublishStatus::Published, reason: String::new() }
    } else {
        Judgement { scan_status, publish_status: PublishStatus::Draft, reason }
    }
}
