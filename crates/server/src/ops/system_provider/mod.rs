//! The operator's model providers. They are one installation's, not one account's: only the account that the first
//! start made, the operator's, may see or edit them.

pub(crate) mod create_system_provider;
pub(crate) mod create_system_provider_key;
pub(crate) mod delete_system_model;
pub(crate) mod delete_system_provider;
pub(crate) mod delete_system_provider_key;
pub(crate) mod list_system_providers;
pub(crate) mod put_system_model;
pub(crate) mod set_system_price;
pub(crate) mod update_system_provider;
pub(crate) mod update_system_provider_key;

use creel_control::access::Actor;
use creel_control::model::ModelError;
use creel_wire::error::{ApiError, ErrorCode};

use crate::app::App;

/// Refuses callers of other accounts.
fn check_operator(app: &App, actor: &Actor) -> Result<(), ApiError> {
    if actor.account_id == app.operator_account_id {
        return Ok(());
    }
    let message = "Only the account of this server's operator has system providers.";
    Err(ApiError::new(ErrorCode::NO_PERMISSION, message))
}

/// The errors are those of all that has to do with models, but for one that means something else elsewhere.
fn api_error(error: ModelError) -> ApiError {
    match error {
        ModelError::NoSystemProvider(name) => {
            let message = format!("There is no system provider named {name}.");
            ApiError::new(ErrorCode::SYSTEM_PROVIDER_NOT_FOUND, message)
        }
        other => super::model_group::api_error(other),
    }
}

/// The lists of addresses of several operations, each of a type of its own.
macro_rules! endpoints {
    ($given:expr) => {
        $given
            .into_iter()
            .map(|given| creel_control::model::SystemEndpoint {
                // Without one it is no address, and refused as such.
                base_url: given.base_url.unwrap_or_default(),
                weight: given.weight.unwrap_or(1),
            })
            .collect::<Vec<_>>()
    };
}
use endpoints;
