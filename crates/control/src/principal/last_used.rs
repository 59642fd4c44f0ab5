//! When each key was last used: kept in memory and written once a minute, all keys in one transaction, because a row
//! for each call would cost more than the call. What was not written yet is lost with the process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use creel_wire::id::AccessKeyId;

use super::{PrincipalError, Principals};

/// How often uses are written.
pub const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// Keys that are remembered between two writings; of more, the rest is written a minute later if it is used again.
const KEYS_MAX: usize = 10_000;

/// Uses that are not written yet, in milliseconds.
#[derive(Debug, Default)]
pub struct LastUsed {
    uses: Mutex<HashMap<AccessKeyId, i64>>,
}

impl LastUsed {
    pub(super) fn unwritten(&self, id: &AccessKeyId) -> Option<i64> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    fn note(&self, id: &AccessKeyId, at_ms: i64) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(use_ms) = uses.get_mut(id) {
            *use_ms = at_ms;
        } else if uses.len() < KEYS_MAX {
            uses.insert(id.clone(), at_ms);
        }
    }
}

impl Principals {
    /// Notes that a key signed a request; only for a signature that was found good.
    pub fn note_use(&self, id: &AccessKeyId) {
        self.last_used.note(id, self.store.clock().now_ms());
    }

    /// Writes what was noted since the last time. No audit row: nobody asked for this.
    ///
    /// # Errors
    /// If the store fails; the uses are lost then.
    pub async fn write_uses(&self) -> Result<(), PrincipalError> {
        let uses = std::mem::take(&mut *self.last_used.uses.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return Ok(());
        }
        // In the order of their ids, so that two servers that write at once do not wait for each other for ever.
        let mut uses: Vec<(AccessKeyId, i64)> = uses.into_iter().collect();
        uses.sort_unstable();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    for (id, at_ms) in &uses {
                        tx.set_key_last_used(id, *at_ms).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}
