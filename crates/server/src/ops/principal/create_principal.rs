//! CreatePrincipal: a user under the account, who may do nothing until it gets a policy, or one who acts for an end user.

use creel_control::access::Actor;
use creel_control::principal::NewPrincipal;
use creel_wire::error::ApiError;
use creel_wire::ops::principal::create_principal::{Input, Output, Principal};

use super::shown_principal;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let new = NewPrincipal {
        name: input.principal_name,
        description: input.description.unwrap_or_default(),
        end_user: input.end_user_id.filter(|name| !name.is_empty()),
    };
    let made = app.principals.create(actor, new).await.map_err(super::api_error)?;
    Ok(Output { principal: Some(shown_principal!(Principal, made)) })
}
