//! DeleteModelTemplate: a model group that nothing uses, with its providers and models.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::delete_model_template::{Input, Output};

use super::{api_error, group_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let id = group_id(&input.model_template_id)?;
    app.models.delete_group(actor, id).await.map_err(api_error)?;
    Ok(Output {})
}
