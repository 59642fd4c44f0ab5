//! DeleteLlmTemplate: takes a model away from its group and so from every agent of the group.

use creel_control::access::Actor;
use creel_control::model::ModelError;
use creel_wire::error::ApiError;
use creel_wire::id::ModelId;
use creel_wire::ops::model::delete_llm_template::{Input, Output};

use crate::app::App;
use crate::ops::model_group::api_error;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let text = input.llm_template_id;
    let id = ModelId::parse(&text).map_err(|_| api_error(ModelError::ModelNotFound(text)))?;
    app.models.delete_model(actor, id).await.map_err(api_error)?;
    Ok(Output {})
}
