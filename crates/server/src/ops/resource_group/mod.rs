//! Resource groups and the runtimes in them.

pub(crate) mod create_resource_group;
pub(crate) mod delete_resource_group;
pub(crate) mod describe_resource_groups;
pub(crate) mod transfer_resources_into_group;
pub(crate) mod transfer_resources_outof_group;

use creel_control::resource_group::ResourceGroupError;
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::id::ResourceGroupId;

pub(crate) fn api_error(error: ResourceGroupError) -> ApiError {
    use ResourceGroupError as E;
    let text = error.to_string();
    match error {
        E::NotFound(id) => ApiError::new(
            ErrorCode::RESOURCE_GROUP_NOT_FOUND,
            format!("No resource group {id} in this account. DescribeResourceGroups lists them."),
        ),
        E::NameTaken(name) => ApiError::new(
            ErrorCode::RESOURCE_GROUP_NAME_TAKEN,
            format!("Another resource group is named {name}. Choose another name."),
        ),
        E::Name => ApiError::invalid(
            "ResourceGroupName",
            "ResourceGroupName must have 1 to 64 characters, none of them a control character.",
        ),
        E::TooMany => ApiError::new(
            ErrorCode::QUOTA_EXCEEDED,
            "The account has as many resource groups as it may have. Delete one that is not needed.",
        ),
        E::NotEmpty(id) => ApiError::new(
            ErrorCode::RESOURCE_GROUP_NOT_EMPTY,
            format!(
                "Resource group {id} still holds runtimes. Move them with TransferResourcesOutofGroup, or delete them."
            ),
        ),
        E::NotInGroup { .. } => {
            ApiError::new(ErrorCode::RESOURCE_NOT_IN_GROUP, format!("Nothing was moved: {text}."))
        }
        E::Runtime(error) => super::runtime::api_error(error),
        E::Access(error) => super::access_error(&error),
        E::Store(error) => super::store_error(&error),
    }
}

/// The group that an id names; a text that is no id names none.
pub(crate) fn group_id(text: &str) -> Result<ResourceGroupId, ApiError> {
    ResourceGroupId::parse(text).map_err(|_| api_error(ResourceGroupError::NotFound(text.to_owned())))
}
