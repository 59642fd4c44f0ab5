//! Remembered answers.

use creel_wire::id::AccountId;

use super::{StoreError, Tx, params};

impl Tx {
    /// The request hash and answer remembered for a ClientToken.
    pub(crate) async fn find_replay(
        &mut self,
        account_id: &AccountId,
        action: &str,
        token: &str,
    ) -> Result<Option<(String, String)>, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT request_hash, response_json FROM idempotency
                 WHERE account_id = $1 AND action = $2 AND client_token = $3",
                params![account_id.as_str(), action, token],
            )
            .await?;
        row.map(|row| Ok((row.text("request_hash")?, row.text("response_json")?))).transpose()
    }

    /// Remembers an answer; `Unique` if an equal request is being answered at this moment.
    pub(crate) async fn insert_replay(
        &mut self,
        account_id: &AccountId,
        action: &str,
        token: &str,
        request_hash: &str,
        response: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO idempotency (account_id, action, client_token, request_hash, response_json, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![account_id.as_str(), action, token, request_hash, response, now_ms],
        )
        .await?;
        Ok(())
    }

    /// Forgets answers of before a moment, a number of them at the most; gives how many went.
    pub(crate) async fn delete_replays(&mut self, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM idempotency WHERE (account_id, action, client_token) IN (
                 SELECT account_id, action, client_token FROM idempotency WHERE created_at_ms < $1
                 ORDER BY created_at_ms LIMIT $2)",
            params![before_ms, limit],
        )
        .await
    }
}
