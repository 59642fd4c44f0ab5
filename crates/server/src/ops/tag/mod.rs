//! Tags of runtimes.

pub(crate) mod list_tag_resources;
pub(crate) mod tag_resources;
pub(crate) mod untag_resources;

use creel_control::tag::{BadTags, TagError};
use creel_wire::error::{ApiError, ErrorCode};

/// What is tagged here; the API's only ResourceType.
pub(crate) const RESOURCE_TYPE: &str = "ALIYUN::GWS::INSTANCE";

pub(crate) fn api_error(error: TagError) -> ApiError {
    match error {
        TagError::NotFound(id) => {
            ApiError::new(ErrorCode::RESOURCE_NOT_FOUND, format!("No runtime {id} in this account."))
        }
        TagError::Bad(bad) => bad_tags(&bad),
        TagError::TooMany { .. } => ApiError::new(
            ErrorCode::QUOTA_EXCEEDED,
            format!("{}. Take some off first.", super::sentence(&error.to_string())),
        ),
        TagError::Access(error) => super::access_error(&error),
        TagError::Store(error) => super::store_error(&error),
    }
}

/// What is wrong with the parameter Tag.
pub(crate) fn bad_tags(bad: &BadTags) -> ApiError {
    ApiError::invalid("Tag", format!("{}.", super::sentence(&bad.to_string())))
}
