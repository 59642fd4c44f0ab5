//! Office sites.

pub(crate) mod create_simple_office_site;
pub(crate) mod delete_office_sites;
pub(crate) mod describe_office_sites;

use creel_control::office_site::OfficeSiteError;
use creel_wire::error::{ApiError, ErrorCode};

pub(crate) fn api_error(error: OfficeSiteError) -> ApiError {
    match error {
        OfficeSiteError::TooMany => ApiError::new(
            ErrorCode::QUOTA_EXCEEDED,
            "The account has the most office sites that it may have. Use one that exists.",
        ),
        OfficeSiteError::NotFound(id) => ApiError::new(
            ErrorCode::OFFICE_SITE_NOT_FOUND,
            format!("No office site {id} in this account and region."),
        ),
        OfficeSiteError::NotEmpty { id, runtimes } => ApiError::new(
            ErrorCode::OFFICE_SITE_NOT_EMPTY,
            format!("Office site {id} has {runtimes} runtimes. Delete them first."),
        ),
        OfficeSiteError::Access(error) => super::access_error(&error),
        OfficeSiteError::Store(error) => super::store_error(&error),
    }
}
