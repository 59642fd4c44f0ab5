//! ReviewSkillVersion: approves a version that waits for it, or rejects one.

use creel_control::access::Actor;
use creel_control::skill::{Decision, Review};
use creel_wire::error::ApiError;
use creel_wire::ops::skill::review_skill_version::{Input, Output};

use super::{api_error, skill_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let approved = input.decision == Decision::Approved.as_str();
    let review = Review {
        skill_id: skill_id(&input.skill_id)?,
        version: input.skill_version,
        decision: if approved { Decision::Approved } else { Decision::Rejected },
        reason: input.reason.unwrap_or_default(),
    };
    let version = app.skills.review(actor, review).await.map_err(api_error)?;
    Ok(Output { publish_status: Some(version.publish_status.as_str().to_owned()) })
}
