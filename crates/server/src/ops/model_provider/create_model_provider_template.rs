//! CreateModelProviderTemplate: adds a provider to a model group.

use creel_control::access::Actor;
use creel_control::model::NewProvider;
use creel_wire::error::ApiError;
use creel_wire::ops::model_provider::create_model_provider_template::{Data, Input, Output};

use crate::app::App;
use crate::ops::model_group::{api_error, given, given_word, group_id, word};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let new = NewProvider {
        group_id: group_id(&input.model_template_id)?,
        agent: word("AgentProvider", &input.agent_provider)?,
        provider_name: input.provider_name,
        name: given(input.name),
        description: input.description.unwrap_or_default(),
        provider_type: given_word("ProviderType", input.provider_type)?,
        config: input.config,
        proxied: input.enable_wuying_proxy,
    };
    let id = app.models.create_provider(actor, new).await.map_err(api_error)?;
    Ok(Output { data: Some(Data { provider_template_id: Some(id.to_string()) }) })
}
