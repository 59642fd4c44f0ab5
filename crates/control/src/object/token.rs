//! Temporary credentials for uploads: nothing is kept of them. The security token is a sealed text that says whose they
//! are, what secret signs with them, until when, and the one prefix that they are for.

use creel_wire::id::{AccessKeyId, AccountId, PrincipalId};
use creel_wire::secret::Secret;
use serde::{Deserialize, Serialize};

use super::key::{PLACE_CHARS, UploadKey};
use super::{FileKind, ObjectError, Objects};
use crate::access::{Actor, Principal};
use crate::id_gen::random_text;

/// How long they are good for.
pub const TOKEN_MS: i64 = 15 * 60 * 1_000;
/// What the seal is for.
const CONTEXT: &str = "upload_token";
/// Characters of a secret; 178 bits.
const SECRET_CHARS: usize = 30;

/// Credentials that were just made.
#[derive(Debug)]
pub struct UploadGrant {
    pub key_id: AccessKeyId,
    pub secret: Secret,
    pub token: Secret,
    /// Names of uploads are this, a slash, and any name.
    pub prefix: String,
    pub expires_at_ms: i64,
}

/// What a security token says.
#[derive(Debug, Serialize, Deserialize)]
pub struct UploadSession {
    key_id: AccessKeyId,
    pub account_id: AccountId,
    pub principal_id: PrincipalId,
    pub kind: FileKind,
    pub secret: Secret,
    prefix: String,
    expires_at_ms: i64,
}

impl Objects {
    /// Makes credentials for uploads of one kind below one new prefix.
    ///
    /// # Errors
    /// If the audit row cannot be written.
    pub async fn grant(&self, actor: Actor, kind: FileKind) -> Result<UploadGrant, ObjectError> {
        self.grant_about(actor, kind, None).await
    }

    /// As [`Objects::grant`]; the audit row also names what the credentials are about.
    pub(crate) async fn grant_about(
        &self,
        actor: Actor,
        kind: FileKind,
        about: Option<String>,
    ) -> Result<UploadGrant, ObjectError> {
        let now_ms = self.now_ms();
        let principal_id = match &actor.principal {
            Principal::Member(member) => member.principal_id.clone(),
            Principal::AccessKey(_) | Principal::Operator | Principal::Creel => {
                PrincipalId::of_root(&actor.account_id)
            }
        };
        let session = UploadSession {
            key_id: self.0.ids.temporary_key(),
            account_id: actor.account_id.clone(),
            principal_id,
            kind,
            secret: Secret::new(random_text(SECRET_CHARS)),
            prefix: kind.prefix(&actor.account_id, &random_text(PLACE_CHARS)),
            expires_at_ms: now_ms.saturating_add(TOKEN_MS),
        };
        let clear = serde_json::to_string(&session).map_err(|_| ObjectError::Token)?;
        let token = self.0.sealer.seal(CONTEXT, &Secret::new(clear)).map_err(ObjectError::Seal)?;
        let (upload, key_id) = (format!("upload/{}", session.prefix), session.key_id.to_string());
        self.0
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let ids = about.as_deref().into_iter().chain([upload.as_str(), &key_id]);
                    actor.audit(tx, &ids.collect::<Vec<_>>(), now_ms).await?;
                    Ok::<_, ObjectError>(())
                })
            })
            .await?;
        Ok(UploadGrant {
            key_id: session.key_id,
            secret: session.secret,
            token: Secret::new(token),
            prefix: session.prefix,
            expires_at_ms: session.expires_at_ms,
        })
    }

    /// What a security token that came with this key says. It may be over: see [`UploadSession::check_time`], which
    /// belongs after the signature.
    ///
    /// # Errors
    /// [`ObjectError::Token`] if it is not one of ours, or another key's.
    pub fn open_token(&self, key_id: &str, token: &Secret) -> Result<UploadSession, ObjectError> {
        let clear = self.0.sealer.open(CONTEXT, token.expose()).map_err(|_| ObjectError::Token)?;
        let session: UploadSession = serde_json::from_str(clear.expose()).map_err(|_| ObjectError::Token)?;
        if session.key_id.as_str() == key_id { Ok(session) } else { Err(ObjectError::Token) }
    }
}

impl UploadSession {
    /// # Errors
    /// [`ObjectError::TokenExpired`].
    pub fn check_time(&self, now_ms: i64) -> Result<(), ObjectError> {
        if now_ms < self.expires_at_ms { Ok(()) } else { Err(ObjectError::TokenExpired) }
    }

    /// The upload of this name, if these credentials are for it.
    pub(super) fn key(&self, key: &str) -> Result<UploadKey, ObjectError> {
        let key = UploadKey::parse(key)?;
        if key.prefix == self.prefix { Ok(key) } else { Err(ObjectError::ForeignKey) }
    }
}
