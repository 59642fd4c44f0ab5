//! What a list of runtimes is filtered by, as conditions. Each filter adds a condition only when it is given, so that
//! the planner sees the real question and takes an index for it.

use creel_wire::id::AccountId;
use sea_query::{
    CaseStatement, Cond, Expr, ExprTrait, JoinType, Query, SelectStatement, SimpleExpr, UnionType,
};

use crate::runtime::{Management, RuntimeFilter, SandboxStatus};
use crate::store::entitlement::entitled;
use crate::store::model::{EFFECTIVE_GROUP, HAS_GROUP, HAS_NO_GROUP};
use crate::store::skill::{IS_DRIFT, SKILLS_MODIFIED};

/// Statuses of an agent that its guest reports; the others follow from the sandbox or from the guest's silence.
const REPORTED_STATUSES: [&str; 4] = ["Deploying", "Deployed", "Starting", "Running"];

/// Runtimes that a page is merged of. Each part comes in the list's order from an index of its own, where one index
/// over all of them would have to be sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Not deleted.
    Live,
    /// Not deleted, and the sandbox has this status.
    Status(SandboxStatus),
    Deleted,
}

/// The parts that a filter asks for; none where it asks for statuses that no runtime has.
pub(super) fn parts(filter: &RuntimeFilter) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    if filter.sandbox_statuses.is_empty() {
        parts.push(Part::Live);
    }
    for status in filter.sandbox_statuses.iter().filter_map(|word| word.parse().ok()) {
        if !parts.contains(&Part::Status(status)) {
            parts.push(Part::Status(status));
        }
    }
    if filter.deleted {
        parts.push(Part::Deleted);
    }
    parts
}

/// A filter that rows elsewhere answer: each of them names a runtime.
#[derive(Debug, Clone)]
pub(super) struct Side {
    sources: Vec<Source>,
    /// Whether the rows are few enough to begin with them. Else the account is walked in the order of the list, and a
    /// page is soon full since so many runtimes match.
    pub(super) leads: bool,
    /// Set where the condition only narrows what another one decides.
    is_hint: bool,
}

/// Rows of one table.
#[derive(Debug, Clone)]
struct Source {
    table: &'static str,
    /// Its column with the runtime's id.
    runtime: &'static str,
    account: SimpleExpr,
    rows: Vec<SimpleExpr>,
}

impl Source {
    fn new(table: &'static str, runtime: &'static str, account_id: &AccountId) -> Self {
        let account = Expr::col((table, "account_id")).eq(account_id.as_str());
        Self { table, runtime, account, rows: Vec::new() }
    }

    fn and(mut self, row: SimpleExpr) -> Self {
        self.rows.push(row);
        self
    }

    /// The ids of the runtimes that the rows name.
    fn ids(&self) -> SelectStatement {
        let mut select = self.select_where(self.account.clone());
        select.expr_as(Expr::col((self.table, self.runtime)), "runtime_id");
        select
    }

    /// Whether one of the rows names the runtime `r`. The account is left out: its index would lead SQLite away from
    /// the few rows of one runtime.
    fn exists(&self) -> SimpleExpr {
        let mut select = self.select_where(Expr::col((self.table, self.runtime)).equals(("r", "id")));
        select.expr(Expr::val(1i64));
        Expr::exists(select)
    }

    fn select_where(&self, first: SimpleExpr) -> SelectStatement {
        let mut select = Query::select();
        select.from(self.table).and_where(first);
        for row in &self.rows {
            select.and_where(row.clone());
        }
        select
    }
}

impl Side {
    /// Rows that link a runtime to something, and decide.
    fn links(source: Source) -> Self {
        Self { sources: vec![source], leads: true, is_hint: false }
    }

    /// Rows without which no runtime matches.
    fn hint(sources: Vec<Source>) -> Self {
        Self { sources, leads: true, is_hint: true }
    }

    /// The ids of the runtimes that the rows name.
    fn ids(&self) -> Option<SelectStatement> {
        let mut selects = self.sources.iter().map(Source::ids);
        let mut ids = selects.next()?;
        for select in selects {
            ids.union(UnionType::All, select);
        }
        Some(ids)
    }

    /// Counts the rows, up to a maximum.
    pub(super) fn probe(&self, rows_max: u64) -> Option<SelectStatement> {
        let mut ids = self.ids()?;
        ids.limit(rows_max);
        let mut probe = Query::select();
        probe.expr_as(Expr::cust("CAST(COUNT(*) AS BIGINT)"), "total").from_subquery(ids, "rows");
        Some(probe)
    }

    fn condition(&self) -> Option<SimpleExpr> {
        if self.leads {
            return self.ids().map(|ids| Expr::col(("r", "id")).in_subquery(ids));
        }
        if self.is_hint {
            return None;
        }
        self.sources.iter().map(Source::exists).reduce(ExprTrait::or)
    }
}

/// The filters that other rows answer. All lead, as is right for counting; a page looks first how many they name.
pub(super) fn sides(account_id: &AccountId, filter: &RuntimeFilter) -> Vec<Side> {
    let of = |table| Source::new(table, "runtime_id", account_id);
    let mut sides = Vec::new();
    if !filter.users.is_empty() {
        let users = filter.users.iter().map(String::as_str);
        let is_user = Expr::col(("runtime_user", "end_user_id")).is_in(users);
        sides.push(Side::links(of("runtime_user").and(is_user)));
    }
    for (key, value) in &filter.tags {
        let mut tags = of("runtime_tag").and(Expr::col(("runtime_tag", "tag_key")).eq(key.as_str()));
        if let Some(value) = value {
            tags = tags.and(Expr::col(("runtime_tag", "tag_value")).eq(value.as_str()));
        }
        sides.push(Side::links(tags));
    }
    if let Some(to) = &filter.entitled_to {
        let is_person = Expr::col(("runtime_user", "end_user_id")).eq(to.end_user.as_str());
        sides.push(Side::hint(vec![of("runtime_user").and(is_person)]));
    }
    if filter.has_user == Some(true) {
        sides.push(Side::links(of("runtime_user")));
    }
    if filter.has_channel == Some(true) {
        sides.push(Side::links(of("runtime_channel")));
    }
    if filter.has_risk == Some(true) {
        sides.push(Side::hint(vec![of("runtime_skill").and(Expr::cust(IS_DRIFT))]));
    }
    if filter.management == Some(Management::Assigning) {
        sides.push(Side::hint(vec![of("runtime_assignment")]));
    }
    // Deleted runtimes keep their bindings, and no index has those.
    if let Some(group_id) = filter.model_group_id.as_ref().filter(|_| !filter.deleted) {
        let is_group = |table| Expr::col((table, "model_group_id")).eq(group_id.as_str());
        sides.push(Side::hint(bound(account_id, is_group)));
    }
    if filter.has_model_group == Some(true) && !filter.deleted {
        sides.push(Side::hint(bound(account_id, |table| Expr::col((table, "model_group_id")).is_not_null())));
    }
    let statuses = &filter.agent_statuses;
    if !statuses.is_empty() && statuses.iter().all(|status| REPORTED_STATUSES.contains(&status.as_str())) {
        let wanted = statuses.iter().map(String::as_str);
        let is_status = Expr::col(("runtime_observed", "agent_status")).is_in(wanted);
        sides.push(Side::hint(vec![of("runtime_observed").and(is_status)]));
    }
    if !filter.agent_versions.is_empty() {
        let is_version = Expr::col(("runtime_observed", "agent_version")).is_in(versions(filter));
        sides.push(Side::hint(vec![of("runtime_observed").and(is_version)]));
    }
    sides
}

/// The API shows both `2026.9.6` and `OpenClaw 2026.9.6`.
fn versions(filter: &RuntimeFilter) -> impl Iterator<Item = &str> {
    filter.agent_versions.iter().filter_map(|text| text.rsplit(' ').next())
}

/// The live runtimes that have a binding to such a model group, of their own or by their resource group, whichever counts.
fn bound(account_id: &AccountId, is_group: impl Fn(&'static str) -> SimpleExpr) -> Vec<Source> {
    let live = || {
        let runtimes = Source::new("runtime", "id", account_id);
        runtimes.and(Expr::col(("runtime", "deleted_at_ms")).is_null())
    };
    let mut resource_groups = Query::select();
    resource_groups
        .column("id")
        .from("resource_group")
        .and_where(Expr::col("account_id").eq(account_id.as_str()))
        .and_where(is_group("resource_group"));
    vec![
        live().and(is_group("runtime")),
        live().and(Expr::col(("runtime", "resource_group_id")).in_subquery(resource_groups)),
    ]
}

/// The rows of `table` (a name or alias of `runtime`) that these ids name, by either kind of id.
pub(crate) fn named(table: &'static str, ids: &[String]) -> SimpleExpr {
    let (outer, inner): (Vec<&str>, Vec<&str>) =
        ids.iter().map(String::as_str).partition(|id| id.starts_with("jvs-"));
    let by_outer = Expr::col((table, "jvs_id")).is_in(outer.iter().copied());
    let by_inner = Expr::col((table, "id")).is_in(inner.iter().copied());
    match (outer.is_empty(), inner.is_empty()) {
        (true, _) => by_inner,
        (false, true) => by_outer,
        (false, false) => by_inner.or(by_outer),
    }
}

/// What the API shows as the agent's status: the guest's word while its link is held by a live replica.
pub(super) fn agent_status(live_replicas: &[String]) -> SimpleExpr {
    CaseStatement::new()
        .case(Expr::col(("r", "sandbox")).is_in(["Stopped", "Stopping"]), Expr::col(("r", "sandbox")))
        .case(Expr::col(("o", "agent_status")).is_null(), Expr::val("Undeployed"))
        .case(guest_online(live_replicas).not(), Expr::val("Unavailable"))
        .finally(Expr::col(("o", "agent_status")))
        .into()
}

pub(super) fn guest_online(live_replicas: &[String]) -> SimpleExpr {
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

/// Whether a condition looks at the guest's side, which then has to be joined.
pub(super) fn needs_observed(filter: &RuntimeFilter) -> bool {
    !filter.agent_statuses.is_empty() || !filter.agent_versions.is_empty()
}

pub(super) fn join_observed(select: &mut SelectStatement) {
    select
        .join_as(
            JoinType::LeftJoin,
            "runtime_observed",
            "o",
            Expr::col(("o", "runtime_id")).equals(("r", "id")),
        )
        .join_as(JoinType::LeftJoin, "guest", "g", Expr::col(("g", "runtime_id")).equals(("r", "id")));
}

/// `SELECT` of those rows `r` of one part that match, without columns, order and limit.
pub(super) fn matching(
    account_id: &AccountId,
    filter: &RuntimeFilter,
    part: Part,
    sides: &[Side],
    live_replicas: &[String],
) -> SelectStatement {
    let mut select = Query::select();
    select.from_as("runtime", "r");
    if needs_observed(filter) {
        join_observed(&mut select);
    }
    let deleted_at = Expr::col(("r", "deleted_at_ms"));
    let mut cond = Cond::all().add(Expr::col(("r", "account_id")).eq(account_id.as_str()));
    cond = match part {
        Part::Live => cond.add(deleted_at.is_null()),
        Part::Status(status) => {
            cond.add(deleted_at.is_null()).add(Expr::col(("r", "sandbox")).eq(status.as_str()))
        }
        Part::Deleted => cond.add(deleted_at.is_not_null()),
    };
    if let Some(to) = &filter.entitled_to {
        cond = cond.add(entitled(("r", "id"), account_id, to));
    }
    cond = column_conditions(cond, filter);
    cond = link_conditions(cond, filter);
    for condition in sides.iter().filter_map(Side::condition) {
        cond = cond.add(condition);
    }
    select.cond_where(guest_conditions(cond, filter, live_replicas));
    select
}

fn column_conditions(mut cond: Cond, filter: &RuntimeFilter) -> Cond {
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
    if let Some(management) = filter.management {
        cond = cond.add(super::management_is(management));
    }
    cond
}

fn link_conditions(mut cond: Cond, filter: &RuntimeFilter) -> Cond {
    if let Some(name) = &filter.office_site_name {
        let mut sites = Query::select();
        sites.column("id").from("office_site").and_where(Expr::col("name").eq(name.as_str()));
        cond = cond.add(Expr::col(("r", "office_site_id")).in_subquery(sites));
    }
    if filter.has_user == Some(false) {
        cond = cond.add(exists_user(None).not());
    }
    if !filter.excluded_users.is_empty() {
        cond = cond.add(exists_user(Some(&filter.excluded_users)).not());
    }
    if filter.has_channel == Some(false) {
        cond = cond.add(exists_channel().not());
    }
    if let Some(modified) = filter.has_risk {
        let is_modified = Expr::cust(SKILLS_MODIFIED);
        cond = cond.add(if modified { is_modified } else { is_modified.not() });
    }
    if let Some(group_id) = &filter.model_group_id {
        cond = cond.add(Expr::cust(EFFECTIVE_GROUP).eq(group_id.as_str()));
    }
    if let Some(bound) = filter.has_model_group {
        cond = cond.add(Expr::cust(if bound { HAS_GROUP } else { HAS_NO_GROUP }));
    }
    cond
}

fn guest_conditions(mut cond: Cond, filter: &RuntimeFilter, live_replicas: &[String]) -> Cond {
    if !filter.agent_statuses.is_empty() {
        let wanted = filter.agent_statuses.iter().map(String::as_str);
        cond = cond.add(agent_status(live_replicas).is_in(wanted));
    }
    if !filter.agent_versions.is_empty() {
        cond = cond.add(Expr::col(("o", "agent_version")).is_in(versions(filter)));
    }
    cond
}
