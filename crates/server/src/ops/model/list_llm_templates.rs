//! ListLlmTemplates: models, those of one group with its default first.

use creel_control::access::Actor;
use creel_control::ledger::PriceList;
use creel_control::model::{ModelFilter, ModelView, SystemProvider};
use creel_control::page::PageNumber;
use creel_wire::error::ApiError;
use creel_wire::ops::model::list_llm_templates::{Data, DataInferenceMetadata, Input, Output};

use super::{modalities, prices};
use crate::app::App;
use crate::ops::model_group::{api_error, check_ids, given};
use crate::ops::page_error;

const PAGE_SIZE_DEFAULT: i64 = 10;
const PAGE_SIZE_MAX: i64 = 1_000;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = PageNumber::new(input.page_number, input.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        .map_err(|error| page_error(&error, "PageSize"))?;
    check_ids("LlmTemplateIds", &input.llm_template_ids)?;
    let smart = input.smart_model == Some(true);
    if smart && input.biz_type.is_none() {
        return Err(ApiError::missing("BizType"));
    }
    let filter = ModelFilter {
        group_id: given(input.model_template_id),
        provider_id: given(input.provider_template_id),
        code: given(input.llm_code),
        ids: input.llm_template_ids,
        smart,
    };
    let found = app.models.list_models(&actor.account_id, &filter, page).await.map_err(api_error)?;
    let system =
        if smart { app.models.list_system_providers().await.map_err(api_error)? } else { Vec::new() };
    let cards = app.credits.price_list().await.map_err(crate::ops::credit::api_error)?;
    Ok(Output {
        data: Some(found.items.into_iter().map(|view| shown(view, &cards, &system)).collect()),
        page_number: Some(page.number),
        page_size: Some(page.size),
        total_count: Some(found.total),
    })
}

/// `system` is empty unless smart models are listed: only there a scope and a count of routes belong.
fn shown(view: ModelView, cards: &PriceList, system: &[SystemProvider]) -> Data {
    let routes = system.iter().find(|provider| Some(&provider.name) == view.system_provider_name.as_ref());
    let routes =
        routes.and_then(|provider| provider.models.iter().find(|model| model.code == view.model.code));
    let routes = routes.and_then(|model| model.smart.as_ref()).map(|smart| smart.routes.len());
    let model = view.model;
    let of_provider = (&model.account_id, &model.provider_id);
    let priced = prices::of(cards, view.system_provider_name.as_deref(), of_provider, &model.code);
    let (credit_multiplier, prices) = prices::shown(priced.as_ref());
    let (request, response) = modalities(&model.traits());
    Data {
        config: Some(model.config_json),
        credit_multiplier,
        description: Some(model.description),
        inference_metadata: Some(DataInferenceMetadata {
            request_modality: Some(request),
            response_modality: Some(response),
        }),
        is_default_model: Some(view.is_default),
        llm_code: Some(model.code),
        llm_template_id: Some(model.id.to_string()),
        name: Some(model.name),
        prices,
        provider_template_id: Some(model.provider_id.to_string()),
        ref_scope: routes.map(|_| view.ref_scope.as_str().to_owned()),
        route_policy_count: routes.and_then(|count| i64::try_from(count).ok()),
        ..Data::default()
    }
}
