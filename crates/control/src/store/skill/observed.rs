//! What a runtime is to have of skills, and what its guest found.

use creel_wire::guest::SkillSeen;
use creel_wire::id::{AccountId, RuntimeId};

use crate::skill::{Drift, Granted, SKILLS_OF_AGENT_MAX, state_from_word, state_word};
use crate::store::{Row, Store, StoreError, Tx, params};

/// What a runtime is to have.
#[derive(Debug)]
pub(crate) struct SkillWish {
    /// By slug; each skill once.
    pub(crate) granted: Vec<Granted>,
    pub(crate) secure: bool,
    pub(crate) drift: Drift,
}

/// Skills of the runtime `r` by any of its identities, in their version that agents get, where there is one.
const GRANTED: &str = "FROM runtime r
    JOIN skill_auth a ON a.account_id = r.account_id AND (
        (a.identity_kind = 'Runtime' AND a.identity_id = r.id)
        OR (a.identity_kind = 'ResourceGroup' AND a.identity_id = r.resource_group_id)
        OR (a.identity_kind = 'User' AND a.identity_id IN
            (SELECT u.end_user_id FROM runtime_user u WHERE u.runtime_id = r.id)))
    JOIN skill s ON s.id = a.skill_id
    JOIN skill_version v ON v.skill_id = s.id AND v.version = s.current_version AND v.publish_status = 'PUBLISHED'
    WHERE r.id = $1 AND r.deleted_at_ms IS NULL";

/// As a literal: the states that [`SkillState::is_drift`](creel_wire::guest::SkillState::is_drift) names.
macro_rules! is_drift {
    () => {
        "runtime_skill.state IN ('Modified', 'Foreign', 'Shadowing')"
    };
}

/// Whether a row of `runtime_skill` is drift.
pub(in crate::store) const IS_DRIFT: &str = is_drift!();

/// Whether the runtime `r` has skills that are not as authorised, and its account counts that as a risk.
pub(in crate::store) const SKILLS_MODIFIED: &str = concat!(
    "(EXISTS (SELECT 1 FROM runtime_skill WHERE runtime_skill.runtime_id = r.id AND ",
    is_drift!(),
    ") AND NOT EXISTS (SELECT 1 FROM skill_policy p WHERE p.account_id = r.account_id AND p.drift = 'OBSERVE'))"
);

fn seen(row: &Row) -> Result<(SkillSeen, i64), StoreError> {
    let state = state_from_word(&row.text("state")?);
    let state = state.ok_or_else(|| StoreError::Corrupt { what: "the state of a skill".to_owned() })?;
    let seen = SkillSeen {
        name: row.text("name")?,
        place: row.text("place")?,
        content_hash: row.opt_text("content_hash")?,
        state,
        note: row.opt_text("note")?,
    };
    Ok((seen, row.int("observed_at_ms")?))
}

impl Store {
    /// What a runtime is to have; `None` if there is no such runtime.
    pub(crate) async fn skill_wish(&self, id: &RuntimeId) -> Result<Option<SkillWish>, StoreError> {
        let sql = "SELECT COALESCE(p.drift, 'WARN') AS drift,
                       CAST(CASE WHEN EXISTS (SELECT 1 FROM skill_security x WHERE x.runtime_id = r.id)
                           THEN 1 ELSE 0 END AS BIGINT) AS secure
                   FROM runtime r LEFT JOIN skill_policy p ON p.account_id = r.account_id WHERE r.id = $1";
        let Some(row) = self.db().fetch_optional(sql, params![id.as_str()]).await? else { return Ok(None) };
        let (secure, drift) = (row.flag("secure")?, row.parse("drift")?);
        let columns = super::COLUMNS.map(|column| format!("s.{column}")).join(", ");
        let sql = format!(
            "SELECT {columns}, v.version, v.content_hash, v.content_bytes, MAX(a.auto_install) AS auto_install
             {GRANTED} GROUP BY {columns}, v.version, v.content_hash, v.content_bytes
             ORDER BY s.slug LIMIT {SKILLS_OF_AGENT_MAX}"
        );
        let rows = self.db().fetch_all(sql, params![id.as_str()]).await?;
        let granted = rows.iter().map(|row| {
            Ok(Granted {
                skill: super::skill(row)?,
                version: row.text("version")?,
                content_hash: row.text("content_hash")?,
                content_bytes: row.int("content_bytes")?,
                auto_install: row.flag("auto_install")?,
            })
        });
        Ok(Some(SkillWish { granted: granted.collect::<Result<_, StoreError>>()?, secure, drift }))
    }

    /// Whether a runtime may have this content.
    pub(crate) async fn runtime_has_skill(
        &self,
        id: &RuntimeId,
        content_hash: &str,
    ) -> Result<bool, StoreError> {
        let sql = format!("SELECT v.version {GRANTED} AND v.content_hash = $2 LIMIT 1");
        Ok(self.db().fetch_optional(sql, params![id.as_str(), content_hash]).await?.is_some())
    }

    /// What a guest found, and when.
    pub(crate) async fn runtime_skills(&self, id: &RuntimeId) -> Result<Vec<(SkillSeen, i64)>, StoreError> {
        let sql = "SELECT name, place, content_hash, state, note, observed_at_ms FROM runtime_skill
                   WHERE runtime_id = $1 ORDER BY place, name";
        self.db().fetch_all(sql, params![id.as_str()]).await?.iter().map(seen).collect()
    }
}

impl Tx {
    /// What a guest found now, in place of what it found before.
    pub(crate) async fn set_runtime_skills(
        &mut self,
        account_id: &AccountId,
        runtime_id: &RuntimeId,
        mut seen: Vec<SkillSeen>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        seen.sort_by(|a, b| (&a.place, &a.name).cmp(&(&b.place, &b.name)));
        seen.dedup_by(|a, b| a.place == b.place && a.name == b.name);
        self.execute("DELETE FROM runtime_skill WHERE runtime_id = $1", params![runtime_id.as_str()]).await?;
        let row = |seen: SkillSeen| {
            params![
                runtime_id.as_str(),
                seen.place,
                seen.name,
                account_id.as_str(),
                seen.content_hash,
                state_word(seen.state),
                seen.note,
                now_ms
            ]
        };
        let columns =
            ["runtime_id", "place", "name", "account_id", "content_hash", "state", "note", "observed_at_ms"];
        self.insert_many("runtime_skill", &columns, seen.into_iter().map(row).collect()).await
    }
}
