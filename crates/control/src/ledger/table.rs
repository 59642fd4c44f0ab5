//! The journal as a table, for PostgreSQL: records of all callers are inserted in batches, each in a transaction of
//! its own that ends with a commit before any of its callers goes on. The commit holds the lease's epoch, so what an
//! owner that was taken over has decided since is never told to anybody.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::LedgerError;
use super::apply::{Command, Released, Settlement};
use super::inner::Inner;
use super::record::Record;
use crate::store::{LEDGER_LEASE, Store};

/// Records in one insert at the most.
const BATCH_RECORDS_MAX: usize = 512;

/// A record and who waits for it.
#[derive(Debug)]
pub(crate) struct Append {
    /// `None` only waits for what was appended before.
    pub(crate) record: Option<Record>,
    /// What goes on to the applier once the record is committed: before, its row would be left behind.
    pub(crate) settlement: Option<Settlement>,
    pub(crate) done: oneshot::Sender<Result<(), LedgerError>>,
}

/// A record as the table keeps it.
#[derive(Debug, Clone)]
pub(crate) struct JournalRow {
    pub(crate) seq: i64,
    pub(crate) call_id: String,
    pub(crate) record: String,
}

/// Writes records until the last sender is gone.
pub(crate) async fn run(
    store: Store,
    inner: Arc<Inner>,
    mut appends: mpsc::UnboundedReceiver<Append>,
    mut next_seq: i64,
) {
    let cancelled = inner.cancelled.clone();
    loop {
        let first = tokio::select! {
            biased;
            first = appends.recv() => first,
            // Appends that are already in the queue were taken by the branch above.
            () = cancelled.cancelled() => None,
        };
        let Some(first) = first else { return };
        let mut batch = vec![first];
        while batch.len() < BATCH_RECORDS_MAX {
            match appends.try_recv() {
                Ok(append) => batch.push(append),
                Err(_) => break,
            }
        }
        write(&store, &inner, batch, &mut next_seq).await;
    }
}

async fn write(store: &Store, inner: &Inner, batch: Vec<Append>, next_seq: &mut i64) {
    let (seqs, rows) = rows(&batch, next_seq);
    let written = if rows.is_empty() { Ok(()) } else { insert(store, inner.epoch, rows).await };
    written_batch(inner, batch, &seqs, written);
}

/// Numbers the records of a batch and puts them into words.
pub(crate) fn rows(batch: &[Append], next_seq: &mut i64) -> (Vec<i64>, Vec<JournalRow>) {
    let mut rows = Vec::with_capacity(batch.len());
    let mut seqs = Vec::with_capacity(batch.len());
    for append in batch {
        seqs.push(*next_seq);
        let Some(record) = &append.record else { continue };
        let json = match serde_json::to_string(record) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(error = %error, "a record of the ledger's journal cannot be written as JSON");
                continue;
            }
        };
        rows.push(JournalRow { seq: *next_seq, call_id: record.call_id().to_string(), record: json });
        *next_seq += 1;
    }
    (seqs, rows)
}

/// Lets everybody go on who waits for a record of this batch.
pub(crate) fn written_batch(
    inner: &Inner,
    batch: Vec<Append>,
    seqs: &[i64],
    written: Result<(), LedgerError>,
) {
    let failure = written.err();
    match &failure {
        Some(LedgerError::Fenced) => inner.set_fenced(),
        Some(error) => tracing::error!(error = %error, "the ledger's journal cannot be written"),
        None => {}
    }
    for (append, last_seq) in batch.into_iter().zip(seqs.iter().copied()) {
        // If the journal failed the rows are what is left to record it.
        if let Some(settlement) = append.settlement {
            inner.command(Command::Apply(settlement));
        }
        match append.record {
            Some(Record::Release(call_id)) => {
                inner.command(Command::Forget(Released { call_id: call_id.to_string(), last_seq }));
            }
            // It may have been committed although its answer was lost.
            Some(Record::Reserve(reserve)) if failure.is_some() => {
                inner.core().book.release_this(&reserve);
                let call_id = reserve.start.call_id.to_string();
                inner.command(Command::Forget(Released { call_id, last_seq }));
            }
            _ => {}
        }
        let answer = match &failure {
            None => Ok(()),
            Some(LedgerError::Fenced) => Err(LedgerError::Fenced),
            Some(_) => Err(LedgerError::Journal {
                file: "ledger_journal".to_owned(),
                source: std::io::Error::other("the database did not commit it"),
            }),
        };
        // A caller that went away is not missed; its call ends by its deadline.
        let _ = append.done.send(answer);
    }
}

async fn insert(store: &Store, epoch: i64, rows: Vec<JournalRow>) -> Result<(), LedgerError> {
    let write = store.write(move |tx| {
        Box::pin(async move {
            if !tx.holds_lease(LEDGER_LEASE, epoch).await? {
                return Err(LedgerError::Fenced);
            }
            Ok(tx.insert_journal(&rows).await?)
        })
    });
    write.await
}
