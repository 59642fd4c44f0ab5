//! GetSkillPolicy: what the account does about findings and about drift.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::get_skill_policy::{Input, Output};

use super::api_error;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, _: Input) -> Result<Output, ApiError> {
    let policy = app.skills.policy(&actor.account_id).await.map_err(api_error)?;
    Ok(Output {
        block_severity: Some(policy.block.as_str().to_owned()),
        review_severity: Some(policy.review.as_str().to_owned()),
        drift: Some(policy.drift.as_str().to_owned()),
        four_eyes: Some(policy.four_eyes),
        sources: Some(policy.sources),
    })
}
