//! DescribeUsers: end users by name.

use std::collections::BTreeMap;

use creel_control::access::Actor;
use creel_control::user::{UserFilter, UserView};
use creel_wire::error::ApiError;
use creel_wire::ops::user::describe_users::{Input, Output, Users, UsersExtras};
use serde_json::{Value, json};

use super::api_error;
use crate::app::App;
use crate::ops::page_by_token;

const PAGE_SIZE_DEFAULT: i64 = 200;
const PAGE_SIZE_MAX: i64 = 500;
/// The one kind of resource that a user can be given.
const DESKTOP: &str = "CloudDesktop";
/// The provider's two states of a user.
const NORMAL: i64 = 0;
const LOCKED: i64 = 9;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) =
        page_by_token(input.next_token.as_deref(), input.max_results, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)?;
    let one = assigned("FilterWithAssignedResource", input.filter_with_assigned_resource.as_deref())?;
    let other = assigned("FilterWithAssignedResources", input.filter_with_assigned_resources.as_deref())?;
    let filter = UserFilter {
        ids: input.end_user_ids,
        excluded_ids: input.exclude_end_user_ids,
        pattern: input.filter.filter(|pattern| !pattern.is_empty()),
        is_locked: match input.status {
            None => None,
            Some(NORMAL) => Some(false),
            Some(LOCKED) => Some(true),
            Some(_) => return Err(ApiError::invalid("Status", "Status must be 0 (normal) or 9 (locked).")),
        },
        is_assigned: one.or(other),
    };
    let show_extras = input.show_extras.is_some_and(|asked| !matches!(asked.trim(), "" | "{}"));
    let page = app.users.list(&actor.account_id, &filter, after, limit).await.map_err(api_error)?;
    let now_ms = app.clock.now_ms();
    Ok(Output {
        count: Some(page.total),
        next_token: page.next.map(|cursor| cursor.to_token()),
        users: Some(page.items.into_iter().map(|view| shown(view, now_ms, show_extras)).collect()),
    })
}

/// Whether a user must be entitled to a runtime, out of `{"CloudDesktop": "true"}`; absent where nothing is asked.
fn assigned(parameter: &str, text: Option<&str>) -> Result<Option<bool>, ApiError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let wrong = || {
        let message = format!("{parameter} must be JSON with the key {DESKTOP} and true or false behind it.");
        ApiError::invalid(parameter, message)
    };
    let mut map: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|_| wrong())?;
    let wanted = map.remove(DESKTOP);
    match wanted {
        _ if !map.is_empty() => Err(wrong()),
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(Value::String(flag)) => flag.to_ascii_lowercase().parse().map(Some).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    }
}

fn shown(view: UserView, now_ms: i64, show_extras: bool) -> Users {
    let status = if view.user.is_locked(now_ms) { LOCKED } else { NORMAL };
    let user = view.user;
    let extras = UsersExtras {
        assigned_resource_count: Some(json!({ DESKTOP: view.runtime_count })),
        resource_policy_list: Some(Vec::new()),
    };
    let display_name = user.nick_name.as_ref().or(user.remark.as_ref()).cloned();
    Users {
        email: user.email,
        enable_admin_access: Some(user.is_local_admin),
        extras: show_extras.then_some(extras),
        groups: Some(Vec::new()),
        is_tenant_manager: Some(false),
        nick_name: display_name.or_else(|| Some(user.id.to_string())),
        end_user_id: Some(user.id.to_string()),
        orgs: Some(Vec::new()),
        owner_type: Some(user.owner_type.as_str().to_owned()),
        phone: user.phone,
        properties: Some(Vec::new()),
        real_nick_name: user.nick_name,
        remark: user.remark,
        status: Some(status),
        ..Users::default()
    }
}
