//! Taking the ledger over: the lease, and what an earlier process left in the journal.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use creel_wire::id::CallId;

use super::apply::{LEASE_MS, Settlement, write_batch};
use super::engine::Config;
use super::journal::Found;
use super::record::{Record, Reserve, Settle};
use super::{LedgerError, book};
use crate::store::{LEDGER_LEASE, Lease, Store, StoreError};

/// Between two looks at a lease that may be a dead process's.
const TAKEOVER_LOOK: Duration = Duration::from_millis(500);
/// Calls in one transaction at the most.
const BATCH_CALLS: usize = 256;
/// Records of the table that are read at once.
const PAGE_RECORDS: i64 = 5_000;

/// Takes the lease and gives its epoch. With files their lock has told that no other process lives.
pub(crate) async fn take_lease(
    store: &Store,
    config: &Config,
    others_are_dead: bool,
) -> Result<i64, LedgerError> {
    let mut first_until_ms = None;
    let attempts = async {
        loop {
            let now_ms = store.clock().now_ms();
            let owner_id = config.owner_id.clone();
            let taken: Result<i64, LedgerError> = store
                .write(move |tx| {
                    Box::pin(async move {
                        let until_ms = now_ms + LEASE_MS;
                        match tx
                            .take_lease(LEDGER_LEASE, &owner_id, now_ms, until_ms, others_are_dead)
                            .await?
                        {
                            Lease::Taken { epoch } => Ok(epoch),
                            Lease::Held { until_ms } => Err(LedgerError::Owned { until_ms }),
                        }
                    })
                })
                .await;
            match taken {
                Err(LedgerError::Owned { until_ms }) => {
                    let alive = *first_until_ms.get_or_insert(until_ms) != until_ms;
                    if alive || config.takeover_wait.is_zero() {
                        return Err(LedgerError::Owned { until_ms });
                    }
                    tokio::time::sleep(TAKEOVER_LOOK).await;
                }
                other => return other,
            }
        }
    };
    let limit = config.takeover_wait.max(Duration::from_secs(30));
    match tokio::time::timeout(limit, attempts).await {
        Ok(taken) => taken,
        Err(_) => Err(LedgerError::Owned { until_ms: first_until_ms.unwrap_or_default() }),
    }
}

/// Makes rows of all that the journal holds; gives the next free number of the table's records.
pub(crate) async fn replay(
    store: &Store,
    epoch: i64,
    from_files: bool,
    found: Found,
) -> Result<i64, LedgerError> {
    let mut calls = Calls::default();
    let mut last_seq = 0;
    if from_files {
        found.records.iter().cloned().for_each(|record| calls.add(record));
    } else {
        loop {
            let page = store.list_journal(last_seq, PAGE_RECORDS).await?;
            let Some(last) = page.last() else { break };
            last_seq = last.seq;
            for row in &page {
                let record = serde_json::from_str(&row.record).map_err(|_| StoreError::Corrupt {
                    what: format!("record {} of ledger_journal", row.seq),
                })?;
                calls.add(record);
            }
        }
    }
    let settlements = calls.settlements(store.clock().now_ms())?;
    for batch in settlements.chunks(BATCH_CALLS) {
        write_batch(store, epoch, &Arc::new(batch.to_vec()), &Arc::default(), true).await?;
    }
    if from_files {
        found.remove()?;
    } else {
        store.clear_journal(epoch, last_seq).await?;
    }
    Ok(last_seq + 1)
}

#[derive(Debug, Default)]
struct Call {
    reserve: Option<Arc<Reserve>>,
    settle: Option<Arc<Settle>>,
    released: bool,
}

/// What the journal tells of each call, in the order of their first records.
#[derive(Debug, Default)]
struct Calls {
    order: Vec<CallId>,
    by_id: HashMap<CallId, Call>,
}

impl Calls {
    fn add(&mut self, record: Record) {
        let id = record.call_id().clone();
        let call = self.by_id.entry(id.clone()).or_insert_with(|| {
            self.order.push(id);
            Call::default()
        });
        match record {
            Record::Reserve(reserve) => call.reserve = Some(reserve),
            Record::Settle(settle) => call.settle = Some(settle),
            Record::Release(_) => call.released = true,
        }
    }

    /// What becomes rows: settled calls as they were settled, cut-off ones as unknown.
    fn settlements(mut self, now_ms: i64) -> Result<Vec<Settlement>, LedgerError> {
        let mut settlements = Vec::new();
        let mut unknown = 0usize;
        for id in &self.order {
            let Some(Call { reserve, settle, released }) = self.by_id.remove(id) else { continue };
            if released {
                continue;
            }
            let Some(reserve) = reserve else {
                let what = format!("the journal settles {id} without having reserved it");
                return Err(StoreError::Corrupt { what }.into());
            };
            let settle = settle.unwrap_or_else(|| {
                unknown += 1;
                Arc::new(book::unknown(&reserve, now_ms))
            });
            settlements.push(Settlement { reserve, settle, segment: None });
        }
        if !settlements.is_empty() {
            tracing::info!(
                calls = settlements.len(),
                calls.unsettled_max = unknown,
                "making rows of what the ledger's journal holds"
            );
        }
        Ok(settlements)
    }
}
