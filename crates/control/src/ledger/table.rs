//! The journal as a table, for PostgreSQL: records of all callers are inserted in batches, each in a transaction of
//! its own that ends with a commit before any of its callers goes on.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::LedgerError;
use super::apply::{Command, Settlement};
use super::engine::Inner;
use super::record::Record;
use crate::store::LEDGER_LEASE;

/// Records in one insert at the most.
const BATCH_RECORDS_MAX: usize = 512;

/// A record and who waits for it.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) record: Record,
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
pub(crate) async fn run(inner: Arc<Inner>, mut appends: mpsc::UnboundedReceiver<Append>, mut next_seq: i64) {
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
        write(&inner, batch, &mut next_seq).await;
    }
}

async fn write(inner: &Arc<Inner>, batch: Vec<Append>, next_seq: &mut i64) {
    let mut rows = Vec::with_capacity(batch.len());
    for append in &batch {
        let record = match serde_json::to_string(&append.record) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(error = %error, "a record of the ledger's journal cannot be written as JSON");
                continue;
            }
        };
        rows.push(JournalRow { seq: *next_seq, call_id: append.record.call_id().to_string(), record });
        *next_seq += 1;
    }
    let epoch = inner.epoch;
    let written: Result<(), LedgerError> = inner
        .store
        .write(move |tx| {
            Box::pin(async move {
                if !tx.holds_lease(LEDGER_LEASE, epoch).await? {
                    return Err(LedgerError::Fenced);
                }
                Ok(tx.insert_journal(&rows).await?)
            })
        })
        .await;
    let failure = written.err();
    match &failure {
        Some(LedgerError::Fenced) => inner.set_fenced(),
        Some(error) => tracing::error!(error = %error, "the ledger's journal cannot be written"),
        None => {}
    }
    for append in batch {
        // If the journal failed the rows are what is left to record it.
        if let Some(settlement) = append.settlement {
            inner.command(Command::Apply(settlement));
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
