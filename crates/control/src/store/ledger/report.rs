//! Sums of entries for reports and for comparing with invoices. Each is one statement, so one moment, beside a running
//! server.

use creel_wire::id::AccountId;
use creel_wire::money::Micros;
use creel_wire::price::Usage;

use super::super::{Row, Store, StoreError, params};
use super::rows::{columns, entry};
use crate::ledger::{Entry, ModelUsage, ReportBy, ReportRow, month_first_ms};

/// Rows of one report at the most.
const ROWS_MAX: i64 = 100_000;

const TOKENS: &str = "CAST(COALESCE(SUM(e.input_tokens), 0) AS BIGINT) AS input_tokens,
    CAST(COALESCE(SUM(e.cached_input_tokens), 0) AS BIGINT) AS cached_input_tokens,
    CAST(COALESCE(SUM(e.cache_write_tokens), 0) AS BIGINT) AS cache_write_tokens,
    CAST(COALESCE(SUM(e.output_tokens), 0) AS BIGINT) AS output_tokens,
    CAST(COALESCE(SUM(e.reasoning_tokens), 0) AS BIGINT) AS reasoning_tokens";

/// No entry of a month is older: a call may end long after the month in which it began, and before it only by a clock that
/// was set back.
fn oldest_ms(month: i64) -> i64 {
    month_first_ms(month) - 86_400_000
}

fn usage(row: &Row) -> Result<Usage, StoreError> {
    let tokens = |column: &str| row.int(column).map(|count| count.max(0).unsigned_abs());
    Ok(Usage {
        input: tokens("input_tokens")?,
        cached_input: tokens("cached_input_tokens")?,
        cache_write: tokens("cache_write_tokens")?,
        output: tokens("output_tokens")?,
        reasoning: tokens("reasoning_tokens")?,
    })
}

impl Store {
    /// A month's entries of an account behind a time and id, in the order of both.
    pub(crate) async fn scan_month(
        &self,
        account_id: &AccountId,
        month: i64,
        after: (i64, &str),
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {} FROM ledger_entry
             WHERE account_id = $1 AND month = $2 AND created_at_ms >= $3 AND (created_at_ms, id) > ($4, $5)
             ORDER BY created_at_ms, id LIMIT $6",
            columns()
        );
        let values = params![account_id.as_str(), month, oldest_ms(month), after.0, after.1, limit];
        self.db().fetch_all(sql, values).await?.iter().map(entry).collect()
    }

    /// A month's sums of an account by something, and what the ledger's own sum of that month says.
    pub(crate) async fn report(
        &self,
        account_id: &AccountId,
        month: i64,
        by: &ReportBy,
    ) -> Result<(Vec<ReportRow>, Micros), StoreError> {
        let (key, name, join) = match by {
            ReportBy::ResourceGroup => (
                "e.resource_group_id",
                "MAX(g.name)",
                "LEFT JOIN resource_group AS g ON g.id = e.resource_group_id",
            ),
            ReportBy::User => ("e.end_user_id", "CAST(NULL AS TEXT)", ""),
            ReportBy::Tag(_) => (
                "t.tag_value",
                "CAST(NULL AS TEXT)",
                "LEFT JOIN runtime_tag AS t ON t.runtime_id = e.runtime_id AND t.tag_key = $4",
            ),
        };
        let tokens = TOKENS;
        let sql = format!(
            "SELECT CAST(0 AS BIGINT) AS is_total, {key} AS key, {name} AS name,
                    CAST(SUM(CASE WHEN e.part = 0 THEN 1 ELSE 0 END) AS BIGINT) AS calls, {tokens},
                    CAST(SUM(e.micros) AS BIGINT) AS micros, CAST(SUM(e.unbilled_micros) AS BIGINT) AS unbilled
             FROM ledger_entry AS e {join}
             WHERE e.account_id = $1 AND e.month = $2 AND e.created_at_ms >= $3 GROUP BY {key}
             UNION ALL SELECT 1, NULL, NULL, 0, 0, 0, 0, 0, 0,
                    COALESCE((SELECT used_micros FROM usage_month WHERE subject_id = $1 AND month = $2), 0), 0
             ORDER BY is_total, key LIMIT {ROWS_MAX}"
        );
        let mut values = params![account_id.as_str(), month, oldest_ms(month)];
        if let ReportBy::Tag(tag) = by {
            values.push(tag.into());
        }
        let (mut rows, mut total) = (Vec::new(), Micros::ZERO);
        for row in &self.db().fetch_all(sql, values).await? {
            if row.flag("is_total")? {
                total = Micros(row.int("micros")?);
                continue;
            }
            rows.push(ReportRow {
                key: row.opt_text("key")?,
                name: row.opt_text("name")?,
                calls: row.int("calls")?,
                usage: usage(row)?,
                micros: Micros(row.int("micros")?),
                unbilled: Micros(row.int("unbilled")?),
            });
        }
        Ok((rows, total))
    }

    /// What models of a provider (by id or by name) used in these hours, by model. Calls that were cut off are
    /// counted apart: nobody knows what they used.
    pub(crate) async fn used_by_model(
        &self,
        account_id: Option<&AccountId>,
        provider: &str,
        (from_hour, until_hour): (i64, i64),
    ) -> Result<Vec<ModelUsage>, StoreError> {
        let known = TOKENS
            .replace("SUM(e.", "SUM(CASE WHEN e.label = 'unsettled' THEN 0 ELSE e.")
            .replace("), 0) AS BIGINT)", " END), 0) AS BIGINT)");
        let sql = format!(
            "SELECT e.model_code AS model,
                    CAST(SUM(CASE WHEN e.label = 'unsettled' THEN 0 ELSE 1 END) AS BIGINT) AS calls,
                    CAST(SUM(CASE WHEN e.label = 'estimated' THEN 1 ELSE 0 END) AS BIGINT) AS estimated,
                    CAST(SUM(CASE WHEN e.label = 'unsettled' THEN 1 ELSE 0 END) AS BIGINT) AS unknown, {known}
             FROM ledger_entry AS e
             WHERE e.part = 0 AND (e.provider_id = $1 OR e.provider_name = $1) AND e.hour >= $2 AND e.hour < $3
               AND (CAST($4 AS TEXT) IS NULL OR e.account_id = CAST($4 AS TEXT))
             GROUP BY e.model_code ORDER BY model LIMIT {ROWS_MAX}"
        );
        let values = params![provider, from_hour, until_hour, account_id.map(AccountId::as_str)];
        self.db()
            .fetch_all(sql, values)
            .await?
            .iter()
            .map(|row| {
                Ok(ModelUsage {
                    model_code: row.text("model")?,
                    calls: row.int("calls")?,
                    estimated: row.int("estimated")?,
                    unknown: row.int("unknown")?,
                    usage: usage(row)?,
                })
            })
            .collect()
    }
}
