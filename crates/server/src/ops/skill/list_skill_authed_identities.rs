//! ListSkillAuthedIdentities: who may have a skill, oldest first.

use creel_control::access::Actor;
use creel_control::skill::AuthedIdentity;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::list_skill_authed_identities::{Identities, Input, Output};

use super::{api_error, channel, page};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = page(input.page_number, input.page_size)?;
    let channel = channel(&input.skill_channel)?;
    let listed = app.skills.authorised(&actor.account_id, channel, &input.skill_id, page).await;
    let (identities, total) = listed.map_err(api_error)?;
    let shown = |identity: AuthedIdentity| Identities {
        auto_install: Some(identity.auto_install),
        identity_id: Some(identity.id),
    };
    Ok(Output { identities: Some(identities.into_iter().map(shown).collect()), total_count: Some(total) })
}
