//! What runtimes and the gateway are to use.

use creel_wire::id::{AccountId, RuntimeId};

use super::super::{Row, Store, StoreError, params};
use super::effective::{EFFECTIVE_GROUP, GROUP_OF_RESOURCE_GROUP};
use super::llm::model;
use crate::model::{BoundBy, DirectoryKey, DirectoryProvider, Model, RoutedProvider, RuntimeModels};
use crate::runtime::provider_from_word;

/// The groups that a live runtime or a resource group is bound to: all that can be effective, each found by an index.
const GROUPS_IN_USE: &str = "
    SELECT model_group_id FROM runtime WHERE model_group_id IS NOT NULL AND deleted_at_ms IS NULL
    UNION SELECT model_group_id FROM resource_group WHERE model_group_id IS NOT NULL";

/// The statement whose rows [`runtime_models`] reads.
fn runtime_models_where(condition: &str) -> String {
    format!(
        "SELECT r.id, r.account_id, r.agent_provider, r.resource_group_id, {EFFECTIVE_GROUP} AS effective_group_id,
                {GROUP_OF_RESOURCE_GROUP} AS group_of_resource_group, o.applied_models
         FROM runtime r LEFT JOIN runtime_observed o ON o.runtime_id = r.id
         WHERE {condition} AND r.deleted_at_ms IS NULL"
    )
}

fn runtime_models(row: &Row) -> Result<RuntimeModels, StoreError> {
    let agent = provider_from_word(&row.text("agent_provider")?);
    let of_resource_group = row.opt_text("group_of_resource_group")?.is_some();
    Ok(RuntimeModels {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        agent: agent.ok_or_else(|| StoreError::Corrupt { what: "agent_provider of a runtime".to_owned() })?,
        resource_group_id: row.opt_parse("resource_group_id")?,
        group_id: row.opt_parse("effective_group_id")?,
        bound_by: if of_resource_group { BoundBy::ResourceGroup } else { BoundBy::Runtime },
        applied_models: row.opt_text("applied_models")?.unwrap_or_default(),
    })
}

fn routed_provider(row: &Row) -> Result<RoutedProvider, StoreError> {
    Ok(RoutedProvider {
        group_id: row.parse("group_id")?,
        provider: DirectoryProvider {
            id: row.parse("id")?,
            account_id: row.parse("account_id")?,
            name: row.text("provider_name")?,
            provider_type: row.parse("provider_type")?,
            system_provider_name: row.opt_text("system_provider_name")?,
            api: row.parse("api")?,
            targets: [].into(),
            models: Vec::new(),
        },
        base_url: row.text("base_url")?,
        api_key_sealed: row.opt_text("api_key_sealed")?,
    })
}

fn directory_key(row: &Row) -> Result<DirectoryKey, StoreError> {
    Ok(DirectoryKey {
        key_hash: row.text("key_hash")?,
        account_id: row.parse("account_id")?,
        runtime_id: row.parse("runtime_id")?,
        holder: row.parse("holder")?,
        group_id: row.opt_parse("effective_group_id")?,
        resource_group_id: row.opt_parse("resource_group_id")?,
    })
}

impl Store {
    /// A runtime that is not deleted, of any account: for its guest.
    pub(crate) async fn find_runtime_models(
        &self,
        id: &RuntimeId,
    ) -> Result<Option<RuntimeModels>, StoreError> {
        let row = self.db().fetch_optional(runtime_models_where("r.id = $1"), params![id.as_str()]).await?;
        row.as_ref().map(runtime_models).transpose()
    }

    /// A runtime of an account that is not deleted, by either of its ids.
    pub(crate) async fn find_runtime_models_by_name(
        &self,
        account_id: &AccountId,
        name: &str,
    ) -> Result<Option<RuntimeModels>, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                runtime_models_where("(r.id = $1 OR r.jvs_id = $1) AND r.account_id = $2"),
                params![name, account_id.as_str()],
            )
            .await?;
        row.as_ref().map(runtime_models).transpose()
    }

    /// The virtual keys in force; one process routes for at most a million.
    pub(crate) async fn list_directory_keys(&self) -> Result<Vec<DirectoryKey>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                format!(
                    "SELECT k.key_hash, k.account_id, k.runtime_id, k.holder, r.resource_group_id,
                            {EFFECTIVE_GROUP} AS effective_group_id
                     FROM virtual_key k JOIN runtime r ON r.id = k.runtime_id
                     WHERE k.revoked_at_ms IS NULL AND r.deleted_at_ms IS NULL ORDER BY k.id LIMIT 1000000"
                ),
                Vec::new(),
            )
            .await?;
        rows.iter().map(directory_key).collect()
    }

    /// The providers of groups in use, by group and age.
    pub(crate) async fn list_directory_providers(&self) -> Result<Vec<RoutedProvider>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                format!(
                    "SELECT id, account_id, group_id, provider_name, provider_type, system_provider_name, api, base_url,
                            api_key_sealed
                     FROM model_provider WHERE group_id IN ({GROUPS_IN_USE})
                     ORDER BY group_id, created_at_ms, id LIMIT 1000000"
                ),
                Vec::new(),
            )
            .await?;
        rows.iter().map(routed_provider).collect()
    }

    /// The models of groups in use, by age.
    pub(crate) async fn list_directory_models(&self) -> Result<Vec<Model>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                format!(
                    "SELECT id, account_id, group_id, provider_id, code, name, description, config_json, created_at_ms
                     FROM model WHERE group_id IN ({GROUPS_IN_USE}) ORDER BY created_at_ms, id LIMIT 1000000"
                ),
                Vec::new(),
            )
            .await?;
        rows.iter().map(model).collect()
    }
}
