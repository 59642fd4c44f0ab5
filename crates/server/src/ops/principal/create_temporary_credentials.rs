//! CreateTemporaryCredentials: a key, a secret and a token that end by themselves.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::principal::create_temporary_credentials::{Credentials, Input, Output};
use creel_wire::time::TimeFormat;

use super::named_or_caller;
use crate::app::App;
use crate::ops::shown_time;

/// How long they are good for who does not say.
const DURATION_SECONDS: i64 = 3_600;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let name = named_or_caller(&actor, input.principal_name);
    let duration_ms = input.duration_seconds.unwrap_or(DURATION_SECONDS) * 1_000;
    let policy = input.policy.filter(|policy| !policy.is_empty());
    let made = app.principals.create_temporary(actor, name, duration_ms, policy).await;
    let made = made.map_err(super::api_error)?;
    Ok(Output {
        credentials: Some(Credentials {
            access_key_id: Some(made.key_id.to_string()),
            access_key_secret: Some(made.secret.expose().to_owned()),
            security_token: Some(made.token.expose().to_owned()),
            expiration: Some(shown_time(made.expires_at_ms, TimeFormat::Seconds)),
        }),
    })
}
