//! WithdrawSkillVersion: takes a version from every agent for good.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::withdraw_skill_version::{Input, Output};

use super::{api_error, skill_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let id = skill_id(&input.skill_id)?;
    let left = app.skills.withdraw(actor, id, input.skill_version, input.reason.unwrap_or_default()).await;
    Ok(Output { current_version: left.map_err(api_error)? })
}
