//! UpdateModelProviderTemplate: what is given changes, the rest stays.

use creel_control::access::Actor;
use creel_control::model::{ProviderChange, ProviderConfigChange};
use creel_wire::error::ApiError;
use creel_wire::ops::model_provider::update_model_provider_template::{Config, Input, Output};

use super::provider_id;
use crate::app::App;
use crate::ops::model_group::{api_error, given};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let id = provider_id(input.provider_template_id)?;
    let change = ProviderChange {
        name: given(input.name),
        // An empty text is a wish here: it removes the description.
        description: input.description,
        config: input.config.map(config).unwrap_or_default(),
        proxied: input.enable_wuying_proxy,
    };
    app.models.update_provider(actor, id, change).await.map_err(api_error)?;
    Ok(Output {})
}

fn config(config: Config) -> ProviderConfigChange {
    ProviderConfigChange {
        api: given(config.api_type),
        base_url: given(config.base_url),
        api_key: config.api_key.filter(|key| !key.expose().is_empty()),
    }
}
