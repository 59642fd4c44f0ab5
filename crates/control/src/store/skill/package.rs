//! Rows of uploaded packages.

use creel_wire::id::AccountId;

use super::to_json;
use crate::skill::{PackageTask, ParseProgress};
use crate::store::{Row, Store, StoreError, Tx, params};

const COLUMNS: &str = "task_key, account_id, object_key, object_etag, status, error_code, error_message,
    manifest_json, content_hash, content_bytes, package_hash, uploaded_by, uploaded_from, attempts, source, origin_json";

fn package(row: &Row) -> Result<PackageTask, StoreError> {
    let origin = if row.opt_text("origin_json")?.is_some() { Some(row.json("origin_json")?) } else { None };
    let manifest =
        if row.opt_text("manifest_json")?.is_some() { Some(row.json("manifest_json")?) } else { None };
    Ok(PackageTask {
        task_key: row.text("task_key")?,
        account_id: row.parse("account_id")?,
        object_key: row.text("object_key")?,
        object_etag: row.text("object_etag")?,
        uploaded_by: row.text("uploaded_by")?,
        uploaded_from: row.text("uploaded_from")?,
        attempts: row.int("attempts")?,
        progress: ParseProgress {
            status: row.parse("status")?,
            error_code: row.text("error_code")?,
            error_message: row.text("error_message")?,
            manifest,
            content_hash: row.opt_text("content_hash")?.unwrap_or_default(),
            content_bytes: row.int("content_bytes")?,
            package_hash: row.text("package_hash")?,
            source: row.text("source")?,
            origin,
        },
    })
}

impl Store {
    /// A task of an account.
    pub(crate) async fn find_package(
        &self,
        account_id: &AccountId,
        task_key: &str,
    ) -> Result<Option<PackageTask>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM skill_package WHERE task_key = $1 AND account_id = $2");
        let row = self.db().fetch_optional(sql, params![task_key, account_id.as_str()]).await?;
        row.as_ref().map(package).transpose()
    }
}

impl Tx {
    pub(crate) async fn count_waiting_packages(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM skill_package
                   WHERE account_id = $1 AND status = 'PARSING_METADATA'";
        let row = self.fetch_optional(sql, params![account_id.as_str()]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    pub(crate) async fn insert_package(&mut self, task: &PackageTask, now_ms: i64) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO skill_package (task_key, account_id, object_key, object_etag, status, error_code,
                 error_message, content_bytes, package_hash, uploaded_by, uploaded_from, created_at_ms,
                 parse_until_ms, attempts)
             VALUES ($1, $2, $3, $4, $5, '', '', 0, '', $6, $7, $8, 0, 0)",
            params![
                &task.task_key,
                task.account_id.as_str(),
                &task.object_key,
                &task.object_etag,
                task.progress.status.as_str(),
                &task.uploaded_by,
                &task.uploaded_from,
                now_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// Claims a package that waits, for as long as the lease lasts.
    pub(crate) async fn claim_package(
        &mut self,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<Option<PackageTask>, StoreError> {
        let lock = if self.is_postgres() { "FOR UPDATE SKIP LOCKED" } else { "" };
        let sql = format!(
            "UPDATE skill_package SET parse_until_ms = $2, attempts = attempts + 1 WHERE task_key = (
                 SELECT task_key FROM skill_package
                 WHERE status = 'PARSING_METADATA' AND parse_until_ms <= $1
                 ORDER BY parse_until_ms, created_at_ms, task_key LIMIT 1 {lock})
             RETURNING {COLUMNS}"
        );
        self.fetch_optional(sql, params![now_ms, until_ms]).await?.as_ref().map(package).transpose()
    }

    /// Keeps a claim whose package takes long.
    pub(crate) async fn renew_package(&mut self, task_key: &str, until_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE skill_package SET parse_until_ms = $2 WHERE task_key = $1 AND status = 'PARSING_METADATA'";
        self.execute(sql, params![task_key, until_ms]).await?;
        Ok(())
    }

    /// Ends a claim of a package that could not be read by a fault of ours: it waits, and that does not count as an
    /// attempt.
    pub(crate) async fn release_package(&mut self, task_key: &str, until_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE skill_package SET parse_until_ms = $2, attempts = attempts - 1
                   WHERE task_key = $1 AND status = 'PARSING_METADATA'";
        self.execute(sql, params![task_key, until_ms]).await?;
        Ok(())
    }

    /// Ends a task. What a client may have seen already as its end stays.
    pub(crate) async fn set_package_progress(
        &mut self,
        task_key: &str,
        progress: &ParseProgress,
    ) -> Result<(), StoreError> {
        let manifest = progress.manifest.as_ref().map(|it| to_json(it, "a skill's manifest")).transpose()?;
        let origin = progress.origin.as_ref().map(|it| to_json(it, "a skill's origin")).transpose()?;
        let hash = Some(progress.content_hash.clone()).filter(|hash| !hash.is_empty());
        self.execute(
            "UPDATE skill_package SET status = $2, error_code = $3, error_message = $4, manifest_json = $5,
                 content_hash = $6, content_bytes = $7, package_hash = $8, source = $9, origin_json = $10
             WHERE task_key = $1 AND status = 'PARSING_METADATA'",
            params![
                task_key,
                progress.status.as_str(),
                &progress.error_code,
                &progress.error_message,
                manifest,
                hash,
                progress.content_bytes,
                &progress.package_hash,
                &progress.source,
                origin
            ],
        )
        .await?;
        Ok(())
    }

    /// Forgets tasks that are older than they are kept; gives the number of rows.
    pub(crate) async fn delete_packages(&mut self, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM skill_package WHERE task_key IN (
                 SELECT task_key FROM skill_package WHERE created_at_ms < $1 ORDER BY created_at_ms LIMIT $2)",
            params![before_ms, limit],
        )
        .await
    }
}
