use creel_wire::id::{AccountId, ModelGroupId, ProviderId};

use super::super::{Row, Store, StoreError, Tx, params};
use crate::model::Provider;

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

const FIND: &str =
    "SELECT id, account_id, group_id, provider_name, name, description, provider_type, config_json, api,
        base_url, api_key_sealed, proxied, system_provider_name, created_at_ms
 FROM model_provider WHERE id = $1 AND account_id = $2";

impl Store {
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
