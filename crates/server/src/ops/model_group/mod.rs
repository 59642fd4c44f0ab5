//! Model groups (model templates, in the provider's words) and which runtimes and resource groups use them.

pub(crate) mod config_resource_group_model_template;
pub(crate) mod config_runtime_model_template;
pub(crate) mod create_model_template;
pub(crate) mod delete_model_template;
pub(crate) mod get_runtime_model_config;
pub(crate) mod list_model_template_resource_group;
pub(crate) mod list_model_templates;
pub(crate) mod remove_resource_group_model_template;
pub(crate) mod remove_runtime_model_template;
pub(crate) mod update_model_template;

use std::str::FromStr;

use creel_control::model::{BindOutcome, Field, ModelError, UnknownWord};
use creel_control::resource_group::ResourceGroupError;
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::id::ModelGroupId;

/// Ids in one filter, and runtimes in one binding, at the most.
pub(crate) const IDS_MAX: usize = 500;

/// What a binding answers for one runtime, in the words of both operations.
pub(crate) struct BindResult {
    pub(crate) success: bool,
    pub(crate) code: &'static str,
    pub(crate) status: i64,
    pub(crate) message: String,
}

impl From<BindOutcome> for BindResult {
    fn from(outcome: BindOutcome) -> Self {
        let refused = |ErrorCode(code, status): ErrorCode, message: String| BindResult {
            success: false,
            code,
            status: i64::from(status),
            message,
        };
        match outcome {
            BindOutcome::Done => {
                BindResult { success: true, code: "200", status: 200, message: "success".to_owned() }
            }
            BindOutcome::RuntimeNotFound => {
                refused(ErrorCode::RUNTIME_NOT_FOUND, "The runtime is not found.".to_owned())
            }
            BindOutcome::AgentMismatch { runtime_agent, group_agent } => {
                let message =
                    format!("The model group is for {group_agent}, the runtime is a {runtime_agent}.");
                refused(ErrorCode::INVALID_PARAMETER, message)
            }
            BindOutcome::OtherGroup => {
                let message = "The runtime uses another model group, which was not removed.".to_owned();
                refused(ErrorCode::INVALID_PARAMETER, message)
            }
        }
    }
}

/// The group that an id names; a text that is no id names none.
pub(crate) fn group_id(text: &str) -> Result<ModelGroupId, ApiError> {
    ModelGroupId::parse(text).map_err(|_| api_error(ModelError::GroupNotFound(text.to_owned())))
}

/// An optional text; SDKs send an empty one for what was not set.
pub(crate) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A word of a closed set.
pub(crate) fn word<T: FromStr<Err = UnknownWord>>(parameter: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|UnknownWord(words)| {
        ApiError::invalid(parameter, format!("The parameter {parameter} must be one of {words}."))
    })
}

/// An optional word of a closed set.
pub(crate) fn given_word<T>(parameter: &str, text: Option<String>) -> Result<Option<T>, ApiError>
where
    T: FromStr<Err = UnknownWord>,
{
    given(text).map(|text| word(parameter, &text)).transpose()
}

/// The reference says `InvalidParameter` for a scope that is not one of its upper-case words.
pub(crate) fn given_scope(text: Option<String>) -> Result<Option<creel_control::model::RefScope>, ApiError> {
    given_word("RefScope", text).map_err(|error| ApiError::new(ErrorCode::INVALID_PARAMETER, error.message))
}

/// Refuses a list that is too long.
pub(crate) fn check_ids(parameter: &str, ids: &[String]) -> Result<(), ApiError> {
    if ids.len() > IDS_MAX {
        let message = format!("The parameter {parameter} must have at most {IDS_MAX} items.");
        return Err(ApiError::invalid(parameter, message));
    }
    Ok(())
}

fn parameter(field: Field) -> &'static str {
    match field {
        Field::Name => "Name",
        Field::Description => "Description",
        Field::AgentProvider => "AgentProvider",
        Field::AgentPlatform => "AgentPlatform",
        Field::RefScope => "RefScope",
        Field::Config => "Config",
        Field::ProviderName => "ProviderName",
        Field::ProviderType => "ProviderType",
        Field::Proxied => "EnableWuyingProxy",
        Field::GroupId => "ModelTemplateId",
        Field::Models => "LlmTemplateItems",
        Field::Endpoints => "Endpoints",
        Field::Weight => "Weight",
        Field::KeyName => "KeyName",
        Field::ApiKey => "ApiKey",
        Field::BaseUrl => "BaseUrl",
        Field::Code => "LlmCode",
        Field::Routes => "Routes",
    }
}

/// The errors of groups, providers and models, which are one service.
pub(crate) fn api_error(error: ModelError) -> ApiError {
    use ModelError as E;
    match &error {
        E::Access(error) => super::access_error(error),
        E::Store(error) => super::store_error(error),
        E::Secrets(_) => super::internal(&error),
        E::Invalid { field, problem } => {
            let parameter = parameter(*field);
            let invalid = ApiError::invalid(parameter, format!("The parameter {parameter} {problem}."));
            match field {
                Field::RefScope => ApiError::new(ErrorCode::INVALID_PARAMETER, invalid.message),
                _ => invalid,
            }
        }
        E::GroupNotFound(_) => {
            ApiError::new(ErrorCode::MODEL_GROUP_NOT_FOUND, "The model group is not found.")
        }
        E::ProviderNotFound(_) => {
            ApiError::new(ErrorCode::PROVIDER_NOT_FOUND, "The model provider is not found.")
        }
        E::ModelNotFound(_) => ApiError::new(ErrorCode::MODEL_NOT_FOUND, "The model is not found."),
        E::GroupInUse(_) => ApiError::new(
            ErrorCode::MODEL_GROUP_IN_USE,
            "Runtimes or resource groups use the model group. Take it away from them first, with \
             RemoveRuntimeModelTemplate and RemoveResourceGroupModelTemplate. ListDesktopAgentRuntime with \
             ModelTemplateId and ListModelTemplateResourceGroup show them.",
        ),
        E::RuntimeNotFound(_) => ApiError::new(ErrorCode::RUNTIME_NOT_FOUND, "The runtime is not found."),
        E::ResourceGroupNotFound(id) => {
            super::resource_group::api_error(ResourceGroupError::NotFound(id.clone()))
        }
        E::ProviderNameTaken(name) => ApiError::new(
            ErrorCode::PROVIDER_NAME_TAKEN,
            format!("The model group has a provider named {name}. Use another ProviderName."),
        ),
        E::GatewayRequired => ApiError::new(
            ErrorCode::GATEWAY_REQUIRED,
            "EnableWuyingProxy must be true: the operator of this server lets agents reach models through the gateway only.",
        ),
        E::NoSystemProvider(name) => ApiError::invalid(
            "ProviderType",
            format!(
                "The operator of this server offers no provider {name}. Use the ProviderType Managed or Custom with a key \
                 of your own, or ask the operator to configure one."
            ),
        ),
        E::SystemNameTaken(_) => ApiError::new(ErrorCode::SYSTEM_NAME_TAKEN, sentence(&error)),
        E::SystemProviderInUse(_) | E::LastSystemKey | E::EndpointInUse => {
            ApiError::new(ErrorCode::SYSTEM_PROVIDER_IN_USE, sentence(&error))
        }
        E::SystemKeyNotFound(_) => ApiError::new(ErrorCode::SYSTEM_KEY_NOT_FOUND, sentence(&error)),
        E::SystemModelNotFound(_) => ApiError::new(ErrorCode::SYSTEM_MODEL_NOT_FOUND, sentence(&error)),
        E::TooManySystemParts(_) => ApiError::new(ErrorCode::SYSTEM_PROVIDERS_LIMIT, sentence(&error)),
        E::TooManyGroups => ApiError::new(ErrorCode::INVALID_PARAMETER, sentence(&error)),
        E::TooManyProviders => ApiError::invalid("ModelTemplateId", sentence(&error)),
        E::TooManyModels => ApiError::invalid("LlmTemplateItems", sentence(&error)),
    }
}

/// An error's own words as a sentence; only for those that are written in the caller's terms.
fn sentence(error: &ModelError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => text,
    }
}
