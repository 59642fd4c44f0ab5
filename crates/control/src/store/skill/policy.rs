//! Rows of skill policies.

use creel_wire::id::AccountId;

use super::to_json;
use crate::skill::SkillPolicy;
use crate::store::{Row, Store, StoreError, Tx, params};

const SELECT: &str = "SELECT block_severity, review_severity, drift, four_eyes, sources_json
    FROM skill_policy WHERE account_id = $1";

fn policy(row: Option<&Row>) -> Result<SkillPolicy, StoreError> {
    let Some(row) = row else { return Ok(SkillPolicy::default()) };
    Ok(SkillPolicy {
        block: row.parse("block_severity")?,
        review: row.parse("review_severity")?,
        drift: row.parse("drift")?,
        four_eyes: row.flag("four_eyes")?,
        sources: row.json("sources_json")?,
    })
}

impl Store {
    /// The policy of an account, or the default.
    pub(crate) async fn skill_policy(&self, account_id: &AccountId) -> Result<SkillPolicy, StoreError> {
        policy(self.db().fetch_optional(SELECT, params![account_id.as_str()]).await?.as_ref())
    }
}

impl Tx {
    /// As [`Store::skill_policy`].
    pub(crate) async fn skill_policy(&mut self, account_id: &AccountId) -> Result<SkillPolicy, StoreError> {
        policy(self.fetch_optional(SELECT, params![account_id.as_str()]).await?.as_ref())
    }

    pub(crate) async fn put_skill_policy(
        &mut self,
        account_id: &AccountId,
        policy: &SkillPolicy,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO skill_policy (account_id, block_severity, review_severity, drift, four_eyes, sources_json,
                 updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (account_id) DO UPDATE SET block_severity = excluded.block_severity,
                 review_severity = excluded.review_severity, drift = excluded.drift, four_eyes = excluded.four_eyes,
                 sources_json = excluded.sources_json, updated_at_ms = excluded.updated_at_ms",
            params![
                account_id.as_str(),
                policy.block.as_str(),
                policy.review.as_str(),
                policy.drift.as_str(),
                policy.four_eyes,
                to_json(&policy.sources, "sources of a policy")?,
                now_ms
            ],
        )
        .await?;
        Ok(())
    }
}
