//! DeleteAccessKey: a key that is not needed any more.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::principal::delete_access_key::{Input, Output};

use super::{key_id, named_or_caller};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (name, id) = (named_or_caller(&actor, input.principal_name), key_id(&input.user_access_key_id)?);
    app.principals.delete_key(actor, name, id).await.map_err(super::api_error)?;
    Ok(Output {})
}
