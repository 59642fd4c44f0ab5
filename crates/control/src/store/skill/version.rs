//! Rows of skill versions.

use std::collections::{BTreeSet, HashMap};

use creel_wire::id::{AccountId, SkillId};
use sea_query::{Expr, ExprTrait, Query};

use super::to_json;
use crate::skill::{Channel, Decided, Pending, Provenance, SkillVersion};
use crate::store::{Row, Store, StoreError, Tx, params};

/// Beside [`COLUMNS`] where one version is read.
const MORE_COLUMNS: [&str; 8] = [
    "report_json",
    "origin_json",
    "pending_channel",
    "pending_display_name",
    "pending_description",
    "pending_icon",
    "pending_env_sealed",
    "pending_api_key_sealed",
];

const COLUMNS: [&str; 24] = [
    "skill_id",
    "account_id",
    "version",
    "content_hash",
    "content_bytes",
    "manifest_json",
    "change_log",
    "publish_status",
    "scan_status",
    "scan_score",
    "scan_reason",
    "scan_rules",
    "scanned_at_ms",
    "scan_attempts",
    "decided_by",
    "decision",
    "decision_reason",
    "accepted_json",
    "decided_at_ms",
    "uploaded_by",
    "uploaded_from",
    "package_hash",
    "source",
    "created_at_ms",
];

fn pending(row: &Row) -> Result<Pending, StoreError> {
    Ok(Pending {
        channel: row.opt_parse("pending_channel")?,
        display_name: row.opt_text("pending_display_name")?,
        description: row.opt_text("pending_description")?,
        icon: row.opt_text("pending_icon")?,
        env_sealed: row.opt_text("pending_env_sealed")?,
        api_key_sealed: row.opt_text("pending_api_key_sealed")?,
    })
}

/// `whole`: the row has [`MORE_COLUMNS`], too.
fn version(row: &Row, whole: bool) -> Result<SkillVersion, StoreError> {
    let decision = match row.opt_parse("decision")? {
        None => None,
        Some(decision) => Some(Decided {
            by: row.text("decided_by")?,
            decision,
            reason: row.text("decision_reason")?,
            accepted: row.json("accepted_json")?,
            at_ms: row.int("decided_at_ms")?,
        }),
    };
    let report =
        if whole && row.opt_text("report_json")?.is_some() { Some(row.json("report_json")?) } else { None };
    let origin =
        if whole && row.opt_text("origin_json")?.is_some() { Some(row.json("origin_json")?) } else { None };
    Ok(SkillVersion {
        skill_id: row.parse("skill_id")?,
        account_id: row.parse("account_id")?,
        version: row.text("version")?,
        content_hash: row.text("content_hash")?,
        content_bytes: row.int("content_bytes")?,
        manifest: row.json("manifest_json")?,
        change_log: row.text("change_log")?,
        publish_status: row.parse("publish_status")?,
        scan_status: row.parse("scan_status")?,
        scan_score: row.opt_int("scan_score")?,
        scan_reason: row.text("scan_reason")?,
        report,
        scan_rules: row.text("scan_rules")?,
        scanned_at_ms: row.opt_int("scanned_at_ms")?,
        scan_attempts: row.int("scan_attempts")?,
        decision,
        provenance: Provenance {
            uploaded_by: row.text("uploaded_by")?,
            uploaded_from: row.text("uploaded_from")?,
            package_hash: row.text("package_hash")?,
            source: row.text("source")?,
        },
        origin,
        pending: if whole { pending(row)? } else { Pending::default() },
        created_at_ms: row.int("created_at_ms")?,
    })
}

fn one(skill_id: &SkillId, version: &str) -> sea_query::SelectStatement {
    let mut select = Query::select();
    select
        .columns(COLUMNS)
        .columns(MORE_COLUMNS)
        .from("skill_version")
        .and_where(Expr::col("skill_id").eq(skill_id.as_str()))
        .and_where(Expr::col("version").eq(version));
    select
}

impl Store {
    /// The versions of skills, without reports, in any order.
    pub(crate) async fn versions_of_skills(
        &self,
        ids: &[&SkillId],
    ) -> Result<HashMap<SkillId, Vec<SkillVersion>>, StoreError> {
        let mut found: HashMap<SkillId, Vec<SkillVersion>> = HashMap::new();
        if ids.is_empty() {
            return Ok(found);
        }
        let mut select = Query::select();
        select
            .columns(COLUMNS)
            .from("skill_version")
            .and_where(Expr::col("skill_id").is_in(ids.iter().map(|id| id.as_str())));
        for row in self.db().select(&select).await? {
            let version = version(&row, false)?;
            found.entry(version.skill_id.clone()).or_default().push(version);
        }
        Ok(found)
    }

    /// One version of an account, with its report.
    pub(crate) async fn find_version(
        &self,
        account_id: &AccountId,
        skill_id: &SkillId,
        wanted: &str,
    ) -> Result<Option<SkillVersion>, StoreError> {
        let mut select = one(skill_id, wanted);
        select.and_where(Expr::col("account_id").eq(account_id.as_str()));
        self.db().select(&select).await?.first().map(|row| version(row, true)).transpose()
    }

    /// The content of every version and of every package that may become one.
    pub(crate) async fn contents_in_use(&self) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT content_hash FROM skill_version
                   UNION SELECT content_hash FROM skill_package WHERE content_hash IS NOT NULL";
        self.db().fetch_all(sql, Vec::new()).await?.iter().map(|row| row.text("content_hash")).collect()
    }

    /// The icons of skills, and those that wait.
    pub(crate) async fn icons_in_use(&self) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT icon FROM skill WHERE icon IS NOT NULL
                   UNION SELECT pending_icon FROM skill_version WHERE pending_icon IS NOT NULL";
        self.db().fetch_all(sql, Vec::new()).await?.iter().map(|row| row.text("icon")).collect()
    }
}

impl Tx {
    /// One version, with its report.
    pub(crate) async fn find_version(
        &mut self,
        skill_id: &SkillId,
        wanted: &str,
    ) -> Result<Option<SkillVersion>, StoreError> {
        let rows = self.select(&one(skill_id, wanted)).await?;
        rows.first().map(|row| version(row, true)).transpose()
    }

    /// Versions and contents of a skill.
    pub(crate) async fn version_hashes(&mut self, id: &SkillId) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT version, content_hash FROM skill_version WHERE skill_id = $1";
        let rows = self.fetch_all(sql, params![id.as_str()]).await?;
        rows.iter().map(|row| Ok((row.text("version")?, row.text("content_hash")?))).collect()
    }

    /// The versions of a skill that agents may get.
    pub(crate) async fn published_versions(&mut self, id: &SkillId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT version FROM skill_version WHERE skill_id = $1 AND publish_status = 'PUBLISHED'";
        let rows = self.fetch_all(sql, params![id.as_str()]).await?;
        rows.iter().map(|row| row.text("version")).collect()
    }

    /// Versions of an account that a policy judges.
    pub(crate) async fn judged_versions(
        &mut self,
        account_id: &AccountId,
    ) -> Result<Vec<(SkillId, String)>, StoreError> {
        let sql = "SELECT v.skill_id, v.version FROM skill_version v JOIN skill s ON s.id = v.skill_id
                   WHERE s.account_id = $1 AND v.publish_status <> 'WITHDRAWN' AND v.report_json IS NOT NULL
                   ORDER BY v.skill_id, v.version";
        let rows = self.fetch_all(sql, params![account_id.as_str()]).await?;
        rows.iter().map(|row| Ok((row.parse("skill_id")?, row.text("version")?))).collect()
    }

    pub(crate) async fn insert_version(&mut self, version: &SkillVersion) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO skill_version (skill_id, account_id, version, content_hash, content_bytes, manifest_json,
                 change_log, publish_status, scan_status, scan_reason, scan_rules, scan_until_ms, scan_attempts,
                 uploaded_by, uploaded_from, package_hash, source, created_at_ms, origin_json)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, $12, $13, $14, $15, $16, $17)",
            params![
                version.skill_id.as_str(),
                version.account_id.as_str(),
                &version.version,
                &version.content_hash,
                version.content_bytes,
                to_json(&version.manifest, "a skill's manifest")?,
                &version.change_log,
                version.publish_status.as_str(),
                version.scan_status.as_str(),
                &version.scan_reason,
                &version.scan_rules,
                &version.provenance.uploaded_by,
                &version.provenance.uploaded_from,
                &version.provenance.package_hash,
                &version.provenance.source,
                version.created_at_ms,
                version.origin.as_ref().map(|it| to_json(it, "a skill's origin")).transpose()?
            ],
        )
        .await?;
        Ok(())
    }

    /// Has what was given with a version wait with it, in place of what waited; a withdrawn one never comes back, so
    /// nothing waits with it.
    pub(crate) async fn add_pending(
        &mut self,
        skill_id: &SkillId,
        version: &str,
        given: &Pending,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE skill_version SET pending_channel = COALESCE($3, pending_channel),
                 pending_display_name = COALESCE($4, pending_display_name),
                 pending_description = COALESCE($5, pending_description),
                 pending_icon = COALESCE($6, pending_icon),
                 pending_env_sealed = COALESCE($7, pending_env_sealed),
                 pending_api_key_sealed = COALESCE($8, pending_api_key_sealed)
             WHERE skill_id = $1 AND version = $2 AND publish_status <> 'WITHDRAWN'",
            params![
                skill_id.as_str(),
                version,
                given.channel.map(Channel::as_str),
                given.display_name.as_deref(),
                given.description.as_deref(),
                given.icon.as_deref(),
                given.env_sealed.as_deref(),
                given.api_key_sealed.as_deref()
            ],
        )
        .await?;
        Ok(())
    }

    /// What waits with a version becomes the skill's.
    pub(crate) async fn apply_pending(
        &mut self,
        skill_id: &SkillId,
        version: &str,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE skill SET channel = COALESCE(v.pending_channel, skill.channel),
                 display_name = COALESCE(v.pending_display_name, skill.display_name),
                 description = COALESCE(v.pending_description, skill.description),
                 icon = COALESCE(v.pending_icon, skill.icon),
                 env_sealed = COALESCE(v.pending_env_sealed, skill.env_sealed),
                 api_key_sealed = COALESCE(v.pending_api_key_sealed, skill.api_key_sealed)
             FROM skill_version v WHERE skill.id = $1 AND v.skill_id = $1 AND v.version = $2",
            params![skill_id.as_str(), version],
        )
        .await?;
        self.drop_pending(skill_id, version).await
    }

    /// Nothing waits with a version any more.
    pub(crate) async fn drop_pending(&mut self, skill_id: &SkillId, version: &str) -> Result<(), StoreError> {
        self.execute(
            "UPDATE skill_version SET pending_channel = NULL, pending_display_name = NULL,
                 pending_description = NULL, pending_icon = NULL, pending_env_sealed = NULL,
                 pending_api_key_sealed = NULL
             WHERE skill_id = $1 AND version = $2",
            params![skill_id.as_str(), version],
        )
        .await?;
        Ok(())
    }

    /// Claims a version that was not scanned by these rules, for as long as the lease lasts.
    pub(crate) async fn claim_version(
        &mut self,
        rules: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<Option<SkillVersion>, StoreError> {
        let lock = if self.is_postgres() { "FOR UPDATE SKIP LOCKED" } else { "" };
        let sql = format!(
            "SELECT skill_id, version FROM skill_version
             WHERE scan_rules <> $1 AND scan_until_ms <= $2 AND publish_status <> 'WITHDRAWN'
             ORDER BY scan_until_ms, skill_id, version LIMIT 1 {lock}"
        );
        let Some(row) = self.fetch_optional(sql, params![rules, now_ms]).await? else { return Ok(None) };
        let (skill_id, version): (SkillId, String) = (row.parse("skill_id")?, row.text("version")?);
        self.execute(
            "UPDATE skill_version SET scan_until_ms = $3, scan_attempts = scan_attempts + 1
             WHERE skill_id = $1 AND version = $2",
            params![skill_id.as_str(), &version, until_ms],
        )
        .await?;
        self.find_version(&skill_id, &version).await
    }

    /// Keeps a claim whose scan takes long.
    pub(crate) async fn renew_scan(
        &mut self,
        skill_id: &SkillId,
        version: &str,
        until_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE skill_version SET scan_until_ms = $3
                   WHERE skill_id = $1 AND version = $2 AND scan_until_ms > 0";
        self.execute(sql, params![skill_id.as_str(), version, until_ms]).await?;
        Ok(())
    }

    /// Ends a claim of a version that could not be scanned by a fault of ours: it waits, and that does not count as an
    /// attempt.
    pub(crate) async fn release_scan(
        &mut self,
        skill_id: &SkillId,
        version: &str,
        until_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE skill_version SET scan_until_ms = $3, scan_attempts = scan_attempts - 1
                   WHERE skill_id = $1 AND version = $2 AND scan_until_ms > 0";
        self.execute(sql, params![skill_id.as_str(), version, until_ms]).await?;
        Ok(())
    }

    /// Writes a new report and ends the claim.
    pub(crate) async fn set_version_report(&mut self, version: &SkillVersion) -> Result<(), StoreError> {
        let report = version.report.as_ref().map(|report| to_json(report, "a report")).transpose()?;
        self.execute(
            "UPDATE skill_version SET scan_score = $3, report_json = $4, scan_rules = $5, scanned_at_ms = $6,
                 scan_until_ms = 0, scan_attempts = 0
             WHERE skill_id = $1 AND version = $2",
            params![
                version.skill_id.as_str(),
                &version.version,
                version.scan_score,
                report,
                &version.scan_rules,
                version.scanned_at_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// Writes what was found out and decided about a version.
    pub(crate) async fn set_version_status(&mut self, version: &SkillVersion) -> Result<(), StoreError> {
        let decided = version.decision.as_ref();
        let accepted = decided.map(|it| to_json(&it.accepted, "accepted findings")).transpose()?;
        self.execute(
            "UPDATE skill_version SET publish_status = $3, scan_status = $4, scan_reason = $5, decided_by = $6,
                 decision = $7, decision_reason = $8, accepted_json = $9, decided_at_ms = $10
             WHERE skill_id = $1 AND version = $2",
            params![
                version.skill_id.as_str(),
                &version.version,
                version.publish_status.as_str(),
                version.scan_status.as_str(),
                &version.scan_reason,
                decided.map(|it| it.by.as_str()),
                decided.map(|it| it.decision.as_str()),
                decided.map(|it| it.reason.as_str()),
                accepted,
                decided.map(|it| it.at_ms)
            ],
        )
        .await?;
        Ok(())
    }
}
