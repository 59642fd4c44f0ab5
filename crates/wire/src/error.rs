//! Error codes of the API and the HTTP status of each.
//!
//! A code is what an SDK user matches on; the message is written for a reader. The table below is the only place
//! that maps one to the other. Sources: shared API facts (`spec/README.md`), "Platform-wide codes", and the
//! per-operation codes of the specification.

use std::borrow::Cow;

/// An error as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The `Code` field, such as `SignatureDoesNotMatch` or `MissingRuntimeType`.
    pub code: Cow<'static, str>,
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// The `Message` field: says what is wrong and what to do next; never the text of an inner error.
    pub message: String,
    /// `x-acs-retry-after`, only for throttling.
    pub retry_after_ms: Option<u64>,
    /// `AccessDeniedDetail`, only where a policy refuses.
    pub access_denied: Option<Box<AccessDeniedDetail>>,
}

/// Who was refused what, and by which statement.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessDeniedDetail {
    /// Such as `ecd:DeleteDesktops`.
    pub auth_action: String,
    /// `RootUser`, `SubUser` or `EndUser`.
    pub auth_principal_type: String,
    pub auth_principal_display_name: String,
    /// The account.
    pub auth_principal_owner_id: String,
    /// `ExplicitDeny` or `ImplicitDeny`.
    pub no_permission_type: String,
    /// `AccountLevelIdentityBasedPolicy` or `SessionPolicy`.
    pub policy_type: String,
    /// The policy that denies; absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<String>,
    /// Its statement: the Sid, or the number from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// A fixed code and its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(pub &'static str, pub u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal;)+) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($code, $status);)+
            /// Every fixed code, for tests and documents.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name),+];
        }
    };
}

codes! {
    SIGNATURE_DOES_NOT_MATCH = "SignatureDoesNotMatch", 400;
    INCOMPLETE_SIGNATURE = "IncompleteSignature", 400;
    INVALID_SIGNATURE_METHOD = "InvalidSignatureMethod", 400;
    ACCESS_KEY_NOT_FOUND = "InvalidAccessKeyId.NotFound", 404;
    ACCESS_KEY_INACTIVE = "InvalidAccessKeyId.Inactive", 400;
    TIMESTAMP_EXPIRED = "InvalidTimeStamp.Expired", 400;
    TIMESTAMP_FORMAT = "InvalidTimeStamp.Format", 400;
    NONCE_USED = "SignatureNonceUsed", 400;
    SECURITY_TOKEN_MALFORMED = "InvalidSecurityToken.Malformed", 400;
    SECURITY_TOKEN_EXPIRED = "InvalidSecurityToken.Expired", 400;
    SECURITY_TOKEN_MISSING = "MissingSecurityToken", 400;
    API_NOT_FOUND = "InvalidApi.NotFound", 404;
    UNSUPPORTED_HTTP_METHOD = "UnsupportedHTTPMethod", 400;
    UNSUPPORTED_FORMAT = "InvalidParameter.Format", 400;
    REQUEST_TOO_LARGE = "RequestEntityTooLarge", 413;
    QUERY_TOO_LONG = "RequestQueryTooLong", 414;
    HEADERS_TOO_LARGE = "RequestHeadersTooLarge", 431;
    /// The bytes are not an HTTP request.
    INVALID_REQUEST = "InvalidRequest", 400;
    /// The body did not come in time.
    REQUEST_TIMEOUT = "RequestTimeout", 408;
    PATH_NOT_FOUND = "InvalidPath.NotFound", 404;
    INVALID_PARAMETER = "InvalidParameter", 400;
    UNSUPPORTED_PARAMETER = "UnsupportedParameter", 400;
    IDEMPOTENT_PARAMETER_MISMATCH = "IdempotentParameterMismatch", 400;
    THROTTLING_USER = "Throttling.User", 429;
    NO_PERMISSION = "NoPermission", 403;
    INTERNAL_ERROR = "InternalError", 500;
    SERVICE_UNAVAILABLE = "ServiceUnavailable", 503;
    RUNTIME_NOT_FOUND = "Runtime.NotFound", 404;
    DESKTOP_NOT_FOUND = "InvalidDesktopId.NotFound", 404;
    INCORRECT_DESKTOP_STATUS = "IncorrectDesktopStatus", 400;
    OFFICE_SITE_NOT_FOUND = "InvalidOfficeSiteId.NotFound", 404;
    /// Runtimes are placed in it, so it cannot go.
    OFFICE_SITE_NOT_EMPTY = "OfficeSite.NotEmpty", 400;
    /// A resource that is named to be tagged does not exist.
    RESOURCE_NOT_FOUND = "InvalidResourceId.NotFound", 404;
    DIRECTORY_NOT_FOUND = "InvalidDirectoryId.NotFound", 400;
    BUNDLE_NOT_FOUND = "InvalidDesktopBundle.NotFound", 400;
    IMAGE_STATUS_NOT_VALID = "InvalidImageStatus.NotValid", 400;
    ENCRYPTION_KEY_MISSING = "InvalidEncryptionKey.Missing", 400;
    ENCRYPTION_KEY_NOT_FOUND = "InvalidEncryptionKey.NotFound", 400;
    ENCRYPTION_NOT_ENABLED = "InvalidEncryptionEnabled.Invalid", 400;
    MEMBER_IP_OF_SEVERAL = "InvalidMemberIp.DesktopAmount", 400;
    HOST_NAME_TAKEN = "ExistedHostname", 400;
    INVALID_AMOUNT = "InvalidAmount", 400;
    AMOUNT_NOT_TIMES_OF_USERS = "InvalidAmount.NotTimesOfUsers", 400;
    HOSTNAME_CANNOT_CUSTOMIZE = "HostnameCannotCustomizeForLinux", 400;
    /// An account has as many of something as it may have.
    QUOTA_EXCEEDED = "QuotaExceeded", 400;
    MODEL_GROUP_NOT_FOUND = "ModelTemplate.NotFound", 404;
    MODEL_GROUP_IN_USE = "ModelTemplate.InUse", 400;
    PROVIDER_NOT_FOUND = "ModelProviderTemplate.NotFound", 404;
    PROVIDER_NAME_TAKEN = "ModelProviderTemplate.NameDuplicate", 400;
    MODEL_NOT_FOUND = "LlmTemplate.NotFound", 404;
    /// A chat bot serves one runtime.
    CHANNEL_BOT_IN_USE = "Channel.BotInUse", 400;
    /// The operator requires every agent to go through the gateway (`gateway.required`).
    GATEWAY_REQUIRED = "Gateway.Required", 403;
    END_USER_NOT_FOUND = "InvalidEndUserId.NotFound", 404;
    RESOURCE_GROUP_NOT_FOUND = "ResourceGroup.NotFound", 404;
    /// Among the resource groups of a list, one does not exist or is not bound as the request says.
    INVALID_RESOURCE_GROUP_IDS = "InvalidParameter.resourceGroupIds", 400;
    RESOURCE_GROUP_NAME_TAKEN = "ResourceGroup.NameDuplicate", 400;
    RESOURCE_GROUP_NOT_EMPTY = "ResourceGroup.NotEmpty", 400;
    RESOURCE_NOT_IN_GROUP = "ResourceGroup.ResourceNotInGroup", 400;
    PRINCIPAL_NOT_FOUND = "EntityNotExist.User", 404;
    PRINCIPAL_NAME_TAKEN = "EntityAlreadyExists.User", 409;
    PRINCIPAL_IS_ROOT = "OperationDenied.Root", 403;
    PRINCIPALS_LIMIT = "LimitExceeded.User", 409;
    ACCESS_KEY_OF_NOT_FOUND = "EntityNotExist.User.AccessKey", 404;
    ACCESS_KEYS_LIMIT = "LimitExceeded.User.AccessKey", 409;
    POLICY_NOT_FOUND = "EntityNotExist.Policy", 404;
    POLICY_IS_SYSTEM = "OperationDenied.SystemPolicy", 403;
    POLICY_IN_USE = "DeleteConflict.Policy.User", 409;
    POLICIES_LIMIT = "LimitExceeded.Policy", 409;
    POLICY_ATTACHED = "EntityAlreadyExists.User.Policy", 409;
    POLICY_NOT_ATTACHED = "EntityNotExist.User.Policy", 404;
    ATTACHMENTS_LIMIT = "LimitExceeded.User.Policy", 409;
    SYSTEM_PROVIDER_NOT_FOUND = "EntityNotExist.SystemProvider", 404;
    SYSTEM_KEY_NOT_FOUND = "EntityNotExist.SystemProvider.Key", 404;
    SYSTEM_MODEL_NOT_FOUND = "EntityNotExist.SystemProvider.Model", 404;
    CAPTURED_CALL_NOT_FOUND = "EntityNotExist.CapturedCall", 404;
    SYSTEM_NAME_TAKEN = "EntityAlreadyExists.SystemProvider", 409;
    /// Model groups would be left without it.
    SYSTEM_PROVIDER_IN_USE = "DeleteConflict.SystemProvider", 409;
    SYSTEM_PROVIDERS_LIMIT = "LimitExceeded.SystemProvider", 409;
    /// The operator's price list does not have what is ordered.
    ORDER_NOT_OFFERED = "Order.NotOffered", 400;
    /// Whoever approves orders has said no.
    ORDER_DENIED = "Order.Denied", 403;
    /// Whoever approves orders could not be asked.
    ORDER_NOT_APPROVED = "Order.ApprovalUnavailable", 503;
    SKILL_NOT_FOUND = "Skill.NotFound", 404;
    SKILL_VERSION_NOT_FOUND = "SkillVersion.NotFound", 404;
    /// Versions never change.
    SKILL_VERSION_EXISTS = "SkillVersion.Exists", 400;
    /// What is asked of a version does not fit what it is.
    SKILL_VERSION_STATUS = "SkillVersion.IncorrectStatus", 400;
    SKILL_TASK_NOT_FOUND = "InvalidTaskKey.NotFound", 404;
    SKILL_TASK_NOT_COMPLETED = "Task.NotCompleted", 400;
    SKILL_TASK_FAILED = "Task.Failed", 400;
    /// The account's policy does not let skills come from there.
    SKILL_SOURCE_NOT_ALLOWED = "Skill.SourceNotAllowed", 403;
    /// The account's policy wants another person to approve.
    SKILL_SAME_PERSON = "SkillVersion.SameReviewer", 403;
    /// The agent is not running, so a message cannot reach it.
    AGENT_NOT_RUNNING = "Agent.NotRunning", 400;
}

impl ApiError {
    /// An error with a fixed code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed(code.0),
            status: code.1,
            message: message.into(),
            retry_after_ms: None,
            access_denied: None,
        }
    }

    /// `Missing<Parameter>`, 400.
    pub fn missing(parameter: &str) -> Self {
        Self {
            code: Cow::Owned(format!("Missing{parameter}")),
            status: 400,
            message: format!("The parameter {parameter} is required for this operation."),
            retry_after_ms: None,
            access_denied: None,
        }
    }

    /// `Invalid<Parameter>`, 400, with what is wrong and which values are right.
    pub fn invalid(parameter: &str, message: impl Into<String>) -> Self {
        Self {
            code: Cow::Owned(format!("Invalid{parameter}")),
            status: 400,
            message: message.into(),
            retry_after_ms: None,
            access_denied: None,
        }
    }
}
