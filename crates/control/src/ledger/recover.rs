//! Taking the ledger over: what an earlier owner left in the journal becomes rows, or goes on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use creel_wire::id::CallId;

use super::apply::{LEASE_MS, Released, Settlement, write_batch};
use super::book::Book;
use super::record::{Record, Reserve, Settle};
use super::{LedgerError, credits};
use crate::store::{LEDGER_LEASE, Lease, Store, StoreError};

/// Calls in one transaction at the most.
const BATCH_CALLS: usize = 256;
/// Records of the table that are read at once.
const PAGE_RECORDS: i64 = 5_000;

/// Takes the lease if it has ended; with files their lock has told that no other process lives.
pub(crate) async fn take_lease(
    store: &Store,
    owner_id: &str,
    address: &str,
    others_are_dead: bool,
) -> Result<Lease, LedgerError> {
    let now_ms = store.clock().now_ms();
    let (owner_id, address) = (owner_id.to_owned(), address.to_owned());
    let taken = store.write(move |tx| {
        Box::pin(async move {
            let until_ms = now_ms + LEASE_MS;
            tx.take_lease(LEDGER_LEASE, &owner_id, &address, now_ms, until_ms, others_are_dead).await
        })
    });
    Ok(taken.await?)
}

/// Makes rows of all calls in these files' records. No process but the dead one had calls.
pub(crate) async fn replay_files(
    store: &Store,
    epoch: i64,
    records: impl IntoIterator<Item = Record>,
) -> Result<(), LedgerError> {
    let mut calls = Calls::default();
    records.into_iter().for_each(|record| calls.add(record, 0));
    replay(store, epoch, calls, |_| false).await.map(drop)
}

/// Makes rows of the calls in the table that have ended or whose gateway has. Gives the balances with the calls that
/// go on, and the next free number of a record.
pub(crate) async fn replay_table(
    store: &Store,
    epoch: i64,
    own_id: &str,
) -> Result<(Book, i64), LedgerError> {
    let mut calls = Calls::default();
    let mut last_seq = 0;
    loop {
        let page = store.list_journal(last_seq, PAGE_RECORDS).await?;
        let Some(last) = page.last() else { break };
        last_seq = last.seq;
        for row in &page {
            let record = serde_json::from_str(&row.record)
                .map_err(|_| StoreError::Corrupt { what: format!("record {} of ledger_journal", row.seq) })?;
            calls.add(record, row.seq);
        }
    }
    let live: HashSet<String> = store.live_replicas(store.clock().now_ms()).await?.into_iter().collect();
    let book = replay(store, epoch, calls, |holder| holder == own_id || live.contains(holder)).await?;
    Ok((book, last_seq + 1))
}

/// What has ended first, for what is cut off may take only what that leaves.
async fn replay(
    store: &Store,
    epoch: i64,
    calls: Calls,
    lives: impl Fn(&str) -> bool,
) -> Result<Book, LedgerError> {
    let now_ms = store.clock().now_ms();
    let left = calls.sort_out()?;
    write_all(store, epoch, &left.settlements, &left.released).await?;
    let mut book = Book::default();
    for reserve in &left.open {
        let (account_id, runtime_id) = (&reserve.start.account_id, &reserve.start.runtime_id);
        if !book.is_loaded(account_id, runtime_id, now_ms) {
            credits::ensure_monthly(store, account_id, Some(runtime_id), now_ms).await?;
            let account = store.load_ledger_account(account_id, now_ms).await?;
            let agent = store.load_ledger_agent(runtime_id, now_ms).await?;
            book.load(account_id, runtime_id, account, agent);
        }
        for (id, _) in &reserve.packs {
            if !book.knows_pack(id)
                && let Some(load) = store.load_ledger_pack(account_id, id).await?
            {
                book.know_pack(load);
            }
        }
    }
    left.open.into_iter().for_each(|reserve| book.restore(reserve, now_ms));
    let cut_off = cut_off(&mut book, now_ms, lives);
    write_all(store, epoch, &cut_off, &[]).await?;
    cut_off.iter().for_each(|settlement| book.applied(&settlement.reserve, &settlement.settle));
    Ok(book)
}

/// Settles the calls of gateways that are gone as unknown.
pub(crate) fn cut_off(book: &mut Book, now_ms: i64, lives: impl Fn(&str) -> bool) -> Vec<Settlement> {
    let orphaned = book.orphaned(lives);
    let ended = orphaned.iter().filter_map(|call_id| book.settle_unknown(call_id, now_ms));
    let settlements: Vec<Settlement> = ended
        .map(|(reserve, settle)| Settlement { reserve, settle: Arc::new(settle), segment: None })
        .collect();
    if !settlements.is_empty() {
        let calls = settlements.len();
        tracing::warn!(calls, "calls of gateways that are gone count as spent: they are unsettled");
    }
    settlements
}

async fn write_all(
    store: &Store,
    epoch: i64,
    settlements: &[Settlement],
    released: &[Released],
) -> Result<(), LedgerError> {
    for batch in settlements.chunks(BATCH_CALLS) {
        write_batch(store, epoch, &Arc::new(batch.to_vec()), &Arc::default(), true).await?;
    }
    for batch in released.chunks(BATCH_CALLS) {
        write_batch(store, epoch, &Arc::default(), &Arc::new(batch.to_vec()), true).await?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Call {
    reserve: Option<Arc<Reserve>>,
    settle: Option<Arc<Settle>>,
    released: bool,
    last_seq: i64,
}

/// What the journal tells of each call, in the order of their first records.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    order: Vec<CallId>,
    by_id: HashMap<CallId, Call>,
}

/// The calls of a journal by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Become rows as they were settled.
    pub(crate) settlements: Vec<Settlement>,
    /// Were under way.
    pub(crate) open: Vec<Arc<Reserve>>,
    /// Leave nothing.
    pub(crate) released: Vec<Released>,
}

impl Calls {
    /// Takes in a record; they come in the order in which they were written.
    pub(crate) fn add(&mut self, record: Record, seq: i64) {
        let id = record.call_id().clone();
        let call = self.by_id.entry(id.clone()).or_insert_with(|| {
            self.order.push(id);
            Call::default()
        });
        call.last_seq = seq;
        match record {
            Record::Reserve(reserve) => {
                call.reserve = Some(reserve);
                // A gateway that lost the answer asks again, and what came to nothing may have been released between.
                call.released = false;
            }
            Record::Settle(settle) => call.settle = Some(settle),
            Record::Release(_) => call.released = true,
        }
    }

    /// Tells the calls apart.
    pub(crate) fn sort_out(mut self) -> Result<Left, LedgerError> {
        let mut left = Left::default();
        for id in &self.order {
            let Some(call) = self.by_id.remove(id) else { continue };
            if call.released {
                left.released.push(Released { call_id: id.to_string(), last_seq: call.last_seq });
                continue;
            }
            let Some(reserve) = call.reserve else {
                let what = format!("the journal settles {id} without having reserved it");
                return Err(StoreError::Corrupt { what }.into());
            };
            match call.settle {
                Some(settle) => left.settlements.push(Settlement { reserve, settle, segment: None }),
                None => left.open.push(reserve),
            }
        }
        if !left.settlements.is_empty() || !left.open.is_empty() {
            tracing::info!(
                calls.settled = left.settlements.len(),
                calls.open = left.open.len(),
                "taking up what the ledger's journal holds"
            );
        }
        Ok(left)
    }
}
