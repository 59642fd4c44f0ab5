//! SetSkillVersion: which version of a skill agents get.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::set_skill_version::{Input, Output};

use super::{api_error, skill_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let version = input.skill_version.filter(|version| !version.is_empty());
    let current = app.skills.pin(actor, skill_id(&input.skill_id)?, version).await;
    Ok(Output { current_version: current.map_err(api_error)? })
}
