//! DescribeCreditPackageAgents: agents with their credits of this month, by id.

use creel_control::access::Actor;
use creel_control::ledger::Agent;
use creel_wire::error::ApiError;
use creel_wire::money::Micros;
use creel_wire::ops::credit::describe_credit_package_agents::{Agents, Input, Output};
use creel_wire::time::TimeFormat;

use super::{agent_kind, api_error};
use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 20, 1_000)?;
    let kind = agent_kind(input.agent_type.as_deref())?;
    let listed =
        app.credits.list_agents(&actor.account_id, &input.agent_ids, kind, after.as_ref(), limit).await;
    let (agents, next) = listed.map_err(api_error)?;
    Ok(Output {
        agents: Some(agents.into_iter().map(shown).collect()),
        max_results: Some(limit),
        next_token: next.map(|cursor| cursor.to_token()),
    })
}

/// Used rounds up: an agent never shows less than it spent.
fn shown(agent: Agent) -> Agents {
    let expired = agent.pack.as_ref().and_then(|pack| pack.expires_at_ms);
    Agents {
        agent_id: Some(agent.agent_id),
        created_time: Some(shown_time(agent.created_at_ms, TimeFormat::SpacedSeconds)),
        credit_package_id: agent.pack.map(|pack| pack.id.to_string()),
        expired_time: expired.map(|at| shown_time(at, TimeFormat::SpacedSeconds)),
        instance_type: Some(agent.desktop_type),
        total_credit: agent.total.map(Micros::credits_floor),
        used_credit: Some(agent.used.credits_ceil()),
        warn_percent: Some(agent.warn_percent),
    }
}
