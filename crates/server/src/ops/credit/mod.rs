//! Credits: quotas of agents and what is used.

pub(crate) mod describe_credit_package_agents;
pub(crate) mod describe_credit_usage_info;
pub(crate) mod describe_deduction_statistic;
pub(crate) mod describe_package_deductions;
pub(crate) mod describe_run_id_deductions;
pub(crate) mod modify_instance_properties;
pub(crate) mod set_agent_credit_quota;

use creel_control::ledger::{AgentKind, LedgerError};
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::words::AgentName;

/// The one type of resource that is deducted here, and the group that it is of.
const CREDIT_PACKAGE: &str = "CreditPackage";
const GROUP_CREDIT_PACKAGE: &str = "GROUP_CREDIT_PACKAGE";
/// Days that are looked at where the caller says no StartTime.
const DAYS_DEFAULT: i64 = 31;
const DAY_MS: i64 = 24 * 3_600_000;

/// Whether a filter for types of resources can find anything.
fn has_credit_package(single: Option<&str>, list: &[String]) -> bool {
    let mut given =
        single.into_iter().filter(|text| !text.is_empty()).chain(list.iter().map(String::as_str)).peekable();
    given.peek().is_none() || given.any(|kind| kind == CREDIT_PACKAGE)
}

/// From when until when: up to now and for 31 days where nothing is said.
fn span(start: Option<i64>, end: Option<i64>, now_ms: i64) -> Result<(i64, i64), ApiError> {
    let end = end.unwrap_or(now_ms);
    let start = start.unwrap_or_else(|| end.saturating_sub(DAYS_DEFAULT * DAY_MS));
    if start >= end {
        return Err(ApiError::invalid("EndTime", "EndTime must be later than StartTime."));
    }
    Ok((start, end))
}

pub(crate) fn api_error(error: LedgerError) -> ApiError {
    match error {
        LedgerError::RuntimeNotFound(id) => {
            ApiError::new(ErrorCode::RUNTIME_NOT_FOUND, format!("No agent {id} in this account."))
        }
        LedgerError::GroupNotFound(id) => ApiError::new(
            ErrorCode::RESOURCE_GROUP_NOT_FOUND,
            format!("No resource group {id} in this account."),
        ),
        LedgerError::PackNotFound(id) => {
            ApiError::invalid("InstanceIds", format!("No credit package {id} in this account."))
        }
        LedgerError::NotOfEndUsers => ApiError::new(
            ErrorCode::NO_PERMISSION,
            "An end user sees the credits of agents that are assigned to it: name them, with UsageType Agent.",
        ),
        LedgerError::BadAmount => {
            ApiError::invalid("CreditQuota", "CreditQuota must be a whole number of credits that fits.")
        }
        LedgerError::Access(error) => super::access_error(&error),
        LedgerError::Store(error) => super::store_error(&error),
        other => super::internal(&other),
    }
}

/// The kind of agent that an AgentType names, in any of its spellings. `None` where none is named.
pub(crate) fn agent_kind(agent_type: Option<&str>) -> Result<Option<AgentKind>, ApiError> {
    let Some(agent_type) = agent_type else { return Ok(None) };
    match AgentName::find(agent_type) {
        // A Hermes Agent has a `jvs-…` id, as a JVS Computer has.
        Some(AgentName::JvsComputer | AgentName::HermesAgent) => Ok(Some(AgentKind::Jvs)),
        Some(AgentName::OpenClaw) => Ok(Some(AgentKind::OpenClaw)),
        Some(AgentName::CreditPackage | AgentName::JvsCopilot) => Ok(Some(AgentKind::Absent)),
        Some(AgentName::Common) | None => Err(ApiError::invalid(
            "AgentType",
            "AgentType must be JVS_CLAW, OPEN_CLAW, JVS_COPILOT or CREDIT_PACKAGE.",
        )),
    }
}
