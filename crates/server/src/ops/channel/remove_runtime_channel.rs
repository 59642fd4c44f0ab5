//! RemoveRuntimeChannel: takes a chat channel away from runtimes.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::channel::remove_runtime_channel::{Input, Output};

use super::{api_error, code, named};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let named = named(input.runtime_ids, &input.agent_provider)?;
    app.channels.remove(actor, named, code(&input.code)?).await.map_err(api_error)?;
    Ok(Output {})
}
