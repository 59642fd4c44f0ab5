//! Records that wait for their turn: written together, refused together, and never left behind.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::sync::Arc;

use creel_wire::id::CallId;

use super::LedgerError;
use super::journal::FileJournal;
use super::record::{self, Record, Settle};

fn settle(number: usize) -> Record {
    let call_id = CallId::parse(&format!("call-{number}")).unwrap();
    Record::Settle(Arc::new(Settle { call_id, usage: Default::default(), parts: Vec::new(), at_ms: 1 }))
}

/// What stands in a segment's file.
fn in_file(directory: &std::path::Path, segment: u64) -> Vec<Record> {
    let bytes = std::fs::read(directory.join(format!("{segment:012}.journal"))).unwrap();
    let scan = record::scan(&bytes).unwrap();
    assert_eq!(scan.sound_bytes, bytes.len());
    scan.records
}

#[test]
fn records_that_wait_are_written_together() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    let batch = journal.batch();
    for number in 0..3 {
        assert_eq!(journal.append(&settle(number)).unwrap(), 1);
        assert!(Arc::ptr_eq(&batch, &journal.batch()));
    }
    assert!(batch.outcome().is_none());
    assert_eq!(in_file(directory.path(), 1), []);
    journal.write().unwrap();
    assert!(matches!(batch.outcome(), Some(Ok(()))));
    assert!(!Arc::ptr_eq(&batch, &journal.batch()));
    assert_eq!(in_file(directory.path(), 1), [settle(0), settle(1), settle(2)]);
}

#[test]
fn a_write_that_fails_fails_for_all_that_waited() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    journal.append(&settle(0)).unwrap();
    journal.write().unwrap();
    // Takes every write and has room for none.
    let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    journal.set_file(file);
    let batch = journal.batch();
    journal.append(&settle(1)).unwrap();
    journal.append(&settle(2)).unwrap();
    let is_full = |error: &LedgerError| matches!(error, LedgerError::Journal { source, .. } if source.kind() == ErrorKind::StorageFull);
    assert!(is_full(&journal.write().unwrap_err()));
    assert!(is_full(&batch.outcome().unwrap().unwrap_err()));
    // What could not be taken back must have nothing behind it.
    journal.append(&settle(3)).unwrap();
    assert!(journal.write().is_err());
    assert_eq!(in_file(directory.path(), 1), [settle(0)]);
}

#[test]
fn what_could_not_be_written_waits_for_the_next_write_and_lets_nothing_more_begin() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    journal.set_file(full());
    let mut number = 0;
    while !journal.is_full() {
        journal.append(&settle(number)).unwrap();
        assert!(number > 0 || journal.write().is_err());
        number += 1;
        assert!(journal.is_full() || journal.make_room().is_ok());
    }
    assert!(journal.make_room().is_err());
    assert!(journal.write().is_err(), "it says so as often as it is asked");
    let file = directory.path().join("000000000001.journal");
    journal.set_file(OpenOptions::new().append(true).open(file).unwrap());
    journal.make_room().unwrap();
    assert_eq!(in_file(directory.path(), 1).len(), number);
    journal.append(&settle(number)).unwrap();
    journal.write().unwrap();
    assert_eq!(in_file(directory.path(), 1).len(), number + 1, "each once");
}

#[test]
fn what_waits_stays_in_the_segment_that_counts_it() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    let segment = journal.append(&settle(0)).unwrap();
    journal.rotate(std::iter::empty()).unwrap();
    assert_eq!(
        (in_file(directory.path(), segment), in_file(directory.path(), 2)),
        (vec![settle(0)], Vec::new())
    );
    journal.applied(segment, 1);
    assert!(!directory.path().join("000000000001.journal").exists());
}

#[test]
fn what_waits_at_the_end_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    journal.append(&settle(0)).unwrap();
    drop(journal);
    assert_eq!(in_file(directory.path(), 1), [settle(0)]);
}

#[test]
fn a_long_row_of_records_waits_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    let mut number = 0;
    while !journal.is_full() {
        journal.append(&settle(number)).unwrap();
        number += 1;
    }
    assert!(number > 1_000, "{number}");
    journal.write().unwrap();
    assert!(!journal.is_full());
    assert_eq!(in_file(directory.path(), 1).len(), number);
}
