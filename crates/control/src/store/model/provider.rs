use creel_wire::id::{AccountId, ModelGroupId, ProviderId};
use sea_query::{Expr, ExprTrait, JoinType, Order, Query, SelectStatement};

use super::super::{Row, Store, StoreError, Tx, params};
use crate::model::{Provider, ProviderFilter};
use crate::page::{Page, PageNumber};

fn provider(row: &Row) -> Result<Provider, StoreError> {
    Ok(Provider {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        group_id: row.parse("group_id")?,
        provider_name: row.text("provider_name")?,
        name: row.text("name")?,
        description: row.text("description")?,
        provider_type: row.parse("provider_type")?,
        config_json: row.text("config_json")?,
        api: row.parse("api")?,
        base_url: row.text("base_url")?,
        api_key_sealed: row.opt_text("api_key_sealed")?,
        proxied: row.flag("proxied")?,
        system_provider_name: row.opt_text("system_provider_name")?,
        created_at_ms: row.int("created_at_ms")?,
    })
}

const COLUMNS: [&str; 14] = [
    "id",
    "account_id",
    "group_id",
    "provider_name",
    "name",
    "description",
    "provider_type",
    "config_json",
    "api",
    "base_url",
    "api_key_sealed",
    "proxied",
    "system_provider_name",
    "created_at_ms",
];

const FIND: &str =
    "SELECT id, account_id, group_id, provider_name, name, description, provider_type, config_json, api,
        base_url, api_key_sealed, proxied, system_provider_name, created_at_ms
 FROM model_provider WHERE id = $1 AND account_id = $2";

fn matching(account_id: &AccountId, filter: &ProviderFilter) -> SelectStatement {
    let column = |name: &'static str| Expr::col(("model_provider", name));
    let of_group = |name: &'static str| Expr::col(("model_group", name));
    let mut select = Query::select();
    select
        .from("model_provider")
        .join(JoinType::InnerJoin, "model_group", of_group("id").equals(("model_provider", "group_id")))
        .and_where(column("account_id").eq(account_id.as_str()))
        .and_where(of_group("agent_provider").eq(filter.agent.as_str()));
    if let Some(platform) = filter.platform {
        select.and_where(of_group("agent_platform").eq(platform.as_str()));
    }
    if let Some(group_id) = &filter.group_id {
        select.and_where(column("group_id").eq(group_id.as_str()));
    }
    if let Some(name) = &filter.provider_name {
        select.and_where(column("provider_name").eq(name.as_str()));
    }
    if !filter.ids.is_empty() {
        select.and_where(column("id").is_in(filter.ids.iter().map(String::as_str)));
    }
    select
}

/// One page of providers, oldest first. Public so that a test can look at its plan.
pub fn provider_list_statement(
    account_id: &AccountId,
    filter: &ProviderFilter,
    page: PageNumber,
) -> SelectStatement {
    let mut select = matching(account_id, filter);
    select
        .columns(COLUMNS.map(|column| ("model_provider", column)))
        .order_by(("model_provider", "created_at_ms"), Order::Asc)
        .order_by(("model_provider", "id"), Order::Asc)
        .limit(page.size.unsigned_abs())
        .offset(page.offset().unsigned_abs());
    select
}

impl Store {
    /// One page of providers, oldest first, and how many match in all.
    pub(crate) async fn list_model_providers(
        &self,
        account_id: &AccountId,
        filter: &ProviderFilter,
        page: PageNumber,
    ) -> Result<Page<Provider>, StoreError> {
        let rows = self.db().select(&provider_list_statement(account_id, filter, page)).await?;
        let items = rows.iter().map(provider).collect::<Result<_, _>>()?;
        let total = self.count(matching(account_id, filter)).await?;
        Ok(Page { items, total, next: None })
    }

    pub(crate) async fn find_model_provider(
        &self,
        account_id: &AccountId,
        id: &ProviderId,
    ) -> Result<Option<Provider>, StoreError> {
        let row = self.db().fetch_optional(FIND, params![id.as_str(), account_id.as_str()]).await?;
        row.as_ref().map(provider).transpose()
    }

    /// The providers of a group by age; a group has at most 50.
    pub(crate) async fn list_group_providers(
        &self,
        account_id: &AccountId,
        group_id: &ModelGroupId,
    ) -> Result<Vec<Provider>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT id, account_id, group_id, provider_name, name, description, provider_type, config_json, api,
                        base_url, api_key_sealed, proxied, system_provider_name, created_at_ms
                 FROM model_provider WHERE group_id = $1 AND account_id = $2 ORDER BY created_at_ms, id LIMIT 1000",
                params![group_id.as_str(), account_id.as_str()],
            )
            .await?;
        rows.iter().map(provider).collect()
    }
}

impl Tx {
    pub(crate) async fn find_model_provider(
        &mut self,
        account_id: &AccountId,
        id: &ProviderId,
    ) -> Result<Option<Provider>, StoreError> {
        let row = self.fetch_optional(FIND, params![id.as_str(), account_id.as_str()]).await?;
        row.as_ref().map(provider).transpose()
    }

    /// Deletes a provider with its models.
    pub(crate) async fn delete_model_provider(&mut self, id: &ProviderId) -> Result<(), StoreError> {
        self.execute("DELETE FROM model WHERE provider_id = $1", params![id.as_str()]).await?;
        self.execute("DELETE FROM model_provider WHERE id = $1", params![id.as_str()]).await?;
        Ok(())
    }

    /// Writes what can change of a provider.
    pub(crate) async fn update_model_provider(&mut self, provider: &Provider) -> Result<(), StoreError> {
        self.execute(
            "UPDATE model_provider SET name = $2, description = $3, config_json = $4, api = $5, base_url = $6,
                                       api_key_sealed = $7, proxied = $8
             WHERE id = $1",
            params![
                provider.id.as_str(),
                &provider.name,
                &provider.description,
                &provider.config_json,
                provider.api.as_str(),
                &provider.base_url,
                provider.api_key_sealed.clone(),
                provider.proxied
            ],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn count_model_providers(&mut self, group_id: &ModelGroupId) -> Result<i64, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM model_provider WHERE group_id = $1",
                params![group_id.as_str()],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// `Unique` if the group has a provider of this name.
    pub(crate) async fn insert_model_provider(&mut self, provider: &Provider) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO model_provider (id, account_id, group_id, provider_name, name, description, provider_type,
                                         config_json, api, base_url, api_key_sealed, proxied, system_provider_name,
                                         created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            params![
                provider.id.as_str(),
                provider.account_id.as_str(),
                provider.group_id.as_str(),
                &provider.provider_name,
                &provider.name,
                &provider.description,
                provider.provider_type.as_str(),
                &provider.config_json,
                provider.api.as_str(),
                &provider.base_url,
                provider.api_key_sealed.clone(),
                provider.proxied,
                provider.system_provider_name.clone(),
                provider.created_at_ms
            ],
        )
        .await?;
        Ok(())
    }
}
