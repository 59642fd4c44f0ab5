//! ListModelProviderTemplates: providers of model groups, their keys masked.

use creel_control::access::Actor;
use creel_control::model::{ProviderFilter, ProviderView};
use creel_control::page::PageNumber;
use creel_wire::error::ApiError;
use creel_wire::ops::model_provider::list_model_provider_templates::{Data, Input, Output};

use crate::app::App;
use crate::ops::model_group::{api_error, check_ids, given, given_word, word};
use crate::ops::page_error;

const PAGE_SIZE_DEFAULT: i64 = 20;
const PAGE_SIZE_MAX: i64 = 1_000;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = PageNumber::new(input.page_number, input.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        .map_err(|error| page_error(&error, "PageSize"))?;
    check_ids("ProviderTemplateIds", &input.provider_template_ids)?;
    let filter = ProviderFilter {
        agent: word("AgentProvider", &input.agent_provider)?,
        platform: given_word("AgentPlatform", input.agent_platform)?,
        group_id: given(input.model_template_id),
        provider_name: given(input.provider_name),
        ids: input.provider_template_ids,
    };
    let found = app.models.list_providers(&actor.account_id, &filter, page).await.map_err(api_error)?;
    Ok(Output {
        data: Some(found.items.into_iter().map(shown).collect()),
        page_number: Some(page.number),
        page_size: Some(page.size),
        total_count: Some(found.total),
    })
}

fn shown(view: ProviderView) -> Data {
    let provider = view.provider;
    Data {
        config: Some(view.config),
        description: Some(provider.description),
        enable_wuying_proxy: Some(provider.proxied),
        name: Some(provider.name),
        provider_name: Some(provider.provider_name),
        provider_template_id: Some(provider.id.to_string()),
        provider_type: Some(provider.provider_type.as_str().to_owned()),
        // DEVIATION: there is none. Each agent has a virtual key of its own, which no answer shows.
        wuying_provider_key: None,
    }
}
