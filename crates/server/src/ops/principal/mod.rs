//! Principals and their access keys.

pub(crate) mod create_access_key;
pub(crate) mod create_principal;
pub(crate) mod create_temporary_credentials;
pub(crate) mod delete_access_key;
pub(crate) mod delete_principal;
pub(crate) mod list_access_keys;
pub(crate) mod list_principals;
pub(crate) mod update_access_key;
pub(crate) mod update_principal;

use creel_control::access::{Actor, Principal as Asker};
use creel_control::account::AccountError;
use creel_control::principal::{PrincipalError, ROOT_NAME};
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::id::AccessKeyId;

/// The one mapping of this resource's errors.
pub(crate) fn api_error(error: PrincipalError) -> ApiError {
    match error {
        PrincipalError::NotFound(name) => not_found(&name),
        error @ PrincipalError::EndUserNotFound(_) => {
            ApiError::new(ErrorCode::END_USER_NOT_FOUND, format!("{}.", super::sentence(&error.to_string())))
        }
        PrincipalError::NameTaken(name) => {
            ApiError::new(ErrorCode::PRINCIPAL_NAME_TAKEN, format!("A principal named {name} exists."))
        }
        error @ PrincipalError::BadName => ApiError::invalid("PrincipalName", format!("{error}.")),
        PrincipalError::Root => ApiError::new(
            ErrorCode::PRINCIPAL_IS_ROOT,
            "The root of an account cannot be turned off or deleted. Turn off or delete its keys instead.",
        ),
        PrincipalError::RootOnly => ApiError::new(
            ErrorCode::NO_PERMISSION,
            "Only the root of an account may make keys and credentials of its own. Sign with a key of the root.",
        ),
        PrincipalError::TooMany => ApiError::new(
            ErrorCode::PRINCIPALS_LIMIT,
            "The account has the most principals that it may have. Delete one that is not used.",
        ),
        PrincipalError::TooManyKeys => ApiError::new(
            ErrorCode::ACCESS_KEYS_LIMIT,
            "The principal has the most access keys that it may have. Delete one that is not used.",
        ),
        PrincipalError::KeyNotFound(id) => ApiError::new(
            ErrorCode::ACCESS_KEY_OF_NOT_FOUND,
            format!("The principal has no access key {id}."),
        ),
        PrincipalError::Temporary => ApiError::new(
            ErrorCode::NO_PERMISSION,
            "Temporary credentials make no others. Sign the request with an access key.",
        ),
        error @ PrincipalError::SessionPolicyTooLong => {
            ApiError::invalid("Policy", format!("Policy: {error}."))
        }
        PrincipalError::SessionPolicy(error) => ApiError::invalid("Policy", format!("Policy: {error}.")),
        PrincipalError::Access(error) => super::access_error(&error),
        PrincipalError::Account(AccountError::Store(error)) | PrincipalError::Store(error) => {
            super::store_error(&error)
        }
        PrincipalError::Account(error) => super::internal(&error),
        error @ PrincipalError::Token => super::internal(&error),
    }
}

pub(super) fn not_found(name: &str) -> ApiError {
    let message = format!("No principal {} in this account.", shown(name));
    ApiError::new(ErrorCode::PRINCIPAL_NOT_FOUND, message)
}

/// A name that the caller made up, of the characters that names may have.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')).take(64).collect()
}

/// The principal that a call is about: the caller where none is named.
fn named_or_caller(actor: &Actor, name: Option<String>) -> String {
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| match &actor.principal {
        Asker::Member(member) => member.name.clone(),
        Asker::AccessKey(_) | Asker::Operator | Asker::Creel => ROOT_NAME.to_owned(),
    })
}

/// A key id; text that cannot be one answers as an unknown key.
fn key_id(text: &str) -> Result<AccessKeyId, ApiError> {
    AccessKeyId::parse(text).map_err(|_| {
        ApiError::new(ErrorCode::ACCESS_KEY_OF_NOT_FOUND, "The principal has no access key of this id.")
    })
}

fn status(active: bool) -> Option<String> {
    Some(if active { "Active" } else { "Inactive" }.to_owned())
}

/// The answers of several operations hold a principal, each in a type of its own.
macro_rules! shown_principal {
    ($kind:ident, $principal:expr) => {{
        let principal = $principal;
        $kind {
            principal_id: Some(principal.id.to_string()),
            principal_name: Some(principal.name),
            principal_type: Some(principal.kind.as_str().to_owned()),
            description: Some(principal.description),
            end_user_id: principal.end_user_id.map(String::from),
            status: $crate::ops::principal::status(principal.active),
            create_date: Some($crate::ops::shown_time(
                principal.created_at_ms,
                creel_wire::time::TimeFormat::Seconds,
            )),
        }
    }};
}
use shown_principal;
