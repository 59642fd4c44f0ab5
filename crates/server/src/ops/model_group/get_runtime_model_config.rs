//! GetRuntimeModelConfig: the models that a runtime is to use, and whether its agent does.

use creel_control::access::Actor;
use creel_control::model::{EffectiveModels, EffectiveProvider, Model, ModelError};
use creel_control::runtime::provider_word;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::get_runtime_model_config::{
    Data, DataModelProviderList, DataModelProviderListLlmInfoList,
    DataModelProviderListLlmInfoListInferenceMetadata, Input, Output,
};

use super::api_error;
use crate::app::App;
use crate::ops::model::modalities;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let models =
        app.models.effective_models(&actor.account_id, &input.runtime_id).await.map_err(api_error)?;
    if provider_word(models.agent) != input.agent_provider {
        // A runtime of this id with this agent does not exist.
        return Err(api_error(ModelError::RuntimeNotFound(input.runtime_id)));
    }
    Ok(Output { data: Some(shown(models, input.include_risk_info == Some(true))) })
}

fn shown(models: EffectiveModels, with_risk: bool) -> Data {
    let risk = with_risk.then_some(if models.applied { "Normal" } else { "Pending" });
    let bound = models.group.is_some();
    let (id, name) = models.group.map(|group| (group.id.to_string(), group.name)).unzip();
    Data {
        default_model: models.default_model.map(|model| format!("{}/{}", model.provider, model.code)),
        model_provider_list: Some(
            models.providers.into_iter().map(|entry| shown_provider(entry, risk)).collect(),
        ),
        model_template_id: id,
        model_template_name: name,
        // A resource group cannot have a model group yet, so that it is the runtime's own wherever there is one.
        model_template_ref_type: bound.then(|| "Runtime".to_owned()),
        resource_group_id: models.resource_group_id.map(|id| id.to_string()),
    }
}

fn shown_provider(entry: EffectiveProvider, risk: Option<&str>) -> DataModelProviderList {
    let provider = entry.provider;
    DataModelProviderList {
        llm_info_list: Some(entry.models.into_iter().map(|model| shown_model(model, risk)).collect()),
        model_provider_template_id: Some(provider.id.to_string()),
        name: Some(provider.name),
        provider_name: Some(provider.provider_name),
    }
}

fn shown_model(model: Model, risk: Option<&str>) -> DataModelProviderListLlmInfoList {
    let (request, response) = modalities(&model.traits());
    DataModelProviderListLlmInfoList {
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
