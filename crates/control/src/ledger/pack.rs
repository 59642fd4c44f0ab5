//! Packs in memory, and how an amount is spread over them. Pure.

use creel_wire::id::CreditPackId;

use super::quota::Flight;

/// A pack as the store has it.
#[derive(Debug)]
pub(crate) struct PackLoad {
    pub(crate) id: CreditPackId,
    pub(crate) monthly: bool,
    /// Calls go on when it is used up.
    pub(crate) postpaid: bool,
    pub(crate) total: i64,
    pub(crate) used: i64,
    pub(crate) starts_at_ms: i64,
    /// `i64::MAX`: never.
    pub(crate) expires_at_ms: i64,
}

/// A pack in use.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) load: PackLoad,
    pub(super) flight: Flight,
    pub(super) listed: bool,
}

impl Pack {
    /// What may be held yet.
    pub(super) fn free(&self) -> i64 {
        self.load.total - self.load.used - self.flight.pending - self.flight.held
    }

    /// It has begun and not ended.
    pub(super) fn valid(&self, now_ms: i64) -> bool {
        self.load.starts_at_ms <= now_ms && now_ms < self.load.expires_at_ms
    }

    /// The order in which packs are spent: monthly first, then the nearest expiry.
    pub(super) fn order(&self) -> (bool, i64, &CreditPackId) {
        (!self.load.monthly, self.load.expires_at_ms, &self.load.id)
    }
}

/// Takes `wanted` from the front; stops where there is no more.
pub(super) fn take(packs: &[(CreditPackId, i64)], wanted: i64) -> Vec<(CreditPackId, i64)> {
    let mut left = wanted;
    let mut takes = Vec::new();
    for (id, free) in packs {
        if left <= 0 {
            break;
        }
        let micros = left.min(*free);
        if micros > 0 {
            takes.push((id.clone(), micros));
            left -= micros;
        }
    }
    takes
}
