//! TransferResourcesIntoGroup: runtimes go into a group.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::resource_group::transfer_resources_into_group::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let group_id = super::group_id(&input.resource_group_id)?;
    for region_id in input.resources.iter().filter_map(|resource| resource.region_id.as_deref()) {
        app.check_region(region_id)?;
    }
    let runtime_ids = input.resources.into_iter().map(|resource| resource.resource_id).collect();
    app.resource_groups.move_into(actor, group_id, runtime_ids).await.map_err(super::api_error)?;
    Ok(Output::default())
}
