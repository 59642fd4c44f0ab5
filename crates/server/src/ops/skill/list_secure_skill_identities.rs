//! ListSecureSkillIdentities: the runtimes on which only authorised skills may be, oldest first.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::list_secure_skill_identities::{Input, Output};

use super::{api_error, channel, page};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = page(input.page_number, input.page_size)?;
    let listed = app.skills.secured(&actor.account_id, channel(&input.skill_channel)?, page).await;
    let (ids, total) = listed.map_err(api_error)?;
    let identities = ids.iter().map(ToString::to_string).collect();
    Ok(Output { identities: Some(identities), total_count: Some(total) })
}
