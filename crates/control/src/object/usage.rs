//! How much an account may have waiting, so that nobody with a token fills the storage.
//!
//! What waits is listed, at most every ten seconds, and what is under way is counted on top; several processes each
//! count their own, so that together they may pass the limit by what they take within ten seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use creel_wire::id::AccountId;
use futures_util::StreamExt;
use object_store::{ObjectStore, path::Path};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{ObjectError, Objects, STEP_MAX};

/// Bytes of an account's uploads that wait at the most.
pub const ACCOUNT_BYTES_MAX: u64 = 1 << 30;
/// Uploads and parts of an account that wait at the most.
pub const ACCOUNT_OBJECTS_MAX: u64 = 2_000;
/// Uploads of an account under way at once at the most.
pub const ACCOUNT_RUNNING_MAX: u32 = 4;
/// Uploads of this process under way at once at the most; each holds up to ten megabytes of memory.
pub const RUNNING_MAX: usize = 32;
/// How long a listing is believed.
const LISTING_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Usage {
    running: Arc<Semaphore>,
    accounts: Arc<Mutex<HashMap<AccountId, Account>>>,
}

impl Default for Usage {
    fn default() -> Self {
        Self { running: Arc::new(Semaphore::new(RUNNING_MAX)), accounts: Arc::default() }
    }
}

/// What an account has, as last listed, and what came since.
#[derive(Debug, Default)]
struct Account {
    listed_at: Option<Instant>,
    bytes: u64,
    objects: u64,
    reserved_bytes: u64,
    running: u32,
}

/// A place for one upload; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Admission {
    accounts: Arc<Mutex<HashMap<AccountId, Account>>>,
    account_id: AccountId,
    reserved: u64,
    _running: OwnedSemaphorePermit,
}

impl Objects {
    /// A place for an upload of at most so many bytes.
    pub(super) async fn admit(&self, account_id: &AccountId, bytes: u64) -> Result<Admission, ObjectError> {
        let usage = &self.0.usage;
        let running = usage.running.clone().try_acquire_owned().map_err(|_| ObjectError::Busy)?;
        if usage.with(account_id, |account| account.is_stale()) {
            let listed = tokio::time::timeout(STEP_MAX, self.waiting(account_id)).await;
            let (bytes, objects) = listed.map_err(|_| ObjectError::Timeout)??;
            usage.with(account_id, |account| {
                *account = Account { listed_at: Some(Instant::now()), bytes, objects, ..*account };
            });
        }
        usage.with(account_id, |account| {
            if account.running >= ACCOUNT_RUNNING_MAX {
                return Err(ObjectError::Busy);
            }
            let wanted = account.bytes.saturating_add(account.reserved_bytes).saturating_add(bytes);
            let objects = account.objects.saturating_add(u64::from(account.running)).saturating_add(1);
            if wanted > ACCOUNT_BYTES_MAX || objects > ACCOUNT_OBJECTS_MAX {
                return Err(ObjectError::Quota);
            }
            account.running += 1;
            account.reserved_bytes = account.reserved_bytes.saturating_add(bytes);
            Ok(())
        })?;
        let (accounts, account_id) = (usage.accounts.clone(), account_id.clone());
        Ok(Admission { accounts, account_id, reserved: bytes, _running: running })
    }

    /// Bytes and number of the objects that wait.
    async fn waiting(&self, account_id: &AccountId) -> Result<(u64, u64), ObjectError> {
        let (mut bytes, mut objects) = (0_u64, 0_u64);
        for folder in ["uploads", "parts"] {
            let folder = Path::from(format!("{folder}/{account_id}"));
            let mut listed = self.0.files.list(Some(&folder));
            while let Some(found) = listed.next().await {
                bytes = bytes.saturating_add(found?.size);
                objects = objects.saturating_add(1);
                if objects > ACCOUNT_OBJECTS_MAX {
                    return Ok((bytes, objects));
                }
            }
        }
        Ok((bytes, objects))
    }

    /// Has the account's uploads listed anew at the next one.
    pub(super) fn forget_usage(&self, account_id: &AccountId) {
        self.0.usage.with(account_id, |account| account.listed_at = None);
    }
}

impl Account {
    fn is_stale(&self) -> bool {
        self.listed_at.is_none_or(|at| at.elapsed() >= LISTING_FOR)
    }
}

impl Usage {
    fn with<T>(&self, account_id: &AccountId, look: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        look(accounts.entry(account_id.clone()).or_default())
    }
}

impl Admission {
    /// Counts what was stored.
    pub(super) fn stored(&self, bytes: u64) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get_mut(&self.account_id) {
            account.bytes = account.bytes.saturating_add(bytes);
            account.objects = account.objects.saturating_add(1);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get_mut(&self.account_id) {
            account.running = account.running.saturating_sub(1);
            account.reserved_bytes = account.reserved_bytes.saturating_sub(self.reserved);
        }
    }
}
