//! AttachPolicy: what a user may do from the next second on.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::policy::attach_policy::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.principals.attach(actor, input.principal_name, input.policy_name).await.map_err(super::api_error)?;
    Ok(Output {})
}
