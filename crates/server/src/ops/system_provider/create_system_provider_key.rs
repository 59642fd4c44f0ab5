//! CreateSystemProviderKey: one more key of a provider.

use creel_control::access::Actor;
use creel_control::model::NewSystemKey;
use creel_wire::error::ApiError;
use creel_wire::ops::system_provider::create_system_provider_key::{Input, Output};

use crate::app::App;
use crate::ops::model_group::given;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let new = NewSystemKey {
        name: input.key_name,
        key: input.api_key,
        base_url: given(input.base_url),
        weight: input.weight.unwrap_or(1),
    };
    let made = app.models.create_system_key(actor, input.provider_name, new).await;
    made.map_err(super::api_error)?;
    Ok(Output {})
}
