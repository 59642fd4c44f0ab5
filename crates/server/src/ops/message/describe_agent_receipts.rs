//! DescribeAgentReceipts: how far agents have come with what is wished of them.

use creel_control::access::Actor;
use creel_control::runtime::{RuntimeFilter, RuntimeView, SandboxStatus};
use creel_wire::error::ApiError;
use creel_wire::ops::message::describe_agent_receipts::{Input, Output, Receipts};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::runtime::agent_status_word;
use crate::ops::shown_time;

/// Runtimes of one call at the most, also where the caller names none.
const RUNTIMES_MAX: i64 = 100;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let filter = RuntimeFilter { ids: input.runtime_ids, ..RuntimeFilter::default() };
    let listed = app.runtimes.list_after(&actor.scope(), filter, None, RUNTIMES_MAX).await;
    let page = listed.map_err(crate::ops::runtime::api_error)?;
    Ok(Output { receipts: Some(page.items.into_iter().map(shown).collect()) })
}

fn shown(view: RuntimeView) -> Receipts {
    let (desired, applied) = (view.wish_generation(), view.is_applied());
    let status = agent_status_word(view.agent_status).to_owned();
    let mut receipt = Receipts {
        runtime_id: Some(view.runtime.id.to_string()),
        desired_generation: Some(desired),
        observed_generation: Some(0),
        applied: Some(applied),
        guest_online: Some(view.guest_online),
        agent_status: Some(status),
        ..Receipts::default()
    };
    if view.runtime.sandbox == SandboxStatus::Pending && !view.runtime.reason.is_empty() {
        receipt.last_error = Some(view.runtime.reason);
    }
    if let Some(seen) = view.observed {
        receipt.observed_generation = Some(seen.receipt_observed);
        receipt.last_error = receipt.last_error.or(seen.receipt_error).or(seen.agent_error);
        receipt.agent_version = seen.agent_version;
        receipt.starts = Some(seen.agent_starts);
        receipt.memory_limited = Some(seen.memory_limited);
        receipt.observed_time = Some(shown_time(seen.observed_at_ms, TimeFormat::Seconds));
    }
    receipt
}
