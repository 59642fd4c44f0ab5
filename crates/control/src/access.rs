//! Who asks, and what every change leaves behind: an audit row, a used nonce, a remembered answer.

use creel_wire::id::{AccessKeyId, AccountId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{StoreError, Tx};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A signed request.
    AccessKey(AccessKeyId),
    /// The operator, by `creel admin` on the server's own machine.
    Operator,
}

/// An authenticated caller and the request it makes.
#[derive(Debug, Clone)]
pub struct Actor {
    pub account_id: AccountId,
    pub principal: Principal,
    /// The action of the request, such as `CreateDesktops`.
    pub action: &'static str,
    /// The provider's RequestId; also the id of the audit row.
    pub request_id: String,
    /// The signature's nonce; `None` for the operator.
    pub nonce: Option<String>,
    /// The caller's ClientToken, where the operation takes one.
    pub client_token: Option<String>,
    /// SHA-256 of the request's parameters without ClientToken: tells a replay from a token used twice.
    pub request_hash: String,
}

/// Why a change was refused before anything was written.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("the nonce was used before")]
    NonceUsed,
    #[error("the client token was used before with other parameters")]
    TokenReused,
    #[error("recording who asked for what")]
    Store(#[from] StoreError),
}

impl Actor {
    /// How the actor is named in the audit log.
    pub fn name(&self) -> &str {
        match &self.principal {
            Principal::AccessKey(id) => id.as_str(),
            Principal::Operator => "operator",
        }
    }

    /// Writes the audit row of this request; call it first in the transaction of every change.
    ///
    /// The row carries the nonce under a unique index, so of two equal requests only one can commit.
    pub async fn audit(&self, tx: &mut Tx, resources: &[&str], now_ms: i64) -> Result<(), AccessError> {
        match tx.insert_audit(self, resources, now_ms).await {
            Err(StoreError::Unique(_)) => Err(AccessError::NonceUsed),
            other => other.map_err(AccessError::Store),
        }
    }

    /// The remembered answer of an equal request with the same ClientToken, if there was one.
    pub async fn replayed<T: DeserializeOwned>(&self, tx: &mut Tx) -> Result<Option<T>, AccessError> {
        let Some(token) = &self.client_token else { return Ok(None) };
        let Some((hash, response)) = tx.find_replay(&self.account_id, self.action, token).await? else {
            return Ok(None);
        };
        if hash != self.request_hash {
            return Err(AccessError::TokenReused);
        }
        serde_json::from_str(&response)
            .map(Some)
            .map_err(|_| StoreError::Corrupt { what: "a remembered answer".to_owned() }.into())
    }

    /// Remembers the answer for [`Actor::replayed`]; call it last in the transaction.
    pub async fn remember<T: Serialize>(
        &self,
        tx: &mut Tx,
        answer: &T,
        now_ms: i64,
    ) -> Result<(), AccessError> {
        let Some(token) = &self.client_token else { return Ok(()) };
        let response = serde_json::to_string(answer)
            .map_err(|_| StoreError::Corrupt { what: "an answer to remember".to_owned() })?;
        tx.insert_replay(&self.account_id, self.action, token, &self.request_hash, &response, now_ms).await?;
        Ok(())
    }
}

impl Actor {
    /// The operator acting on an account from the command line.
    pub fn operator(account_id: AccountId, action: &'static str, request_id: String) -> Self {
        Self {
            account_id,
            principal: Principal::Operator,
            action,
            request_id,
            nonce: None,
            client_token: None,
            request_hash: String::new(),
        }
    }
}
