//! SendAgentMessage: one turn with an agent. The answer is read with DescribeAgentMessages, for a first turn takes
//! longer than SDKs wait.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::message::send_agent_message::{Input, Output};

use crate::app::App;

/// The conversation of callers that name none.
const SESSION_DEFAULT: &str = "main";

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let session = input.session_key.unwrap_or_else(|| SESSION_DEFAULT.to_owned());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if !(1..=64).contains(&session.len()) || !session.chars().all(allowed) {
        return Err(ApiError::invalid(
            "SessionKey",
            "SessionKey must be 1 to 64 letters, digits or '-', '_', '.', ':'.",
        ));
    }
    let sent = app.messages.send(actor, &input.runtime_id, session, input.message).await;
    let id = sent.map_err(super::api_error)?;
    Ok(Output { invocation_id: Some(id.to_string()) })
}
