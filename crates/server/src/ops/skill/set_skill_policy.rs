//! SetSkillPolicy: what the account does about findings and about drift.

use creel_control::access::Actor;
use creel_control::skill::PolicyChange;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::set_skill_policy::{Input, Output};

use super::api_error;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    // Each word was checked when the input was decoded.
    let change = PolicyChange {
        block: input.block_severity.and_then(|word| word.parse().ok()),
        review: input.review_severity.and_then(|word| word.parse().ok()),
        drift: input.drift.and_then(|word| word.parse().ok()),
        four_eyes: input.four_eyes,
        sources: Some(input.sources).filter(|sources| !sources.is_empty()),
    };
    app.skills.set_policy(actor, change).await.map_err(api_error)?;
    Ok(Output {})
}
