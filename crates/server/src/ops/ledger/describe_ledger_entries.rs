//! DescribeLedgerEntries: what every call cost, exactly; newest first.

use creel_control::access::Actor;
use creel_control::ledger::{EntriesQuery, Entry};
use creel_wire::error::ApiError;
use creel_wire::ops::ledger::describe_ledger_entries::{Entries, Input, Output};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::credit::api_error;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 100, 1_000)?;
    let query = EntriesQuery {
        runtime_ids: input.runtime_ids,
        from_ms: input.start_time,
        until_ms: input.end_time,
        after,
        limit,
    };
    let page = app.credits.list_entries(&actor.scope(), query).await.map_err(api_error)?;
    Ok(Output {
        entries: Some(page.entries.into_iter().map(shown).collect()),
        total_credits: Some(page.total.to_string()),
        next_token: page.next.map(|cursor| cursor.to_token()),
    })
}

/// What no pack paid is told first; that it is an estimate besides, the export tells.
fn label(entry: &Entry) -> &'static str {
    if entry.postpaid { "postpaid" } else { entry.label.as_str() }
}

fn shown(entry: Entry) -> Entries {
    let tokens = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
    let label = label(&entry).to_owned();
    Entries {
        entry_id: Some(entry.id.to_string()),
        call_id: Some(entry.call_id.to_string()),
        runtime_id: Some(entry.runtime_id.to_string()),
        provider_name: Some(entry.provider_name.to_string()),
        llm_code: Some(entry.model_code.to_string()),
        // The wire has no class for cache writes: they are input.
        input_tokens: tokens(entry.usage.input.saturating_add(entry.usage.cache_write)),
        cached_input_tokens: tokens(entry.usage.cached_input),
        output_tokens: tokens(entry.usage.output),
        credits: Some(entry.micros.to_string()),
        label: Some(label),
        created_time: Some(shown_time(entry.created_at_ms, TimeFormat::Seconds)),
    }
}
