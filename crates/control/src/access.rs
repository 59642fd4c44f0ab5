//! Who asks, and what every change leaves behind: an audit row, a used nonce, a remembered answer.

use std::borrow::Cow;

use creel_wire::id::{AccessKeyId, AccountId, EndUserId, PrincipalId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::{Decision, Event, Outcome};
use crate::entitlement::Entitled;
use crate::store::{StoreError, Tx};

/// Most characters of a user agent that are kept.
const USER_AGENT_CHARS_MAX: usize = 256;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A request signed with a key of the account's root.
    AccessKey(AccessKeyId),
    /// A request signed with a key of somebody under the account.
    Member(Member),
    /// The operator, by `creel admin` on the server's own machine.
    Operator,
    /// Creel, for what it does by itself.
    Creel,
}

/// Somebody under an account, by one of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub key_id: AccessKeyId,
    pub principal_id: PrincipalId,
    pub name: String,
}

/// Where a request came from, and the API version that it asked for; all empty for the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Such as `2020-09-30`.
    pub version: &'static str,
    /// The address of the connection's other end, such as `192.0.2.7`: a proxy's where there is one.
    pub address: String,
    /// As the client calls itself; printable ASCII, cut to 256 characters.
    user_agent: String,
}

impl Origin {
    /// Of a request with this `User-Agent`.
    pub fn new(version: &'static str, address: String, user_agent: &str) -> Self {
        let printable = |c: &char| c.is_ascii_graphic() || *c == ' ';
        let user_agent = user_agent.chars().filter(printable).take(USER_AGENT_CHARS_MAX).collect();
        Self { version, address, user_agent }
    }
}

/// Which rows a caller sees: those of its account, for an end user only those of runtimes that it is entitled to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub account_id: AccountId,
    pub end_user: Option<EndUserId>,
}

impl Scope {
    /// Everything of an account.
    pub fn account(account_id: AccountId) -> Self {
        Self { account_id, end_user: None }
    }

    /// The end user that the scope is narrowed to, as it stands at a moment.
    pub fn entitled(&self, now_ms: i64) -> Option<Entitled> {
        self.end_user.clone().map(|end_user| Entitled { end_user, now_ms })
    }
}

/// An authenticated caller and the request it makes.
#[derive(Debug, Clone)]
pub struct Actor {
    pub account_id: AccountId,
    pub principal: Principal,
    /// Set where the caller is an end user: it then sees only runtimes that it is entitled to.
    pub end_user: Option<EndUserId>,
    /// The action of the request, such as `CreateDesktops`.
    pub action: &'static str,
    pub origin: Origin,
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
    /// What it sees.
    pub fn scope(&self) -> Scope {
        Scope { account_id: self.account_id.clone(), end_user: self.end_user.clone() }
    }

    /// How the actor is named in the audit log.
    pub fn name(&self) -> &str {
        match &self.principal {
            Principal::AccessKey(id) => id.as_str(),
            Principal::Member(member) => member.key_id.as_str(),
            Principal::Operator => "operator",
            Principal::Creel => "creel",
        }
    }

    /// Whose key it is, in the audit log.
    pub fn principal_name(&self) -> String {
        match &self.principal {
            Principal::AccessKey(_) => format!("account:{}", self.account_id),
            Principal::Member(member) => format!("user:{}", member.name),
            Principal::Operator => "operator".to_owned(),
            Principal::Creel => "creel".to_owned(),
        }
    }

    /// True for the account's root and for the operator.
    pub fn is_root(&self) -> bool {
        !matches!(self.principal, Principal::Member(_))
    }

    /// True if the request is signed with temporary credentials.
    pub fn is_temporary(&self) -> bool {
        match &self.principal {
            Principal::AccessKey(id) => id.is_temporary(),
            Principal::Member(member) => member.key_id.is_temporary(),
            Principal::Operator | Principal::Creel => false,
        }
    }

    /// What this request leaves in the audit log if it succeeds.
    pub fn event(&self, resources: &[&str], now_ms: i64) -> Event {
        Event {
            id: self.request_id.clone(),
            account_id: self.account_id.to_string(),
            principal: self.principal_name(),
            key_id: self.name().to_owned(),
            action: self.action.to_owned(),
            version: self.origin.version.to_owned(),
            resources_json: serde_json::json!(resources).to_string(),
            decision: Decision::Allowed.as_str().to_owned(),
            outcome: Outcome::Success.as_str().to_owned(),
            code: String::new(),
            calls: 1,
            source_address: self.origin.address.clone(),
            user_agent: self.origin.user_agent.clone(),
            at_ms: now_ms,
        }
    }

    /// Writes the audit row of this request; call it first in the transaction of every change.
    ///
    /// The row carries the nonce under a unique index, so of two equal requests only one can commit.
    pub async fn audit(&self, tx: &mut Tx, resources: &[&str], now_ms: i64) -> Result<(), AccessError> {
        match tx.insert_audit(&self.event(resources, now_ms), self.nonce.as_deref()).await {
            Err(StoreError::Unique(_)) => Err(AccessError::NonceUsed),
            other => other.map_err(AccessError::Store),
        }
    }

    /// The remembered answer of an equal request with the same ClientToken, if there was one.
    pub async fn replayed<T: DeserializeOwned>(&self, tx: &mut Tx) -> Result<Option<T>, AccessError> {
        let Some(token) = &self.client_token else { return Ok(None) };
        let Some((hash, response)) = tx.find_replay(&self.account_id, &self.replay_action(), token).await?
        else {
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
        let action = self.replay_action();
        tx.insert_replay(&self.account_id, &action, token, &self.request_hash, &response, now_ms).await?;
        Ok(())
    }

    /// The action under which answers are remembered: each end user has tokens of its own, so that none gets the answer
    /// to what another one asked. No action has an `@`.
    fn replay_action(&self) -> Cow<'static, str> {
        match &self.end_user {
            None => Cow::Borrowed(self.action),
            Some(end_user) => Cow::Owned(format!("{}@{end_user}", self.action)),
        }
    }
}

impl Actor {
    /// The operator acting on an account from the command line.
    pub fn operator(account_id: AccountId, action: &'static str, request_id: String) -> Self {
        Self::internal(Principal::Operator, account_id, action, request_id)
    }

    /// Creel acting on an account by itself.
    pub fn creel(account_id: AccountId, action: &'static str, request_id: String) -> Self {
        Self::internal(Principal::Creel, account_id, action, request_id)
    }

    fn internal(
        principal: Principal,
        account_id: AccountId,
        action: &'static str,
        request_id: String,
    ) -> Self {
        Self {
            account_id,
            principal,
            end_user: None,
            action,
            origin: Origin::default(),
            request_id,
            nonce: None,
            client_token: None,
            request_hash: String::new(),
        }
    }
}
