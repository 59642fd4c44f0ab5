//! ListCapturePolicies.

use creel_control::access::Actor;
use creel_control::capture::CapturePolicy;
use creel_wire::error::ApiError;
use creel_wire::ops::capture::list_capture_policies::{CapturePolicies, Input, Output};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 100, 100)?;
    let page = app.capture_policies.list(&actor.scope(), after, limit).await.map_err(super::api_error)?;
    Ok(Output {
        next_token: page.next.map(|cursor| cursor.to_token()),
        capture_policies: Some(page.items.into_iter().map(shown).collect()),
    })
}

fn shown(policy: CapturePolicy) -> CapturePolicies {
    CapturePolicies {
        scope: Some(policy.scope.kind().to_owned()),
        scope_id: Some(policy.scope.id().to_owned()),
        retention_days: Some(policy.terms.retention_days),
        bytes_max: Some(policy.terms.bytes_max),
        update_date: Some(shown_time(policy.updated_at_ms, TimeFormat::Seconds)),
    }
}
