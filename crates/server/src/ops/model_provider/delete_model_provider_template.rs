//! DeleteModelProviderTemplate: takes a provider and its models away from a model group.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::model_provider::delete_model_provider_template::{Input, Output};

use super::provider_id;
use crate::app::App;
use crate::ops::model_group::api_error;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let id = provider_id(input.provider_template_id)?;
    app.models.delete_provider(actor, id).await.map_err(api_error)?;
    Ok(Output {})
}
