//! The audit log: one row for each call that changes something or reads a secret, in that call's transaction, and one
//! for each call that was refused, within a bound.
//!
//! Rows are never changed, and [`crate::sealing`] makes it show if they are. `docs/audit.md` says who can hide what.

mod refusals;

use creel_wire::id::AccountId;

pub use refusals::{ROWS_A_MINUTE, Refusals};

use crate::page::{Cursor, Page};
use crate::sealing::SealRow;
use crate::store::{Store, StoreError};

/// Why the audit log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("reading audit rows")]
    Store(#[from] StoreError),
}

/// Whether the caller was allowed to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    Denied,
}

impl Decision {
    /// The word that API and store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Allowed => "Allowed",
            Decision::Denied => "Denied",
        }
    }
}

impl std::str::FromStr for Decision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "Allowed" => Ok(Decision::Allowed),
            "Denied" => Ok(Decision::Denied),
            _ => Err("give Allowed or Denied".to_owned()),
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
    /// The word that API and store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "Success",
            Outcome::Failure => "Failure",
        }
    }
}

/// One row, as it is stored: it names what was asked for and by whom, and never holds a parameter's value other than
/// ids. Its fields are texts and not types of ours, because whoever checks a row must be able to read a forged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The RequestId of the call.
    pub id: String,
    pub account_id: String,
    pub principal: String,
    /// The access key, `operator`, or `creel` for what it does by itself.
    pub key_id: String,
    pub action: String,
    /// The API version; empty for the operator's commands.
    pub version: String,
    /// Ids of what was acted on, as a JSON array.
    pub resources_json: String,
    /// A [`Decision`].
    pub decision: String,
    /// An [`Outcome`].
    pub outcome: String,
    /// The error code that the caller got; empty after a success.
    pub code: String,
    /// More than one where the row stands for several refused calls.
    pub calls: i64,
    pub source_address: String,
    pub user_agent: String,
    pub at_ms: i64,
}

/// An event and what the store keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    pub event: Event,
    /// What marks the row as written by Creel.
    pub tag: String,
    /// The sealed batch it is in.
    pub batch: Option<i64>,
}

impl Event {
    /// Ids of what was acted on, each once.
    pub fn resources(&self) -> Vec<String> {
        let mut resources: Vec<String> = serde_json::from_str(&self.resources_json).unwrap_or_default();
        resources.sort_unstable();
        resources.dedup();
        resources
    }

    /// What the row's tag and its hash are of: every column, each behind its length.
    pub(crate) fn sealed_bytes(&self) -> Vec<u8> {
        let (calls, at_ms) = (self.calls.to_string(), self.at_ms.to_string());
        let columns = [
            "creel-audit-v1",
            &self.id,
            &self.account_id,
            &self.principal,
            &self.key_id,
            &self.action,
            &self.version,
            &self.resources_json,
            &self.decision,
            &self.outcome,
            &self.code,
            &calls,
            &self.source_address,
            &self.user_agent,
            &at_ms,
        ];
        let mut bytes = Vec::with_capacity(512);
        for column in columns {
            bytes.extend_from_slice(&u64::try_from(column.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(column.as_bytes());
        }
        bytes
    }
}

impl Event {
    /// As it is sealed.
    pub(crate) fn seal_row(&self, tag: String, batch: Option<i64>) -> SealRow {
        SealRow {
            id: self.id.clone(),
            at_ms: self.at_ms,
            bytes: self.sealed_bytes(),
            tag,
            batch,
            index: Some((self.account_id.clone(), self.resources())),
        }
    }
}

/// What to search for: everything that is given must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    pub account_id: AccountId,
    pub id: Option<String>,
    pub principal: Option<String>,
    pub key_id: Option<String>,
    pub action: Option<String>,
    /// Found once the row is sealed.
    pub resource: Option<String>,
    pub decision: Option<Decision>,
    /// From this moment on.
    pub from_ms: Option<i64>,
    /// Before this moment.
    pub to_ms: Option<i64>,
}

impl EventFilter {
    /// Every event of an account.
    pub fn all(account_id: AccountId) -> Self {
        Self {
            account_id,
            id: None,
            principal: None,
            key_id: None,
            action: None,
            resource: None,
            decision: None,
            from_ms: None,
            to_ms: None,
        }
    }
}

/// Reads the audit log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    store: Store,
}

impl AuditLog {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// A page of what matches, newest first. Does not count what matches.
    pub async fn search(
        &self,
        filter: &EventFilter,
        after: Option<&Cursor>,
        limit: i64,
    ) -> Result<Page<StoredEvent>, AuditError> {
        Ok(self.store.search_audit(filter, after, limit).await?)
    }

    /// Events of an account from `after` (a time and an id) on and before `to_ms`, oldest first.
    pub async fn list(
        &self,
        account_id: &str,
        after: &(i64, String),
        to_ms: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, AuditError> {
        Ok(self.store.list_audit(account_id, after, to_ms, u64::from(limit)).await?)
    }

    /// The next account that has events, whether or not it is there any more.
    pub async fn next_account(&self, after: &str) -> Result<Option<String>, AuditError> {
        Ok(self.store.next_audited_account(after).await?)
    }
}
