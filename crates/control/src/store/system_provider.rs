//! Rows of the operator's providers and their models.

use super::{Row, Store, StoreError, Tx, params};
use crate::model::{SystemModel, SystemProvider};

const FIND: &str = "SELECT name, api, base_url, api_key_sealed FROM system_provider WHERE name = $1";
const MODELS: &str = "SELECT code, name, context_window, max_output_tokens FROM system_model
 WHERE provider_name = $1 ORDER BY position, code LIMIT 10000";

fn provider(row: &Row) -> Result<SystemProvider, StoreError> {
    Ok(SystemProvider {
        name: row.text("name")?,
        api: row.parse("api")?,
        base_url: row.text("base_url")?,
        api_key_sealed: row.opt_text("api_key_sealed")?,
    })
}

fn model(row: &Row) -> Result<SystemModel, StoreError> {
    Ok(SystemModel {
        code: row.text("code")?,
        name: row.text("name")?,
        context_window: row.opt_int("context_window")?,
        max_output_tokens: row.opt_int("max_output_tokens")?,
    })
}

impl Store {
    pub(crate) async fn find_system_provider(
        &self,
        name: &str,
    ) -> Result<Option<SystemProvider>, StoreError> {
        self.db().fetch_optional(FIND, params![name]).await?.as_ref().map(provider).transpose()
    }

    /// The models of a system provider in the operator's order.
    pub(crate) async fn list_system_models(&self, name: &str) -> Result<Vec<SystemModel>, StoreError> {
        self.db().fetch_all(MODELS, params![name]).await?.iter().map(model).collect()
    }
}

impl Tx {
    pub(crate) async fn find_system_provider(
        &mut self,
        name: &str,
    ) -> Result<Option<SystemProvider>, StoreError> {
        self.fetch_optional(FIND, params![name]).await?.as_ref().map(provider).transpose()
    }

    /// The models of a system provider in the operator's order.
    pub(crate) async fn list_system_models(&mut self, name: &str) -> Result<Vec<SystemModel>, StoreError> {
        self.fetch_all(MODELS, params![name]).await?.iter().map(model).collect()
    }

    /// Gives the groups' copies of a system provider its dialect. Groups in which that changes something get their
    /// next revision, so that their agents are told.
    pub(crate) async fn spread_system_api(&mut self, provider: &SystemProvider) -> Result<(), StoreError> {
        let binds = || params![&provider.name, provider.api.as_str()];
        self.execute(
            "UPDATE model_group SET revision = revision + 1
             WHERE id IN (SELECT group_id FROM model_provider WHERE system_provider_name = $1 AND api <> $2)",
            binds(),
        )
        .await?;
        self.execute(
            "UPDATE model_provider SET api = $2 WHERE system_provider_name = $1 AND api <> $2",
            binds(),
        )
        .await?;
        Ok(())
    }

    /// Makes a system provider and its models exactly these.
    pub(crate) async fn put_system_provider(
        &mut self,
        provider: &SystemProvider,
        models: &[SystemModel],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO system_provider (name, api, base_url, api_key_sealed, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO UPDATE SET api = $2, base_url = $3, api_key_sealed = $4, updated_at_ms = $5",
            params![
                &provider.name,
                provider.api.as_str(),
                &provider.base_url,
                provider.api_key_sealed.clone(),
                now_ms
            ],
        )
        .await?;
        // The upsert above holds the provider's row, so two processes that start at once take turns here.
        self.execute("DELETE FROM system_model WHERE provider_name = $1", params![&provider.name]).await?;
        let rows = models
            .iter()
            .zip(0i64..)
            .map(|(model, position)| {
                params![
                    &provider.name,
                    &model.code,
                    &model.name,
                    model.context_window,
                    model.max_output_tokens,
                    position
                ]
            })
            .collect();
        let columns = ["provider_name", "code", "name", "context_window", "max_output_tokens", "position"];
        self.insert_many("system_model", &columns, rows).await
    }
}
