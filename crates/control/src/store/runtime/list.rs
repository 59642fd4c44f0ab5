//! Lists of runtimes with their many optional filters. Each filter adds a condition only when it is given, so that
//! the planner sees the real question and takes an index for it.

use std::collections::HashMap;

use creel_wire::id::AccountId;
use sea_query::{CaseStatement, Cond, Expr, ExprTrait, JoinType, Order, Query, SelectStatement, SimpleExpr};

use super::{COLUMNS, runtime};
use crate::page::Cursor;
use crate::runtime::{Observed, RuntimeFilter, RuntimeView};
use crate::store::entitlement::{assigning, entitled};
use crate::store::model::EFFECTIVE_GROUP;
use crate::store::{Row, Store, StoreError, params};

/// A condition that no row meets.
fn never() -> SimpleExpr {
    Expr::val(1i64).eq(0i64)
}

/// The rows of `table` (a name or alias of `runtime`) that these ids name, by either kind of id.
pub(crate) fn named(table: &'static str, ids: &[String]) -> SimpleExpr {
    let (outer, inner): (Vec<&str>, Vec<&str>) =
        ids.iter().map(String::as_str).partition(|id| id.starts_with("jvs-"));
    let inner_match = Expr::col((table, "id")).is_in(inner);
    if outer.is_empty() { inner_match } else { inner_match.or(Expr::col((table, "jvs_id")).is_in(outer)) }
}

/// What the API shows as the agent's status: the guest's word while its link is held by a live replica.
fn agent_status(live_replicas: &[String]) -> SimpleExpr {
    CaseStatement::new()
        .case(Expr::col(("r", "sandbox")).is_in(["Stopped", "Stopping"]), Expr::col(("r", "sandbox")))
        .case(Expr::col(("o", "agent_status")).is_null(), Expr::val("Undeployed"))
        .case(guest_online(live_replicas).not(), Expr::val("Unavailable"))
        .finally(Expr::col(("o", "agent_status")))
        .into()
}

fn guest_online(live_replicas: &[String]) -> SimpleExpr {
    Expr::col(("g", "replica_id")).is_in(live_replicas.iter().map(String::as_str))
}

fn exists_user(users: Option<&[String]>) -> SimpleExpr {
    let mut select = Query::select();
    select
        .expr(Expr::val(1i64))
        .from_as("runtime_user", "u")
        .and_where(Expr::col(("u", "runtime_id")).equals(("r", "id")));
    if let Some(users) = users {
        select.and_where(Expr::col(("u", "end_user_id")).is_in(users.iter().map(String::as_str)));
    }
    Expr::exists(select)
}

fn exists_channel() -> SimpleExpr {
    let mut select = Query::select();
    select
        .expr(Expr::val(1i64))
        .from_as("runtime_channel", "c")
        .and_where(Expr::col(("c", "runtime_id")).equals(("r", "id")));
    Expr::exists(select)
}

pub(crate) fn exists_tag(key: &str, value: Option<&str>) -> SimpleExpr {
    let mut select = Query::select();
    select
        .expr(Expr::val(1i64))
        .from_as("runtime_tag", "t")
        .and_where(Expr::col(("t", "runtime_id")).equals(("r", "id")))
        .and_where(Expr::col(("t", "tag_key")).eq(key));
    if let Some(value) = value {
        select.and_where(Expr::col(("t", "tag_value")).eq(value));
    }
    Expr::exists(select)
}

fn any_of(column: &'static str, values: &[String]) -> SimpleExpr {
    Expr::col(("r", column)).is_in(values.iter().map(String::as_str))
}

/// Whether a condition looks at the guest's side, which then has to be joined even to count.
fn needs_observed(filter: &RuntimeFilter) -> bool {
    !filter.agent_statuses.is_empty() || !filter.agent_versions.is_empty()
}

fn conditions(account_id: &AccountId, filter: &RuntimeFilter, live_replicas: &[String]) -> Cond {
    let mut cond = Cond::all().add(Expr::col(("r", "account_id")).eq(account_id.as_str()));
    if !filter.deleted {
        cond = cond.add(Expr::col(("r", "deleted_at_ms")).is_null());
    }
    if let Some(to) = &filter.entitled_to {
        cond = cond.add(entitled(("r", "id"), account_id, to));
    }
    if filter.nothing {
        cond = cond.add(never());
    }
    if !filter.ids.is_empty() {
        cond = cond.add(named("r", &filter.ids));
    }
    let lists = [
        ("name", &filter.names),
        ("agent_provider", &filter.agent_providers),
        ("agent_platform", &filter.agent_platforms),
        ("image_id", &filter.image_ids),
        ("os_type", &filter.os_types),
    ];
    for (column, values) in lists {
        if !values.is_empty() {
            cond = cond.add(any_of(column, values));
        }
    }
    let single = [
        ("region_id", &filter.region_id),
        ("office_site_id", &filter.office_site_id),
        ("resource_group_id", &filter.resource_group_id),
        ("desktop_type", &filter.desktop_type),
        ("charge_type", &filter.charge_type),
    ];
    for (column, value) in single {
        if let Some(value) = value {
            cond = cond.add(Expr::col(("r", column)).eq(value.as_str()));
        }
    }
    if !filter.sandbox_statuses.is_empty() {
        let alive =
            any_of("sandbox", &filter.sandbox_statuses).and(Expr::col(("r", "deleted_at_ms")).is_null());
        let dead = Expr::col(("r", "deleted_at_ms")).is_not_null();
        cond = cond.add(if filter.deleted { alive.or(dead) } else { alive });
    }
    guest_conditions(link_conditions(cond, filter), filter, live_replicas)
}

fn link_conditions(mut cond: Cond, filter: &RuntimeFilter) -> Cond {
    if let Some(name) = &filter.office_site_name {
        let mut sites = Query::select();
        sites.column("id").from("office_site").and_where(Expr::col("name").eq(name.as_str()));
        cond = cond.add(Expr::col(("r", "office_site_id")).in_subquery(sites));
    }
    if let Some(has_user) = filter.has_user {
        let exists = exists_user(None);
        cond = cond.add(if has_user { exists } else { exists.not() });
    }
    if let Some(management) = filter.management {
        cond = cond.add(super::management_is(management));
    }
    if !filter.users.is_empty() {
        cond = cond.add(exists_user(Some(&filter.users)));
    }
    if !filter.excluded_users.is_empty() {
        cond = cond.add(exists_user(Some(&filter.excluded_users)).not());
    }
    if let Some(configured) = filter.has_channel {
        let exists = exists_channel();
        cond = cond.add(if configured { exists } else { exists.not() });
    }
    // No index has what a resource group decides: the account's runtimes are walked, newest first.
    if let Some(group_id) = &filter.model_group_id {
        cond = cond.add(Expr::cust(EFFECTIVE_GROUP).eq(group_id.as_str()));
    }
    if let Some(bound) = filter.has_model_group {
        let group = Expr::cust(EFFECTIVE_GROUP);
        cond = cond.add(if bound { group.is_not_null() } else { group.is_null() });
    }
    for (key, value) in &filter.tags {
        cond = cond.add(exists_tag(key, value.as_deref()));
    }
    cond
}

fn guest_conditions(mut cond: Cond, filter: &RuntimeFilter, live_replicas: &[String]) -> Cond {
    if !filter.agent_statuses.is_empty() {
        let wanted = filter.agent_statuses.iter().map(String::as_str);
        cond = cond.add(agent_status(live_replicas).is_in(wanted));
    }
    if !filter.agent_versions.is_empty() {
        // The API shows both `2026.9.6` and `OpenClaw 2026.9.6`.
        let versions =
            filter.agent_versions.iter().filter_map(|text| text.rsplit(' ').next()).collect::<Vec<_>>();
        cond = cond.add(Expr::col(("o", "agent_version")).is_in(versions));
    }
    cond
}

fn join_observed(select: &mut SelectStatement) {
    select
        .join_as(
            JoinType::LeftJoin,
            "runtime_observed",
            "o",
            Expr::col(("o", "runtime_id")).equals(("r", "id")),
        )
        .join_as(JoinType::LeftJoin, "guest", "g", Expr::col(("g", "runtime_id")).equals(("r", "id")));
}

/// The statement of one page.
fn page_statement(
    account_id: &AccountId,
    filter: &RuntimeFilter,
    live_replicas: &[String],
    after: Option<&Cursor>,
) -> SelectStatement {
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
        .expr_as(Expr::col(("m", "revision")), "model_group_revision")
        .from_as("runtime", "r");
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
        )
        .cond_where(conditions(account_id, filter, live_replicas))
        .order_by(("r", "created_at_ms"), Order::Desc)
        .order_by(("r", "id"), Order::Desc);
    if let Some(cursor) = after {
        select.and_where(
            Expr::tuple([Expr::col(("r", "created_at_ms")), Expr::col(("r", "id"))])
                .lt(Expr::tuple([Expr::val(cursor.key), Expr::val(cursor.id.as_str())])),
        );
    }
    select
}

impl Store {
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
        let live = self.live_replicas(now_ms).await?;
        let mut select = page_statement(account_id, filter, &live, after);
        select.limit(limit.unsigned_abs()).offset(offset.unsigned_abs());
        let rows = self.db().select(&select).await?;
        let mut views = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        self.attach_users_and_tags(&mut views).await?;
        Ok(views)
    }

    /// How many runtimes match.
    pub(crate) async fn count_runtimes(
        &self,
        account_id: &AccountId,
        filter: &RuntimeFilter,
        now_ms: i64,
    ) -> Result<i64, StoreError> {
        let live = if needs_observed(filter) { self.live_replicas(now_ms).await? } else { Vec::new() };
        let mut select = Query::select();
        select.from_as("runtime", "r");
        if needs_observed(filter) {
            join_observed(&mut select);
        }
        select.cond_where(conditions(account_id, filter, &live));
        self.count(select).await
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
        model_group_revision: row.opt_int("model_group_revision")?.unwrap_or(0),
        agent_status: super::super::guest::agent_status_from_word(&row.text("effective_status")?)?,
        guest_online: row.flag("guest_online")?,
        is_assigning: row.flag("assigning")?,
        observed,
        users: Vec::new(),
        tags: Vec::new(),
        channels: Vec::new(),
    })
}
