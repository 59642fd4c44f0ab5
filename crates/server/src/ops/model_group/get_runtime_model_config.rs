//! GetRuntimeModelConfig: the models that a runtime is to use, and whether its agent does.

use creel_control::access::Actor;
use creel_control::ledger::{MultiplierRange, PriceList};
use creel_control::model::{BoundBy, EffectiveModels, EffectiveProvider, Model, ModelError};
use creel_control::runtime::provider_from_word;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::get_runtime_model_config::{
    Data, DataModelProviderList, DataModelProviderListLlmInfoList,
    DataModelProviderListLlmInfoListCreditMultiplier as CreditMultiplier,
    DataModelProviderListLlmInfoListInferenceMetadata, Input, Output,
};

use super::api_error;
use crate::app::App;
use crate::ops::model::{modalities, prices};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let models =
        app.models.effective_models(&actor.account_id, &input.runtime_id).await.map_err(api_error)?;
    if provider_from_word(&input.agent_provider) != Some(models.agent) {
        // A runtime of this id with this agent does not exist.
        return Err(api_error(ModelError::RuntimeNotFound(input.runtime_id)));
    }
    let cards = app.credits.price_list().await.map_err(crate::ops::credit::api_error)?;
    Ok(Output { data: Some(shown(models, input.include_risk_info == Some(true), &cards)) })
}

fn shown(models: EffectiveModels, with_risk: bool, cards: &PriceList) -> Data {
    let risk = with_risk.then_some(if models.applied { "Normal" } else { "Pending" });
    let bound_by = models.group.as_ref().map(|_| match models.bound_by {
        BoundBy::Runtime => "Runtime".to_owned(),
        BoundBy::ResourceGroup => "ResourceGroup".to_owned(),
    });
    let (id, name) = models.group.map(|group| (group.id.to_string(), group.name)).unzip();
    Data {
        default_model: models.default_model.map(|model| format!("{}/{}", model.provider, model.code)),
        model_provider_list: Some(
            models.providers.into_iter().map(|entry| shown_provider(entry, risk, cards)).collect(),
        ),
        model_template_id: id,
        model_template_name: name,
        model_template_ref_type: bound_by,
        resource_group_id: models.resource_group_id.map(|id| id.to_string()),
    }
}

fn shown_provider(entry: EffectiveProvider, risk: Option<&str>, cards: &PriceList) -> DataModelProviderList {
    let provider = entry.provider;
    let models = entry.models.into_iter().map(|model| {
        let of_provider = (&provider.account_id, &provider.id);
        let priced = prices::of(cards, provider.system_provider_name.as_deref(), of_provider, &model.code);
        shown_model(model, priced.map(|(_, range)| range), risk)
    });
    DataModelProviderList {
        llm_info_list: Some(models.collect()),
        model_provider_template_id: Some(provider.id.to_string()),
        name: Some(provider.name),
        provider_name: Some(provider.provider_name),
    }
}

fn shown_model(
    model: Model,
    range: Option<MultiplierRange>,
    risk: Option<&str>,
) -> DataModelProviderListLlmInfoList {
    // A model without a price is not billed in credits.
    let factors = range.map(prices::factors);
    let (request, response) = modalities(&model.traits());
    DataModelProviderListLlmInfoList {
        credit_multiplier: factors.map(|(min, max)| CreditMultiplier { max, min: Some(min) }),
        description: Some(model.description),
        inference_metadata: Some(DataModelProviderListLlmInfoListInferenceMetadata {
            request_modality: Some(request),
            response_modality: Some(response),
        }),
        llm_code: Some(model.code),
        name: Some(model.name),
        risk_type: risk.map(str::to_owned),
        ..DataModelProviderListLlmInfoList::default()
    }
}
