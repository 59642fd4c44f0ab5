//! Call limits: how much agents may ask of the gateway.

pub(crate) mod list_call_limits;
pub(crate) mod set_call_limit;

use creel_control::call_limit::CallLimitError;
use creel_control::resource_group::ResourceGroupError;
use creel_wire::error::{ApiError, ErrorCode};

/// The one mapping of this resource's errors.
pub(crate) fn api_error(error: CallLimitError) -> ApiError {
    match error {
        CallLimitError::TwoScopes => ApiError::invalid(
            "RuntimeId",
            "Give ResourceGroupId or RuntimeId, not both; neither for the whole account.",
        ),
        CallLimitError::Figure { name } => ApiError::invalid(name, format!("{error}.")),
        CallLimitError::ResourceGroupNotFound(id) => {
            super::resource_group::api_error(ResourceGroupError::NotFound(id))
        }
        CallLimitError::RuntimeNotFound(_) => {
            ApiError::new(ErrorCode::RUNTIME_NOT_FOUND, "The runtime is not found.")
        }
        CallLimitError::Access(error) => super::access_error(&error),
        CallLimitError::Store(error) => super::store_error(&error),
    }
}
