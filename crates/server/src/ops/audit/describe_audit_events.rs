//! DescribeAuditEvents: what callers did, and tried to do; newest first.

use creel_control::access::Actor;
use creel_control::audit::{Decision, EventFilter, StoredEvent};
use creel_wire::error::ApiError;
use creel_wire::ops::audit::describe_audit_events::{Events, Input, Output};
use creel_wire::time::TimeFormat;

use super::api_error;
use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 50, 1_000)?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let filter = EventFilter {
        account_id: actor.account_id,
        id: given(input.event_id),
        principal: given(input.principal),
        key_id: given(input.event_access_key_id),
        action: given(input.event_name),
        resource: given(input.resource),
        // The declaration allows no other texts.
        decision: input.decision.and_then(|text| text.parse::<Decision>().ok()),
        from_ms: input.start_time,
        to_ms: input.end_time,
    };
    let page = app.audit.search(&filter, after.as_ref(), limit).await.map_err(api_error)?;
    Ok(Output {
        events: Some(page.items.into_iter().map(shown).collect()),
        next_token: page.next.map(|cursor| cursor.to_token()),
    })
}

fn shown(StoredEvent { event, batch, .. }: StoredEvent) -> Events {
    Events {
        resources: Some(event.resources()),
        event_time: Some(shown_time(event.at_ms, TimeFormat::Seconds)),
        event_time_ms: Some(event.at_ms),
        event_id: Some(event.id),
        account_id: Some(event.account_id),
        principal: Some(event.principal),
        access_key_id: Some(event.key_id),
        event_name: Some(event.action),
        api_version: Some(event.version),
        decision: Some(event.decision),
        outcome: Some(event.outcome),
        error_code: Some(event.code),
        calls: Some(event.calls),
        source_ip_address: Some(event.source_address),
        user_agent: Some(event.user_agent),
        batch,
    }
}
