//! CreateAccessKey: the only answer that holds the secret. It takes no ClientToken, because a remembered answer would
//! keep the secret in clear.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::principal::create_access_key::{AccessKey, Input, Output};
use creel_wire::time::TimeFormat;

use super::{named_or_caller, status};
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let name = named_or_caller(&actor, input.principal_name);
    let key = app.principals.create_key(actor, name).await.map_err(super::api_error)?;
    Ok(Output {
        access_key: Some(AccessKey {
            access_key_id: Some(key.id.to_string()),
            access_key_secret: Some(key.secret.expose().to_owned()),
            status: status(key.active),
            create_date: Some(shown_time(app.clock.now_ms(), TimeFormat::Seconds)),
        }),
    })
}
