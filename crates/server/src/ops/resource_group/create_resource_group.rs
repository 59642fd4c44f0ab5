//! CreateResourceGroup: an empty group.

use creel_control::access::Actor;
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::ops::resource_group::create_resource_group::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    if input.is_resource_group_with_office_site.is_some_and(|flag| flag != 0) {
        return Err(ApiError::new(
            ErrorCode::UNSUPPORTED_PARAMETER,
            "IsResourceGroupWithOfficeSite must be 0: a resource group takes runtimes of every office site.",
        ));
    }
    let made = app.resource_groups.create(actor, input.resource_group_name).await;
    Ok(Output { resource_group_id: Some(made.map_err(super::api_error)?.to_string()) })
}
