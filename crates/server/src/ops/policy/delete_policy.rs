//! DeletePolicy: only of a policy that is attached to nobody, for deleting a Deny could allow something.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::policy::delete_policy::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.principals.delete_policy(actor, input.policy_name).await.map_err(super::api_error)?;
    Ok(Output {})
}
