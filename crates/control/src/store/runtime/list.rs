//! Lists of runtimes: a page, and how many match.
//!
//! A page takes two steps in one statement. The keys of its rows are read in the list's order from an index, which is
//! cheap to skip in; then these few rows are looked up with all that is shown of them.

use std::collections::HashMap;
use std::sync::Arc;

use creel_wire::id::AccountId;
use sea_query::{CaseStatement, Expr, ExprTrait, JoinType, Order, Query, SelectStatement, UnionType};

use super::filter::{
    Part, Side, agent_status, guest_online, join_observed, matching, needs_observed, parts, sides,
};
use super::{COLUMNS, runtime};
use crate::page::{Cursor, PageNumber};
use crate::runtime::{Observed, RuntimeFilter, RuntimeView};
use crate::store::entitlement::assigning;
use crate::store::model::EFFECTIVE_GROUP;
use crate::store::recent::Places;
use crate::store::skill::SKILLS_MODIFIED;
use crate::store::{Row, Store, StoreError, params};

/// A filter that another table answers leads if it has fewer rows than this. More are cheaper to meet by walking the
/// account: of 100,000 runtimes at least every fiftieth then matches.
const LEADING_ROWS_MAX: i64 = 2_000;
/// Fewer rows than this are skipped sooner than their end is remembered.
const DEEP_OFFSET_MIN: i64 = 500;

/// The counterpart of what [`Store::wish_marks`] reads.
const SHARED_REVISION: &str = "COALESCE(m.revision, 0) + COALESCE((SELECT a.skill_revision FROM account a WHERE a.id = r.account_id), 0)";

/// Where a page begins.
#[derive(Debug, Clone, Copy, Default)]
struct Start<'a> {
    after: Option<&'a Cursor>,
    /// The row that the offset is counted from; the list's first where there is none.
    from: Option<&'a Cursor>,
    offset: i64,
    limit: i64,
}

/// A page to be read.
struct RuntimePage {
    statement: SelectStatement,
    /// To keep its rows in, where they are worth it.
    places: Option<Arc<Places>>,
}

fn newest_first(select: &mut SelectStatement, limit: i64) -> &mut SelectStatement {
    select.order_by("created_at_ms", Order::Desc).order_by("id", Order::Desc).limit(limit.unsigned_abs())
}

/// Keys of one page: ids, and the times that they are sorted by. No parts, no statement.
fn keys_statement(
    account_id: &AccountId,
    filter: &RuntimeFilter,
    sides: &[Side],
    live_replicas: &[String],
    start: Start<'_>,
    is_postgres: bool,
) -> Option<SelectStatement> {
    let all_parts = parts(filter);
    // PostgreSQL merges only what is in order by itself; SQLite, only what has no order of its own.
    let parts_in_order = is_postgres && all_parts.len() > 1;
    let of_part = |part: Part| {
        let mut select = matching(account_id, filter, part, sides, live_replicas);
        select.column(("r", "created_at_ms")).column(("r", "id"));
        let place = || Expr::tuple([Expr::col(("r", "created_at_ms")), Expr::col(("r", "id"))]);
        let of = |row: &Cursor| Expr::tuple([Expr::val(row.key), Expr::val(row.id.as_str())]);
        if let Some(row) = start.after {
            select.and_where(place().lt(of(row)));
        }
        if let Some(row) = start.from {
            select.and_where(place().lte(of(row)));
        }
        if parts_in_order {
            newest_first(&mut select, start.offset.saturating_add(start.limit));
        }
        select
    };
    let mut selects = all_parts.into_iter().map(of_part);
    let mut keys = selects.next()?;
    if parts_in_order {
        // Its own order must end inside of it.
        let first = std::mem::replace(&mut keys, Query::select());
        keys.columns(["created_at_ms", "id"]).from_subquery(first, "first");
    }
    for select in selects {
        keys.union(UnionType::All, select);
    }
    newest_first(&mut keys, start.limit).offset(start.offset.unsigned_abs());
    Some(keys)
}

/// The rows that keys name, in any order.
fn rows_statement(keys: SelectStatement, live_replicas: &[String]) -> SelectStatement {
    let mut select = Query::select();
    select.columns(COLUMNS.map(|column| ("r", column)));
    select.columns(
        [
            "agent_version",
            "agent_starts",
            "memory_limited",
            "agent_error",
            "receipt_desired",
            "receipt_observed",
            "receipt_error",
            "applied_models",
            "observed_at_ms",
        ]
        .map(|column| ("o", column)),
    );
    let online = CaseStatement::new().case(guest_online(live_replicas), 1i64).finally(0i64);
    select
        .expr_as(agent_status(live_replicas), "effective_status")
        .expr_as(online, "guest_online")
        .expr_as(CaseStatement::new().case(assigning(), 1i64).finally(0i64), "assigning")
        .expr_as(Expr::col(("s", "name")), "office_site_name")
        .expr_as(Expr::col(("rg", "name")), "resource_group_name")
        .expr_as(Expr::col(("m", "id")), "effective_group_id")
        .expr_as(Expr::col(("m", "name")), "model_group_name")
        .expr_as(Expr::cust(SHARED_REVISION), "shared_revision")
        .expr_as(
            CaseStatement::new().case(Expr::cust(SKILLS_MODIFIED), 1i64).finally(0i64),
            "skills_modified",
        )
        .from_subquery(keys, "k")
        .join_as(JoinType::InnerJoin, "runtime", "r", Expr::col(("r", "id")).equals(("k", "id")));
    join_observed(&mut select);
    select
        .join_as(
            JoinType::LeftJoin,
            "office_site",
            "s",
            Expr::col(("s", "id")).equals(("r", "office_site_id")),
        )
        .join_as(
            JoinType::LeftJoin,
            "model_group",
            "m",
            Expr::col(("m", "id")).eq(Expr::cust(EFFECTIVE_GROUP)),
        )
        .join_as(
            JoinType::LeftJoin,
            "resource_group",
            "rg",
            Expr::col(("rg", "id")).equals(("r", "resource_group_id")),
        );
    select
}

impl Store {
    /// The statement of one page, newest first; `None` where the filter asks for what no runtime is.
    async fn runtime_page(
        &self,
        account_id: &AccountId,
        filter: &RuntimeFilter,
        start: Start<'_>,
        now_ms: i64,
    ) -> Result<Option<RuntimePage>, StoreError> {
        if filter.nothing {
            return Ok(None);
        }
        let live = self.live_replicas(now_ms).await?;
        let mut sides = sides(account_id, filter);
        for side in &mut sides {
            // Ids and names are the most selective, and need no question.
            side.leads = filter.ids.is_empty() && filter.names.is_empty() && self.leads(side).await?;
        }
        let keys = |start| keys_statement(account_id, filter, &sides, &live, start, self.db().is_postgres());
        let is_deep = start.offset >= DEEP_OFFSET_MIN && filter.entitled_to.is_none();
        let list = if is_deep { keys(Start::default()) } else { None };
        let places = list.map(|list| self.places(account_id, &list));
        let known = places.as_ref().and_then(|places| places.before(start.offset));
        let keys = match &known {
            Some((before, row)) => keys(Start { from: Some(row), offset: start.offset - before, ..start }),
            None => keys(start),
        };
        Ok(keys.map(|keys| RuntimePage { statement: rows_statement(keys, &live), places }))
    }

    async fn leads(&self, side: &Side) -> Result<bool, StoreError> {
        let Some(probe) = side.probe(LEADING_ROWS_MAX.unsigned_abs()) else { return Ok(false) };
        let rows = self.db().select(&probe).await?;
        let total = rows.first().map_or(Ok(0), |row| row.int("total"))?;
        Ok(total < LEADING_ROWS_MAX)
    }

    /// The statement of a page of runtimes: for tests of its plan.
    pub async fn runtime_page_statement(
        &self,
        account_id: &AccountId,
        filter: &RuntimeFilter,
        page: PageNumber,
    ) -> Result<Option<SelectStatement>, StoreError> {
        let start = Start { offset: page.offset(), limit: page.size, ..Start::default() };
        let page = self.runtime_page(account_id, filter, start, self.clock().now_ms()).await?;
        Ok(page.map(|page| page.statement))
    }

    /// One page of runtimes, newest first.
    pub(crate) async fn list_runtimes(
        &self,
        account_id: &AccountId,
        filter: &RuntimeFilter,
        after: Option<&Cursor>,
        offset: i64,
        limit: i64,
        now_ms: i64,
    ) -> Result<Vec<RuntimeView>, StoreError> {
        let start = Start { after, offset, limit, ..Start::default() };
        let Some(page) = self.runtime_page(account_id, filter, start, now_ms).await? else {
            return Ok(Vec::new());
        };
        let rows = self.db().select(&page.statement).await?;
        let mut views = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        views.sort_unstable_by(|a, b| order(b).cmp(&order(a)));
        if let Some(places) = page.places {
            // Read again, the page begins with its first row; the next one begins behind its last.
            for (at, view) in (offset..).zip(&views) {
                if at == offset || at == offset + limit - 1 {
                    let (key, id) = order(view);
                    places.keep(at, Cursor { key, id: id.to_owned() });
                }
            }
        }
        self.attach_users_and_tags(&mut views).await?;
        Ok(views)
    }

    /// How many runtimes match; up to a second old, unless they are counted for an end user.
    pub(crate) async fn count_runtimes(
        &self,
        account_id: &AccountId,
        filter: &RuntimeFilter,
        now_ms: i64,
    ) -> Result<i64, StoreError> {
        if filter.nothing {
            return Ok(0);
        }
        let live = if needs_observed(filter) { self.live_replicas(now_ms).await? } else { Vec::new() };
        let sides = sides(account_id, filter);
        let mut total = 0;
        for part in parts(filter) {
            let select = matching(account_id, filter, part, &sides, &live);
            total += match filter.entitled_to {
                // What a user is entitled to may end at any time, and is little.
                Some(_) => self.count(select).await?,
                None => self.recent_count(account_id, select).await?,
            };
        }
        Ok(total)
    }

    /// Replicas whose lease lasts; a handful.
    pub(crate) async fn live_replicas(&self, now_ms: i64) -> Result<Vec<String>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT id FROM replica WHERE lease_until_ms > $1 ORDER BY id LIMIT 1000",
                params![now_ms],
            )
            .await?;
        rows.iter().map(|row| row.text("id")).collect()
    }

    async fn attach_users_and_tags(&self, views: &mut [RuntimeView]) -> Result<(), StoreError> {
        if views.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = views.iter().map(|view| view.runtime.id.to_string()).collect();
        let mut users: HashMap<String, Vec<String>> = HashMap::new();
        let mut select = Query::select();
        select
            .columns(["runtime_id", "end_user_id"])
            .from("runtime_user")
            .and_where(Expr::col("runtime_id").is_in(ids.iter().map(String::as_str)))
            .order_by("runtime_id", Order::Asc)
            .order_by("end_user_id", Order::Asc);
        for row in self.db().select(&select).await? {
            users.entry(row.text("runtime_id")?).or_default().push(row.text("end_user_id")?);
        }
        let mut tags: HashMap<String, Vec<(String, String)>> = HashMap::new();
        let mut select = Query::select();
        select
            .columns(["runtime_id", "tag_key", "tag_value"])
            .from("runtime_tag")
            .and_where(Expr::col("runtime_id").is_in(ids.iter().map(String::as_str)))
            .order_by("runtime_id", Order::Asc)
            .order_by("tag_key", Order::Asc);
        for row in self.db().select(&select).await? {
            let tag = (row.text("tag_key")?, row.text("tag_value")?);
            tags.entry(row.text("runtime_id")?).or_default().push(tag);
        }
        let mut channels = self.list_channel_codes(&ids).await?;
        for view in views {
            view.channels = channels.remove(view.runtime.id.as_str()).unwrap_or_default();
            view.users = users.remove(view.runtime.id.as_str()).unwrap_or_default();
            view.tags = tags.remove(view.runtime.id.as_str()).unwrap_or_default();
        }
        Ok(())
    }
}

/// What lists are sorted by, the greatest first.
fn order(view: &RuntimeView) -> (i64, &str) {
    (view.runtime.created_at_ms, view.runtime.id.as_str())
}

fn view(row: &Row) -> Result<RuntimeView, StoreError> {
    let observed = match row.opt_int("observed_at_ms")? {
        None => None,
        Some(observed_at_ms) => Some(Observed {
            agent_version: row.opt_text("agent_version")?,
            agent_starts: row.int("agent_starts")?,
            memory_limited: row.flag("memory_limited")?,
            agent_error: row.opt_text("agent_error")?,
            receipt_desired: row.int("receipt_desired")?,
            receipt_observed: row.int("receipt_observed")?,
            receipt_error: row.opt_text("receipt_error")?,
            applied_models: row.text("applied_models")?,
            observed_at_ms,
        }),
    };
    Ok(RuntimeView {
        runtime: runtime(row)?,
        office_site_name: row.opt_text("office_site_name")?.unwrap_or_default(),
        resource_group_name: row.opt_text("resource_group_name")?,
        model_group_id: row.opt_parse("effective_group_id")?,
        model_group_name: row.opt_text("model_group_name")?,
        shared_revision: row.int("shared_revision")?,
        agent_status: super::super::guest::agent_status_from_word(&row.text("effective_status")?)?,
        guest_online: row.flag("guest_online")?,
        is_assigning: row.flag("assigning")?,
        observed,
        skills_modified: row.flag("skills_modified")?,
        users: Vec::new(),
        tags: Vec::new(),
        channels: Vec::new(),
    })
}
