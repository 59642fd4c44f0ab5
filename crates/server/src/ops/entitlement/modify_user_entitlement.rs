//! ModifyUserEntitlement: gives users some runtimes and takes others from them.

use creel_control::access::Actor;
use creel_control::entitlement::EntitlementChange;
use creel_wire::error::ApiError;
use creel_wire::ops::entitlement::modify_user_entitlement::{Input, Output};

use super::api_error;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let change = EntitlementChange {
        users: input.end_user_id,
        authorize: input.authorize_desktop_id,
        revoke: input.revoke_desktop_id,
    };
    if change.users.is_empty() {
        return Err(ApiError::missing("EndUserId"));
    }
    if change.authorize.is_empty() && change.revoke.is_empty() {
        return Err(ApiError::missing("AuthorizeDesktopId"));
    }
    app.entitlements.change(actor, change).await.map_err(api_error)?;
    Ok(Output::default())
}
