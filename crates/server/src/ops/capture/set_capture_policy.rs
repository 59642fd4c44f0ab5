//! SetCapturePolicy: turns content capture on for one scope, or off.

use creel_control::access::Actor;
use creel_control::call_limit::NamedScope;
use creel_control::capture::Terms;
use creel_wire::error::ApiError;
use creel_wire::ops::capture::set_capture_policy::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let named = NamedScope { resource_group_id: input.resource_group_id, runtime_id: input.runtime_id };
    let terms = Terms::new(input.retention_days, input.bytes_max).map_err(super::api_error)?;
    app.capture_policies.set(actor, named, terms).await.map_err(super::api_error)?;
    Ok(Output {})
}
