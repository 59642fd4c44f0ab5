//! SetCallLimit: all figures of one scope.

use creel_control::access::Actor;
use creel_control::call_limit::{Figures, NamedScope};
use creel_wire::error::ApiError;
use creel_wire::ops::call_limit::set_call_limit::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let named = NamedScope { resource_group_id: input.resource_group_id, runtime_id: input.runtime_id };
    let figures = Figures {
        requests_per_minute: input.requests_per_minute,
        tokens_per_minute: input.tokens_per_minute,
        concurrent_calls: input.concurrent_calls,
        output_tokens_max: input.output_tokens_max,
    };
    app.call_limits.set(actor, named, figures).await.map_err(super::api_error)?;
    Ok(Output {})
}
