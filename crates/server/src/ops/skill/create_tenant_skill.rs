//! CreateTenantSkill: a version of a skill from a parsed package, and the skill where it is new.

use std::collections::BTreeMap;

use creel_control::access::Actor;
use creel_control::skill::{NewSkill, SkillError};
use creel_wire::error::ApiError;
use creel_wire::ops::skill::create_tenant_skill::{Input, Output};
use creel_wire::secret::Secret;

use super::{api_error, optional_channel};
use crate::app::App;

// DEVIATION: a Slug that exists makes a version of that skill: no other operation of the provider does.
pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let icon = match (given(input.skill_icon), given(input.icon_e_tag)) {
        (None, _) => None,
        (Some(_), None) => return Err(api_error(SkillError::IconETagMissing)),
        (Some(key), Some(etag)) => Some((key, etag)),
    };
    let new = NewSkill {
        task_key: input.task_key,
        channel: optional_channel(input.skill_channel.as_deref())?,
        slug: given(input.slug),
        version: given(input.skill_version),
        display_name: given(input.display_name),
        description: given(input.description),
        icon,
        env: input.env_vars.map(|json| variables(&json)).transpose()?,
        api_key: input.api_key.filter(|key| !key.expose().is_empty()),
    };
    let id = app.skills.create(actor, new).await.map_err(api_error)?;
    Ok(Output { skill_id: Some(id.to_string()) })
}

/// A JSON object of texts.
fn variables(json: &Secret) -> Result<BTreeMap<String, Secret>, ApiError> {
    // The error of the parser would name what stands there.
    serde_json::from_str(json.expose()).map_err(|_| {
        ApiError::invalid("EnvVars", "EnvVars must be a JSON object of texts, such as {\"NAME\":\"value\"}.")
    })
}
