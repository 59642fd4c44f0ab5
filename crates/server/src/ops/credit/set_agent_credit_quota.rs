//! SetAgentCreditQuota: what agents may spend in a cycle: a calendar month, unless the operator has set another.

use creel_control::access::Actor;
use creel_control::ledger::QuotaChange;
use creel_wire::error::ApiError;
use creel_wire::money::Micros;
use creel_wire::ops::credit::set_agent_credit_quota::{Input, Output};

use super::{agent_kind, api_error};
use crate::app::App;

/// All agents named, or none if one does not exist. Without CreditQuota the limit is taken away.
pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    agent_kind(input.agent_type.as_deref())?;
    if input.agent_ids.is_empty() {
        return Err(ApiError::missing("AgentIds"));
    }
    let quota = match input.credit_quota {
        None => None,
        Some(credits) => Some(
            Micros::from_credits(credits)
                .ok_or_else(|| ApiError::invalid("CreditQuota", "CreditQuota is larger than any balance."))?,
        ),
    };
    let change = QuotaChange { quota, ..QuotaChange::default() };
    app.credits.set_quota(actor, input.agent_ids, change).await.map_err(api_error)?;
    Ok(Output::default())
}
