//! Runtimes (desktops, in the provider's words).

pub(crate) mod create_desktops;
pub(crate) mod delete_desktops;
pub(crate) mod describe_desktops;
pub(crate) mod hibernate_desktops;
pub(crate) mod list_desktop_agent_runtime;
pub(crate) mod modify_desktop_name;
pub(crate) mod reboot_desktops;
pub(crate) mod start_desktops;
pub(crate) mod stop_desktops;
pub(crate) mod wakeup_desktops;

use creel_control::runtime::RuntimeError;
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::guest::AgentStatus;

use super::sentence;

/// The word of an agent's status; the API's AgentInstanceStatus.
pub(crate) fn agent_status_word(status: AgentStatus) -> &'static str {
    match status {
        AgentStatus::Undeployed => "Undeployed",
        AgentStatus::Deploying => "Deploying",
        AgentStatus::Deployed => "Deployed",
        AgentStatus::Starting => "Starting",
        AgentStatus::Running => "Running",
        AgentStatus::Stopping => "Stopping",
        AgentStatus::Stopped => "Stopped",
        AgentStatus::Unavailable => "Unavailable",
    }
}

/// What a name may be, as the error of the parameter that it came in.
fn name_error(parameter: &str) -> ApiError {
    let text = sentence(&RuntimeError::Name.to_string());
    ApiError::invalid(parameter, format!("{text}, and no control characters."))
}

pub(crate) fn api_error(error: RuntimeError) -> ApiError {
    use RuntimeError as E;
    let text = match &error {
        E::Access(error) => return super::access_error(error),
        E::Store(error) => return super::store_error(error),
        _ => error.to_string(),
    };
    let code = match &error {
        E::NotFound(_) => ErrorCode::DESKTOP_NOT_FOUND,
        E::WrongStatus { .. } | E::CreditsUsedUp(_) => ErrorCode::INCORRECT_DESKTOP_STATUS,
        E::OfficeSiteNotFound(_) => ErrorCode::DIRECTORY_NOT_FOUND,
        E::ResourceGroupNotFound(_) => ErrorCode::RESOURCE_GROUP_NOT_FOUND,
        E::UserNotFound(_) => ErrorCode::END_USER_NOT_FOUND,
        E::BundleNotFound(_) => ErrorCode::BUNDLE_NOT_FOUND,
        E::ImageNotFound(_) => ErrorCode::IMAGE_STATUS_NOT_VALID,
        E::Amount(_) => ErrorCode::INVALID_AMOUNT,
        E::AmountNotTimesOfUsers { .. } => ErrorCode::AMOUNT_NOT_TIMES_OF_USERS,
        E::DesktopTypeNotFound(_) => {
            return ApiError::invalid(
                "DesktopType",
                format!("{text}. DescribeDesktopTypes lists those that can be had."),
            );
        }
        E::NothingToMake => return ApiError::missing("BundleId"),
        E::HostNameOfLinux => ErrorCode::HOSTNAME_CANNOT_CUSTOMIZE,
        E::HostNameTaken => ErrorCode::HOST_NAME_TAKEN,
        E::HostName(_) => return ApiError::invalid("Hostname", format!("{}.", sentence(&text))),
        E::DiskSize(_) => return ApiError::invalid("DesktopAttachment", format!("{}.", sentence(&text))),
        E::Tags(bad) => return super::tag::bad_tags(bad),
        E::Name => return name_error("DesktopName"),
        E::MonthlyCredits => return ApiError::invalid("MonthlyCredits", format!("{text}.")),
        E::Access(_) | E::Store(_) => ErrorCode::INTERNAL_ERROR,
    };
    ApiError::new(code, format!("{}.", sentence(&text)))
}
