//! Nonces of requests, in memory, so that none is answered twice by this process.
//!
//! A request is good until its signed time plus the tolerated skew, so that is how long its nonce is kept: 30 minutes
//! at the most. Requests that change something are also kept in the database, under a unique index, which holds
//! across restarts and replicas; this table alone guards reads.
//!
//! Memory is bounded. When the table is full, the key that holds most nonces forgets its oldest, and requests of that
//! key from that time or before are refused as expired from then on. So a replay is never let through, other keys
//! notice nothing, and even the busy key only has to keep its clock closer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use creel_wire::id::AccessKeyId;
use sha2::{Digest, Sha256};

/// How far a request's time may be from ours, in seconds.
pub(crate) const SKEW_SECONDS_MAX: i64 = 15 * 60;
/// Nonces in memory at the most; about 48 MB.
const NONCES_MAX: usize = 1_000_000;

/// Why a request with a good signature is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// Its time is too far from ours, or its nonce would have been forgotten already.
    Expired,
    /// Its nonce came before.
    Used,
}

/// The nonces of all keys.
#[derive(Debug)]
pub(crate) struct Nonces {
    table: Mutex<Table>,
    nonces_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    keys: HashMap<AccessKeyId, KeyNonces>,
    count: usize,
    swept_at_s: i64,
}

#[derive(Debug, Default)]
struct KeyNonces {
    seen: HashSet<u128>,
    /// The same nonces by the second that their requests were signed for.
    by_second: BTreeMap<i64, Vec<u128>>,
    /// Requests signed for this second or before are too old, because nonces of that time were forgotten.
    forgotten_until_s: Option<i64>,
}

impl Default for Nonces {
    fn default() -> Self {
        Self::new(NONCES_MAX)
    }
}

impl Nonces {
    /// A table of at most so many nonces.
    pub(crate) fn new(nonces_max: usize) -> Self {
        Self { table: Mutex::default(), nonces_max }
    }

    /// Remembers the nonce of a request that `key` signed for `signed_at_s`; call it only for a good signature.
    ///
    /// # Errors
    /// If the request must not be answered.
    pub(crate) fn admit(
        &self,
        key: &AccessKeyId,
        nonce: &str,
        signed_at_s: i64,
        now_s: i64,
    ) -> Result<(), Stale> {
        if now_s.abs_diff(signed_at_s) > SKEW_SECONDS_MAX.unsigned_abs() {
            return Err(Stale::Expired);
        }
        let hash = nonce_hash(nonce);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.sweep(now_s);
        if !table.keys.contains_key(key) {
            table.keys.insert(key.clone(), KeyNonces::default());
        }
        let Some(nonces) = table.keys.get_mut(key) else { return Err(Stale::Expired) };
        if nonces.seen.contains(&hash) {
            return Err(Stale::Used);
        }
        if nonces.forgotten_until_s.is_some_and(|until_s| signed_at_s <= until_s) {
            return Err(Stale::Expired);
        }
        nonces.seen.insert(hash);
        nonces.by_second.entry(signed_at_s).or_default().push(hash);
        table.count += 1;
        while table.count > self.nonces_max && table.forget_oldest_of_busiest() {}
        Ok(())
    }
}

impl Table {
    /// Drops what is past its time; at most once a second.
    fn sweep(&mut self, now_s: i64) {
        if self.swept_at_s == now_s {
            return;
        }
        self.swept_at_s = now_s;
        let alive_from_s = now_s.saturating_sub(SKEW_SECONDS_MAX);
        let mut dropped = 0;
        self.keys.retain(|_, nonces| {
            while let Some(oldest) =
                nonces.by_second.first_entry().filter(|oldest| *oldest.key() < alive_from_s)
            {
                for hash in oldest.remove() {
                    nonces.seen.remove(&hash);
                    dropped += 1;
                }
            }
            if nonces.forgotten_until_s.is_some_and(|until_s| until_s < alive_from_s) {
                nonces.forgotten_until_s = None;
            }
            !nonces.seen.is_empty() || nonces.forgotten_until_s.is_some()
        });
        self.count = self.count.saturating_sub(dropped);
    }

    /// Gives whether there was anything to forget.
    fn forget_oldest_of_busiest(&mut self) -> bool {
        let busiest = self.keys.values_mut().max_by_key(|nonces| nonces.seen.len());
        let Some(nonces) = busiest else { return false };
        let Some((second, hashes)) = nonces.by_second.pop_first() else { return false };
        for hash in &hashes {
            nonces.seen.remove(hash);
        }
        nonces.forgotten_until_s =
            Some(nonces.forgotten_until_s.map_or(second, |until_s| until_s.max(second)));
        self.count = self.count.saturating_sub(hashes.len());
        true
    }
}

/// 128 bits of SHA-256: nonces are the caller's text, and no caller can find two of one hash.
fn nonce_hash(nonce: &str) -> u128 {
    let digest = Sha256::digest(nonce.as_bytes());
    let mut bytes = [0; 16];
    for (slot, byte) in bytes.iter_mut().zip(digest.iter()) {
        *slot = *byte;
    }
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_323_045;

    fn key(id: &str) -> AccessKeyId {
        AccessKeyId::parse(id).unwrap()
    }

    #[test]
    fn a_nonce_is_good_once_for_each_key() {
        let nonces = Nonces::default();
        assert_eq!(nonces.admit(&key("a"), "n", NOW, NOW), Ok(()));
        assert_eq!(nonces.admit(&key("a"), "n", NOW + 1, NOW), Err(Stale::Used));
        assert_eq!(nonces.admit(&key("b"), "n", NOW, NOW), Ok(()));
    }

    #[test]
    fn time_may_be_off_by_fifteen_minutes_either_way() {
        let nonces = Nonces::default();
        for (offset, expect) in
            [(-901, Err(Stale::Expired)), (-900, Ok(())), (900, Ok(())), (901, Err(Stale::Expired))]
        {
            assert_eq!(nonces.admit(&key("a"), &offset.to_string(), NOW + offset, NOW), expect, "{offset}");
        }
    }

    #[test]
    fn a_nonce_is_kept_as_long_as_its_request_is_good_and_no_longer() {
        let nonces = Nonces::default();
        nonces.admit(&key("a"), "n", NOW + 900, NOW).unwrap();
        assert_eq!(nonces.admit(&key("a"), "n", NOW + 900, NOW + 1_800), Err(Stale::Used));
        assert_eq!(nonces.admit(&key("a"), "n", NOW + 1_801, NOW + 1_801), Ok(()));
        assert_eq!(nonces.table.lock().unwrap().count, 1);
    }

    #[test]
    fn a_full_table_costs_the_busiest_key_its_oldest_times_and_lets_no_replay_through() {
        let nonces = Nonces::new(10);
        nonces.admit(&key("quiet"), "q", NOW - 100, NOW).unwrap();
        for second in 0..20 {
            nonces.admit(&key("busy"), &second.to_string(), NOW - 50 + second, NOW).unwrap();
        }
        assert!(nonces.table.lock().unwrap().count <= 10);
        for second in 0..20 {
            assert!(
                nonces.admit(&key("busy"), &second.to_string(), NOW - 50 + second, NOW).is_err(),
                "{second}"
            );
        }
        assert_eq!(nonces.admit(&key("quiet"), "q", NOW - 100, NOW), Err(Stale::Used));
        assert_eq!(nonces.admit(&key("quiet"), "r", NOW - 200, NOW), Ok(()));
        assert_eq!(nonces.admit(&key("busy"), "new", NOW, NOW), Ok(()));
    }

    #[test]
    fn keys_without_nonces_take_no_memory() {
        let nonces = Nonces::default();
        nonces.admit(&key("a"), "n", NOW, NOW).unwrap();
        nonces.admit(&key("b"), "n", NOW + 2_000, NOW + 2_000).unwrap();
        assert_eq!(nonces.table.lock().unwrap().keys.len(), 1);
    }
}
