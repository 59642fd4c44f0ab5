//! Virtual keys: what an agent, or a person's client, shows the LLM gateway. Stored as hashes only.

use creel_wire::id::{AccountId, RuntimeId, VirtualKeyId};
use creel_wire::secret::Secret;

use crate::access::{AccessError, Actor};
use crate::id_gen::{IdGen, random_text};
use crate::secrets::token_hash;
use crate::store::{Store, StoreError, Topic, Tx};

/// Who holds a key. Agents get policy refusals as text they show; people's clients get the real status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Agent,
    Person,
}

impl Holder {
    /// The word that the store uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Holder::Agent => "Agent",
            Holder::Person => "Person",
        }
    }
}

/// A key as the store keeps it.
#[derive(Debug, Clone)]
pub struct VirtualKeyRow {
    pub id: VirtualKeyId,
    pub account_id: AccountId,
    pub runtime_id: RuntimeId,
    pub key_hash: String,
    pub holder: Holder,
    pub created_at_ms: i64,
}

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VirtualKeyError {
    #[error("no runtime {0}")]
    RuntimeNotFound(RuntimeId),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("writing a virtual key")]
    Store(#[from] StoreError),
}

/// A new key for a runtime, and its row. 238 random bits.
pub(crate) fn mint(
    ids: &IdGen,
    account_id: &AccountId,
    runtime_id: &RuntimeId,
    holder: Holder,
    now_ms: i64,
) -> (Secret, VirtualKeyRow) {
    let key = Secret::new(format!("sk-creel-{}", random_text(40)));
    let row = VirtualKeyRow {
        id: ids.virtual_key(),
        account_id: account_id.clone(),
        runtime_id: runtime_id.clone(),
        key_hash: token_hash(key.expose()),
        holder,
        created_at_ms: now_ms,
    };
    (key, row)
}

/// Makes a key of a runtime for a client that is not the agent itself; the only time it can be read.
pub async fn create_for_person(
    store: &Store,
    ids: &IdGen,
    runtime_id: &RuntimeId,
) -> Result<Secret, VirtualKeyError> {
    let runtime = store
        .find_runtime(runtime_id)
        .await?
        .filter(|runtime| runtime.deleted_at_ms.is_none())
        .ok_or_else(|| VirtualKeyError::RuntimeNotFound(runtime_id.clone()))?;
    let now_ms = store.clock().now_ms();
    let (key, row) = mint(ids, &runtime.account_id, runtime_id, Holder::Person, now_ms);
    let actor = Actor::operator(runtime.account_id, "CreateVirtualKey", ids.request_id());
    store
        .write(move |tx| {
            Box::pin(async move {
                actor.audit(tx, &[row.runtime_id.as_str(), row.id.as_str()], now_ms).await?;
                insert(tx, &row).await?;
                Ok::<(), VirtualKeyError>(())
            })
        })
        .await?;
    Ok(key)
}

/// Writes a key's row; gateways know it within a second.
pub(crate) async fn insert(tx: &mut Tx, row: &VirtualKeyRow) -> Result<(), StoreError> {
    tx.insert_virtual_key(row).await?;
    tx.raise(Topic::Directory).await
}
