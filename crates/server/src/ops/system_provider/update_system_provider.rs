//! UpdateSystemProvider: another dialect, or other addresses.

use creel_control::access::Actor;
use creel_control::model::SystemProviderChange;
use creel_wire::error::ApiError;
use creel_wire::ops::system_provider::update_system_provider::{Input, Output};

use crate::app::App;
use crate::ops::model_group::given_word;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let endpoints = super::endpoints!(input.endpoints);
    let change = SystemProviderChange {
        api: given_word("Api", input.api)?,
        endpoints: (!endpoints.is_empty()).then_some(endpoints),
    };
    let changed = app.models.update_system_provider(actor, input.provider_name, change).await;
    changed.map_err(super::api_error)?;
    Ok(Output {})
}
