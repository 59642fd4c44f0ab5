//! ReadCapturedCall: the content of one call. A verb of its own, for its use is recorded as a change is.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::capture::read_captured_call::{Input, Output};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let read = app.captures.read(actor, &input.runtime_id, &input.call_id).await.map_err(super::api_error)?;
    let call = read.call;
    Ok(Output {
        request: Some(read.request.expose().to_owned()),
        answer: Some(read.answer.expose().to_owned()),
        request_truncated: Some(call.is_request_truncated()),
        answer_truncated: Some(call.is_answer_truncated()),
        call_id: Some(call.call_id),
        runtime_id: Some(call.runtime_id),
        llm_code: Some(call.model_code),
        request_bytes: Some(call.request_bytes),
        answer_bytes: Some(call.answer_bytes),
        created_time: Some(shown_time(call.created_at_ms, TimeFormat::Seconds)),
        expire_time: Some(shown_time(call.expires_at_ms, TimeFormat::Seconds)),
    })
}
