//! The owner's end of a connection: answers the questions of another gateway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::remote::{Answer, Answered, Ask, Asked};
use super::{LedgerError, Refusal, Write};

/// Within this a question is answered, and be it that the answer is to ask again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Questions of one gateway that wait at once; more are not read until some are answered.
const WAITING_MAX: usize = 4_096;

/// The gateways that are connected to an owner, by replica.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    by_id: Mutex<HashMap<String, Arc<Slot>>>,
}

/// One replica's place: its newest connection ends the one before, whose questions must not come after its own.
#[derive(Debug, Default)]
struct Slot {
    newest: Mutex<CancellationToken>,
    busy: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateways {
    pub(crate) fn is_connected(&self, replica_id: &str) -> bool {
        lock(&self.by_id).get(replica_id).is_some_and(|slot| slot.busy.try_lock().is_err())
    }

    /// Ends the replica's connection before this one; gives what ends this one.
    fn enter(&self, replica_id: &str) -> (Arc<Slot>, CancellationToken) {
        let mut by_id = lock(&self.by_id);
        by_id.retain(|id, slot| id == replica_id || Arc::strong_count(slot) > 1);
        let slot = by_id.entry(replica_id.to_owned()).or_default().clone();
        let replaced = CancellationToken::new();
        std::mem::replace(&mut *lock(&slot.newest), replaced.clone()).cancel();
        (slot, replaced)
    }
}

/// Answers `replica_id` until either end closes, a newer connection of it comes, or this process owns no more.
pub(crate) async fn serve(
    engine: &Engine,
    replica_id: &str,
    mut asks: mpsc::Receiver<Vec<Asked>>,
    answers: mpsc::UnboundedSender<Vec<Answered>>,
) {
    let (slot, replaced) = engine.gateways().enter(replica_id);
    let (fenced, stopped) = (engine.fenced(), engine.stopped());
    let ended = async {
        tokio::select! {
            () = replaced.cancelled() => {}
            () = fenced.cancelled() => {}
            () = stopped.cancelled() => {}
        }
    };
    let mut ended = std::pin::pin!(ended);
    let _busy = tokio::select! {
        busy = slot.busy.lock() => busy,
        () = ended.as_mut() => return,
    };
    let mut waiting = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = ended.as_mut() => return,
            Some(first) = waiting.next() => {
                let mut ready = vec![first];
                while let Some(Some(next)) = waiting.next().now_or_never() {
                    ready.push(next);
                }
                if answers.send(ready).is_err() {
                    return;
                }
            }
            batch = asks.recv(), if waiting.len() < WAITING_MAX => match batch {
                Some(batch) => waiting.extend(batch.into_iter().map(|asked| answered(engine, replica_id, asked))),
                None => return,
            },
        }
    }
}

async fn answered(engine: &Engine, replica_id: &str, asked: Asked) -> Answered {
    Answered { id: asked.id, answer: answer(engine, replica_id, asked.ask, asked.again).await }
}

/// Answers one question of a gateway, within bounds.
pub(crate) async fn answer(engine: &Engine, replica_id: &str, ask: Ask, again: bool) -> Answer {
    let answer = decide(engine, replica_id, ask, again);
    tokio::time::timeout(ANSWER_WITHIN, answer).await.unwrap_or(Answer::Unavailable)
}

pub(crate) async fn decide(engine: &Engine, replica_id: &str, ask: Ask, again: bool) -> Answer {
    match ask {
        Ask::Reserve(start) => {
            // It may have begun, been given up as its gateway was silent for long, and have entries.
            if again && !matches!(engine.has_ended(&start.call_id).await, Ok(false)) {
                return Answer::Unavailable;
            }
            match engine.reserve(replica_id, &start, Write::Now).await {
                Ok(held) => Answer::Held(held),
                Err(Refusal::Unavailable) => Answer::Unavailable,
                Err(refusal) => Answer::Refused(refusal),
            }
        }
        Ask::Settle { call_id, usage, source } => {
            match engine.settle(&call_id, usage, source, Write::Now).await {
                Ok(billed) => Answer::Billed(billed),
                Err(LedgerError::AlreadySettled) => Answer::Ended,
                Err(error) => {
                    tracing::warn!(call.id = %call_id, error = %error, "call {call_id} is not settled yet");
                    Answer::Unavailable
                }
            }
        }
        Ask::Release(call_id) => match engine.release(&call_id).await {
            Ok(()) => Answer::Released,
            Err(LedgerError::AlreadySettled) => Answer::Ended,
            Err(_) => Answer::Unavailable,
        },
        Ask::Remaining(start) => match engine.remaining(&start).await {
            Ok(remaining) => Answer::Remaining(remaining),
            Err(refusal) => Answer::Refused(refusal),
        },
    }
}
