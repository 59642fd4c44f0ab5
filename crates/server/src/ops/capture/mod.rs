//! Content capture: of whose calls content is kept, and what was kept.

pub(crate) mod list_capture_policies;
pub(crate) mod list_captured_calls;
pub(crate) mod read_captured_call;
pub(crate) mod set_capture_policy;

use creel_control::capture::CaptureError;
use creel_wire::error::{ApiError, ErrorCode};

/// The one mapping of this resource's errors.
fn api_error(error: CaptureError) -> ApiError {
    match error {
        CaptureError::RetentionDays => ApiError::invalid(
            "RetentionDays",
            "Give RetentionDays from 1 to 365; without BytesMax it can be left out, which ends capture.",
        ),
        CaptureError::Bytes => {
            ApiError::invalid("BytesMax", "The parameter BytesMax must be between 1024 and 1048576.")
        }
        CaptureError::Scope(error) => super::call_limit::api_error(error),
        CaptureError::NotFound(_) => ApiError::new(
            ErrorCode::CAPTURED_CALL_NOT_FOUND,
            "No content of this call of the runtime is kept.",
        ),
        CaptureError::Access(error) => super::access_error(&error),
        CaptureError::Store(error) => super::store_error(&error),
        other @ (CaptureError::Secrets(_) | CaptureError::Stopped) => super::internal(&other),
    }
}
