//! The audit log.

use creel_control::audit::AuditError;
use creel_wire::error::ApiError;

pub(crate) mod describe_audit_events;

/// The audit log is only read here, so whatever fails is ours.
pub(crate) fn api_error(error: AuditError) -> ApiError {
    match error {
        AuditError::Store(error) => super::store_error(&error),
    }
}
