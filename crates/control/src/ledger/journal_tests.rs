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
    let scan = record::scan(&bytes, segment).unwrap();
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
    journal.set_file(OpenOptions::new().write(true).open(file).unwrap());
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
    journal.rotate_now();
    assert_eq!(
        (in_file(directory.path(), segment), in_file(directory.path(), 2)),
        (vec![settle(0)], Vec::new())
    );
    journal.applied(segment, 1);
    assert!(!directory.path().join("000000000001.journal").exists(), "it is nobody's any more");
}

#[test]
fn the_file_of_a_segment_that_is_done_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let names = || {
        let mut names: Vec<String> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "lock")
            .collect();
        names.sort();
        names
    };
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    for number in 0..9 {
        journal.append(&settle(number)).unwrap();
    }
    journal.rotate_now();
    journal.applied(1, 9);
    assert_eq!(names(), ["000000000001.spare", "000000000002.journal"]);
    let length = std::fs::metadata(directory.path().join("000000000001.spare")).unwrap().len();
    journal.append(&settle(10)).unwrap();
    journal.rotate_now();
    assert_eq!(names(), ["000000000002.journal", "000000000003.journal"]);
    journal.append(&settle(11)).unwrap();
    journal.write().unwrap();
    assert_eq!(
        std::fs::metadata(directory.path().join("000000000003.journal")).unwrap().len(),
        length,
        "it is still as long as it was"
    );
    // Only two are kept, however many are done at once.
    for segment in 4..8 {
        journal.append(&settle(segment)).unwrap();
        journal.rotate_now();
    }
    for segment in 2..7 {
        journal.applied(segment, 2);
    }
    assert_eq!(names(), ["000000000002.spare", "000000000003.spare", "000000000007.journal"]);
    journal.append(&settle(20)).unwrap();
    // A process that is killed leaves them, and the next one takes nothing of them for its own: it may count from one again.
    let spare = directory.path().join("000000000003.spare");
    let left = std::fs::read(&spare).unwrap();
    drop(journal);
    assert_eq!(names(), ["000000000007.journal"]);
    assert_eq!(in_file(directory.path(), 7), [settle(20)], "nothing else is left to read");
    std::fs::write(&spare, left).unwrap();
    let (_journal, found) = FileJournal::open(directory.path()).unwrap();
    assert_eq!(found.records, [settle(20)]);
    found.remove().unwrap();
    assert_eq!(names(), ["000000000008.journal"]);
}

#[test]
fn a_failed_write_is_made_good_in_a_file_that_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    for number in 0..9 {
        journal.append(&settle(number)).unwrap();
    }
    journal.rotate_now();
    journal.applied(1, 9);
    journal.rotate_now();
    journal.append(&settle(1)).unwrap();
    journal.write().unwrap();
    let file = directory.path().join("000000000003.journal");
    let reading = OpenOptions::new().read(true).open(&file).unwrap();
    journal.set_file(reading);
    journal.append(&settle(2)).unwrap();
    journal.write().unwrap_err();
    journal.set_file(OpenOptions::new().write(true).open(&file).unwrap());
    journal.append(&settle(3)).unwrap();
    journal.write().unwrap();
    drop(journal);
    let (_, found) = FileJournal::open(directory.path()).unwrap();
    assert_eq!(found.records, [settle(1), settle(2), settle(3)]);
}

#[test]
fn what_was_synchronised_and_cannot_be_read_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(directory.path()).unwrap();
    journal.append(&settle(0)).unwrap();
    journal.write().unwrap();
    let upkeep = journal.upkeep();
    journal.append(&settle(1)).unwrap();
    journal.write().unwrap();
    // Only so much of it was written by then.
    journal.kept_up(upkeep.run().unwrap());
    journal.append(&settle(2)).unwrap();
    drop(journal);
    let file = directory.path().join("000000000001.journal");
    let bytes = std::fs::read(&file).unwrap();
    let each = bytes.len() / 3;
    let open_without = |number: usize| {
        let mut left = bytes.clone();
        left[number * each..(number + 1) * each].fill(0);
        std::fs::write(&file, left).unwrap();
        FileJournal::open(directory.path()).map(|(_, found)| found.records)
    };
    assert!(matches!(open_without(0), Err(LedgerError::Damaged { at_byte: 0, .. })));
    assert_eq!(open_without(1).unwrap(), [settle(0)]);
    assert_eq!(open_without(2).unwrap(), [settle(0), settle(1)]);
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
