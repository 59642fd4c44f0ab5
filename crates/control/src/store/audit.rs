//! Rows of the audit log.

use super::{StoreError, Tx, params};
use crate::audit::Event;

impl Tx {
    /// Inserts a row; `Unique` if its nonce or request id was used before.
    pub(crate) async fn insert_audit(
        &mut self,
        event: &Event,
        nonce: Option<&str>,
    ) -> Result<(), StoreError> {
        let resources = serde_json::to_string(&event.resources)
            .map_err(|_| StoreError::Corrupt { what: "audit resources".to_owned() })?;
        self.execute(
            "INSERT INTO audit (id, account_id, principal, actor, action, version, resources_json, decision,
                 outcome, code, calls, source_address, user_agent, nonce, at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            params![
                &event.id,
                event.account_id.as_str(),
                &event.principal,
                &event.key_id,
                &event.action,
                &event.version,
                resources,
                event.decision.as_str(),
                event.outcome.as_str(),
                &event.code,
                event.calls,
                &event.source_address,
                &event.user_agent,
                nonce,
                event.at_ms
            ],
        )
        .await?;
        Ok(())
    }
}
