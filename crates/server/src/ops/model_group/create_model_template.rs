//! CreateModelTemplate: a new, empty model group.

use creel_control::access::Actor;
use creel_control::model::NewGroup;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::create_model_template::{Data, Input, Output};

use super::{api_error, given_scope, given_word, word};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let new = NewGroup {
        name: input.name,
        description: input.description.unwrap_or_default(),
        agent: word("AgentProvider", &input.agent_provider)?,
        platform: given_word("AgentPlatform", input.agent_platform)?,
        ref_scope: given_scope(input.ref_scope)?,
    };
    let id = app.models.create_group(actor, new).await.map_err(api_error)?;
    Ok(Output { data: Some(Data { model_template_id: Some(id.to_string()) }) })
}
