//! Deadlines of one call: how long it may be silent, and how long it may last. One timer for both.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// A silence limit that every sign of life renews, within a fixed end.
#[derive(Debug)]
pub(crate) struct Deadline {
    timer: Pin<Box<Sleep>>,
    silence_max: Duration,
    silent_since: Instant,
    end: Instant,
}

impl Deadline {
    /// `end` after `total`, from now.
    pub(crate) fn new(silence_max: Duration, total: Duration) -> Self {
        let now = Instant::now();
        let end = now + total;
        Self { timer: Box::pin(sleep_until(end.min(now + silence_max))), silence_max, silent_since: now, end }
    }

    /// Sets other limits, from now.
    pub(crate) fn set(&mut self, silence_max: Duration, total: Duration) {
        let now = Instant::now();
        self.silence_max = silence_max;
        self.silent_since = now;
        self.end = now + total;
        let due = self.due();
        self.timer.as_mut().reset(due);
    }

    /// Like [`Self::set`], but never later than the end in force.
    pub(crate) fn shorten(&mut self, silence_max: Duration, total: Duration) {
        let end = self.end;
        self.set(silence_max, total);
        self.end = self.end.min(end);
        let due = self.due();
        self.timer.as_mut().reset(due);
    }

    fn due(&self) -> Instant {
        self.end.min(self.silent_since + self.silence_max)
    }

    /// Awaits `future`, whose end is a sign of life. The timer is not touched for each: it fires early and is set
    /// anew then.
    pub(crate) async fn guard<F: Future>(&mut self, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let output = poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            while self.timer.as_mut().poll(cx).is_ready() {
                let due = self.due();
                if due <= Instant::now() {
                    return Poll::Ready(Err(Elapsed));
                }
                self.timer.as_mut().reset(due);
            }
            Poll::Pending
        })
        .await?;
        self.silent_since = Instant::now();
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_call() {
        let begun = Instant::now();
        let mut deadline = Deadline::new(3 * SECOND, 100 * SECOND);
        for _ in 0..5 {
            assert_eq!(deadline.guard(sleep(2 * SECOND)).await, Ok(()));
        }
        assert_eq!(deadline.guard(pending::<()>()).await, Err(Elapsed));
        assert_eq!(begun.elapsed().as_secs(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_do_not_move_the_end() {
        let begun = Instant::now();
        let mut deadline = Deadline::new(3 * SECOND, 5 * SECOND);
        while deadline.guard(sleep(2 * SECOND)).await.is_ok() {}
        assert_eq!(begun.elapsed().as_secs(), 5);
        deadline.set(SECOND, 10 * SECOND);
        deadline.shorten(4 * SECOND, 100 * SECOND);
        while deadline.guard(sleep(2 * SECOND)).await.is_ok() {}
        assert_eq!(begun.elapsed().as_secs(), 15);
    }
}
