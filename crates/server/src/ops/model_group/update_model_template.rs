//! UpdateModelTemplate: what is given changes, the rest stays.

use creel_control::access::Actor;
use creel_control::model::GroupChange;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::update_model_template::{Input, Output};

use super::{api_error, given, given_scope, group_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let id = group_id(&input.model_template_id)?;
    let change = GroupChange {
        name: given(input.name),
        // An empty text is a wish here: it removes the description.
        description: input.description,
        ref_scope: given_scope(input.ref_scope)?,
        config: given(input.config),
    };
    app.models.update_group(actor, id, change).await.map_err(api_error)?;
    Ok(Output {})
}
