//! GetPolicy: a policy with its document.

use creel_control::access::Actor;
use creel_control::policy::find_system_policy;
use creel_wire::error::ApiError;
use creel_wire::ops::policy::get_policy::{Input, Output, Policy};
use creel_wire::time::TimeFormat;

use super::{CUSTOM, SYSTEM};
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let policy = match find_system_policy(&input.policy_name) {
        Some(system) => Policy {
            policy_name: Some(system.name.to_owned()),
            policy_type: Some(SYSTEM.to_owned()),
            description: Some(system.description.to_owned()),
            policy_document: Some(system.document.to_owned()),
            ..Policy::default()
        },
        None => {
            let found = app.principals.get_policy(&actor.account_id, &input.policy_name).await;
            let policy = found.map_err(super::api_error)?;
            Policy {
                policy_name: Some(policy.name),
                policy_type: Some(CUSTOM.to_owned()),
                description: Some(policy.description),
                policy_document: Some(policy.document),
                create_date: Some(shown_time(policy.created_at_ms, TimeFormat::Seconds)),
                update_date: Some(shown_time(policy.updated_at_ms, TimeFormat::Seconds)),
                attachment_count: Some(policy.attachments),
            }
        }
    };
    Ok(Output { policy: Some(policy) })
}
