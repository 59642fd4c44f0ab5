//! ConfigRuntimeChannel: configures a chat channel of runtimes.

use creel_control::access::Actor;
use creel_control::channel::{ConfigMode, NewChannel};
use creel_wire::error::ApiError;
use creel_wire::ops::channel::config_runtime_channel::{Input, Output};

use super::{api_error, code, named};
use crate::app::App;
use crate::ops::model_group::given;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let mode = match given(input.config_mode) {
        None => ConfigMode::Simple,
        Some(text) => text.parse().map_err(|_| {
            ApiError::invalid("ConfigMode", "The parameter ConfigMode must be one of Simple, Custom.")
        })?,
    };
    let named = named(input.runtime_ids, &input.agent_provider)?;
    let new = NewChannel { code: code(&input.code)?, name: given(input.name), mode, config: input.config };
    app.channels.configure(actor, named, new).await.map_err(api_error)?;
    Ok(Output {})
}
