//! ListCallLimits.

use creel_control::access::Actor;
use creel_control::call_limit::{CallLimit, CallLimitView};
use creel_wire::error::ApiError;
use creel_wire::ops::call_limit::list_call_limits::{CallLimits, Input, Output};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 100, 100)?;
    let page = app.call_limits.list(&actor.account_id, after, limit).await.map_err(super::api_error)?;
    Ok(Output {
        next_token: page.next.map(|cursor| cursor.to_token()),
        call_limits: Some(page.items.into_iter().map(shown).collect()),
    })
}

fn shown(view: CallLimitView) -> CallLimits {
    let CallLimitView { limit: CallLimit { scope, figures }, updated_at_ms } = view;
    CallLimits {
        scope: Some(scope.kind().to_owned()),
        scope_id: Some(scope.id().to_owned()),
        requests_per_minute: figures.requests_per_minute,
        tokens_per_minute: figures.tokens_per_minute,
        concurrent_calls: figures.concurrent_calls,
        output_tokens_max: figures.output_tokens_max,
        update_date: Some(shown_time(updated_at_ms, TimeFormat::Seconds)),
    }
}
