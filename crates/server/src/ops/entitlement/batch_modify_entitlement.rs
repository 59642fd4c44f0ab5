//! BatchModifyEntitlement: shares users out over runtimes. Answers with what each runtime gets; each then shows
//! ManagementFlag Assigning until it has them.

use creel_control::access::Actor;
use creel_control::entitlement::{Assignment, Caps, SpreadRequest, Strategy};
use creel_wire::error::ApiError;
use creel_wire::ops::entitlement::batch_modify_entitlement::{
    Entitlements, EntitlementsAssignModels, Input, Output,
};

use super::api_error;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let task_id = actor.request_id.clone();
    let request = SpreadRequest {
        runtime_ids: input.desktop_id,
        users: input.end_user_id,
        strategy: match input.strategy.as_deref() {
            Some("CENTRAL") => Strategy::Central,
            _ => Strategy::Average,
        },
        caps: Caps {
            runtimes_per_user: cap(input.max_desktop_per_user),
            users_per_runtime: cap(input.max_user_per_desktop),
        },
    };
    let (assigned, status, task_id) = if input.preview {
        (app.entitlements.preview(actor, request).await, "NOT_STARTED", None)
    } else {
        (app.entitlements.assign(actor, request).await, "PROCESSING", Some(task_id))
    };
    let models = assigned.map_err(api_error)?.into_iter().map(|assignment| shown(assignment, status));
    Ok(Output {
        entitlements: Some(Entitlements {
            assign_models: Some(models.collect()),
            status: Some(status.to_owned()),
            task_id,
        }),
    })
}

/// 0, like no cap at all, is no limit.
fn cap(cap: Option<i64>) -> Option<usize> {
    cap.and_then(|cap| usize::try_from(cap).ok()).filter(|cap| *cap > 0)
}

fn shown(assignment: Assignment, status: &str) -> EntitlementsAssignModels {
    EntitlementsAssignModels {
        desktop_id: Some(assignment.runtime_id.to_string()),
        end_user_ids: Some(assignment.users.into_iter().map(String::from).collect()),
        inner_status: Some(status.to_owned()),
    }
}
