//! DescribeAgentMessages: messages and their answers, newest first.

use creel_control::access::Actor;
use creel_control::message::Invocation;
use creel_wire::error::ApiError;
use creel_wire::ops::message::describe_agent_messages::{Input, Messages, Output};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 20, 100)?;
    let (ids, runtime_id) = (input.invocation_ids, input.runtime_id);
    let listed = app.messages.list(&actor.scope(), &ids, runtime_id.as_deref(), after, limit).await;
    let page = listed.map_err(super::api_error)?;
    Ok(Output {
        next_token: page.next.map(|cursor| cursor.to_token()),
        messages: Some(page.items.into_iter().map(shown).collect()),
    })
}

fn shown(invocation: Invocation) -> Messages {
    Messages {
        invocation_id: Some(invocation.id.to_string()),
        runtime_id: Some(invocation.runtime_id.to_string()),
        session_key: Some(invocation.session_key),
        status: Some(invocation.status.as_str().to_owned()),
        reply: invocation.reply,
        error_message: invocation.error_message,
        created_time: Some(shown_time(invocation.created_at_ms, TimeFormat::Seconds)),
        finished_time: invocation.finished_at_ms.map(|at| shown_time(at, TimeFormat::Seconds)),
    }
}
