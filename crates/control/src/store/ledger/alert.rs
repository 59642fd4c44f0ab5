//! Crossings of a warn percentage: noted in the transaction that crosses, and delivered later.

use super::super::batch::padded;
use super::super::{Store, StoreError, Tx, Value, params};
use super::marks_from;
use crate::ledger::{Alert, Cycle, hour_start_ms, month_of};
use creel_wire::money::Micros;

/// Subjects in one statement at the most.
const SUBJECTS_MAX: usize = 500;

/// The marks of a list behind other values, and all of these values.
fn with_list(mut values: Vec<Value>, list: &[&str]) -> (String, Vec<Value>) {
    let list = padded(list.iter().copied());
    let marks = marks_from(values.len() + 1, list.len());
    values.extend(list);
    (marks, values)
}

/// Whether so many percent of an amount are used: `used * 100 >= amount * percent` in integers that do not overflow,
/// whatever somebody has granted. A database that refuses a number would refuse the entries with it.
fn is_reached(used: &str, amount: &str, percent: &str) -> String {
    format!("{used} >= {amount} / 100 * {percent} + ({amount} % 100 * {percent} + 99) / 100")
}

/// What every statement inserts. An id that is there already was told before.
const INSERT: &str =
    "INSERT INTO credit_alert (id, kind, subject_id, account_id, quota_micros, warn_percent, used_micros,
                                                created_at_ms, attempts, next_attempt_at_ms)";

impl Tx {
    /// Notes which of these runtimes and groups have reached their warn percentage in the cycle that `hour` is in.
    pub(crate) async fn note_quotas(
        &mut self,
        subjects: &[&str],
        hour: i64,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let ((day, day_end), (week, week_end)) = (Cycle::Day.span(hour), Cycle::Week.span(hour));
        let month_start = Cycle::Month.start(hour);
        let month = month_of(hour_start_ms(hour));
        let reached = is_reached("s.used_micros", "s.quota_micros", "s.warn_percent");
        for list in subjects.chunks(SUBJECTS_MAX) {
            let numbers = params![now_ms, day, day_end, week, week_end, month_start, month];
            let (marks, values) = with_list(numbers, list);
            // As in the text nothing changes from batch to batch, it is prepared once.
            let sql = format!(
                "{INSERT}
                 SELECT s.subject_id || '/' || s.start || '/' || s.quota_micros, s.kind, s.subject_id, s.account_id,
                        s.quota_micros, s.warn_percent, s.used_micros, CAST($1 AS BIGINT), 0, CAST($1 AS BIGINT)
                 FROM (SELECT q.subject_id, q.kind, q.account_id, q.quota_micros, q.warn_percent,
                          CASE q.cycle WHEN 'Day' THEN CAST($2 AS BIGINT) WHEN 'Week' THEN CAST($4 AS BIGINT)
                              ELSE CAST($6 AS BIGINT) END AS start,
                          CASE q.cycle
                              WHEN 'Month' THEN COALESCE((SELECT u.used_micros FROM usage_month AS u
                                  WHERE u.subject_id = q.subject_id AND u.month = CAST($7 AS BIGINT)), 0)
                              WHEN 'Week' THEN COALESCE((SELECT CAST(SUM(h.used_micros) AS BIGINT) FROM usage_hour AS h
                                  WHERE h.subject_id = q.subject_id AND h.hour >= CAST($4 AS BIGINT) AND h.hour < CAST($5 AS BIGINT)), 0)
                              ELSE COALESCE((SELECT CAST(SUM(h.used_micros) AS BIGINT) FROM usage_hour AS h
                                  WHERE h.subject_id = q.subject_id AND h.hour >= CAST($2 AS BIGINT) AND h.hour < CAST($3 AS BIGINT)), 0)
                          END AS used_micros
                       FROM credit_quota AS q
                       WHERE q.quota_micros IS NOT NULL AND q.warn_percent > 0 AND q.subject_id IN ({marks})) AS s
                 WHERE s.used_micros > 0 AND {reached}
                 ON CONFLICT (id) DO NOTHING"
            );
            self.execute(sql, values).await?;
        }
        Ok(())
    }

    /// Notes which of these packs, and which of these accounts' own packs together, have reached their account's.
    pub(crate) async fn note_packs(
        &mut self,
        packs: &[&str],
        accounts: &[&str],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let warn = "COALESCE(MAX(a.warn_percent), 80)";
        let reached = is_reached("s.used", "s.total", "s.warn");
        for list in packs.chunks(SUBJECTS_MAX) {
            let (marks, values) = with_list(params![now_ms], list);
            let sql = format!(
                "{INSERT}
                 SELECT s.id || '/0/' || s.total, 'pack', s.id, s.account_id, s.total, s.warn, s.used, CAST($1 AS BIGINT), 0,
                        CAST($1 AS BIGINT)
                 FROM (SELECT p.id, p.account_id, p.total_micros AS total, p.used_micros AS used, {warn} AS warn
                       FROM credit_pack AS p LEFT JOIN ledger_account AS a ON a.account_id = p.account_id
                       WHERE p.id IN ({marks})
                       GROUP BY p.id, p.account_id, p.total_micros, p.used_micros) AS s
                 WHERE s.warn > 0 AND s.used > 0 AND {reached}
                 ON CONFLICT (id) DO NOTHING"
            );
            self.execute(sql, values).await?;
        }
        // Added up in whole credits and the rest of them; of an account with more than all numbers hold nothing is told.
        let sum = |column: &str| {
            let (whole, rest) = (format!("SUM({column} / 1000000)"), format!("SUM({column} % 1000000)"));
            format!(
                "CAST(CASE WHEN {whole} < 9000000000000 THEN {whole} * 1000000 + {rest} ELSE 0 END AS BIGINT)"
            )
        };
        let (total, used) = (sum("p.total_micros"), sum("p.used_micros"));
        for list in accounts.chunks(SUBJECTS_MAX) {
            let (marks, values) = with_list(params![now_ms], list);
            let sql = format!(
                "{INSERT}
                 SELECT s.account_id || '/0/' || s.total, 'account', s.account_id, s.account_id, s.total, s.warn, s.used,
                        CAST($1 AS BIGINT), 0, CAST($1 AS BIGINT)
                 FROM (SELECT p.account_id, {total} AS total, {used} AS used, {warn} AS warn
                       FROM credit_pack AS p LEFT JOIN ledger_account AS a ON a.account_id = p.account_id
                       WHERE p.runtime_id IS NULL AND p.account_id IN ({marks}) AND p.starts_at_ms <= CAST($1 AS BIGINT)
                         AND (p.expires_at_ms IS NULL OR p.expires_at_ms > CAST($1 AS BIGINT))
                       GROUP BY p.account_id) AS s
                 WHERE s.warn > 0 AND s.used > 0 AND s.total > 0 AND {reached}
                 ON CONFLICT (id) DO NOTHING"
            );
            self.execute(sql, values).await?;
        }
        Ok(())
    }

    /// Takes up alerts that are due, each for one process: until `busy_until_ms` no other gets them.
    pub(crate) async fn claim_alerts(
        &mut self,
        now_ms: i64,
        busy_until_ms: i64,
        limit: i64,
    ) -> Result<Vec<Alert>, StoreError> {
        let rows = self
            .fetch_all(
                "UPDATE credit_alert SET attempts = attempts + 1, next_attempt_at_ms = $2
                 WHERE next_attempt_at_ms <= $1 AND id IN
                     (SELECT id FROM credit_alert WHERE next_attempt_at_ms <= $1
                      ORDER BY next_attempt_at_ms, id LIMIT $3)
                 RETURNING id, kind, subject_id, account_id, quota_micros, warn_percent, used_micros, created_at_ms,
                           attempts",
                params![now_ms, busy_until_ms, limit],
            )
            .await?;
        let mut alerts = rows
            .iter()
            .map(|row| {
                Ok(Alert {
                    id: row.text("id")?,
                    kind: row.text("kind")?,
                    subject_id: row.text("subject_id")?,
                    account_id: row.parse("account_id")?,
                    quota: Micros(row.int("quota_micros")?),
                    warn_percent: row.int("warn_percent")?,
                    used: Micros(row.int("used_micros")?),
                    created_at_ms: row.int("created_at_ms")?,
                    attempts: row.int("attempts")?,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        alerts.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        Ok(alerts)
    }

    /// An alert was delivered, is to be tried again, or neither: then it is given up.
    pub(crate) async fn end_attempt(
        &mut self,
        id: &str,
        delivered_at_ms: Option<i64>,
        next_attempt_at_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE credit_alert SET delivered_at_ms = $2, next_attempt_at_ms = $3
             WHERE id = $1 AND delivered_at_ms IS NULL",
            params![id, delivered_at_ms, next_attempt_at_ms],
        )
        .await?;
        Ok(())
    }
}

impl Store {
    /// When something last reached its warn percentage.
    pub(crate) async fn last_alert_ms(&self, subject_id: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT created_at_ms FROM credit_alert WHERE subject_id = $1 ORDER BY created_at_ms DESC, id LIMIT 1";
        let row = self.db().fetch_optional(sql, params![subject_id]).await?;
        row.map(|row| row.int("created_at_ms")).transpose()
    }
}
