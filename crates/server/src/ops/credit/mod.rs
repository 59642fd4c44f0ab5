//! Credits: quotas of agents and what is used.

pub(crate) mod describe_credit_package_agents;
pub(crate) mod describe_credit_usage_info;
pub(crate) mod set_agent_credit_quota;

use creel_control::ledger::{AgentKind, LedgerError};
use creel_wire::error::{ApiError, ErrorCode};

pub(crate) fn api_error(error: LedgerError) -> ApiError {
    match error {
        LedgerError::RuntimeNotFound(id) => {
            ApiError::new(ErrorCode::RUNTIME_NOT_FOUND, format!("No agent {id} in this account."))
        }
        LedgerError::PackNotFound(id) => {
            ApiError::invalid("InstanceIds", format!("No credit package {id} in this account."))
        }
        LedgerError::BadAmount => {
            ApiError::invalid("CreditQuota", "CreditQuota must be a whole number of credits that fits.")
        }
        LedgerError::Access(error) => super::access_error(&error),
        LedgerError::Store(error) => super::store_error(&error),
        other => super::internal(&other),
    }
}

/// The kind of agent that an AgentType names, in either of the spellings that the provider's documents use. `None`
/// where none is named.
pub(crate) fn agent_kind(agent_type: Option<&str>) -> Result<Option<AgentKind>, ApiError> {
    match agent_type {
        None => Ok(None),
        Some("JVS_CLAW" | "JVSClaw") => Ok(Some(AgentKind::Jvs)),
        Some("OPEN_CLAW" | "OpenClaw") => Ok(Some(AgentKind::OpenClaw)),
        Some("CREDIT_PACKAGE" | "JVS_COPILOT" | "JVSCopilot") => Ok(Some(AgentKind::Absent)),
        Some(_) => Err(ApiError::invalid(
            "AgentType",
            "AgentType must be JVS_CLAW, OPEN_CLAW, JVS_COPILOT or CREDIT_PACKAGE.",
        )),
    }
}
