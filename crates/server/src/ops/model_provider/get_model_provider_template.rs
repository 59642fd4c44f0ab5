//! GetModelProviderTemplate: a provider, its key masked.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::model_provider::get_model_provider_template::{Data, Input, Output};

use super::provider_id;
use crate::app::App;
use crate::ops::model_group::api_error;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let id = provider_id(input.provider_template_id)?;
    let view = app.models.get_provider(&actor.account_id, &id).await.map_err(api_error)?;
    let provider = view.provider;
    Ok(Output {
        data: Some(Data {
            config: Some(view.config),
            description: Some(provider.description),
            enable_wuying_proxy: Some(provider.proxied),
            name: Some(provider.name),
            provider_name: Some(provider.provider_name),
            provider_template_id: Some(provider.id.to_string()),
        }),
    })
}
