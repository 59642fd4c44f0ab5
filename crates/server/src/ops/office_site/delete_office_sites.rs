//! DeleteOfficeSites: removes sites that no runtime is placed in.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::office_site::delete_office_sites::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    app.office_sites.delete(actor, input.region_id, input.office_site_id).await.map_err(super::api_error)?;
    Ok(Output::default())
}
