//! SetIdentitySkillAuth: gives skills to runtimes, resource groups and users, or takes them.

use creel_control::access::Actor;
use creel_control::skill::{NamedIdentity, SkillChange};
use creel_wire::error::ApiError;
use creel_wire::ops::skill::set_identity_skill_auth::{Input, Output};

use super::{api_error, channel};
use crate::app::App;

// DEVIATION: an IdentityId may also be a resource group or an end user; the provider has cloud computers only.
pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let channel = channel(&input.skill_channel)?;
    let mut identities = Vec::with_capacity(input.identities.len());
    for identity in input.identities {
        app.check_region(&identity.region_id)?;
        identities.push(NamedIdentity(identity.identity_id));
    }
    let skills = input.skill_ids;
    let change = if input.operation_type == "SET_AUTH" {
        SkillChange::Authorise { channel, skills, identities, auto_install: input.auto_install }
    } else {
        SkillChange::Cancel { channel, skills, identities }
    };
    app.skills.change(actor, change).await.map_err(api_error)?;
    Ok(Output {})
}
