//! Skills.

pub(crate) mod create_tenant_skill;
pub(crate) mod delete_tenant_skills;
pub(crate) mod export_skill_version;
pub(crate) mod get_oss_sts_token;
pub(crate) mod get_parse_progress;
pub(crate) mod get_skill_policy;
pub(crate) mod get_skill_version;
pub(crate) mod list_agent_skills;
pub(crate) mod list_secure_skill_identities;
pub(crate) mod list_skill_authed_identities;
pub(crate) mod list_skills;
pub(crate) mod parse_skill_package;
pub(crate) mod review_skill_version;
pub(crate) mod set_identity_skill_auth;
pub(crate) mod set_identity_skill_security;
pub(crate) mod set_skill_policy;
pub(crate) mod set_skill_version;
pub(crate) mod set_tenant_skill_enabled;
pub(crate) mod withdraw_skill_version;

use std::collections::BTreeMap;

use creel_control::object::ObjectError;
use creel_control::page::PageNumber;
use creel_control::skill::{Channel, SkillError};
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::id::SkillId;
use creel_wire::secret::Secret;

/// What stands for a value that is not shown.
const MASKED: &str = "******";
const PAGE_SIZE_DEFAULT: i64 = 20;
const PAGE_SIZE_MAX: i64 = 100;

fn page(number: Option<i64>, size: Option<i64>) -> Result<PageNumber, ApiError> {
    PageNumber::new(number, size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        .map_err(|error| super::page_error(&error, "PageSize"))
}

/// Of a parameter that is one of the two words.
fn channel(text: &str) -> Result<Channel, ApiError> {
    text.parse()
        .map_err(|()| ApiError::invalid("SkillChannel", "The SkillChannel must be ENTERPRISE or BUSINESS."))
}

fn optional_channel(text: Option<&str>) -> Result<Option<Channel>, ApiError> {
    text.filter(|text| !text.is_empty()).map(channel).transpose()
}

/// The names of variables.
fn masked(env: BTreeMap<String, Secret>) -> serde_json::Value {
    env.into_keys().map(|name| (name, MASKED.into())).collect::<serde_json::Map<_, _>>().into()
}

fn skill_id(id: &str) -> Result<SkillId, ApiError> {
    SkillId::parse(id).map_err(|_| api_error(SkillError::NotFound(id.to_owned())))
}

pub(crate) fn api_error(error: SkillError) -> ApiError {
    let text = format!("{}.", super::sentence(&error.to_string()));
    match error {
        SkillError::NotFound(_) => ApiError::new(ErrorCode::SKILL_NOT_FOUND, text),
        SkillError::VersionNotFound { .. } => ApiError::new(ErrorCode::SKILL_VERSION_NOT_FOUND, text),
        SkillError::TaskNotFound(_) => ApiError::new(ErrorCode::SKILL_TASK_NOT_FOUND, text),
        SkillError::TaskRunning { .. } => ApiError::new(ErrorCode::SKILL_TASK_NOT_COMPLETED, text),
        SkillError::TaskFailed { .. } => ApiError::new(ErrorCode::SKILL_TASK_FAILED, text),
        SkillError::TooManyPackages(_)
        | SkillError::TooManySkills
        | SkillError::TooManyVersions
        | SkillError::ExportTooLarge
        | SkillError::TooManyOfIdentity { .. } => ApiError::new(ErrorCode::QUOTA_EXCEEDED, text),
        SkillError::SlugMismatch(_) => ApiError::invalid("Slug", text),
        SkillError::BadVersion(_) | SkillError::NoVersion => ApiError::invalid("SkillVersion", text),
        SkillError::VersionExists(_) => ApiError::new(ErrorCode::SKILL_VERSION_EXISTS, text),
        SkillError::SourceNotAllowed(_) => ApiError::new(ErrorCode::SKILL_SOURCE_NOT_ALLOWED, text),
        SkillError::BadEnv(_) => ApiError::invalid("EnvVars", text),
        SkillError::BadIcon(_) => ApiError::invalid("SkillIcon", text),
        SkillError::IconETagMissing => ApiError::missing("IconETag"),
        SkillError::RuntimeNotFound(_) => ApiError::new(ErrorCode::RUNTIME_NOT_FOUND, text),
        SkillError::ResourceGroupNotFound(_) => ApiError::new(ErrorCode::RESOURCE_GROUP_NOT_FOUND, text),
        SkillError::UserNotFound(_) => ApiError::new(ErrorCode::END_USER_NOT_FOUND, text),
        SkillError::WrongStatus { .. } => ApiError::new(ErrorCode::SKILL_VERSION_STATUS, text),
        SkillError::SamePerson => ApiError::new(ErrorCode::SKILL_SAME_PERSON, text),
        SkillError::Object(error) => object_error(error),
        SkillError::Scanner(error) => super::internal(&error),
        SkillError::Secrets(error) => super::internal(&error),
        SkillError::Access(error) => super::access_error(&error),
        SkillError::Store(error) => super::store_error(&error),
    }
}

/// What is the caller's to mend is told apart before: the rest is ours.
fn object_error(error: ObjectError) -> ApiError {
    match error {
        ObjectError::Access(error) => super::access_error(&error),
        ObjectError::Quota => ApiError::new(
            ErrorCode::QUOTA_EXCEEDED,
            "The account has as many uploads waiting as it may have.",
        ),
        ObjectError::Busy => {
            ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "Too many uploads are under way: try again.")
        }
        other => super::internal(&other),
    }
}
