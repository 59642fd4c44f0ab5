//! What the API shows of the ledger, and what the check compares.

use creel_wire::id::{AccountId, RuntimeId};
use creel_wire::money::Micros;
use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};

use super::super::entitlement::entitled;
use super::super::{Row, Store, StoreError, params};
use super::credit::{AgentName, agent_name};
use super::rows::{COLUMNS, columns, entry};
use crate::entitlement::Entitled;
use crate::ledger::{Cycle, Difference, Entry, hour_start_ms, month_of};
use crate::page::Cursor;

/// A live runtime with its quota and what it used in one month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentRow {
    pub(crate) name: AgentName,
    pub(crate) desktop_type: String,
    pub(crate) quota: Option<Micros>,
    pub(crate) warn_percent: Option<i64>,
    pub(crate) used: Micros,
    pub(crate) created_at_ms: i64,
}

/// Which entries of an account.
#[derive(Debug, Clone)]
pub struct EntryFilter<'a> {
    pub account_id: &'a AccountId,
    /// Empty: all.
    pub runtime_ids: &'a [RuntimeId],
    /// Empty: all.
    pub pack_ids: &'a [String],
    /// Of agents with, or without, an outer id.
    pub is_jvs: Option<bool>,
    /// Only those that moved credits.
    pub only_moved: bool,
    /// Only those that took from a pack.
    pub of_packs: bool,
    /// Inclusive.
    pub from_ms: Option<i64>,
    /// Exclusive.
    pub until_ms: Option<i64>,
    /// Only of runtimes that this end user is entitled to.
    pub entitled: Option<&'a Entitled>,
}

impl<'a> EntryFilter<'a> {
    /// Every entry of an account.
    pub fn all(account_id: &'a AccountId) -> Self {
        Self {
            account_id,
            runtime_ids: &[],
            pack_ids: &[],
            is_jvs: None,
            only_moved: false,
            of_packs: false,
            from_ms: None,
            until_ms: None,
            entitled: None,
        }
    }

    /// Whether every credit that its runtimes, or else the account, moved is selected.
    fn is_of_subjects(&self) -> bool {
        let whole_time = self.from_ms.is_none() && self.until_ms.is_none();
        whole_time
            && self.pack_ids.is_empty()
            && self.is_jvs.is_none()
            && !self.of_packs
            && self.entitled.is_none()
    }
}

fn matching(filter: &EntryFilter<'_>) -> SelectStatement {
    let mut select = Query::select();
    select.from("ledger_entry").and_where(Expr::col("account_id").eq(filter.account_id.as_str()));
    if !filter.runtime_ids.is_empty() {
        select.and_where(Expr::col("runtime_id").is_in(filter.runtime_ids.iter().map(RuntimeId::as_str)));
    }
    if !filter.pack_ids.is_empty() {
        select.and_where(Expr::col("pack_id").is_in(filter.pack_ids.iter().map(String::as_str)));
    }
    if let Some(is_jvs) = filter.is_jvs {
        let outer = Expr::cust(
            "EXISTS (SELECT 1 FROM runtime WHERE runtime.id = ledger_entry.runtime_id AND runtime.jvs_id IS NOT NULL)",
        );
        select.and_where(if is_jvs { outer } else { outer.not() });
    }
    if filter.only_moved {
        select.and_where(Expr::col("micros").ne(0i64));
    }
    if filter.of_packs {
        select.and_where(Expr::col("pack_id").is_not_null());
    }
    if let Some(to) = filter.entitled {
        select.and_where(entitled(("ledger_entry", "runtime_id"), filter.account_id, to));
    }
    if let Some(from_ms) = filter.from_ms {
        select.and_where(Expr::col("created_at_ms").gte(from_ms));
    }
    if let Some(until_ms) = filter.until_ms {
        select.and_where(Expr::col("created_at_ms").lt(until_ms));
    }
    select
}

/// What a runtime took from one pack in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackHour {
    pub(crate) runtime_id: RuntimeId,
    pub(crate) hour: i64,
    pub(crate) micros: Micros,
}

fn pack_hours(filter: &EntryFilter<'_>) -> SelectStatement {
    let mut select = matching(filter);
    select
        .columns(["pack_id", "runtime_id", "hour"])
        .expr_as(Expr::cust("CAST(SUM(micros) AS BIGINT)"), "total")
        .group_by_columns(["pack_id", "runtime_id", "hour"])
        .and_having(Expr::cust("SUM(micros) <> 0"));
    select
}

/// What the account, or each of the runtimes, deducted in all months.
fn months(filter: &EntryFilter<'_>) -> SelectStatement {
    let mut subjects: Vec<&str> = filter.runtime_ids.iter().map(RuntimeId::as_str).collect();
    if subjects.is_empty() {
        subjects.push(filter.account_id.as_str());
    }
    let mut select = Query::select();
    select
        .expr_as(Expr::cust("CAST(COALESCE(SUM(used_micros), 0) AS BIGINT)"), "total")
        .from("usage_month")
        .and_where(Expr::col("subject_id").is_in(subjects));
    select
}

/// Entries, newest first. Public so that a test can look at its plan.
pub fn entry_list_statement(
    filter: &EntryFilter<'_>,
    after: Option<&Cursor>,
    offset: i64,
    limit: i64,
) -> SelectStatement {
    let mut select = matching(filter);
    select
        .columns(COLUMNS)
        .order_by("created_at_ms", Order::Desc)
        .order_by("id", Order::Desc)
        .limit(limit.unsigned_abs())
        .offset(offset.unsigned_abs());
    if let Some(cursor) = after {
        select.and_where(
            Expr::tuple([Expr::col("created_at_ms"), Expr::col("id")])
                .lt(Expr::tuple([Expr::val(cursor.key), Expr::val(cursor.id.as_str())])),
        );
    }
    select
}

/// Sums that entries do not give, as one statement each: what it is, whose, and stored minus re-added.
const SUM_CHECKS: [(&str, &str); 6] = [
    (
        "pack",
        "SELECT s.id AS subject, CAST(SUM(s.stored) - SUM(s.added) AS BIGINT) AS by FROM (
             SELECT id, used_micros AS stored, 0 AS added FROM credit_pack
             UNION ALL SELECT pack_id AS id, 0 AS stored, micros AS added FROM ledger_entry WHERE pack_id IS NOT NULL
         ) s GROUP BY s.id HAVING SUM(s.stored) <> SUM(s.added) ORDER BY s.id LIMIT $1",
    ),
    (
        "month",
        "SELECT s.id || ' ' || s.month AS subject, CAST(SUM(s.stored) - SUM(s.added) AS BIGINT) AS by FROM (
             SELECT subject_id AS id, month, used_micros AS stored, 0 AS added FROM usage_month
             UNION ALL SELECT runtime_id AS id, month, 0 AS stored, micros AS added FROM ledger_entry
             UNION ALL SELECT account_id AS id, month, 0 AS stored, micros AS added FROM ledger_entry
             UNION ALL SELECT resource_group_id AS id, month, 0 AS stored, micros AS added FROM ledger_entry
                       WHERE resource_group_id IS NOT NULL
             UNION ALL SELECT account_id || '/' || end_user_id AS id, month, 0 AS stored, micros AS added
                       FROM ledger_entry WHERE end_user_id IS NOT NULL
         ) s GROUP BY s.id, s.month HAVING SUM(s.stored) <> SUM(s.added) ORDER BY s.id, s.month LIMIT $1",
    ),
    (
        "hour",
        "SELECT s.id || ' ' || s.hour AS subject, CAST(SUM(s.stored) - SUM(s.added) AS BIGINT) AS by FROM (
             SELECT subject_id AS id, hour, used_micros AS stored, 0 AS added FROM usage_hour
             UNION ALL SELECT runtime_id AS id, hour, 0 AS stored, micros AS added FROM ledger_entry
             UNION ALL SELECT account_id AS id, hour, 0 AS stored, micros AS added FROM ledger_entry
             UNION ALL SELECT pack_id AS id, hour, 0 AS stored, micros AS added FROM ledger_entry
                       WHERE pack_id IS NOT NULL
             UNION ALL SELECT resource_group_id AS id, hour, 0 AS stored, micros AS added FROM ledger_entry
                       WHERE resource_group_id IS NOT NULL
             UNION ALL SELECT account_id || '/' || end_user_id AS id, hour, 0 AS stored, micros AS added
                       FROM ledger_entry WHERE end_user_id IS NOT NULL
         ) s GROUP BY s.id, s.hour HAVING SUM(s.stored) <> SUM(s.added) ORDER BY s.id, s.hour LIMIT $1",
    ),
    (
        "overspent pack",
        "SELECT id AS subject, used_micros - total_micros AS by FROM credit_pack
         WHERE used_micros > total_micros ORDER BY id LIMIT $1",
    ),
    (
        "negative call",
        "SELECT call_id AS subject, CAST(SUM(micros) AS BIGINT) AS by FROM ledger_entry
         GROUP BY call_id HAVING SUM(micros) < 0 ORDER BY call_id LIMIT $1",
    ),
    (
        "call settled more than once",
        "SELECT call_id AS subject, CAST(COUNT(*) AS BIGINT) AS by FROM ledger_entry WHERE part = 0
         GROUP BY call_id HAVING COUNT(*) > 1 ORDER BY call_id LIMIT $1",
    ),
];

/// What a runtime `r` with the quota `q` and the month's sum `u` used in the cycle of its quota.
fn used_in_cycle(hour: i64) -> String {
    let of = |cycle: Cycle| {
        let (first, end) = cycle.span(hour);
        format!(
            "WHEN '{}' THEN COALESCE((SELECT CAST(SUM(h.used_micros) AS BIGINT) FROM usage_hour AS h
             WHERE h.subject_id = r.id AND h.hour >= {first} AND h.hour < {end}), 0)",
            cycle.as_str()
        )
    };
    format!("CASE q.cycle {} {} ELSE COALESCE(u.used_micros, 0) END", of(Cycle::Day), of(Cycle::Week))
}

impl Store {
    /// Live runtimes of an account by id: those named by either kind of id, or all. `is_jvs` narrows to those with,
    /// or without, an outer id. What they used is that of the cycle of their quota that `hour` is in.
    pub(crate) async fn list_credit_agents(
        &self,
        account_id: &AccountId,
        ids: &[String],
        is_jvs: Option<bool>,
        hour: i64,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<AgentRow>, StoreError> {
        let mut select = Query::select();
        select
            .columns([("r", "id"), ("r", "desktop_type"), ("r", "created_at_ms")])
            .columns([("q", "quota_micros"), ("q", "warn_percent")])
            .expr_as(Expr::cust("COALESCE(r.jvs_id, r.id)"), "agent_id")
            .expr_as(Expr::cust(used_in_cycle(hour)), "used_micros")
            .from_as("runtime", "r")
            .join_as(
                sea_query::JoinType::LeftJoin,
                "credit_quota",
                "q",
                Expr::col(("q", "subject_id")).equals(("r", "id")),
            )
            .join_as(
                sea_query::JoinType::LeftJoin,
                "usage_month",
                "u",
                Expr::col(("u", "subject_id"))
                    .equals(("r", "id"))
                    .and(Expr::col(("u", "month")).eq(month_of(hour_start_ms(hour)))),
            )
            .and_where(Expr::col(("r", "account_id")).eq(account_id.as_str()))
            .and_where(Expr::col(("r", "deleted_at_ms")).is_null())
            .order_by(("r", "id"), Order::Asc)
            .limit(limit.unsigned_abs());
        if let Some(after) = after {
            select.and_where(Expr::col(("r", "id")).gt(after));
        }
        if let Some(is_jvs) = is_jvs {
            let outer = Expr::col(("r", "jvs_id"));
            select.and_where(if is_jvs { outer.is_not_null() } else { outer.is_null() });
        }
        if !ids.is_empty() {
            let own = Expr::col(("r", "id")).is_in(ids.iter().map(String::as_str));
            select.and_where(own.or(Expr::col(("r", "jvs_id")).is_in(ids.iter().map(String::as_str))));
        }
        self.db().select(&select).await?.iter().map(agent_row).collect()
    }

    /// The runtimes of an account, live or deleted, that these ids of either kind name.
    pub(crate) async fn runtimes_named(
        &self,
        account_id: &AccountId,
        ids: &[String],
    ) -> Result<Vec<RuntimeId>, StoreError> {
        let mut select = Query::select();
        let own = Expr::col("id").is_in(ids.iter().map(String::as_str));
        select
            .column("id")
            .from("runtime")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(own.or(Expr::col("jvs_id").is_in(ids.iter().map(String::as_str))))
            .order_by("id", Order::Asc);
        self.db().select(&select).await?.iter().map(|row| row.parse("id")).collect()
    }

    /// Entries, newest first, after a cursor and so many rows.
    pub(crate) async fn list_entries(
        &self,
        filter: &EntryFilter<'_>,
        after: Option<&Cursor>,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        self.db()
            .select(&entry_list_statement(filter, after, offset, limit))
            .await?
            .iter()
            .map(entry)
            .collect()
    }

    /// How many entries match.
    pub(crate) async fn count_entries(&self, filter: &EntryFilter<'_>) -> Result<i64, StoreError> {
        self.count(matching(filter)).await
    }

    /// What runtimes took from packs by hour, the newest hour first.
    pub(crate) async fn list_pack_hours(
        &self,
        filter: &EntryFilter<'_>,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<PackHour>, StoreError> {
        let mut select = pack_hours(filter);
        select
            .order_by("hour", Order::Desc)
            .order_by("pack_id", Order::Asc)
            .order_by("runtime_id", Order::Asc)
            .limit(limit.unsigned_abs())
            .offset(offset.unsigned_abs());
        let hour = |row: &Row| {
            let (runtime_id, hour) = (row.parse("runtime_id")?, row.int("hour")?);
            Ok(PackHour { runtime_id, hour, micros: Micros(row.int("total")?) })
        };
        self.db().select(&select).await?.iter().map(hour).collect()
    }

    /// How many rows [`Store::list_pack_hours`] has in all, and their sum.
    pub(crate) async fn count_pack_hours(
        &self,
        filter: &EntryFilter<'_>,
    ) -> Result<(i64, Micros), StoreError> {
        let mut select = Query::select();
        select
            .expr_as(Expr::cust("CAST(COUNT(*) AS BIGINT)"), "number")
            .expr_as(Expr::cust("CAST(COALESCE(SUM(total), 0) AS BIGINT)"), "sum")
            .from_subquery(pack_hours(filter), "h");
        let rows = self.db().select(&select).await?;
        rows.first().map_or(Ok((0, Micros::ZERO)), |row| Ok((row.int("number")?, Micros(row.int("sum")?))))
    }

    /// What these runtimes, packs or accounts used on each day (days since the Unix epoch) from one hour to another.
    pub(crate) async fn used_in_days(
        &self,
        subjects: &[String],
        from_hour: i64,
        until_hour: i64,
    ) -> Result<Vec<(i64, Micros)>, StoreError> {
        let mut select = Query::select();
        select
            .expr_as(Expr::cust("hour / 24"), "day")
            .expr_as(Expr::cust("CAST(SUM(used_micros) AS BIGINT)"), "total")
            .from("usage_hour")
            .and_where(Expr::col("subject_id").is_in(subjects.iter().map(String::as_str)))
            .and_where(Expr::col("hour").between(from_hour, until_hour))
            .add_group_by([Expr::cust("hour / 24")])
            .order_by_expr(Expr::cust("hour / 24"), Order::Asc);
        let rows = self.db().select(&select).await?;
        rows.iter().map(|row| Ok((row.int("day")?, Micros(row.int("total")?)))).collect()
    }

    /// What all entries that match deducted.
    pub(crate) async fn sum_entries(&self, filter: &EntryFilter<'_>) -> Result<Micros, StoreError> {
        // The sums of months are those of all entries, and far fewer.
        let select = if filter.is_of_subjects() {
            months(filter)
        } else {
            let mut select = matching(filter);
            select.expr_as(Expr::cust("CAST(COALESCE(SUM(micros), 0) AS BIGINT)"), "total");
            select
        };
        let rows = self.db().select(&select).await?;
        rows.first().map_or(Ok(Micros::ZERO), |row| Ok(Micros(row.int("total")?)))
    }

    /// Entries behind an id, by id, of one account or of all.
    pub(crate) async fn scan_entries(
        &self,
        account_id: Option<&AccountId>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows = match account_id {
            None => {
                let sql =
                    format!("SELECT {} FROM ledger_entry WHERE id > $1 ORDER BY id LIMIT $2", columns());
                self.db().fetch_all(sql, params![after, limit]).await?
            }
            Some(account_id) => {
                let sql = format!(
                    "SELECT {} FROM ledger_entry WHERE id > $1 AND account_id = $3 ORDER BY id LIMIT $2",
                    columns()
                );
                self.db().fetch_all(sql, params![after, limit, account_id.as_str()]).await?
            }
        };
        rows.iter().map(entry).collect()
    }

    /// Used by a runtime, account or pack in each hour from `from_hour` on.
    pub(crate) async fn used_in_hours(
        &self,
        subject_id: &str,
        from_hour: i64,
    ) -> Result<Vec<(i64, Micros)>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT hour, used_micros FROM usage_hour WHERE subject_id = $1 AND hour >= $2
                 ORDER BY hour LIMIT 10000",
                params![subject_id, from_hour],
            )
            .await?;
        rows.iter().map(|row| Ok((row.int("hour")?, Micros(row.int("used_micros")?)))).collect()
    }

    /// Used by a runtime or account in one month, and in all time.
    pub(crate) async fn used_in_months(
        &self,
        subject_id: &str,
        month: i64,
    ) -> Result<(Micros, Micros), StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT CAST(COALESCE(SUM(CASE WHEN month = $2 THEN used_micros ELSE 0 END), 0) AS BIGINT) AS monthly,
                        CAST(COALESCE(SUM(used_micros), 0) AS BIGINT) AS ever
                 FROM usage_month WHERE subject_id = $1",
                params![subject_id, month],
            )
            .await?;
        row.map_or(Ok((Micros::ZERO, Micros::ZERO)), |row| {
            Ok((Micros(row.int("monthly")?), Micros(row.int("ever")?)))
        })
    }

    /// How many entries there are, and every sum that they do not give, at most `limit` of a kind.
    ///
    /// Each statement sees one moment, and entries change together with their sums, so a check beside a running
    /// server finds a difference only where there is one.
    pub(crate) async fn check_sums(&self, limit: i64) -> Result<(i64, Vec<Difference>), StoreError> {
        let mut differences = Vec::new();
        for (what, sql) in SUM_CHECKS {
            for row in self.db().fetch_all(sql, params![limit]).await? {
                let (subject, by) = (row.text("subject")?, row.int("by")?);
                differences.push(Difference { what: what.to_owned(), subject, by });
            }
        }
        let count = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM ledger_entry";
        let row = self.db().fetch_optional(count, Vec::new()).await?;
        Ok((row.map_or(Ok(0), |row| row.int("total"))?, differences))
    }
}

fn agent_row(row: &Row) -> Result<AgentRow, StoreError> {
    Ok(AgentRow {
        name: agent_name(row)?,
        desktop_type: row.text("desktop_type")?,
        quota: row.opt_int("quota_micros")?.map(Micros),
        warn_percent: row.opt_int("warn_percent")?,
        used: Micros(row.int("used_micros")?),
        created_at_ms: row.int("created_at_ms")?,
    })
}
