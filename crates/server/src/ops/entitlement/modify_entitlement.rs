//! ModifyEntitlement: the users of one runtime, in place of those it has; none named takes it from all.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::entitlement::modify_entitlement::{Input, Output};

use super::api_error;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    app.entitlements.set_users(actor, input.desktop_id, input.end_user_id).await.map_err(api_error)?;
    Ok(Output::default())
}
