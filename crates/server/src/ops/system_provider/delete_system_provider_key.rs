//! DeleteSystemProviderKey: a key is forgotten.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::system_provider::delete_system_provider_key::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let deleted = app.models.delete_system_key(actor, input.provider_name, input.key_name).await;
    deleted.map_err(super::api_error)?;
    Ok(Output {})
}
