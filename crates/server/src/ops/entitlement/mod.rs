//! Which end users runtimes are given to.

pub(crate) mod batch_modify_entitlement;
pub(crate) mod modify_entitlement;
pub(crate) mod modify_user_entitlement;

use creel_control::entitlement::EntitlementError;
use creel_wire::error::{ApiError, ErrorCode};

/// The one mapping of this resource's errors.
pub(crate) fn api_error(error: EntitlementError) -> ApiError {
    let text = format!("{}.", super::sentence(&error.to_string()));
    match error {
        EntitlementError::Runtime(error) => super::runtime::api_error(error),
        EntitlementError::UserNotFound(_) => ApiError::new(ErrorCode::END_USER_NOT_FOUND, text),
        EntitlementError::GivenAndTaken(_) => ApiError::invalid("RevokeDesktopId", text),
        EntitlementError::TooManyUsers(_) => ApiError::new(ErrorCode::QUOTA_EXCEEDED, text),
        EntitlementError::Access(error) => super::access_error(&error),
        EntitlementError::Store(error) => super::store_error(&error),
    }
}
