//! Versions: their order, which one agents get, what people decide about them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use creel_wire::id::{AccountId, SkillId};
use creel_wire::secret::Secret;
use semver::Version;

use super::judge::{judge, weighty};
use super::{Decided, PublishStatus, ScanStatus, SkillError, SkillPolicy, SkillVersion, Skills, words};
use crate::access::Actor;
use crate::store::{StoreError, Topic, Tx};

/// Most characters of a reason.
pub const REASON_CHARS_MAX: usize = 500;

words! {
    /// What a reviewer decides.
    Decision { Approved = "APPROVED", Rejected = "REJECTED" }
}

/// A decision about a version.
#[derive(Debug, Clone)]
pub struct Review {
    pub skill_id: SkillId,
    pub version: String,
    pub decision: Decision,
    /// For whoever reads it later.
    pub reason: String,
}

/// By semantic precedence; what is no semantic version is older than all that are.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    match (Version::parse(a), Version::parse(b)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (a, b) => a.is_ok().cmp(&b.is_ok()),
    }
}

/// Judges a version by its newest report, writes what changes, and settles which version agents get.
pub(super) async fn judge_again(
    tx: &mut Tx,
    version: &mut SkillVersion,
    policy: &SkillPolicy,
) -> Result<(), StoreError> {
    if version.publish_status == PublishStatus::Withdrawn {
        return Ok(());
    }
    if let Some(report) = &version.report {
        let judged = judge(report, policy, version.decision.as_ref());
        version.scan_status = judged.scan_status;
        version.publish_status = judged.publish_status;
        version.scan_reason = judged.reason;
    }
    tx.set_version_status(version).await?;
    settle_current(tx, &version.skill_id).await
}

/// Agents get the pinned version where it is published, else the newest that is; what was given with that one is the
/// skill's from now on.
pub(super) async fn settle_current(tx: &mut Tx, skill_id: &SkillId) -> Result<(), StoreError> {
    let published = tx.published_versions(skill_id).await?;
    let (pinned, _) = tx.versions_in_use(skill_id).await?;
    let current = match pinned {
        // A pin is an administrator's word: where it cannot be kept, nothing else takes its place.
        Some(pinned) => published.into_iter().find(|version| *version == pinned),
        None => published.into_iter().max_by(|a, b| order(a, b)),
    };
    tx.set_current_version(skill_id, current.as_deref()).await?;
    match current {
        Some(current) => tx.apply_pending(skill_id, &current).await,
        None => Ok(()),
    }
}

impl Skills {
    /// One version with its report.
    pub async fn version(
        &self,
        account_id: &AccountId,
        skill_id: &SkillId,
        version: &str,
    ) -> Result<SkillVersion, SkillError> {
        let found = self.store.find_version(account_id, skill_id, version).await?;
        found.ok_or_else(|| not_found(skill_id, version))
    }

    /// The variables that wait with a version; `None`: those of the skill stay.
    pub fn pending_env(
        &self,
        version: &SkillVersion,
    ) -> Result<Option<BTreeMap<String, Secret>>, SkillError> {
        self.open_env(&version.skill_id, version.pending.env_sealed.as_deref())
    }

    /// Approves a version that waits for it, or rejects one.
    pub async fn review(&self, actor: Actor, review: Review) -> Result<SkillVersion, SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[review.skill_id.as_str(), &review.version], now_ms).await?;
                    let policy = tx.skill_policy(&actor.account_id).await?;
                    let mut version = lock(tx, &actor, &review.skill_id, &review.version).await?;
                    let status = version.scan_status;
                    let approves = review.decision == Decision::Approved;
                    if version.publish_status == PublishStatus::Withdrawn {
                        return Err(wrong(&version, "WITHDRAWN", "reviewed"));
                    }
                    if approves && !matches!(status, ScanStatus::Review | ScanStatus::Passed) {
                        return Err(wrong(&version, status.as_str(), "approved"));
                    }
                    if approves
                        && policy.four_eyes
                        && version.provenance.uploaded_by == actor.principal_name()
                    {
                        return Err(SkillError::SamePerson);
                    }
                    let accepted = version.report.as_ref().map(|report| weighty(report, &policy));
                    version.decision = Some(Decided {
                        by: actor.principal_name(),
                        decision: review.decision,
                        reason: review.reason,
                        accepted: if approves { accepted.unwrap_or_default() } else { Vec::new() },
                        at_ms: now_ms,
                    });
                    judge_again(tx, &mut version, &policy).await?;
                    changed(tx, &actor).await?;
                    Ok(version)
                })
            })
            .await
    }

    /// Takes a version from every agent for good. Gives what they get now.
    pub async fn withdraw(
        &self,
        actor: Actor,
        skill_id: SkillId,
        version: String,
        reason: String,
    ) -> Result<Option<String>, SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[skill_id.as_str(), &version], now_ms).await?;
                    let mut version = lock(tx, &actor, &skill_id, &version).await?;
                    if version.publish_status != PublishStatus::Withdrawn {
                        version.publish_status = PublishStatus::Withdrawn;
                        version.scan_reason = format!("{} withdrew it: {reason}", actor.principal_name());
                        tx.set_version_status(&version).await?;
                        tx.drop_pending(&skill_id, &version.version).await?;
                        settle_current(tx, &skill_id).await?;
                        changed(tx, &actor).await?;
                    }
                    let (_, current) = tx.versions_in_use(&skill_id).await?;
                    Ok(current)
                })
            })
            .await
    }

    /// Chooses the version that agents get; with `None` the newest that is published. Gives what they get now.
    pub async fn pin(
        &self,
        actor: Actor,
        skill_id: SkillId,
        version: Option<String>,
    ) -> Result<Option<String>, SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[skill_id.as_str()], now_ms).await?;
                    let ids = [skill_id.to_string()];
                    super::auth::lock_skills(tx, &actor.account_id, None, &ids).await?;
                    if let Some(wanted) = &version {
                        let found = lock(tx, &actor, &skill_id, wanted).await?;
                        if found.publish_status != PublishStatus::Published {
                            return Err(wrong(&found, found.publish_status.as_str(), "given to agents"));
                        }
                    }
                    tx.set_pinned_version(&skill_id, version.as_deref()).await?;
                    settle_current(tx, &skill_id).await?;
                    changed(tx, &actor).await?;
                    let (_, current) = tx.versions_in_use(&skill_id).await?;
                    Ok(current)
                })
            })
            .await
    }
}

/// Agents follow.
pub(super) async fn changed(tx: &mut Tx, actor: &Actor) -> Result<(), StoreError> {
    tx.touch_skills(&actor.account_id).await?;
    tx.raise(Topic::Guest).await
}

async fn lock(
    tx: &mut Tx,
    actor: &Actor,
    skill_id: &SkillId,
    version: &str,
) -> Result<SkillVersion, SkillError> {
    super::auth::lock_skills(tx, &actor.account_id, None, &[skill_id.to_string()]).await?;
    tx.find_version(skill_id, version).await?.ok_or_else(|| not_found(skill_id, version))
}

fn not_found(skill_id: &SkillId, version: &str) -> SkillError {
    SkillError::VersionNotFound { skill_id: skill_id.clone(), version: version.to_owned() }
}

fn wrong(version: &SkillVersion, status: &'static str, action: &'static str) -> SkillError {
    SkillError::WrongStatus { version: version.version.clone(), status, action }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_semantic_order() {
        let mut versions = vec!["1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0", "x"];
        versions.sort_by(|a, b| order(a, b));
        assert_eq!(versions, ["x", "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]);
    }
}
