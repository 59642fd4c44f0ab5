//! CreateSimpleOfficeSite: a place for runtimes.

use creel_control::access::Actor;
use creel_control::office_site::OfficeSiteAttributes;
use creel_wire::error::ApiError;
use creel_wire::ops::office_site::create_simple_office_site::{Input, Output};

use crate::app::App;

/// The name of a site whose maker gave none.
const NAME_DEFAULT: &str = "default";

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let attributes = OfficeSiteAttributes {
        cidr_block: input.cidr_block,
        desktop_access_type: input.desktop_access_type,
        vpc_type: input.vpc_type,
        bandwidth: None,
        enable_admin_access: input.enable_admin_access.unwrap_or(true),
        enable_internet_access: input.enable_internet_access.unwrap_or(false),
        need_verify_zero_device: input.need_verify_zero_device.unwrap_or(false),
    };
    let name = input.office_site_name.unwrap_or_else(|| NAME_DEFAULT.to_owned());
    let id =
        app.office_sites.create(actor, input.region_id, name, attributes).await.map_err(super::api_error)?;
    Ok(Output { office_site_id: Some(id.to_string()) })
}
