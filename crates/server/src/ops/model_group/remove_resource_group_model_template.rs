//! RemoveResourceGroupModelTemplate: takes a model group away from resource groups, each with a result of its own.

use creel_control::access::Actor;
use creel_control::model::{UnbindOutcome, UnboundResourceGroup};
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::ops::model_group::remove_resource_group_model_template::{Data, Input, Output};

use super::{api_error, group_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let group_id = group_id(&input.model_template_id)?;
    let unbound = app.models.unbind_resource_groups(actor, group_id, input.resource_group_ids).await;
    let data: Vec<Data> = unbound.map_err(api_error)?.into_iter().map(shown).collect();
    Ok(Output { total_count: i64::try_from(data.len()).ok(), data: Some(data) })
}

fn shown(unbound: UnboundResourceGroup) -> Data {
    let refused = ErrorCode::INVALID_RESOURCE_GROUP_IDS.0;
    let (code, message) = match unbound.outcome {
        UnbindOutcome::Done => ("200", "success"),
        UnbindOutcome::NotFound => (refused, "No such resource group in this account."),
        UnbindOutcome::OtherGroup => {
            (refused, "The resource group uses another model group, which was not removed.")
        }
    };
    Data {
        code: Some(code.to_owned()),
        message: Some(message.to_owned()),
        resource_group_id: Some(unbound.id),
        success: Some(unbound.outcome == UnbindOutcome::Done),
    }
}
