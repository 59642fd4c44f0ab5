//! Skills on their way to guests: few at a time, each in pieces, each within a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use creel_control::object::{ByteStream, ObjectError};
use creel_control::tasks::Tasks;
use creel_wire::id::RuntimeId;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

/// Contents under way at the same time, of all guests. An account's change sends all of its guests here at once: the
/// others ask again a second later, then two, each at a moment of its own.
const RUNNING_MAX: usize = 64;
/// Of one guest: it asks for two at a time, and a broken connection is noticed late.
const OF_ONE_MAX: usize = 4;
/// A content may take this long, and a second more for each of [`BYTES_A_SECOND`], as guests have it. One that reads
/// slowly holds up nobody for longer.
const WITHIN: Duration = Duration::from_secs(30);
const BYTES_A_SECOND: u64 = 256 * 1024;
/// Pieces read ahead of the guest.
const AHEAD: usize = 4;

/// How many are under way. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Fetches(Arc<Mutex<HashMap<RuntimeId, usize>>>);

/// One that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    fetches: Fetches,
    runtime_id: RuntimeId,
}

impl Fetches {
    /// `None` where there are too many.
    pub(super) fn admit(&self, runtime_id: &RuntimeId) -> Option<Running> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = running.get(runtime_id).copied().unwrap_or(0);
        if of_one >= OF_ONE_MAX || running.values().sum::<usize>() >= RUNNING_MAX {
            return None;
        }
        running.insert(runtime_id.clone(), of_one + 1);
        Some(Running { fetches: self.clone(), runtime_id: runtime_id.clone() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.fetches.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(&self.runtime_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                running.remove(&self.runtime_id);
            }
        }
    }
}

/// The body of an answer: read in a task of its own, which sees the time also where the guest takes nothing.
pub(super) fn body(tasks: &Tasks, running: Running, bytes: u64, content: ByteStream) -> Body {
    let (pieces, taken) = mpsc::channel(AHEAD);
    let within = WITHIN + Duration::from_secs(bytes / BYTES_A_SECOND);
    tasks.spawn("skill-fetch", async move {
        // A body that ends too early breaks the connection off: its length was told before.
        let _elapsed = tokio::time::timeout(within, pass_on(content, pieces)).await;
        drop(running);
    });
    Body::from_stream(stream::unfold(taken, |mut taken| async move {
        taken.recv().await.map(|piece| (piece, taken))
    }))
}

async fn pass_on(mut content: ByteStream, pieces: mpsc::Sender<Result<Bytes, ObjectError>>) {
    while let Some(piece) = content.next().await {
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(number: usize) -> RuntimeId {
        RuntimeId::parse(&format!("ecd-{number:020}")).unwrap()
    }

    #[test]
    fn one_guest_and_all_of_them_have_a_bound_and_get_it_back() {
        let fetches = Fetches::default();
        let of_one: Vec<_> = (0..OF_ONE_MAX).map(|_| fetches.admit(&runtime(0)).unwrap()).collect();
        assert!(fetches.admit(&runtime(0)).is_none());
        let others: Vec<_> =
            (OF_ONE_MAX..RUNNING_MAX).map(|number| fetches.admit(&runtime(number)).unwrap()).collect();
        assert!(fetches.admit(&runtime(RUNNING_MAX)).is_none());
        drop(of_one);
        assert!(fetches.admit(&runtime(RUNNING_MAX)).is_some());
        drop(others);
        assert!(fetches.0.lock().unwrap().is_empty(), "nothing is kept of those that ended");
    }

    #[tokio::test]
    async fn a_guest_that_takes_nothing_gives_its_place_back_in_time() {
        tokio::time::pause();
        let (tasks, fetches) = (Tasks::new(), Fetches::default());
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"fish"))).boxed();
        let running = fetches.admit(&runtime(0)).unwrap();
        let body = body(&tasks, running, 10 * BYTES_A_SECOND, endless);
        tokio::time::sleep(WITHIN + Duration::from_secs(9)).await;
        assert_eq!(fetches.0.lock().unwrap().len(), 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(fetches.0.lock().unwrap().is_empty());
        // What was read ahead is there, and then no more.
        let rest = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        assert_eq!(rest.len(), AHEAD * 4);
    }

    #[tokio::test]
    async fn a_guest_that_goes_away_gives_its_place_back_at_once() {
        let (tasks, fetches) = (Tasks::new(), Fetches::default());
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"fish"))).boxed();
        let running = fetches.admit(&runtime(0)).unwrap();
        drop(body(&tasks, running, 1, endless));
        tasks.shutdown(Duration::from_secs(5)).await;
        assert!(fetches.0.lock().unwrap().is_empty());
    }
}
