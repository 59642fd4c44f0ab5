//! ListDesktopAgentRuntime: runtimes with their agents.

use creel_control::access::Actor;
use creel_control::page::PageNumber;
use creel_control::runtime::{Management, RuntimeFilter, RuntimeView, provider_word};
use creel_wire::error::ApiError;
use creel_wire::ops::runtime::list_desktop_agent_runtime::{
    Data, DataAgentImInfo, DataAgentInstanceInfoList, DataResourceGroup, DataRiskInfo, Input, Output,
};
use creel_wire::words;

use super::agent_status_word;
use crate::app::App;
use crate::ops::page_error;

const PAGE_SIZE_DEFAULT: i64 = 20;
const PAGE_SIZE_MAX: i64 = 1_000;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = PageNumber::new(input.page_number, input.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        .map_err(|error| page_error(&error, "PageSize"))?;
    let with_risk = input.include_risk_info == Some(true);
    let filter = filter(input)?;
    let (views, total) = app.runtimes.list(&actor.scope(), filter, page).await.map_err(super::api_error)?;
    Ok(Output {
        data: Some(views.into_iter().map(|view| shown(view, with_risk)).collect()),
        page_number: Some(page.number),
        page_size: Some(page.size),
        total_count: Some(total),
    })
}

/// Words of a filter as they are stored. The single value wins over the list, as in the lists of model groups.
fn known(
    parameter: &str,
    single: Option<String>,
    list: Vec<String>,
    find: fn(&str) -> Option<&'static str>,
) -> Result<Vec<String>, ApiError> {
    let given = single.filter(|single| !single.is_empty()).map_or(list, |single| vec![single]);
    let found = given.iter().map(|text| match find(text) {
        Some(word) => Ok(word.to_owned()),
        None => Err(ApiError::invalid(
            parameter,
            format!("The parameter {parameter} has the unknown value {text:?}."),
        )),
    });
    found.collect()
}

fn filter(input: Input) -> Result<RuntimeFilter, ApiError> {
    let management = input.management_status.map(|status| status.parse::<Management>());
    // Nobody is online in a chat client, no runtime is migrated or updated, every agent was deployed by the
    // administrator: a filter for another value finds nothing.
    let nothing = input.agent_im_online_status.is_some_and(|status| status != "Offline")
        || matches!(management, Some(Err(())))
        || input.deployment_source.is_some_and(|source| source != "Admin");
    let mut ids = input.desktop_ids;
    ids.extend(input.resource_ids);
    Ok(RuntimeFilter {
        ids,
        region_id: input.biz_region_id,
        names: input.desktop_names,
        deleted: input.desktop_statuses.iter().any(|status| status == "Deleted"),
        sandbox_statuses: input.desktop_statuses,
        office_site_id: input.office_site_id,
        resource_group_id: input.resource_group_id,
        agent_providers: known(
            "AgentProvider",
            input.agent_provider,
            input.agent_provider_list,
            words::agent_provider,
        )?,
        agent_platforms: known(
            "AgentPlatform",
            input.agent_platform,
            input.agent_platform_list,
            words::agent_platform,
        )?,
        agent_statuses: input.agent_instance_statuses,
        agent_versions: input.agent_instance_versions,
        has_user: input.has_auth_user,
        users: input.auth_users,
        has_channel: input.channel_configure,
        has_risk: input.has_risk.filter(|_| input.include_risk_info == Some(true)),
        has_model_group: input.model_configure,
        model_group_id: input.model_template_id,
        management: management.and_then(Result::ok),
        nothing,
        ..RuntimeFilter::default()
    })
}

fn shown(view: RuntimeView, with_risk: bool) -> Data {
    let management = view.management().into_iter().map(|flag| flag.as_str().to_owned()).collect();
    let runtime = view.runtime;
    let configured = view.model_group_id.is_some();
    let group_id = view.model_group_id.map(|id| id.to_string());
    let resource_group = runtime.resource_group_id.map(|id| DataResourceGroup {
        resource_group_id: Some(id.to_string()),
        resource_group_name: view.resource_group_name,
    });
    let agent = DataAgentInstanceInfoList {
        agent_instance_status: Some(agent_status_word(view.agent_status).to_owned()),
        agent_instance_version: view.observed.and_then(|seen| seen.agent_version),
        agent_platform: Some(runtime.agent_platform),
        agent_provider: Some(provider_word(runtime.agent_provider).to_owned()),
        channel_configure: Some(!view.channels.is_empty()),
        channel_configured_list: Some(view.channels.clone()),
        deployment_source: Some("Admin".to_owned()),
        model_configure: Some(configured),
        model_template_id: group_id.clone(),
    };
    let outer = runtime.jvs_id.map_or_else(|| runtime.id.to_string(), |id| id.to_string());
    let deleted = runtime.deleted_at_ms.is_some();
    Data {
        agent_im_info: Some(DataAgentImInfo {
            agent_im_online_status: Some("Offline".to_owned()),
            ..DataAgentImInfo::default()
        }),
        agent_instance_info_list: Some(vec![agent]),
        has_auth_user: Some(!view.users.is_empty()),
        auth_users: Some(view.users),
        channel_configure: Some(!view.channels.is_empty()),
        channel_configured_list: Some(view.channels),
        desktop_id: Some(outer),
        desktop_name: Some(runtime.name),
        desktop_status: Some(if deleted { "Deleted" } else { runtime.sandbox.as_str() }.to_owned()),
        management_statuses: Some(management),
        model_configure: Some(configured),
        model_template_id: group_id,
        model_template_name: view.model_group_name,
        os_type: Some(runtime.os_type),
        region_id: Some(runtime.region_id),
        resource_group,
        risk_info: with_risk
            .then(|| DataRiskInfo { skill_modified: Some(view.skills_modified), ..DataRiskInfo::default() }),
        resource_id: Some(runtime.id.to_string()),
        ..Data::default()
    }
}
