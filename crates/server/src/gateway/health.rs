//! How a target has fared: what decides whether the next call may go there.
//!
//! Three things keep calls away. A target that failed several times in a row is *open*: no call goes there until a time
//! has passed, then one, and its end decides for the others. One that said `Retry-After` rests for that time, for
//! the model that was asked for. One whose key was refused, or that was busy without saying for how long, is *avoided*:
//! calls go there only if they can go nowhere else. A healthy target costs a call three loads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Failures in a row that open a target.
pub(crate) const FAILURES_MAX: u32 = 5;
/// For how long it is open the first time; each time that the call after it fails, twice as long.
pub(crate) const OPEN_MS: i64 = 5_000;
/// For how long at the most.
pub(crate) const OPEN_MS_MAX: i64 = 60_000;
/// After this time without an outcome of the one call, another may go.
pub(crate) const PROBE_MS: i64 = 30_000;
/// For how long a refused key is avoided.
pub(crate) const KEY_REFUSED_MS: i64 = 60_000;
/// For how long a busy target is avoided that does not say for how long.
pub(crate) const BUSY_MS: i64 = 5_000;
/// Longest `Retry-After` that is believed.
pub(crate) const REST_MS_MAX: i64 = 600_000;
/// Models of one target that rest at one time.
const RESTING_MAX: usize = 1_000;

/// Whether a call may go to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Free,
    /// Only if there is no other.
    Avoided,
    Out(Out),
}

/// Until when no call may go to a target, or to any of several, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Out {
    pub(crate) until_ms: i64,
    /// The upstream asked for it by `Retry-After`; otherwise it fails.
    pub(crate) rests: bool,
}

/// How a call may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Free,
    /// The target was open; this call shows how it is.
    Probe,
    /// Another call is there to show it.
    Taken,
}

#[derive(Debug, Default)]
struct Failures {
    /// Since the last answer that came in full.
    in_a_row: u32,
    /// How often it was opened in that time.
    openings: u32,
}

/// How one target has fared. Times are milliseconds since the Unix epoch, 0 for none.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Until when it is open; past, the next call is to show how it is.
    open_until_ms: AtomicI64,
    avoid_until_ms: AtomicI64,
    /// The latest time in `resting`.
    rest_until_ms: AtomicI64,
    resting: Mutex<HashMap<Arc<str>, i64>>,
    /// There is something in `failures`.
    is_failing: AtomicBool,
    failures: Mutex<Failures>,
}

/// A time that is still to come; one further away than any that is set was set before the clock went back.
fn is_ahead(until_ms: i64, now_ms: i64, max_ms: i64) -> bool {
    now_ms < until_ms && until_ms - now_ms <= max_ms
}

impl Health {
    pub(crate) fn standing(&self, model: &str, now_ms: i64) -> Standing {
        let open_until_ms = self.open_until_ms.load(Relaxed);
        if is_ahead(open_until_ms, now_ms, OPEN_MS_MAX) {
            return Standing::Out(Out { until_ms: open_until_ms, rests: false });
        }
        if is_ahead(self.rest_until_ms.load(Relaxed), now_ms, REST_MS_MAX) {
            let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
            let until_ms = resting.get(model).copied().unwrap_or_default();
            if is_ahead(until_ms, now_ms, REST_MS_MAX) {
                return Standing::Out(Out { until_ms, rests: true });
            }
        }
        if is_ahead(self.avoid_until_ms.load(Relaxed), now_ms, KEY_REFUSED_MS) {
            return Standing::Avoided;
        }
        Standing::Free
    }

    /// Begins a call to a target that is not out.
    pub(crate) fn enter(&self, now_ms: i64) -> Entry {
        let open_until_ms = self.open_until_ms.load(Relaxed);
        if open_until_ms == 0 {
            return Entry::Free;
        }
        let probe_until_ms = now_ms + PROBE_MS;
        match self.open_until_ms.compare_exchange(open_until_ms, probe_until_ms, Relaxed, Relaxed) {
            Ok(_) => Entry::Probe,
            Err(_) => Entry::Taken,
        }
    }

    /// It answered, so it is there.
    pub(crate) fn answered(&self) {
        if self.open_until_ms.load(Relaxed) != 0 {
            self.open_until_ms.store(0, Relaxed);
        }
    }

    /// An answer of it came in full: what failed before is forgotten.
    pub(crate) fn ended_well(&self) {
        self.answered();
        if self.is_failing.load(Relaxed) {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            *failures = Failures::default();
            self.is_failing.store(false, Relaxed);
        }
    }

    /// A call that had begun so failed. While the target is open, what began before changes nothing. True if this opened
    /// it, or keeps it open.
    pub(crate) fn failed(&self, entry: Entry, now_ms: i64) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.in_a_row += 1;
        self.is_failing.store(true, Relaxed);
        let opens = failures.in_a_row >= FAILURES_MAX && self.open_until_ms.load(Relaxed) == 0;
        let opens = opens || entry == Entry::Probe;
        if opens {
            let open_ms = OPEN_MS << failures.openings.min(8);
            failures.openings += 1;
            self.open_until_ms.store(now_ms + open_ms.min(OPEN_MS_MAX), Relaxed);
        }
        opens
    }

    /// It is to be used only if there is no other, for this time.
    pub(crate) fn avoid(&self, for_ms: i64, now_ms: i64) {
        self.avoid_until_ms.fetch_max(now_ms + for_ms, Relaxed);
    }

    /// It takes no calls for this model for this time.
    pub(crate) fn rest(&self, model: &Arc<str>, for_ms: i64, now_ms: i64) {
        let until_ms = now_ms + for_ms.clamp(0, REST_MS_MAX);
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, until_ms| is_ahead(*until_ms, now_ms, REST_MS_MAX));
        if resting.len() < RESTING_MAX {
            resting.insert(model.clone(), until_ms);
        }
        let latest = resting.values().copied().max().unwrap_or_default();
        self.rest_until_ms.store(latest, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn out(until_ms: i64, rests: bool) -> Standing {
        Standing::Out(Out { until_ms, rests })
    }

    fn fail(health: &Health, times: u32, now_ms: i64) {
        for _ in 0..times {
            assert_eq!(health.enter(now_ms), Entry::Free);
            health.failed(Entry::Free, now_ms);
        }
    }

    #[test]
    fn failures_in_a_row_open_and_one_call_shows_how_it_is() {
        let health = Health::default();
        fail(&health, FAILURES_MAX - 1, NOW);
        health.ended_well();
        fail(&health, FAILURES_MAX - 1, NOW);
        assert_eq!(health.standing("m", NOW), Standing::Free);
        fail(&health, 1, NOW);
        assert_eq!(health.standing("m", NOW), out(NOW + OPEN_MS, false));
        // What was under way when it opened makes it no worse.
        health.failed(Entry::Free, NOW + 1);
        assert_eq!(health.standing("m", NOW + OPEN_MS - 1), out(NOW + OPEN_MS, false));

        let later = NOW + OPEN_MS;
        assert_eq!(health.standing("m", later), Standing::Free);
        assert_eq!(health.enter(later), Entry::Probe, "one may go");
        assert_eq!(health.standing("m", later), out(later + PROBE_MS, false), "and no other");
        health.failed(Entry::Probe, later);
        assert_eq!(health.standing("m", later), out(later + 2 * OPEN_MS, false));
        let later = later + 2 * OPEN_MS;
        assert_eq!(health.enter(later), Entry::Probe);
        health.answered();
        assert_eq!(health.standing("m", later), Standing::Free);
        // It has shown that it is there, not that it is well.
        health.failed(Entry::Free, later);
        assert_eq!(health.standing("m", later), out(later + 4 * OPEN_MS, false));
        assert_eq!(health.enter(later + 4 * OPEN_MS), Entry::Probe);
        health.ended_well();
        fail(&health, FAILURES_MAX - 1, later);
        assert_eq!(health.standing("m", later), Standing::Free);
    }

    #[test]
    fn only_one_of_many_is_the_call_that_shows() {
        let health = Health::default();
        fail(&health, FAILURES_MAX, NOW);
        let later = NOW + OPEN_MS;
        // As two calls would that saw it at the same moment.
        let seen = health.open_until_ms.load(Relaxed);
        assert_eq!(health.enter(later), Entry::Probe);
        health.open_until_ms.compare_exchange(seen, later, Relaxed, Relaxed).expect_err("it is taken");
        // Nothing is heard of it.
        assert_eq!(health.standing("m", later + PROBE_MS), Standing::Free);
        assert_eq!(health.enter(later + PROBE_MS), Entry::Probe);
    }

    #[test]
    fn the_time_for_which_it_is_open_has_an_end() {
        let health = Health::default();
        fail(&health, FAILURES_MAX, NOW);
        let mut now_ms = NOW;
        for _ in 0..40 {
            now_ms += OPEN_MS_MAX;
            assert_eq!(health.enter(now_ms), Entry::Probe);
            health.failed(Entry::Probe, now_ms);
        }
        assert_eq!(health.standing("m", now_ms), out(now_ms + OPEN_MS_MAX, false));
    }

    #[test]
    fn a_model_rests_and_others_do_not() {
        let health = Health::default();
        let (m, n): (Arc<str>, Arc<str>) = ("m".into(), "n".into());
        health.rest(&m, 7_000, NOW);
        health.rest(&n, 1_000, NOW);
        assert_eq!(health.standing("m", NOW), out(NOW + 7_000, true));
        assert_eq!(health.standing("n", NOW + 1_000), Standing::Free);
        assert_eq!(health.standing("o", NOW), Standing::Free);
        assert_eq!(health.standing("m", NOW + 7_000), Standing::Free);
        health.rest(&m, i64::MAX, NOW);
        assert_eq!(health.standing("m", NOW), out(NOW + REST_MS_MAX, true));
        for number in 0..2 * RESTING_MAX {
            health.rest(&number.to_string().into(), 1_000, NOW);
        }
        assert!(health.resting.lock().expect("unpoisoned").len() <= RESTING_MAX);
    }

    #[test]
    fn what_is_avoided_is_not_out_and_a_clock_that_goes_back_shuts_nothing() {
        let health = Health::default();
        health.avoid(KEY_REFUSED_MS, NOW);
        assert_eq!(health.standing("m", NOW), Standing::Avoided);
        assert_eq!(health.standing("m", NOW + KEY_REFUSED_MS), Standing::Free);
        health.rest(&"m".into(), 1_000, NOW);
        fail(&health, FAILURES_MAX, NOW);
        assert_eq!(health.standing("m", NOW - 10 * REST_MS_MAX), Standing::Free);
    }
}
