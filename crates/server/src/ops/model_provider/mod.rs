//! Providers of model groups.

pub(crate) mod create_model_provider_template;
pub(crate) mod delete_model_provider_template;
pub(crate) mod get_model_provider_template;
pub(crate) mod list_model_provider_endpoints;
pub(crate) mod list_model_provider_templates;
pub(crate) mod update_model_provider_template;

use creel_control::model::ModelError;
use creel_wire::error::ApiError;
use creel_wire::id::ProviderId;

use super::model_group::api_error;

/// The provider that an id names; a text that is no id names none.
fn provider_id(text: String) -> Result<ProviderId, ApiError> {
    ProviderId::parse(&text).map_err(|_| api_error(ModelError::ProviderNotFound(text)))
}
