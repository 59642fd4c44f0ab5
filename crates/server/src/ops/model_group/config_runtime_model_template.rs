//! ConfigRuntimeModelTemplate: gives runtimes a model group, each with a result of its own.

use creel_control::access::Actor;
use creel_control::model::BoundRuntime;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::config_runtime_model_template::{Data, Input, Output};

use super::{BindResult, api_error, check_ids, group_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    check_ids("RuntimeIds", &input.runtime_ids)?;
    let group_id = group_id(&input.model_template_id)?;
    let bound = app.models.bind_runtimes(actor, group_id, input.runtime_ids).await.map_err(api_error)?;
    let data: Vec<Data> = bound.into_iter().map(shown).collect();
    Ok(Output { total_count: i64::try_from(data.len()).ok(), data: Some(data) })
}

fn shown(bound: BoundRuntime) -> Data {
    let result = BindResult::from(bound.outcome);
    Data {
        code: Some(result.code.to_owned()),
        http_status_code: Some(result.status),
        message: Some(result.message),
        runtime_id: Some(bound.runtime_id),
        success: Some(result.success),
    }
}
