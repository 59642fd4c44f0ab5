//! WakeupDesktops: asks for hibernated runtimes to run again.

use creel_control::access::Actor;
use creel_control::runtime::PowerChange;
use creel_wire::error::ApiError;
use creel_wire::ops::runtime::wakeup_desktops::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    app.runtimes.set_power(actor, input.desktop_id, PowerChange::Wake).await.map_err(super::api_error)?;
    Ok(Output::default())
}
