//! DeleteResourceGroup: groups without runtimes go.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::resource_group::delete_resource_group::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let named = input.resource_group_ids.iter().chain(&input.resource_group_id);
    let mut ids = named.map(|id| super::group_id(id)).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Err(ApiError::missing("ResourceGroupId"));
    }
    app.resource_groups.delete(actor, ids).await.map_err(super::api_error)?;
    Ok(Output::default())
}
