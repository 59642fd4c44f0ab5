//! Access keys of a principal: made, listed, turned off and on, deleted. To replace a key, make the second, let
//! programs change over, and delete the first.

use creel_wire::id::{AccessKeyId, AccountId};

use super::{KEYS_MAX, Principal, PrincipalError, PrincipalKind, Principals, audited};
use crate::access::Actor;
use crate::account::{AccessKey, AccessKeyRow};
use crate::store::Tx;

impl Principals {
    /// Makes a key; the only time that its secret can be read.
    pub async fn create_key(&self, actor: Actor, name: String) -> Result<AccessKey, PrincipalError> {
        let account_id = actor.account_id.clone();
        let principal = self.get(&account_id, &name).await?;
        let key = self.accounts.new_key(&account_id, principal.id);
        let row = self.accounts.sealed(&key)?;
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let resources = [audited(&name), row.id.to_string()];
                    actor.audit(tx, &resources.each_ref().map(String::as_str), row.created_at_ms).await?;
                    let principal = changeable(tx, &actor, name).await?;
                    if tx.count_keys_of(&principal.id).await? >= KEYS_MAX {
                        return Err(PrincipalError::TooManyKeys);
                    }
                    // The name may have become somebody else's since it was looked up.
                    tx.insert_access_key(&AccessKeyRow { principal_id: principal.id, ..row }).await?;
                    Ok(())
                })
            })
            .await?;
        Ok(key)
    }

    /// A principal's keys, in the order of their ids, each with its newest use that is known here.
    pub async fn list_keys(
        &self,
        account_id: &AccountId,
        name: &str,
    ) -> Result<Vec<AccessKeyRow>, PrincipalError> {
        let principal = self.get(account_id, name).await?;
        let mut keys = self.store.list_keys_of(&principal.id).await?;
        for key in &mut keys {
            key.last_used_at_ms = key.last_used_at_ms.max(self.last_used.unwritten(&key.id));
        }
        Ok(keys)
    }

    /// Turns a key on or off. Servers follow within a second.
    pub async fn set_key_active(
        &self,
        actor: Actor,
        name: String,
        id: AccessKeyId,
        active: bool,
    ) -> Result<(), PrincipalError> {
        let key = id.clone();
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let resources = [audited(&name), id.to_string()];
                    actor.audit(tx, &resources.each_ref().map(String::as_str), now_ms).await?;
                    let principal = changeable(tx, &actor, name).await?;
                    match tx.set_key_of_active(&principal.id, &id, active).await? {
                        0 => Err(PrincipalError::KeyNotFound(id)),
                        _ => Ok(()),
                    }
                })
            })
            .await?;
        self.accounts.forget(&[key]);
        Ok(())
    }

    /// Deletes a key. Servers follow within a second.
    pub async fn delete_key(
        &self,
        actor: Actor,
        name: String,
        id: AccessKeyId,
    ) -> Result<(), PrincipalError> {
        let key = id.clone();
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let resources = [audited(&name), id.to_string()];
                    actor.audit(tx, &resources.each_ref().map(String::as_str), now_ms).await?;
                    let principal = changeable(tx, &actor, name).await?;
                    match tx.delete_key_of(&principal.id, &id).await? {
                        0 => Err(PrincipalError::KeyNotFound(id)),
                        _ => Ok(()),
                    }
                })
            })
            .await?;
        self.accounts.forget(&[key]);
        Ok(())
    }
}

/// The principal of this name, if the actor may change its keys: a user that could give the root a key would be the
/// root, whatever its policies deny.
async fn changeable(tx: &mut Tx, actor: &Actor, name: String) -> Result<Principal, PrincipalError> {
    match tx.lock_principal(&actor.account_id, &name).await? {
        None => Err(PrincipalError::NotFound(name)),
        Some(found) if found.kind == PrincipalKind::Root && !actor.is_root() => Err(PrincipalError::RootOnly),
        Some(found) => Ok(found),
    }
}
