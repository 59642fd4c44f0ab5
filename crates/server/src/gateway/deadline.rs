//! Deadlines of one call: how long it may be silent, and how long it may last. One timer for both.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, Sleep, sleep_until};

/// The time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// The timer is set no later than this, and set anew where it was too early: so it need not be touched as limits change.
const TIMER_MAX: Duration = Duration::from_secs(10);

/// A silence limit that every sign of life renews, within a fixed end.
#[derive(Debug)]
pub(crate) struct Deadline {
    /// `None` as long as nothing was waited for.
    timer: Option<Pin<Box<Sleep>>>,
    silence_max: Duration,
    end: Instant,
}

impl Deadline {
    /// Its end is `total` after `now`, which its caller has just read: a call has a dozen such times.
    pub(crate) fn new(now: Instant, silence_max: Duration, total: Duration) -> Self {
        Self { timer: None, silence_max, end: now + total }
    }

    /// Sets other limits, from `now`.
    pub(crate) fn set(&mut self, now: Instant, silence_max: Duration, total: Duration) {
        (self.silence_max, self.end) = (silence_max, now + total);
    }

    /// Like [`Self::set`], from now, but never later than the end in force.
    pub(crate) fn shorten(&mut self, silence_max: Duration, total: Duration) {
        let end = self.end;
        self.set(Instant::now(), silence_max, total);
        self.end = self.end.min(end);
    }

    /// Awaits `future`, whose end is a sign of life; silence begins where it is first waited for.
    ///
    /// What is large is pinned by its caller, for it would be moved about here.
    pub(crate) async fn guard<F: Future + Unpin>(&mut self, mut future: F) -> Result<F::Output, Elapsed> {
        let mut due = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.poll_unpin(cx) {
                return Poll::Ready(Ok(output));
            }
            let mut now = None;
            let mut now = || *now.get_or_insert_with(Instant::now);
            let due = *due.get_or_insert_with(|| self.end.min(now() + self.silence_max));
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(now() + TIMER_MAX)));
            if due < timer.deadline() {
                timer.as_mut().reset(due);
            }
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                if due <= now {
                    return Poll::Ready(Err(Elapsed));
                }
                timer.as_mut().reset(due.min(now + TIMER_MAX));
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_call() {
        let begun = Instant::now();
        let mut deadline = Deadline::new(begun, 3 * SECOND, 100 * SECOND);
        for _ in 0..5 {
            assert_eq!(deadline.guard(pin!(sleep(2 * SECOND))).await, Ok(()));
        }
        assert_eq!(deadline.guard(pending::<()>()).await, Err(Elapsed));
        assert_eq!(begun.elapsed().as_secs(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn long_limits_hold_and_shorter_ones_after_them() {
        let begun = Instant::now();
        let mut deadline = Deadline::new(begun, 100 * SECOND, 1_000 * SECOND);
        assert_eq!(deadline.guard(pin!(sleep(99 * SECOND))).await, Ok(()));
        assert_eq!(deadline.guard(pending::<()>()).await, Err(Elapsed));
        assert_eq!(begun.elapsed().as_secs(), 199);
        deadline.set(Instant::now(), SECOND, 1_000 * SECOND);
        assert_eq!(deadline.guard(pending::<()>()).await, Err(Elapsed));
        assert_eq!(begun.elapsed().as_secs(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_do_not_move_the_end() {
        let begun = Instant::now();
        let mut deadline = Deadline::new(begun, 3 * SECOND, 5 * SECOND);
        while deadline.guard(pin!(sleep(2 * SECOND))).await.is_ok() {}
        assert_eq!(begun.elapsed().as_secs(), 5);
        deadline.set(Instant::now(), SECOND, 10 * SECOND);
        deadline.shorten(4 * SECOND, 100 * SECOND);
        while deadline.guard(pin!(sleep(2 * SECOND))).await.is_ok() {}
        assert_eq!(begun.elapsed().as_secs(), 15);
    }
}
