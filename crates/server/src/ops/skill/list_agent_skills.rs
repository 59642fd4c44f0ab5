//! ListAgentSkills: what an agent should have, and what it has.

use creel_control::access::Actor;
use creel_control::skill::{AgentSkill, state_word};
use creel_wire::error::ApiError;
use creel_wire::guest::SkillState;
use creel_wire::ops::skill::list_agent_skills::{Input, Output, Skills};
use creel_wire::time::TimeFormat;

use super::api_error;
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let skills = app.skills.of_agent(&actor.account_id, &input.runtime_id).await.map_err(api_error)?;
    Ok(Output { skills: Some(skills.into_iter().map(shown).collect()) })
}

fn shown(skill: AgentSkill) -> Skills {
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let state = skill.seen.as_ref().map_or(SkillState::Pending, |seen| seen.state);
    let (place, found, note) =
        skill.seen.map_or((None, None, None), |seen| (Some(seen.place), seen.content_hash, seen.note));
    Skills {
        name: Some(skill.name),
        version: given(skill.version),
        content_hash: given(skill.content_hash),
        state: Some(state_word(state).to_owned()),
        place,
        found_content_hash: found,
        note,
        observed_time: skill.observed_at_ms.map(|at_ms| shown_time(at_ms, TimeFormat::Seconds)),
    }
}
