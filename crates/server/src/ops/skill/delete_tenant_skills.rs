//! DeleteTenantSkills: skills with all their versions; they leave every agent.

use creel_control::access::Actor;
use creel_control::skill::SkillChange;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::delete_tenant_skills::{Input, Output};

use super::{api_error, optional_channel};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let channel = optional_channel(input.skill_channel.as_deref())?;
    let change = SkillChange::Delete { channel, skills: input.skill_ids };
    app.skills.change(actor, change).await.map_err(api_error)?;
    Ok(Output {})
}
