//! SetIdentitySkillSecurity: on these runtimes only authorised skills may be, or any.

use creel_control::access::Actor;
use creel_control::skill::SkillChange;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::set_identity_skill_security::{Input, Output};

use super::{api_error, channel};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let channel = channel(&input.skill_channel)?;
    let mut runtimes = Vec::with_capacity(input.identity_ids.len());
    for identity in input.identity_ids {
        app.check_region(&identity.region_id)?;
        runtimes.push(identity.identity_id);
    }
    let change = SkillChange::Secure { channel, runtimes, on: input.enabled };
    app.skills.change(actor, change).await.map_err(api_error)?;
    Ok(Output {})
}
