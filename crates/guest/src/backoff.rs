//! Pauses between attempts to reach the server: full jitter, so that a fleet does not return all at once.

use std::time::Duration;

use crate::options::Timing;

/// Grows with each pause until it is told of a success.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(timing: &Timing) -> Self {
        Self {
            first: Duration::from_millis(timing.reconnect_first_ms),
            max: Duration::from_millis(timing.reconnect_max_ms),
            failures: 0,
        }
    }

    /// The next pause starts from the beginning.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Sleeps between nothing and the current ceiling.
    pub(crate) async fn pause(&mut self) {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(ceiling.mul_f64(rand::random())).await;
    }

    fn ceiling(&self) -> Duration {
        self.first.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_its_limit_and_resets() {
        let mut backoff = Backoff::new(&Timing::default());
        let mut ceilings = Vec::new();
        for failures in [0, 1, 2, 7, 8, 40] {
            backoff.failures = failures;
            ceilings.push(backoff.ceiling().as_millis());
        }
        assert_eq!(ceilings, [200, 400, 800, 25_600, 30_000, 30_000]);
        backoff.reset();
        assert_eq!(backoff.ceiling().as_millis(), 200);
    }
}
