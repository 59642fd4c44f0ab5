//! Content capture: copies of the bodies of calls whose account, resource group or runtime has a policy that says so.
//!
//! A call without one pays for a look at an `Option`. One with a policy never waits and never fails because of it: what
//! is kept goes into a bounded queue to a task that seals and writes it, and is dropped, and counted, where the queue or
//! the memory for all captures together is full, or the database fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use creel_control::capture::{CapturedContent, Captures, Terms};
use creel_control::tasks::Tasks;
use creel_wire::id::CallId;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use super::ports::AgentAccess;

/// Captured calls that wait to be written, at the most.
const WAITING_MAX: usize = 1_024;
/// Bytes of all captures together, of calls that run and of those that wait.
const BYTES_HELD_MAX: usize = 64 << 20;
/// What is written in one transaction, about, so that no other writer waits long.
const BATCH_BYTES: usize = 1 << 20;
/// At shutdown, how often is looked whether a call that is captured still runs.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Keeps the content of calls. Clones are the same.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: mpsc::Sender<Kept>,
    bytes_held: AtomicUsize,
    bytes_held_max: usize,
    written: Counter,
    dropped: Counter,
}

/// Memory that a capture holds; given back when dropped.
#[derive(Debug)]
struct Hold {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Hold {
    /// Holds more; false where all captures together would hold too much.
    fn grow(&mut self, bytes: usize) -> bool {
        let most = self.shared.bytes_held_max;
        let grown = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
        let held = self.shared.bytes_held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        if held.is_ok() {
            self.bytes += bytes;
        }
        held.is_ok()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.bytes_held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Kept {
    content: CapturedContent,
    hold: Hold,
}

impl Capture {
    /// Starts the task that writes; it ends once nothing is captured any more after `tasks` is told to end.
    pub(crate) fn start(captures: Captures, tasks: &Tasks) -> Self {
        let (capture, mut waiting) = Self::with_bounds(WAITING_MAX, BYTES_HELD_MAX);
        let (shared, cancel) = (capture.0.clone(), tasks.cancelled());
        tasks.spawn("gateway-captures", async move {
            loop {
                let first = tokio::select! {
                    kept = waiting.recv() => kept,
                    () = cancel.cancelled() => {
                        if shared.bytes_held.load(Ordering::Relaxed) == 0 {
                            return;
                        }
                        match tokio::time::timeout(LOOK_EVERY, waiting.recv()).await {
                            Ok(kept) => kept,
                            Err(_) => continue,
                        }
                    }
                };
                let Some(first) = first else { return };
                write(&captures, &shared, first, &mut waiting).await;
            }
        });
        capture
    }

    fn with_bounds(waiting_max: usize, bytes_held_max: usize) -> (Self, mpsc::Receiver<Kept>) {
        let (sender, receiver) = mpsc::channel(waiting_max);
        let shared = Shared {
            waiting: sender,
            bytes_held: AtomicUsize::new(0),
            bytes_held_max,
            written: Counter::default(),
            dropped: Counter::default(),
        };
        (Self(Arc::new(shared)), receiver)
    }

    /// Shows its counters in a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let llm = registry.sub_registry_with_prefix("llm");
        llm.register("captures", "Calls whose content was kept, by policy", self.0.written.clone());
        llm.register(
            "captures_dropped",
            "Calls whose content was to be kept and was not: too much waited, or the database failed",
            self.0.dropped.clone(),
        );
    }

    /// Begins to capture a call; `None` where there is no memory for it.
    pub(crate) fn begin(
        &self,
        terms: Terms,
        access: &AgentAccess,
        call_id: &CallId,
        model: &str,
        body: &[u8],
        now_ms: i64,
    ) -> Option<Arc<Tap>> {
        let bytes_max = usize::try_from(terms.bytes_max).unwrap_or(usize::MAX);
        let request = body.get(..bytes_max).unwrap_or(body);
        let mut hold = Hold { shared: self.0.clone(), bytes: 0 };
        if !hold.grow(request.len()) {
            self.0.dropped.inc();
            return None;
        }
        let content = CapturedContent {
            call_id: call_id.clone(),
            account_id: access.account.clone(),
            runtime_id: access.runtime.clone(),
            model_code: model.to_owned(),
            terms,
            created_at_ms: now_ms,
            request: request.to_vec(),
            request_bytes: body.len() as u64,
            answer: Vec::new(),
            answer_bytes: 0,
        };
        Some(Arc::new(Tap { bytes_max, kept: Mutex::new(Some(Kept { content, hold })) }))
    }
}

/// Writes what waits, as much as one transaction takes.
async fn write(captures: &Captures, shared: &Shared, first: Kept, waiting: &mut mpsc::Receiver<Kept>) {
    let mut bytes = first.hold.bytes;
    let (mut contents, mut holds) = (vec![first.content], vec![first.hold]);
    while bytes < BATCH_BYTES
        && let Ok(kept) = waiting.try_recv()
    {
        bytes += kept.hold.bytes;
        contents.push(kept.content);
        holds.push(kept.hold);
    }
    let calls = holds.len() as u64;
    match captures.record(contents).await {
        Ok(()) => shared.written.inc_by(calls),
        Err(error) => {
            tracing::warn!(error = %crate::ops::chain(&error), calls, "the content of {calls} calls was not kept");
            shared.dropped.inc_by(calls)
        }
    };
    drop(holds);
}

/// What is kept of one call. Dropped with the call, it is handed on.
#[derive(Debug)]
pub(crate) struct Tap {
    bytes_max: usize,
    /// `None` once there was no memory for more of it.
    kept: Mutex<Option<Kept>>,
}

impl Tap {
    /// These bytes go to the client.
    pub(crate) fn answer(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Kept { content, hold }) = kept.as_mut() else { return };
        content.answer_bytes = content.answer_bytes.saturating_add(bytes.len() as u64);
        let room = self.bytes_max.saturating_sub(content.answer.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        if hold.grow(taken.len()) {
            content.answer.extend_from_slice(taken);
            return;
        }
        hold.shared.dropped.inc();
        *kept = None;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let Some(kept) = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let shared = kept.hold.shared.clone();
        if shared.waiting.try_send(kept).is_err() {
            shared.dropped.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use creel_wire::id::{AccountId, RuntimeId};

    use super::*;
    use crate::gateway::ports::KeyKind;

    const TERMS: Terms = Terms { retention_days: 1, bytes_max: 8 };

    fn begin(capture: &Capture, call: &str, body: &[u8]) -> Option<Arc<Tap>> {
        let access = AgentAccess {
            account: AccountId::parse("1000000000000001").expect("an id"),
            runtime: RuntimeId::parse("ecd-1").expect("an id"),
            key_kind: KeyKind::Agent,
            limits: creel_control::call_limit::Limits::default(),
            capture: Some(TERMS),
            group: None,
        };
        capture.begin(TERMS, &access, &CallId::parse(call).expect("an id"), "m", body, 1)
    }

    fn held(capture: &Capture) -> usize {
        capture.0.bytes_held.load(Ordering::Relaxed)
    }

    #[test]
    fn a_bounded_part_of_a_request_and_of_a_stream_is_kept_and_the_sizes_of_both() {
        let (capture, mut waiting) = Capture::with_bounds(1, 100);
        let tap = begin(&capture, "call-1", b"0123456789").expect("memory");
        for part in [&b"abc"[..], b"defg", b"hijk", b"lm"] {
            tap.answer(part);
        }
        assert_eq!(held(&capture), 16);
        drop(tap);
        let kept = waiting.try_recv().expect("it is handed on");
        let content = &kept.content;
        assert_eq!((&content.request[..], content.request_bytes), (&b"01234567"[..], 10));
        assert_eq!((&content.answer[..], content.answer_bytes), (&b"abcdefgh"[..], 13));
        assert!(!format!("{kept:?}").contains("0123"), "nothing shows it");
        drop(kept);
        assert_eq!(held(&capture), 0);
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_no_call_waits() {
        let (capture, mut waiting) = Capture::with_bounds(1, 100);
        for call in ["call-1", "call-2", "call-3"] {
            drop(begin(&capture, call, b"q"));
        }
        assert_eq!(capture.0.dropped.get(), 2);
        assert_eq!(waiting.try_recv().expect("the first").content.call_id.as_str(), "call-1");
        assert!(waiting.try_recv().is_err());
        assert_eq!(held(&capture), 0);
    }

    #[test]
    fn all_captures_together_hold_so_much_and_no_more() {
        let (capture, mut waiting) = Capture::with_bounds(9, 10);
        let first = begin(&capture, "call-1", b"12345678").expect("memory");
        assert!(begin(&capture, "call-2", b"123").is_none());
        let third = begin(&capture, "call-3", b"1").expect("memory");
        third.answer(b"ab");
        assert_eq!(held(&capture), 8, "what is not whole is given up at once");
        assert_eq!(capture.0.dropped.get(), 2);
        drop((first, third));
        assert_eq!(waiting.try_recv().expect("the first").content.call_id.as_str(), "call-1");
        assert!(waiting.try_recv().is_err());
    }
}
