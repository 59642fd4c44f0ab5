//! ConfigResourceGroupModelTemplate: gives a resource group a model group.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::config_resource_group_model_template::{Input, Output};

use super::{api_error, group_id};
use crate::app::App;
use crate::ops::resource_group;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let group_id = group_id(&input.model_template_id)?;
    let id = resource_group::group_id(&input.resource_group_id)?;
    app.models.bind_resource_group(actor, group_id, id).await.map_err(api_error)?;
    Ok(Output {})
}
