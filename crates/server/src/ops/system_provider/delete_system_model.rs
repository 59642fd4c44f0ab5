//! DeleteSystemModel: a model is offered no more.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::system_provider::delete_system_model::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let deleted = app.models.delete_system_model(actor, input.provider_name, input.llm_code).await;
    deleted.map_err(super::api_error)?;
    Ok(Output {})
}
