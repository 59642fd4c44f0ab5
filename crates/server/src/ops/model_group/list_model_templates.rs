//! ListModelTemplates: the model groups of an account.

use creel_control::access::Actor;
use creel_control::model::{GroupFilter, GroupSource, GroupView, RefScope};
use creel_control::page::PageNumber;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::list_model_templates::{Data, Input, Output};

use super::{api_error, check_ids, given, given_scope, given_word, word};
use crate::app::App;
use crate::ops::page_error;

const PAGE_SIZE_DEFAULT: i64 = 20;
const PAGE_SIZE_MAX: i64 = 1_000;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = PageNumber::new(input.page_number, input.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        .map_err(|error| page_error(&error, "PageSize"))?;
    let filter = filter(input)?;
    let found = app.models.list_groups(&actor.account_id, &filter, page).await.map_err(api_error)?;
    Ok(Output {
        data: Some(found.items.into_iter().map(shown).collect()),
        page_number: Some(page.number),
        page_size: Some(page.size),
        total_count: Some(found.total),
    })
}

fn filter(input: Input) -> Result<GroupFilter, ApiError> {
    check_ids("ModelTemplateIdList", &input.model_template_id_list)?;
    let words = |texts: Vec<String>| texts.into_iter().filter(|text| !text.is_empty());
    let platforms = words(input.agent_platform_list)
        .map(|text| word("AgentPlatformList", &text))
        .collect::<Result<Vec<_>, _>>()?;
    let agents = words(input.agent_provider_list)
        .map(|text| word("AgentProviderList", &text))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(GroupFilter {
        agents: GroupFilter::agents(given_word("AgentProvider", input.agent_provider)?, agents),
        platforms: GroupFilter::platforms(given_word("AgentPlatform", input.agent_platform)?, platforms),
        name: given(input.name),
        has_model: input.has_model,
        source: Some(given_word("Source", input.source)?.unwrap_or(GroupSource::User)),
        ref_scope: given_scope(input.ref_scope)?,
        ids: input.model_template_id_list,
    })
}

fn shown(view: GroupView) -> Data {
    let config = view.config();
    let group = view.group;
    // No users are bound to groups yet, so that those who can be are none.
    let users = (group.ref_scope == RefScope::UserMixed).then_some(0);
    Data {
        agent_platform: Some(group.platform.as_str().to_owned()),
        agent_provider: Some(group.agent.as_str().to_owned()),
        config,
        description: Some(group.description),
        has_model: Some(view.model_count > 0),
        model_count: Some(view.model_count),
        model_template_id: Some(group.id.to_string()),
        name: Some(group.name),
        ref_scope: Some(group.ref_scope.as_str().to_owned()),
        user_count: users,
        user_group_count: users,
    }
}
