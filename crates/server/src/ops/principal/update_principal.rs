//! UpdatePrincipal: another description, or a principal turned off or on.

use creel_control::access::Actor;
use creel_control::principal::PrincipalChange;
use creel_wire::error::ApiError;
use creel_wire::ops::principal::update_principal::{Input, Output, Principal};

use super::shown_principal;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let active = input.status.filter(|status| !status.is_empty()).map(|status| status == "Active");
    let change = PrincipalChange { description: input.description, active };
    let changed = app.principals.update(actor, input.principal_name, change).await;
    let changed = changed.map_err(super::api_error)?;
    Ok(Output { principal: Some(shown_principal!(Principal, changed)) })
}
