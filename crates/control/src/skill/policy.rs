//! What an account does about what is found in skills, and about skills that change on agents.

use creel_skills::report::Severity;
use creel_skills::verdict::Policy;
use creel_wire::guest::DriftPolicy;
use creel_wire::id::AccountId;

use super::{SOURCE_UPLOAD, SkillError, Skills, words};
use crate::access::Actor;
use crate::store::Topic;

words! {
    /// What happens about a skill that was changed on an agent.
    Drift {
        /// It is listed.
        Observe = "OBSERVE",
        /// It is listed and counts as a risk.
        Warn = "WARN",
        /// What was authorised is put back.
        Restore = "RESTORE",
    }
}

impl From<Drift> for DriftPolicy {
    fn from(drift: Drift) -> Self {
        match drift {
            Drift::Observe => DriftPolicy::Observe,
            Drift::Warn => DriftPolicy::Warn,
            Drift::Restore => DriftPolicy::Restore,
        }
    }
}

/// Alone: what an account allows that never set its sources.
const BY_DEFAULT: &str = "*";

/// An account's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillPolicy {
    /// Findings of this severity and above reject a version.
    pub block: Severity,
    /// Findings of this severity and above need an approval.
    pub review: Severity,
    pub drift: Drift,
    /// Whoever uploaded a version may not approve it.
    pub four_eyes: bool,
    /// From where versions may come; empty: uploads alone. What another Creel signed is taken where its key is named.
    pub sources: Vec<String>,
}

impl Default for SkillPolicy {
    fn default() -> Self {
        Self {
            block: Severity::High,
            review: Severity::Medium,
            drift: Drift::Warn,
            four_eyes: false,
            sources: Vec::new(),
        }
    }
}

impl SkillPolicy {
    pub(crate) fn verdict(&self) -> Policy {
        Policy { block: self.block, review: self.review }
    }

    /// Whether versions may come from there.
    pub(crate) fn allows(&self, source: &str) -> bool {
        if self.sources.is_empty() {
            source == SOURCE_UPLOAD
        } else {
            self.sources.iter().any(|allowed| allowed == source)
        }
    }
}

/// What of a policy is set; the rest stays.
#[derive(Debug, Clone, Default)]
pub struct PolicyChange {
    pub block: Option<Severity>,
    pub review: Option<Severity>,
    pub drift: Option<Drift>,
    pub four_eyes: Option<bool>,
    /// [`BY_DEFAULT`] alone: uploads.
    pub sources: Option<Vec<String>>,
}

impl PolicyChange {
    fn of(self, before: SkillPolicy) -> SkillPolicy {
        let mut sources = self.sources.unwrap_or(before.sources);
        if sources.iter().any(|source| source == BY_DEFAULT) {
            sources.clear();
        }
        SkillPolicy {
            block: self.block.unwrap_or(before.block),
            review: self.review.unwrap_or(before.review),
            drift: self.drift.unwrap_or(before.drift),
            four_eyes: self.four_eyes.unwrap_or(before.four_eyes),
            sources,
        }
    }
}

impl Skills {
    /// The policy of an account.
    pub async fn policy(&self, account_id: &AccountId) -> Result<SkillPolicy, SkillError> {
        Ok(self.store.skill_policy(account_id).await?)
    }

    /// Changes an account's policy. Every version is judged anew by its newest report: one that a stricter policy holds
    /// leaves its agents.
    pub async fn set_policy(&self, actor: Actor, change: PolicyChange) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[actor.account_id.as_str()], now_ms).await?;
                    let policy = change.of(tx.skill_policy(&actor.account_id).await?);
                    tx.put_skill_policy(&actor.account_id, &policy, now_ms).await?;
                    for (skill_id, version) in tx.judged_versions(&actor.account_id).await? {
                        let Some(mut version) = tx.find_version(&skill_id, &version).await? else { continue };
                        super::version::judge_again(tx, &mut version, &policy).await?;
                    }
                    tx.touch_skills(&actor.account_id).await?;
                    tx.raise(Topic::Guest).await?;
                    Ok(())
                })
            })
            .await
    }
}
