//! HibernateDesktops: asks for runtimes to stop until they are woken up; their homes stay, what was in memory does not.

use creel_control::access::Actor;
use creel_control::runtime::PowerChange;
use creel_wire::error::ApiError;
use creel_wire::ops::runtime::hibernate_desktops::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    app.runtimes
        .set_power(actor, input.desktop_id, PowerChange::Hibernate)
        .await
        .map_err(super::api_error)?;
    Ok(Output::default())
}
