//! Policies, and what they are attached to.

pub(crate) mod attach_policy;
pub(crate) mod delete_policy;
pub(crate) mod detach_policy;
pub(crate) mod get_policy;
pub(crate) mod list_policies;
pub(crate) mod put_policy;

use creel_control::principal::PolicyError;
use creel_wire::error::{ApiError, ErrorCode};

/// What PolicyType says of a policy of the account's own, and of one that comes with Creel.
const CUSTOM: &str = "Custom";
const SYSTEM: &str = "System";

/// The one mapping of this resource's errors.
pub(crate) fn api_error(error: PolicyError) -> ApiError {
    match error {
        PolicyError::NotFound(name) => ApiError::new(
            ErrorCode::POLICY_NOT_FOUND,
            format!("No policy {} in this account.", super::principal::shown(&name)),
        ),
        PolicyError::System(name) => ApiError::new(
            ErrorCode::POLICY_IS_SYSTEM,
            format!("{name} is a system policy. Make a policy of another name."),
        ),
        error @ PolicyError::BadName => ApiError::invalid("PolicyName", format!("{error}.")),
        PolicyError::Document(error) => {
            ApiError::invalid("PolicyDocument", format!("PolicyDocument: {error}."))
        }
        PolicyError::TooMany => ApiError::new(
            ErrorCode::POLICIES_LIMIT,
            "The account has the most policies that it may have. Delete one that is not used.",
        ),
        PolicyError::InUse(name) => ApiError::new(
            ErrorCode::POLICY_IN_USE,
            format!("Policy {name} is attached to principals. Detach it from all of them first."),
        ),
        PolicyError::NoPrincipal(name) => super::principal::not_found(&name),
        PolicyError::NotAUser { name, kind } => ApiError::invalid(
            "PrincipalName",
            format!("Policies are attached to users; {name} is of type {}.", kind.as_str()),
        ),
        PolicyError::TooManyAttached => ApiError::new(
            ErrorCode::ATTACHMENTS_LIMIT,
            "The principal has the most policies that it may have. Detach one that is not needed.",
        ),
        PolicyError::Attached(name) => ApiError::new(
            ErrorCode::POLICY_ATTACHED,
            format!("Policy {name} is attached to this principal already."),
        ),
        PolicyError::NotAttached(name) => ApiError::new(
            ErrorCode::POLICY_NOT_ATTACHED,
            format!("Policy {} is not attached to this principal.", super::principal::shown(&name)),
        ),
        PolicyError::Access(error) => super::access_error(&error),
        PolicyError::Store(error) => super::store_error(&error),
    }
}
