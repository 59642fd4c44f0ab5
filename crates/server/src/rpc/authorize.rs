//! Whether the caller may do what it asks. The dispatcher asks before it calls a handler, so no handler can forget to.

use creel_control::access::Actor;
use creel_wire::error::{ApiError, ErrorCode};

/// The root of an account may do everything; nobody else has been allowed anything.
pub(super) fn check(actor: &Actor) -> Result<(), ApiError> {
    if actor.is_root() {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::NO_PERMISSION,
        "The caller may not do this. Ask the administrator of the account.",
    ))
}
