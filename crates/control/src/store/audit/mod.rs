//! Rows of the audit log: writing them here, searching in [`search`]; [`super::seal`] seals and removes them.

mod search;

pub use search::audit_search_statement;

use sea_query::{Query, SelectStatement};

use super::{Row, StoreError, Tx, params};
use crate::audit::{Event, StoredEvent};

const COLUMNS: [&str; 16] = [
    "id",
    "account_id",
    "principal",
    "actor",
    "action",
    "version",
    "resources_json",
    "decision",
    "outcome",
    "code",
    "calls",
    "source_address",
    "user_agent",
    "at_ms",
    "tag",
    "batch",
];

/// `SELECT` of every column of `audit`.
pub(super) fn rows_of_audit() -> SelectStatement {
    let mut select = Query::select();
    select.from("audit").columns(COLUMNS.map(|column| ("audit", column)));
    select
}

pub(super) fn stored_event(row: &Row) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        event: Event {
            id: row.text("id")?,
            account_id: row.text("account_id")?,
            principal: row.text("principal")?,
            key_id: row.text("actor")?,
            action: row.text("action")?,
            version: row.text("version")?,
            resources_json: row.text("resources_json")?,
            decision: row.text("decision")?,
            outcome: row.text("outcome")?,
            code: row.text("code")?,
            calls: row.int("calls")?,
            source_address: row.text("source_address")?,
            user_agent: row.text("user_agent")?,
            at_ms: row.int("at_ms")?,
        },
        tag: row.text("tag")?,
        batch: row.opt_int("batch")?,
    })
}

impl Tx {
    /// Inserts a row; `Unique` if its nonce or request id was used before.
    pub(crate) async fn insert_audit(
        &mut self,
        event: &Event,
        nonce: Option<&str>,
    ) -> Result<(), StoreError> {
        let tag = self.audit_tag(&event.sealed_bytes());
        self.mark_changed(&event.account_id);
        self.execute(
            "INSERT INTO audit (id, account_id, principal, actor, action, version, resources_json, decision,
                 outcome, code, calls, source_address, user_agent, nonce, at_ms, tag)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            params![
                &event.id,
                &event.account_id,
                &event.principal,
                &event.key_id,
                &event.action,
                &event.version,
                &event.resources_json,
                &event.decision,
                &event.outcome,
                &event.code,
                event.calls,
                &event.source_address,
                &event.user_agent,
                nonce,
                event.at_ms,
                tag
            ],
        )
        .await?;
        Ok(())
    }
}
