//! Token buckets in bounded memory: so many calls a second for each name, and a burst beyond.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Buckets held at the most. One that is full again is the same as none.
const BUCKETS_MAX: usize = 20_000;

/// How many calls, a second and at once; none of both is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) calls_per_second: u32,
    pub(crate) burst: u32,
}

/// A bucket for each name.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Rate,
    table: Mutex<HashMap<String, Bucket>>,
    buckets_max: usize,
}

#[derive(Debug)]
struct Bucket {
    /// Thousandths of calls: a call a second is one of them a millisecond.
    millis: i64,
    at_ms: i64,
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, table: Mutex::default(), buckets_max: BUCKETS_MAX }
    }

    /// Takes one call out of the bucket of a name.
    ///
    /// # Errors
    /// If it is empty; the milliseconds until it is not.
    pub(crate) fn take(&self, name: &str, now_ms: i64) -> Result<(), u64> {
        let rate = i64::from(self.rate.calls_per_second);
        if rate == 0 {
            return Ok(());
        }
        let full = i64::from(self.rate.burst.max(1)) * 1_000;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= self.buckets_max && !table.contains_key(name) {
            table.retain(|_, bucket| bucket.filled(now_ms, rate, full) < full);
            // Too many are in use at once. Forgetting them all is kinder than refusing a caller who did nothing.
            if table.len() > self.buckets_max / 8 * 7 {
                table.clear();
            }
        }
        if !table.contains_key(name) {
            table.insert(name.to_owned(), Bucket { millis: full, at_ms: now_ms });
        }
        let Some(bucket) = table.get_mut(name) else { return Ok(()) };
        bucket.millis = bucket.filled(now_ms, rate, full);
        bucket.at_ms = now_ms;
        if bucket.millis >= 1_000 {
            bucket.millis -= 1_000;
            return Ok(());
        }
        Err(u64::try_from((1_000 - bucket.millis + rate - 1) / rate).unwrap_or(1))
    }
}

impl Bucket {
    fn filled(&self, now_ms: i64, rate: i64, full: i64) -> i64 {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms).max(0);
        self.millis.saturating_add(elapsed_ms.saturating_mul(rate)).min(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_so_many_a_second() {
        let buckets = Buckets::new(Rate { calls_per_second: 2, burst: 3 });
        for _ in 0..3 {
            assert_eq!(buckets.take("a", 0), Ok(()));
        }
        assert_eq!(buckets.take("a", 0), Err(500));
        assert_eq!(buckets.take("b", 0), Ok(()), "others notice nothing");
        assert_eq!(buckets.take("a", 400), Err(100));
        assert_eq!(buckets.take("a", 500), Ok(()));
        assert_eq!(buckets.take("a", 500), Err(500));
        // Time that goes back gives nothing and takes nothing.
        assert_eq!(buckets.take("a", 100), Err(500));
        for _ in 0..3 {
            assert_eq!(buckets.take("a", 1_000_000), Ok(()));
        }
        assert!(buckets.take("a", 1_000_000).is_err(), "never more than the burst");
        let unlimited = Buckets::new(Rate { calls_per_second: 0, burst: 0 });
        assert!((0..100).all(|_| unlimited.take("a", 0).is_ok()));
    }

    #[test]
    fn memory_is_bounded_whoever_calls() {
        let mut buckets = Buckets::new(Rate { calls_per_second: 1, burst: 5 });
        buckets.buckets_max = 16;
        for name in 0..1_000 {
            buckets.take(&name.to_string(), name / 100).unwrap();
            assert!(buckets.table.lock().unwrap().len() <= 16);
        }
    }
}
