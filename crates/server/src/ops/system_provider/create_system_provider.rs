//! CreateSystemProvider: a provider of the operator's, without keys and models.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::system_provider::create_system_provider::{Input, Output};

use crate::app::App;
use crate::ops::model_group::word;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let (api, endpoints) = (word("Api", &input.api)?, super::endpoints!(input.endpoints));
    let made = app.models.create_system_provider(actor, input.provider_name, api, endpoints).await;
    made.map_err(super::api_error)?;
    Ok(Output {})
}
