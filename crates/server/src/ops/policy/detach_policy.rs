//! DetachPolicy: what a user may do from the next second on.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::policy::detach_policy::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.principals.detach(actor, input.principal_name, input.policy_name).await.map_err(super::api_error)?;
    Ok(Output {})
}
