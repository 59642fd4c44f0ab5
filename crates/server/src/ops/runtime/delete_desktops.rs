//! DeleteDesktops: asks for runtimes, their agents and homes to go.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::runtime::delete_desktops::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    app.runtimes.delete(actor, input.desktop_id).await.map_err(super::api_error)?;
    Ok(Output::default())
}
