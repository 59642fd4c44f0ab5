//! Refused calls of authenticated callers: a row each up to a bound, and one row with a count for the others.
//!
//! The count is in memory until its minute is over, so a crash loses at most a minute's count. Calls without valid
//! credentials never get here and cost nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Decision, Event, Outcome};
use crate::access::Actor;
use crate::id_gen::IdGen;
use crate::store::{Store, StoreError};
use crate::tasks::Tasks;

/// Rows of refused calls of one key in a minute; more are counted.
pub const ROWS_A_MINUTE: u32 = 30;
/// Keys whose refusals are counted at a time; calls of more keys are not recorded.
const KEYS_MAX: usize = 10_000;
/// How often counts whose minute is over are written.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
const MINUTE_MS: i64 = 60_000;

/// Records refused calls; clones share their counts.
#[derive(Debug, Clone)]
pub struct Refusals {
    store: Store,
    ids: IdGen,
    keys: Arc<Mutex<HashMap<String, Window>>>,
}

/// A minute of one key.
#[derive(Debug)]
struct Window {
    minute: i64,
    rows: u32,
    /// Calls that got no row of their own.
    counted: Option<Event>,
}

impl Refusals {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen) -> Self {
        Self { store, ids, keys: Arc::default() }
    }

    /// Writes counts as their minutes end, and all of them when the process stops.
    pub fn start(&self, tasks: &Tasks) {
        let (refusals, stop) = (self.clone(), tasks.cancelled());
        tasks.spawn("audit-refusals", async move {
            while !stop.is_cancelled() {
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(FLUSH_EVERY) => {} }
                let minute =
                    if stop.is_cancelled() { i64::MAX } else { refusals.store.clock().now_ms() / MINUTE_MS };
                if let Err(error) = refusals.flush(minute).await {
                    tracing::error!(error = %error, "counts of refused calls could not be recorded");
                }
            }
        });
    }

    /// Records that this call was answered with an error; `resources` are what it was refused on and by.
    pub async fn record(
        &self,
        actor: &Actor,
        decision: Decision,
        code: &str,
        resources: &[&str],
    ) -> Result<(), StoreError> {
        let now_ms = self.store.clock().now_ms();
        let mut event = actor.event(resources, now_ms);
        decision.as_str().clone_into(&mut event.decision);
        Outcome::Failure.as_str().clone_into(&mut event.outcome);
        code.clone_into(&mut event.code);
        match self.insert(self.admit(event, now_ms / MINUTE_MS)).await {
            // It did what it should, has its row, and failed on the way to the caller.
            Err(StoreError::Unique(_)) => Ok(()),
            other => other,
        }
    }

    /// What is to be written now: this event, the count of the minute before, both or none.
    fn admit(&self, event: Event, minute: i64) -> Vec<Event> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX && !keys.contains_key(&event.key_id) {
            keys.retain(|_, window| window.minute == minute || window.counted.is_some());
            if keys.len() >= KEYS_MAX {
                tracing::warn!("too many keys are refused at a time: a refused call is not recorded");
                return Vec::new();
            }
        }
        let window =
            keys.entry(event.key_id.clone()).or_insert_with(|| Window { minute, rows: 0, counted: None });
        let mut due = Vec::new();
        if window.minute != minute {
            due.extend(window.counted.take());
            (window.minute, window.rows) = (minute, 0);
        }
        if window.rows < ROWS_A_MINUTE {
            window.rows += 1;
            due.push(event);
        } else if let Some(counted) = &mut window.counted {
            counted.calls += 1;
            counted.at_ms = event.at_ms;
        } else {
            // The last refusals' codes may differ: the rows of the same minute show which there were.
            window.counted = Some(Event {
                id: self.ids.request_id(),
                action: "RefusedCalls".to_owned(),
                version: String::new(),
                ..event
            });
        }
        due
    }

    /// Writes the counts of every minute before this one.
    async fn flush(&self, minute: i64) -> Result<(), StoreError> {
        let mut due = Vec::new();
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, window| {
            let is_over = window.minute < minute;
            if is_over {
                due.extend(window.counted.take());
            }
            !is_over
        });
        self.insert(due).await
    }

    async fn insert(&self, events: Vec<Event>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    for event in &events {
                        tx.insert_audit(event, None).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}
