use creel_wire::id::{AccountId, ModelGroupId, ModelId, ProviderId};
use sea_query::{Expr, ExprTrait, JoinType, Order, Query, SelectStatement};

use super::super::{Row, Store, StoreError, Tx, params};
use super::contains;
use crate::model::{Model, ModelFilter, ModelView};
use crate::page::{Page, PageNumber};

const COLUMNS: [&str; 9] = [
    "id",
    "account_id",
    "group_id",
    "provider_id",
    "code",
    "name",
    "description",
    "config_json",
    "created_at_ms",
];

pub(super) fn model(row: &Row) -> Result<Model, StoreError> {
    Ok(Model {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        group_id: row.parse("group_id")?,
        provider_id: row.parse("provider_id")?,
        code: row.text("code")?,
        name: row.text("name")?,
        description: row.text("description")?,
        config_json: row.text("config_json")?,
        created_at_ms: row.int("created_at_ms")?,
    })
}

fn view(row: &Row) -> Result<ModelView, StoreError> {
    Ok(ModelView {
        model: model(row)?,
        is_default: row.int("is_default")? != 0,
        provider_name: row.text("provider_name")?,
        system_provider_name: row.opt_text("system_provider_name")?,
        ref_scope: row.parse("ref_scope")?,
    })
}

fn matching(account_id: &AccountId, filter: &ModelFilter) -> SelectStatement {
    let column = |name: &'static str| Expr::col(("model", name));
    let mut select = Query::select();
    select.from("model").and_where(column("account_id").eq(account_id.as_str()));
    if let Some(group_id) = &filter.group_id {
        select.and_where(column("group_id").eq(group_id.as_str()));
    }
    if let Some(provider_id) = &filter.provider_id {
        select.and_where(column("provider_id").eq(provider_id.as_str()));
    }
    if !filter.ids.is_empty() {
        select.and_where(column("id").is_in(filter.ids.iter().map(String::as_str)));
    }
    if filter.smart {
        select.and_where(Expr::cust(
            "EXISTS (SELECT 1 FROM model_provider AS p JOIN system_model AS s
                     ON s.provider_name = p.system_provider_name AND s.code = model.code
                     WHERE p.id = model.provider_id AND s.route_order IS NOT NULL)",
        ));
    }
    if let Some(code) = &filter.code {
        select.and_where(contains("model", "code", code));
    }
    select
}

/// One page of models, a group's default first, then by age. Public so that a test can look at its plan.
pub fn model_list_statement(
    account_id: &AccountId,
    filter: &ModelFilter,
    page: PageNumber,
) -> SelectStatement {
    // CAST: PostgreSQL would make it an INTEGER, which cannot be read as our 64 bits.
    let is_default =
        || Expr::cust("CAST(CASE WHEN model_group.default_model_id = model.id THEN 1 ELSE 0 END AS BIGINT)");
    let mut select = matching(account_id, filter);
    select
        .columns(COLUMNS.map(|column| ("model", column)))
        .expr_as(is_default(), "is_default")
        .expr_as(Expr::col(("model_provider", "provider_name")), "provider_name")
        .expr_as(Expr::col(("model_provider", "system_provider_name")), "system_provider_name")
        .expr_as(Expr::col(("model_group", "ref_scope")), "ref_scope")
        .join(
            JoinType::InnerJoin,
            "model_provider",
            Expr::col(("model_provider", "id")).equals(("model", "provider_id")),
        )
        .join(
            JoinType::InnerJoin,
            "model_group",
            Expr::col(("model_group", "id")).equals(("model", "group_id")),
        );
    // Sorts a group's models, of which there are few; across groups there is no one default to put first, and the
    // order is the index's.
    if filter.group_id.is_some() {
        select.order_by_expr(is_default(), Order::Desc);
    }
    select
        .order_by(("model", "created_at_ms"), Order::Asc)
        .order_by(("model", "id"), Order::Asc)
        .limit(page.size.unsigned_abs())
        .offset(page.offset().unsigned_abs());
    select
}

impl Store {
    /// One page of models, a group's default first, then by age; and how many match in all.
    pub(crate) async fn list_models(
        &self,
        account_id: &AccountId,
        filter: &ModelFilter,
        page: PageNumber,
    ) -> Result<Page<ModelView>, StoreError> {
        let rows = self.db().select(&model_list_statement(account_id, filter, page)).await?;
        let items = rows.iter().map(view).collect::<Result<_, _>>()?;
        let total = self.count(matching(account_id, filter)).await?;
        Ok(Page { items, total, next: None })
    }

    /// The models of a group by age: at most 50 providers with 200 each.
    pub(crate) async fn list_group_models(
        &self,
        account_id: &AccountId,
        group_id: &ModelGroupId,
    ) -> Result<Vec<Model>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT id, account_id, group_id, provider_id, code, name, description, config_json, created_at_ms
                 FROM model WHERE group_id = $1 AND account_id = $2 ORDER BY created_at_ms, id LIMIT 10000",
                params![group_id.as_str(), account_id.as_str()],
            )
            .await?;
        rows.iter().map(model).collect()
    }
}

impl Tx {
    /// The codes of a provider's models; it has at most 200.
    pub(crate) async fn list_model_codes(
        &mut self,
        provider_id: &ProviderId,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self
            .fetch_all(
                "SELECT code FROM model WHERE provider_id = $1 ORDER BY code LIMIT 1000",
                params![provider_id.as_str()],
            )
            .await?;
        rows.iter().map(|row| row.text("code")).collect()
    }

    pub(crate) async fn find_group_of_model(
        &mut self,
        account_id: &AccountId,
        id: &ModelId,
    ) -> Result<Option<ModelGroupId>, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT group_id FROM model WHERE id = $1 AND account_id = $2",
                params![id.as_str(), account_id.as_str()],
            )
            .await?;
        row.map(|row| row.parse("group_id")).transpose()
    }

    /// False if there is no such model.
    pub(crate) async fn delete_model(&mut self, id: &ModelId) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM model WHERE id = $1", params![id.as_str()]).await? > 0)
    }

    pub(crate) async fn insert_models(&mut self, models: Vec<Model>) -> Result<(), StoreError> {
        let rows = models
            .into_iter()
            .map(|model| {
                params![
                    model.id.as_str(),
                    model.account_id.as_str(),
                    model.group_id.as_str(),
                    model.provider_id.as_str(),
                    model.code,
                    model.name,
                    model.description,
                    model.config_json,
                    model.created_at_ms
                ]
            })
            .collect();
        self.insert_many("model", &COLUMNS, rows).await
    }
}
