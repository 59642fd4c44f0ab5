//! The audit log: one row for each call that changes something or reads a secret, in that call's transaction.

use creel_wire::id::AccountId;

/// Whether the caller was allowed to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    Denied,
}

impl Decision {
    /// The word that the store uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Allowed => "Allowed",
            Decision::Denied => "Denied",
        }
    }
}

/// How the call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that the row stands with in its transaction was done.
    Success,
    Failure,
}

impl Outcome {
    /// The word that the store uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "Success",
            Outcome::Failure => "Failure",
        }
    }
}

/// One row. It names what was asked for and by whom, and never holds a parameter's value other than ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The RequestId of the call.
    pub id: String,
    pub account_id: AccountId,
    pub principal: String,
    /// The access key, or `operator`.
    pub key_id: String,
    pub action: String,
    /// The API version; empty for the operator's commands.
    pub version: String,
    /// Ids of what was acted on.
    pub resources: Vec<String>,
    pub decision: Decision,
    pub outcome: Outcome,
    /// The error code that the caller got; empty after a success.
    pub code: String,
    /// More than one where the row stands for several refused calls.
    pub calls: i64,
    pub source_address: String,
    pub user_agent: String,
    pub at_ms: i64,
}
