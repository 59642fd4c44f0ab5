//! ModifyDesktopName: renames runtimes.

use creel_control::access::Actor;
use creel_control::runtime::RuntimeError;
use creel_wire::error::ApiError;
use creel_wire::ops::runtime::modify_desktop_name::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let mut ids = input.desktop_ids;
    ids.push(input.desktop_id);
    match app.runtimes.rename(actor, ids, input.new_desktop_name).await {
        Ok(()) => Ok(Output::default()),
        Err(RuntimeError::Name) => Err(super::name_error("NewDesktopName")),
        Err(error) => Err(super::api_error(error)),
    }
}
