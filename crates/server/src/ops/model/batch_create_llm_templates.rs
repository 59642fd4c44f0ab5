//! BatchCreateLlmTemplates: adds models to a provider; those it has are skipped.

use creel_control::access::Actor;
use creel_control::model::{ModelError, NewModel, NewModels, SkippedModel};
use creel_wire::error::ApiError;
use creel_wire::id::ProviderId;
use creel_wire::ops::model::batch_create_llm_templates::{
    Data, DataSkippedItems, Input, LlmTemplateItems, Output,
};

use crate::app::App;
use crate::ops::model_group::{api_error, given, group_id};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let text = input.provider_template_id;
    let new = NewModels {
        provider_id: ProviderId::parse(&text).map_err(|_| api_error(ModelError::ProviderNotFound(text)))?,
        group_id: given(input.model_template_id).map(|text| group_id(&text)).transpose()?,
        items: input.llm_template_items.into_iter().map(item).collect(),
    };
    let created = app.models.create_models(actor, new).await.map_err(api_error)?;
    Ok(Output {
        data: Some(Data {
            success_count: i64::try_from(created.ids.len()).ok(),
            total_count: i64::try_from(created.submitted).ok(),
            llm_template_ids: Some(created.ids.into_iter().map(String::from).collect()),
            skipped_items: Some(created.skipped.into_iter().map(skipped).collect()),
        }),
    })
}

fn item(item: LlmTemplateItems) -> NewModel {
    NewModel {
        code: item.llm_code,
        name: given(item.name),
        description: item.description.unwrap_or_default(),
        config: given(item.config),
        is_default: item.is_default_model == Some(true),
    }
}

fn skipped(skipped: SkippedModel) -> DataSkippedItems {
    DataSkippedItems { llm_code: Some(skipped.code), reason: Some(skipped.reason) }
}
