use creel_wire::guest::ModelRef;
use creel_wire::id::{AccountId, ModelGroupId, ModelId};
use sea_query::{Expr, ExprTrait, JoinType, Order, Query, SelectStatement};

use super::super::{Row, Store, StoreError, Tx, params};
use super::contains;
use crate::model::{GroupFilter, GroupView, ModelGroup};
use crate::page::{Page, PageNumber};

const COLUMNS: [&str; 11] = [
    "id",
    "account_id",
    "name",
    "description",
    "agent_provider",
    "agent_platform",
    "ref_scope",
    "source",
    "default_model_id",
    "revision",
    "created_at_ms",
];

const HAS_MODEL: &str = "EXISTS (SELECT 1 FROM model WHERE model.group_id = model_group.id)";

fn group(row: &Row) -> Result<ModelGroup, StoreError> {
    Ok(ModelGroup {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        agent: row.parse("agent_provider")?,
        platform: row.parse("agent_platform")?,
        ref_scope: row.parse("ref_scope")?,
        source: row.parse("source")?,
        default_model_id: row.opt_parse("default_model_id")?,
        revision: row.int("revision")?,
        created_at_ms: row.int("created_at_ms")?,
    })
}

fn view(row: &Row) -> Result<GroupView, StoreError> {
    let default_model = match (row.opt_text("default_provider")?, row.opt_text("default_code")?) {
        (Some(provider), Some(code)) => Some(ModelRef { provider, code }),
        _ => None,
    };
    Ok(GroupView { group: group(row)?, model_count: row.int("model_count")?, default_model })
}

fn matching(account_id: &AccountId, filter: &GroupFilter) -> SelectStatement {
    let column = |name: &'static str| Expr::col(("model_group", name));
    let mut select = Query::select();
    select.from("model_group").and_where(column("account_id").eq(account_id.as_str()));
    if !filter.ids.is_empty() {
        select.and_where(column("id").is_in(filter.ids.iter().map(String::as_str)));
    }
    if !filter.agents.is_empty() {
        select.and_where(column("agent_provider").is_in(filter.agents.iter().map(|agent| agent.as_str())));
    }
    if !filter.platforms.is_empty() {
        select.and_where(
            column("agent_platform").is_in(filter.platforms.iter().map(|platform| platform.as_str())),
        );
    }
    if let Some(name) = &filter.name {
        select.and_where(contains("model_group", "name", name));
    }
    if let Some(source) = filter.source {
        select.and_where(column("source").eq(source.as_str()));
    }
    if let Some(scope) = filter.ref_scope {
        select.and_where(column("ref_scope").eq(scope.as_str()));
    }
    match filter.has_model {
        None => {}
        Some(true) => {
            select.and_where(Expr::cust(HAS_MODEL));
        }
        Some(false) => {
            select.and_where(Expr::cust(HAS_MODEL).not());
        }
    }
    select
}

/// One page of groups, oldest first. Public so that a test can look at its plan.
pub fn group_list_statement(
    account_id: &AccountId,
    filter: &GroupFilter,
    page: PageNumber,
) -> SelectStatement {
    let mut select = matching(account_id, filter);
    select
        .columns(COLUMNS.map(|column| ("model_group", column)))
        .expr_as(
            Expr::cust("(SELECT CAST(COUNT(*) AS BIGINT) FROM model WHERE model.group_id = model_group.id)"),
            "model_count",
        )
        .expr_as(Expr::col(("default_provider", "provider_name")), "default_provider")
        .expr_as(Expr::col(("default_model", "code")), "default_code")
        .join_as(
            JoinType::LeftJoin,
            "model",
            "default_model",
            Expr::col(("default_model", "id")).equals(("model_group", "default_model_id")),
        )
        .join_as(
            JoinType::LeftJoin,
            "model_provider",
            "default_provider",
            Expr::col(("default_provider", "id")).equals(("default_model", "provider_id")),
        )
        .order_by(("model_group", "created_at_ms"), Order::Asc)
        .order_by(("model_group", "id"), Order::Asc)
        .limit(page.size.unsigned_abs())
        .offset(page.offset().unsigned_abs());
    select
}

impl Store {
    /// One page of groups, oldest first, and how many match in all.
    pub(crate) async fn list_model_groups(
        &self,
        account_id: &AccountId,
        filter: &GroupFilter,
        page: PageNumber,
    ) -> Result<Page<GroupView>, StoreError> {
        let rows = self.db().select(&group_list_statement(account_id, filter, page)).await?;
        let items = rows.iter().map(view).collect::<Result<_, _>>()?;
        let total = self.count(matching(account_id, filter)).await?;
        Ok(Page { items, total, next: None })
    }

    pub(crate) async fn find_model_group(
        &self,
        account_id: &AccountId,
        id: &ModelGroupId,
    ) -> Result<Option<ModelGroup>, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT id, account_id, name, description, agent_provider, agent_platform, ref_scope, source,
                        default_model_id, revision, created_at_ms
                 FROM model_group WHERE id = $1 AND account_id = $2",
                params![id.as_str(), account_id.as_str()],
            )
            .await?;
        row.as_ref().map(group).transpose()
    }
}

impl Tx {
    pub(crate) async fn find_model_group(
        &mut self,
        account_id: &AccountId,
        id: &ModelGroupId,
    ) -> Result<Option<ModelGroup>, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT id, account_id, name, description, agent_provider, agent_platform, ref_scope, source,
                        default_model_id, revision, created_at_ms
                 FROM model_group WHERE id = $1 AND account_id = $2",
                params![id.as_str(), account_id.as_str()],
            )
            .await?;
        row.as_ref().map(group).transpose()
    }

    /// A group, held against other changes until the end of the transaction. The update that changes nothing locks
    /// its row on both databases.
    pub(crate) async fn lock_model_group(
        &mut self,
        account_id: &AccountId,
        id: &ModelGroupId,
    ) -> Result<Option<ModelGroup>, StoreError> {
        let row = self
            .fetch_optional(
                "UPDATE model_group SET revision = revision WHERE id = $1 AND account_id = $2
                 RETURNING id, account_id, name, description, agent_provider, agent_platform, ref_scope, source,
                           default_model_id, revision, created_at_ms",
                params![id.as_str(), account_id.as_str()],
            )
            .await?;
        row.as_ref().map(group).transpose()
    }

    pub(crate) async fn count_model_groups(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM model_group WHERE account_id = $1",
                params![account_id.as_str()],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    pub(crate) async fn insert_model_group(&mut self, group: &ModelGroup) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO model_group (id, account_id, name, description, agent_provider, agent_platform, biz_type,
                                      ref_scope, source, default_model_id, revision, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11)",
            params![
                group.id.as_str(),
                group.account_id.as_str(),
                &group.name,
                &group.description,
                group.agent.as_str(),
                group.platform.as_str(),
                group.ref_scope.as_str(),
                group.source.as_str(),
                group.default_model_id.as_ref().map(ModelId::as_str),
                group.revision,
                group.created_at_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// Writes what can change of a group, as its next revision.
    pub(crate) async fn update_model_group(&mut self, group: &ModelGroup) -> Result<(), StoreError> {
        self.execute(
            "UPDATE model_group SET name = $3, description = $4, ref_scope = $5, default_model_id = $6,
                                    revision = revision + 1
             WHERE id = $1 AND account_id = $2",
            params![
                group.id.as_str(),
                group.account_id.as_str(),
                &group.name,
                &group.description,
                group.ref_scope.as_str(),
                group.default_model_id.as_ref().map(ModelId::as_str)
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes a group with its providers and models; `ForeignKey` while a runtime or a resource group uses it.
    pub(crate) async fn delete_model_group(&mut self, id: &ModelGroupId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM model WHERE group_id = $1",
            "DELETE FROM model_provider WHERE group_id = $1",
            "DELETE FROM model_group WHERE id = $1",
        ] {
            self.execute(sql, params![id.as_str()]).await?;
        }
        Ok(())
    }

    /// The next revision of a group, without its default model if that is gone.
    pub(crate) async fn forget_lost_default(&mut self, id: &ModelGroupId) -> Result<(), StoreError> {
        self.execute(
            "UPDATE model_group SET revision = revision + 1, default_model_id =
                 (SELECT model.id FROM model WHERE model.id = model_group.default_model_id)
             WHERE id = $1",
            params![id.as_str()],
        )
        .await?;
        Ok(())
    }

    /// The model of a group that agents name `<provider>/<code>`.
    pub(crate) async fn find_model_id(
        &mut self,
        group_id: &ModelGroupId,
        provider: &str,
        code: &str,
    ) -> Result<Option<ModelId>, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT model.id FROM model_provider JOIN model ON model.provider_id = model_provider.id
                 WHERE model_provider.group_id = $1 AND model_provider.provider_name = $2 AND model.code = $3",
                params![group_id.as_str(), provider, code],
            )
            .await?;
        row.map(|row| row.parse("id")).transpose()
    }
}
