//! Messages to agents and what guests confirm.

pub(crate) mod describe_agent_messages;
pub(crate) mod describe_agent_receipts;
pub(crate) mod send_agent_message;

use creel_control::message::MessageError;
use creel_control::runtime::RuntimeError;
use creel_wire::error::{ApiError, ErrorCode};

pub(crate) fn api_error(error: MessageError) -> ApiError {
    match error {
        MessageError::NotRunning { id, status } => ApiError::new(
            ErrorCode::AGENT_NOT_RUNNING,
            format!(
                "Runtime {id} is {status}. Start it, wait until it is Running, and send the message again."
            ),
        ),
        MessageError::Runtime(error) => runtime_error(error),
        MessageError::Access(error) => super::access_error(&error),
        MessageError::Store(error) => super::store_error(&error),
    }
}

/// Our own operations speak of runtimes, not of desktops.
fn runtime_error(error: RuntimeError) -> ApiError {
    match error {
        RuntimeError::NotFound(id) => {
            ApiError::new(ErrorCode::RUNTIME_NOT_FOUND, format!("No runtime {id} in this account."))
        }
        other => super::runtime::api_error(other),
    }
}
