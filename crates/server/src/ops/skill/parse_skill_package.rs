//! ParseSkillPackage: begins to read an uploaded package.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::parse_skill_package::{Input, Output};

use super::api_error;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let begun = app.skills.parse(actor, input.oss_object_key, input.oss_object_e_tag).await;
    Ok(Output { task_key: Some(begun.map_err(api_error)?) })
}
