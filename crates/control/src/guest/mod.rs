//! Guests: how they enrol, which replica holds their link, what they report.
//!
//! A guest is believed about what it did, never about what it may do: its reports go to `runtime_observed` and to
//! its own invocations, and grant nothing.

use creel_wire::guest::{AgentProvider, Observation, Receipt};
use creel_wire::id::{AccountId, RuntimeId};
use creel_wire::secret::Secret;

use crate::id_gen::{IdGen, random_text};
use crate::secrets::token_hash;
use crate::store::{Store, StoreError, Tx};
use crate::virtual_key::{self, Holder};

/// How long a replica counts as alive after its last sign, in milliseconds.
pub const REPLICA_LEASE_MS: i64 = 15_000;
/// How long an enrolment token can be used, in milliseconds: a guest enrols within seconds of its start.
pub const ENROLL_TOKEN_MS: i64 = 10 * 60_000;

/// A guest's row with what it needs of its runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestRow {
    pub runtime_id: RuntimeId,
    pub account_id: AccountId,
    /// Base64 of an Ed25519 verifying key; `None` until it has enrolled.
    pub public_key: Option<String>,
    pub epoch: i64,
    /// Empty while no replica holds its link.
    pub replica_id: String,
    pub agent_provider: AgentProvider,
    pub runtime_deleted: bool,
}

/// What decides whether a linked guest has to be told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishMark {
    pub runtime_id: RuntimeId,
    pub generation: i64,
    /// The newest link's epoch.
    pub epoch: i64,
    pub deleted: bool,
    pub invocations_waiting: bool,
}

/// Why a guest operation failed.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error("the enrolment token is unknown, used or too old")]
    BadToken,
    #[error("the runtime was deleted")]
    RuntimeDeleted,
    #[error("reading or writing guests")]
    Store(#[from] StoreError),
}

/// What enrolment gives to a guest.
#[derive(Debug)]
pub struct Enrolled {
    pub runtime_id: RuntimeId,
    /// The only time that the key exists in clear on the server.
    pub virtual_key: Secret,
}

/// Guests of every account.
#[derive(Debug, Clone)]
pub struct Guests {
    store: Store,
    ids: IdGen,
}

impl Guests {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen) -> Self {
        Self { store, ids }
    }

    /// The guest of a runtime, if one was ever to be.
    pub async fn find(&self, runtime_id: &RuntimeId) -> Result<Option<GuestRow>, GuestError> {
        Ok(self.store.find_guest(runtime_id).await?)
    }

    /// Exchanges a one-use token for an identity and a fresh virtual key; older keys of the agent end.
    pub async fn enroll(&self, token: &Secret, public_key: String) -> Result<Enrolled, GuestError> {
        let now_ms = self.store.clock().now_ms();
        let hash = token_hash(token.expose());
        let ids = self.ids.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let (runtime_id, account_id) =
                        tx.use_enroll_token(&hash, &public_key, now_ms).await?.ok_or(GuestError::BadToken)?;
                    tx.revoke_agent_keys(&runtime_id, now_ms).await?;
                    let (virtual_key, row) =
                        virtual_key::mint(&ids, &account_id, &runtime_id, Holder::Agent, now_ms);
                    virtual_key::insert(tx, &row).await?;
                    Ok(Enrolled { runtime_id, virtual_key })
                })
            })
            .await
    }

    /// A guest has linked to this replica; gives the epoch of the link. Reconciliation is told, for a sandbox that
    /// was Starting is now Running.
    pub async fn open_link(&self, runtime_id: &RuntimeId, replica_id: &str) -> Result<i64, GuestError> {
        let now_ms = self.store.clock().now_ms();
        let (runtime_id, replica_id) = (runtime_id.clone(), replica_id.to_owned());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let epoch = tx.open_guest_link(&runtime_id, &replica_id).await?;
                    tx.wake(&runtime_id, now_ms).await?;
                    Ok(epoch)
                })
            })
            .await
    }

    /// A link has ended.
    pub async fn close_link(&self, runtime_id: &RuntimeId, epoch: i64) -> Result<(), GuestError> {
        let now_ms = self.store.clock().now_ms();
        let runtime_id = runtime_id.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    tx.close_guest_link(&runtime_id, epoch).await?;
                    tx.wake(&runtime_id, now_ms).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Records what a guest sees.
    pub async fn observe(&self, guest: &GuestRow, seen: Observation) -> Result<(), GuestError> {
        let now_ms = self.store.clock().now_ms();
        let (account_id, runtime_id) = (guest.account_id.clone(), guest.runtime_id.clone());
        self.store
            .write(move |tx| {
                Box::pin(
                    async move { Ok(tx.set_observation(&account_id, &runtime_id, &seen, now_ms).await?) },
                )
            })
            .await
    }

    /// Records how far a guest has come. `applied_models` names the model group and revision that the receipt
    /// confirms, where it confirms the newest wish.
    pub async fn receive(
        &self,
        guest: &GuestRow,
        receipt: Receipt,
        applied_models: Option<String>,
    ) -> Result<(), GuestError> {
        let now_ms = self.store.clock().now_ms();
        let (account_id, runtime_id) = (guest.account_id.clone(), guest.runtime_id.clone());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let applied = applied_models.as_deref();
                    Ok(tx.set_receipt(&account_id, &runtime_id, &receipt, applied, now_ms).await?)
                })
            })
            .await
    }

    /// The marks of all guests that this replica holds.
    pub async fn wish_marks(&self, replica_id: &str) -> Result<Vec<WishMark>, GuestError> {
        Ok(self.store.wish_marks(replica_id).await?)
    }

    /// Says that this replica lives; to be called several times within [`REPLICA_LEASE_MS`].
    pub async fn keep_alive(&self, replica_id: &str) -> Result<(), GuestError> {
        let now_ms = self.store.clock().now_ms();
        let replica_id = replica_id.to_owned();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    tx.extend_replica_lease(&replica_id, now_ms + REPLICA_LEASE_MS).await?;
                    tx.delete_replicas(now_ms - 10 * REPLICA_LEASE_MS).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// Gives a runtime a new one-use enrolment token, in the transaction of a reconcile pass.
pub(crate) async fn issue_token(
    tx: &mut Tx,
    runtime_id: &RuntimeId,
    now_ms: i64,
) -> Result<Secret, StoreError> {
    let token = Secret::new(random_text(40));
    tx.set_enroll_token(runtime_id, &token_hash(token.expose()), now_ms + ENROLL_TOKEN_MS).await?;
    Ok(token)
}
