//! PutPolicy: a policy made, or its document replaced.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::policy::put_policy::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let Input { policy_name, description, policy_document } = input;
    let put = app.principals.put_policy(actor, policy_name, description, policy_document).await;
    put.map_err(super::api_error)?;
    Ok(Output {})
}
