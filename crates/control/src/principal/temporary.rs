//! Temporary credentials: nothing is kept of them. The security token is a sealed text that says whose they are, what
//! secret signs with them, until when, and what they are narrowed to. They end early when their principal is turned off
//! or deleted.

use creel_wire::id::{AccessKeyId, PrincipalId};
use creel_wire::secret::Secret;
use serde::{Deserialize, Serialize};

use super::{PrincipalError, PrincipalKind, Principals, audited};
use crate::access::Actor;
use crate::account::AccountError;
use crate::policy::{DocumentError, Policy};

/// Bytes of a policy that narrows credentials at the most: it travels in the token.
pub const SESSION_POLICY_BYTES_MAX: usize = 2_048;
/// What the seal is for.
const CONTEXT: &str = "security_token";
/// Name of such a policy in refusals.
const SESSION_POLICY_NAME: &str = "session";

/// Credentials that were just made.
#[derive(Debug)]
pub struct TemporaryCredentials {
    pub key_id: AccessKeyId,
    pub secret: Secret,
    pub token: Secret,
    pub expires_at_ms: i64,
}

/// What a security token says.
#[derive(Debug)]
pub struct Session {
    pub principal_id: PrincipalId,
    pub secret: Secret,
    pub expires_at_ms: i64,
    /// The credentials may do what both this and the principal's policies allow.
    pub policy: Option<Policy>,
}

/// The sealed text.
#[derive(Serialize, Deserialize)]
struct Token {
    key_id: AccessKeyId,
    principal_id: PrincipalId,
    secret: String,
    expires_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<serde_json::Value>,
}

impl Principals {
    /// Makes credentials of a principal for a while.
    ///
    /// Temporary credentials make no others, which would outlive them; nor does anybody but the root for the root.
    pub async fn create_temporary(
        &self,
        actor: Actor,
        name: String,
        duration_ms: i64,
        policy: Option<String>,
    ) -> Result<TemporaryCredentials, PrincipalError> {
        if actor.is_temporary() {
            return Err(PrincipalError::Temporary);
        }
        let policy = policy.map(|document| session_policy(&document)).transpose()?;
        let principal = self.get(&actor.account_id, &name).await?;
        if principal.kind == PrincipalKind::Root && !actor.is_root() {
            return Err(PrincipalError::RootOnly);
        }
        let now_ms = self.store.clock().now_ms();
        let key = self.accounts.new_temporary_key(&principal);
        let token = Token {
            key_id: key.id.clone(),
            principal_id: principal.id,
            secret: key.secret.expose().to_owned(),
            expires_at_ms: now_ms.saturating_add(duration_ms),
            policy,
        };
        let expires_at_ms = token.expires_at_ms;
        let clear = serde_json::to_string(&token).map_err(|_| PrincipalError::Token)?;
        let sealed = self.accounts.sealer().seal(CONTEXT, &Secret::new(clear));
        let token = Secret::new(sealed.map_err(AccountError::Secrets)?);
        let key_id = key.id.to_string();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&audited(&name), &key_id], now_ms).await?;
                    Ok::<_, PrincipalError>(())
                })
            })
            .await?;
        Ok(TemporaryCredentials { key_id: key.id, secret: key.secret, token, expires_at_ms })
    }

    /// What a security token that came with this key says.
    ///
    /// # Errors
    /// [`PrincipalError::Token`] if it is not one of ours, or another key's.
    pub fn open_token(&self, key_id: &str, token: &Secret) -> Result<Session, PrincipalError> {
        let opened = self.accounts.sealer().open(CONTEXT, token.expose());
        let clear = opened.map_err(|_| PrincipalError::Token)?;
        let token: Token = serde_json::from_str(clear.expose()).map_err(|_| PrincipalError::Token)?;
        if token.key_id.as_str() != key_id {
            return Err(PrincipalError::Token);
        }
        let policy = token.policy.map(|policy| Policy::parse(SESSION_POLICY_NAME, &policy.to_string()));
        Ok(Session {
            principal_id: token.principal_id,
            secret: Secret::new(token.secret),
            expires_at_ms: token.expires_at_ms,
            policy: policy.transpose().map_err(|_| PrincipalError::Token)?,
        })
    }
}

/// A valid document without its spaces.
fn session_policy(document: &str) -> Result<serde_json::Value, PrincipalError> {
    if document.len() > SESSION_POLICY_BYTES_MAX {
        return Err(PrincipalError::SessionPolicyTooLong);
    }
    Policy::parse(SESSION_POLICY_NAME, document).map_err(PrincipalError::SessionPolicy)?;
    serde_json::from_str(document)
        .map_err(|error| PrincipalError::SessionPolicy(DocumentError::NotADocument(error.to_string())))
}
