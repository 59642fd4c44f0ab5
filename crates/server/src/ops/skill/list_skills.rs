//! ListSkills: an account's skills with their versions, oldest first.

use creel_control::access::Actor;
use creel_control::skill::{SkillFilter, SkillVersion, SkillView};
use creel_wire::error::ApiError;
use creel_wire::ops::skill::list_skills::{
    Input, Output, Skills, SkillsSkillVersions as Version, SkillsSupportAgentList as SupportedAgent,
};
use creel_wire::time::TimeFormat;

use super::{MASKED, api_error, channel, masked, page};
use crate::app::App;
use crate::ops::shown_time;

/// The only supplier here; the provider's own is WUYING.
const SUPPLIER: &str = "TENANT";
/// The only program that skills are installed for so far.
const AGENT: &str = "OpenClaw";

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = page(input.page_number, input.page_size)?;
    let other_supplier = input.supplier_type.as_deref().is_some_and(|supplier| supplier != SUPPLIER);
    let other_agent = !input.tag_codes.is_empty() && !input.tag_codes.iter().any(|code| code == AGENT);
    let filter = SkillFilter {
        channel: channel(&input.skill_channel)?,
        ids: input.skill_ids,
        nothing: other_supplier || other_agent,
    };
    let (skills, total) = app.skills.list(&actor.account_id, &filter, page).await.map_err(api_error)?;
    let shown = skills.into_iter().map(|view| shown(app, view)).collect();
    Ok(Output { skills: Some(shown), total_count: Some(total) })
}

fn shown(app: &App, view: SkillView) -> Skills {
    let SkillView { skill, versions, env } = view;
    let has_api_key = skill.has_api_key();
    let icon = skill.icon.as_deref().map(|icon| app.objects.icon_url(&app.admin_url, icon));
    Skills {
        api_key: has_api_key.then(|| MASKED.to_owned()),
        author: Some(skill.author),
        default_version: skill.current_version,
        description: Some(skill.description),
        display_name: Some(skill.display_name),
        enable: Some(skill.enabled),
        env_vars: Some(masked(env)),
        gmt_created: Some(shown_time(skill.created_at_ms, TimeFormat::Seconds)),
        skill_icon_url: icon,
        skill_id: Some(skill.id.to_string()),
        skill_name: Some(skill.slug.clone()),
        skill_versions: Some(versions.into_iter().map(shown_version).collect()),
        slug: Some(skill.slug),
        source_market: None,
        source_market_name: None,
        supplier_type: Some(SUPPLIER.to_owned()),
        support_agent_list: Some(vec![SupportedAgent {
            tag_id: Some(AGENT.to_owned()),
            tag_value: Some(AGENT.to_owned()),
        }]),
    }
}

fn shown_version(version: SkillVersion) -> Version {
    Version {
        change_log: Some(version.change_log),
        created_at: Some(version.created_at_ms),
        publish_status: Some(version.publish_status.as_str().to_owned()),
        security_scan_fail_reason: Some(version.scan_reason).filter(|reason| !reason.is_empty()),
        security_scan_score: version.scan_score,
        security_scan_status: Some(version.scan_status.as_str().to_owned()),
        version: Some(version.version),
    }
}
