//! DeleteSystemProvider: a provider that no group uses is forgotten.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::system_provider::delete_system_provider::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    app.models.delete_system_provider(actor, input.provider_name).await.map_err(super::api_error)?;
    Ok(Output {})
}
