//! End users.

pub(crate) mod create_users;
pub(crate) mod describe_users;
pub(crate) mod remove_users;

use creel_control::user::{UserError, UserFailure};
use creel_wire::error::{ApiError, ErrorCode};

pub(crate) fn api_error(error: UserError) -> ApiError {
    match error {
        UserError::TooMany => ApiError::new(
            ErrorCode::QUOTA_EXCEEDED,
            "The account would have more end users than it may have. Remove some that are not needed.",
        ),
        UserError::Access(error) => super::access_error(&error),
        UserError::Store(error) => super::store_error(&error),
    }
}

/// Code and message of a user that failed alone, in an answer that is a success.
pub(crate) fn failure(failure: UserFailure, name: &str) -> (String, String) {
    let (code, message) = match failure {
        UserFailure::Exists => ("ExistedEndUserId", format!("The username {name} is used by another user.")),
        UserFailure::Name => ("InvalidUsername", format!("{name} is an invalid username.")),
        UserFailure::Email => ("InvalidEmail", "The e-mail address is not one.".to_owned()),
        UserFailure::Phone => ("InvalidPhone", "The phone number is not one.".to_owned()),
        UserFailure::Text => (
            "InvalidRemark",
            "RealNickName and Remark have at most 128 characters, none of them a control character."
                .to_owned(),
        ),
    };
    (code.to_owned(), message)
}
