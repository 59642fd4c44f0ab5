//! DeletePrincipal: the principal and its keys.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::principal::delete_principal::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.principals.delete(actor, input.principal_name).await.map_err(super::api_error)?;
    Ok(Output {})
}
