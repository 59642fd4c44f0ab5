//! UpdateSystemProviderKey: a key turned off or on, or another share of the calls for it.

use creel_control::access::Actor;
use creel_control::model::SystemKeyChange;
use creel_wire::error::ApiError;
use creel_wire::ops::system_provider::update_system_provider_key::{Input, Output};

use crate::app::App;
use crate::ops::model_group::given;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let enabled = given(input.status).map(|status| status == "Enabled");
    let change = SystemKeyChange { weight: input.weight, enabled };
    let changed = app.models.update_system_key(actor, input.provider_name, input.key_name, change).await;
    changed.map_err(super::api_error)?;
    Ok(Output {})
}
