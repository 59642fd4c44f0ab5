//! ListAccessKeys: a principal's keys without their secrets.

use creel_control::access::Actor;
use creel_control::account::AccessKeyRow;
use creel_wire::error::ApiError;
use creel_wire::ops::principal::list_access_keys::{AccessKeys, Input, Output};
use creel_wire::time::TimeFormat;

use super::{named_or_caller, status};
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let name = named_or_caller(&actor, input.principal_name);
    let keys = app.principals.list_keys(&actor.account_id, &name).await.map_err(super::api_error)?;
    Ok(Output { access_keys: Some(keys.into_iter().map(shown).collect()) })
}

fn shown(key: AccessKeyRow) -> AccessKeys {
    AccessKeys {
        access_key_id: Some(key.id.to_string()),
        status: status(key.active),
        create_date: Some(shown_time(key.created_at_ms, TimeFormat::Seconds)),
        last_used_date: key.last_used_at_ms.map(|at_ms| shown_time(at_ms, TimeFormat::Seconds)),
    }
}
