//! Quotas of agents and of resource groups.

use creel_wire::id::{AccountId, ResourceGroupId};
use creel_wire::money::Micros;

use super::super::{Row, Store, StoreError, Tx, params};
use crate::ledger::{
    Cycle, LimitLoad, Quota, QuotaChange, QuotaKind, WARN_PERCENT_DEFAULT, hour_of, hour_start_ms, month_of,
};

/// Quotas that one list holds at the most.
const QUOTAS_MAX: i64 = 100_000;

fn cycle(row: &Row) -> Result<Cycle, StoreError> {
    row.parse("cycle")
}

impl Store {
    /// The quota of a runtime or group, and what is used of it in the cycle that is now.
    pub(super) async fn load_limit(&self, subject_id: &str, now_ms: i64) -> Result<LimitLoad, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT quota_micros, cycle FROM credit_quota WHERE subject_id = $1 AND quota_micros IS NOT NULL",
                params![subject_id],
            )
            .await?;
        let (quota, cycle) = match row {
            Some(row) => (row.opt_int("quota_micros")?, cycle(&row)?),
            None => (None, Cycle::default()),
        };
        let start = cycle.start(hour_of(now_ms));
        // Without a limit nobody looks at what is used.
        let used =
            if quota.is_some() { self.used_in_cycle(subject_id, cycle, hour_of(now_ms)).await? } else { 0 };
        Ok(LimitLoad { quota, cycle, start, used })
    }

    async fn used_in_cycle(&self, subject_id: &str, cycle: Cycle, hour: i64) -> Result<i64, StoreError> {
        let row = if cycle == Cycle::Month {
            let sql = "SELECT used_micros FROM usage_month WHERE subject_id = $1 AND month = $2";
            self.db().fetch_optional(sql, params![subject_id, month_of(hour_start_ms(hour))]).await?
        } else {
            let (first, end) = cycle.span(hour);
            let sql = "SELECT CAST(COALESCE(SUM(used_micros), 0) AS BIGINT) AS used_micros FROM usage_hour
                       WHERE subject_id = $1 AND hour >= $2 AND hour < $3";
            self.db().fetch_optional(sql, params![subject_id, first, end]).await?
        };
        row.map_or(Ok(0), |row| row.int("used_micros"))
    }

    /// At which part of its packs an account is told.
    pub(crate) async fn account_warn_percent(&self, account_id: &AccountId) -> Result<i64, StoreError> {
        let sql = "SELECT warn_percent FROM ledger_account WHERE account_id = $1";
        let row = self.db().fetch_optional(sql, params![account_id.as_str()]).await?;
        row.map_or(Ok(WARN_PERCENT_DEFAULT), |row| row.int("warn_percent"))
    }

    /// Every quota of an account, those of groups last, with what is used in the cycle that is now.
    pub(crate) async fn list_quotas(
        &self,
        account_id: &AccountId,
        now_ms: i64,
    ) -> Result<Vec<Quota>, StoreError> {
        let sql = "SELECT subject_id, kind, quota_micros, cycle, warn_percent FROM credit_quota
                   WHERE account_id = $1 AND quota_micros IS NOT NULL ORDER BY kind, subject_id LIMIT $2";
        let rows = self.db().fetch_all(sql, params![account_id.as_str(), QUOTAS_MAX]).await?;
        let mut quotas = Vec::with_capacity(rows.len());
        for row in &rows {
            let (subject_id, cycle) = (row.text("subject_id")?, cycle(row)?);
            let used = self.used_in_cycle(&subject_id, cycle, hour_of(now_ms)).await?;
            quotas.push(Quota {
                kind: row.text("kind")?.parse()?,
                subject_id,
                quota: Micros(row.opt_int("quota_micros")?.unwrap_or(0)),
                cycle,
                warn_percent: row.int("warn_percent")?,
                used: Micros(used),
            });
        }
        Ok(quotas)
    }
}

impl Tx {
    /// Changes a quota; what a change leaves open stays, or begins with the default.
    pub(crate) async fn put_quota(
        &mut self,
        account_id: &AccountId,
        kind: QuotaKind,
        subject_id: &str,
        change: &QuotaChange,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO credit_quota (subject_id, kind, account_id, quota_micros, cycle, warn_percent, updated_at_ms)
             VALUES ($1, $2, $3, $4, COALESCE($5, 'Month'), COALESCE($6, 80), $7)
             ON CONFLICT (subject_id) DO UPDATE
             SET quota_micros = excluded.quota_micros, cycle = COALESCE($5, credit_quota.cycle),
                 warn_percent = COALESCE($6, credit_quota.warn_percent), updated_at_ms = excluded.updated_at_ms",
            params![
                subject_id,
                kind.as_str(),
                account_id.as_str(),
                change.quota.map(|micros| micros.0),
                change.cycle.map(Cycle::as_str),
                change.warn_percent,
                now_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// Sets at which part of its packs an account is told.
    pub(crate) async fn set_account_warn_percent(
        &mut self,
        account_id: &AccountId,
        percent: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE ledger_account SET warn_percent = $2 WHERE account_id = $1";
        self.execute(sql, params![account_id.as_str(), percent]).await?;
        Ok(())
    }

    /// True if the account has this group.
    pub(crate) async fn has_resource_group(
        &mut self,
        account_id: &AccountId,
        id: &ResourceGroupId,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM resource_group WHERE id = $1 AND account_id = $2";
        Ok(self.fetch_optional(sql, params![id.as_str(), account_id.as_str()]).await?.is_some())
    }
}
