//! ListCapturedCalls: calls whose content is kept, without it; newest first.

use creel_control::access::Actor;
use creel_control::capture::{CapturedCall, CapturedFilter};
use creel_wire::error::ApiError;
use creel_wire::ops::capture::list_captured_calls::{CapturedCalls, Input, Output};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 100, 100)?;
    let filter = CapturedFilter {
        call_ids: input.call_ids,
        runtime_ids: input.runtime_ids,
        from_ms: input.start_time,
        until_ms: input.end_time,
    };
    let found = app.captures.list(&actor.scope(), &filter, after, limit).await.map_err(super::api_error)?;
    Ok(Output {
        next_token: found.next.map(|cursor| cursor.to_token()),
        captured_calls: Some(found.items.into_iter().map(shown).collect()),
    })
}

fn shown(call: CapturedCall) -> CapturedCalls {
    CapturedCalls {
        request_truncated: Some(call.is_request_truncated()),
        answer_truncated: Some(call.is_answer_truncated()),
        call_id: Some(call.call_id),
        runtime_id: Some(call.runtime_id),
        llm_code: Some(call.model_code),
        request_bytes: Some(call.request_bytes),
        answer_bytes: Some(call.answer_bytes),
        created_time: Some(shown_time(call.created_at_ms, TimeFormat::Seconds)),
        expire_time: Some(shown_time(call.expires_at_ms, TimeFormat::Seconds)),
    }
}
