//! ListPolicies: the account's own policies, the system policies, or what is attached to one principal.

use creel_control::access::Actor;
use creel_control::policy::{SYSTEM_POLICIES, SystemPolicy, find_system_policy};
use creel_control::principal::PolicyRow;
use creel_wire::error::ApiError;
use creel_wire::ops::policy::list_policies::{Input, Output, Policies};
use creel_wire::time::TimeFormat;

use super::{CUSTOM, SYSTEM};
use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 100, 100)?;
    let kind = input.policy_type.filter(|kind| !kind.is_empty());
    if let Some(principal) = input.principal_name.filter(|name| !name.is_empty()) {
        let policies = attached(app, &actor, &principal).await?;
        let wanted = |policy: &Policies| kind.is_none() || policy.policy_type == kind;
        let policies = policies.into_iter().filter(wanted).collect();
        return Ok(Output { policies: Some(policies), next_token: None });
    }
    if kind.as_deref() == Some(SYSTEM) {
        return Ok(Output { policies: Some(SYSTEM_POLICIES.iter().map(system).collect()), next_token: None });
    }
    let listed = app.principals.list_policies(&actor.account_id, after, limit).await;
    let page = listed.map_err(super::api_error)?;
    Ok(Output {
        next_token: page.next.map(|cursor| cursor.to_token()),
        policies: Some(page.items.into_iter().map(custom).collect()),
    })
}

async fn attached(app: &App, actor: &Actor, principal: &str) -> Result<Vec<Policies>, ApiError> {
    let attachments = app.principals.list_attachments(&actor.account_id, principal).await;
    let mut policies = Vec::new();
    for attachment in attachments.map_err(super::api_error)? {
        let mut policy = match find_system_policy(&attachment.policy) {
            Some(found) => system(found),
            None => {
                let found = app.principals.get_policy(&actor.account_id, &attachment.policy).await;
                custom(found.map_err(super::api_error)?)
            }
        };
        policy.attach_date = Some(shown_time(attachment.attached_at_ms, TimeFormat::Seconds));
        policies.push(policy);
    }
    Ok(policies)
}

fn system(policy: &SystemPolicy) -> Policies {
    Policies {
        policy_name: Some(policy.name.to_owned()),
        policy_type: Some(SYSTEM.to_owned()),
        description: Some(policy.description.to_owned()),
        ..Policies::default()
    }
}

fn custom(policy: PolicyRow) -> Policies {
    Policies {
        policy_name: Some(policy.name),
        policy_type: Some(CUSTOM.to_owned()),
        description: Some(policy.description),
        create_date: Some(shown_time(policy.created_at_ms, TimeFormat::Seconds)),
        update_date: Some(shown_time(policy.updated_at_ms, TimeFormat::Seconds)),
        attachment_count: Some(policy.attachments),
        ..Policies::default()
    }
}
