//! StopDesktops: asks for runtimes to stop; their homes stay.

use creel_control::access::Actor;
use creel_control::runtime::PowerChange;
use creel_wire::error::ApiError;
use creel_wire::ops::runtime::stop_desktops::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    app.runtimes.set_power(actor, input.desktop_id, PowerChange::Stop).await.map_err(super::api_error)?;
    Ok(Output::default())
}
