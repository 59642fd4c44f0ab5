//! What an engine over files does when they cannot be written, and whom it tells.

use futures_util::FutureExt;

use super::*;
use crate::clock::FixedClock;
use crate::ledger::book_tests::{NOW_MS, book, call};

/// An engine over files in a new directory, with a pack of 100.
fn engine() -> (Engine, tempfile::TempDir, mpsc::UnboundedReceiver<Command>) {
    let directory = tempfile::tempdir().unwrap();
    let (file, _) = FileJournal::open(directory.path()).unwrap();
    let core = Core { book: book(&[100], None), journal: Journal::File(file) };
    let clock = Arc::new(FixedClock::at(jiff::Timestamp::from_millisecond(NOW_MS).unwrap()));
    let (engine, commands) = Engine::new(clock, 1, "owner", CancellationToken::new(), core);
    (engine, directory, commands)
}

/// From now on there is room for nothing.
fn fill_disk(engine: &Engine) {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    match &mut engine.inner.core().journal {
        Journal::File(file) => file.set_file(full),
        Journal::Table(_) => unreachable!(),
    }
}

#[tokio::test]
async fn calls_whose_common_write_fails_are_refused_and_hold_nothing() {
    let (engine, _directory, _commands) = engine();
    // With one under way the others are not alone, so they wait for their turn.
    assert_eq!(engine.reserve("", &call(0, 0, 10), Write::Now).await, Ok(Micros(10)));
    fill_disk(&engine);
    let starts = [1, 2, 3].map(|number| call(number, 0, 10));
    let calls = starts.iter().map(|start| engine.reserve("", start, Write::Now));
    assert_eq!(futures_util::future::join_all(calls).await, [const { Err(Refusal::Unavailable) }; 3]);
    assert_eq!(engine.inner.core().book.open().len(), 1);
    assert_eq!(engine.remaining(&call(4, 0, 10)).await, Ok(Some(Micros(90))));
}

#[tokio::test]
async fn deferred_records_are_written_together_when_their_caller_says_so() {
    let (engine, directory, _commands) = engine();
    let length = || directory.path().join("000000000001.journal").metadata().unwrap().len();
    for number in 0..3 {
        let start = call(number, 0, 10);
        let reserved = engine.reserve("", &start, Write::Deferred);
        assert_eq!(reserved.now_or_never(), Some(Ok(Micros(10))), "it waits for nothing");
    }
    let call_id = call(0, 0, 10).call_id;
    let settled = engine.settle(&call_id, Usage::default(), UsageSource::Upstream, Write::Deferred);
    assert!(settled.now_or_never().unwrap().is_ok());
    assert_eq!(length(), 0);
    engine.write_deferred().unwrap();
    let written = length();
    assert_eq!(engine.write_deferred().ok(), Some(()), "what is written is not written again");
    assert_eq!(length(), written);
    drop(engine);
    // With the lock file's holder gone, what a next process finds.
    let (_, found) = FileJournal::open(directory.path()).unwrap();
    assert_eq!(found.records.len(), 4);
}

#[tokio::test]
async fn a_deferred_write_that_fails_is_told_to_all_until_it_succeeds() {
    let (engine, directory, _commands) = engine();
    fill_disk(&engine);
    assert_eq!(engine.reserve("", &call(0, 0, 10), Write::Deferred).await, Ok(Micros(10)));
    // Whoever else writes takes nothing away from it.
    engine.inner.core().write_file_or_say();
    engine.write_deferred().unwrap_err();
    engine.write_deferred().unwrap_err();
    // The call never left, and gives back what it holds.
    engine.release(&call(0, 0, 10).call_id).await.unwrap();
    assert_eq!(engine.remaining(&call(1, 0, 10)).await, Ok(Some(Micros(100))));
    // One that is refused for it leaves nothing to be taken for a call under way.
    assert_eq!(engine.reserve("", &call(1, 0, 10), Write::Now).await, Err(Refusal::Unavailable));
    let file = std::fs::OpenOptions::new().write(true).open(directory.path().join("000000000001.journal"));
    match &mut engine.inner.core().journal {
        Journal::File(journal) => journal.set_file(file.unwrap()),
        Journal::Table(_) => unreachable!(),
    }
    assert_eq!(engine.reserve("", &call(2, 0, 10), Write::Deferred).await, Ok(Micros(10)));
    engine.write_deferred().unwrap();
    drop(engine);
    let (_, found) = FileJournal::open(directory.path()).unwrap();
    let of =
        |number| found.records.iter().filter(move |record| *record.call_id() == call(number, 0, 10).call_id);
    assert_eq!(
        [0, 1, 2].map(|number| of(number).count()),
        [2, 2, 1],
        "begun and given back, but for the last"
    );
    for number in [0, 1] {
        assert!(matches!(of(number).next_back(), Some(Record::Release(_))));
    }
}

#[tokio::test]
async fn settlements_that_fill_a_transaction_wait_for_no_more() {
    let (engine, _directory, _commands) = engine();
    let is_told = || engine.inner.urgent.notified().now_or_never().is_some();
    for number in 1..=apply::BATCH_CALLS_MAX {
        let call = call(number, 0, 1);
        engine.reserve("", &call, Write::Deferred).await.unwrap();
        engine.settle(&call.call_id, Usage::default(), UsageSource::Upstream, Write::Deferred).await.unwrap();
        assert_eq!(is_told(), number == apply::BATCH_CALLS_MAX, "{number}");
    }
}

#[tokio::test]
async fn a_segment_is_kept_until_the_calls_under_way_at_its_end_are_on_the_disk_again() {
    let (engine, directory, mut commands) = engine();
    let names = || {
        let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name != "lock");
        names.sort();
        names
    };
    let upkeep = || match &mut engine.inner.core().journal {
        Journal::File(file) => file.upkeep(),
        Journal::Table(_) => unreachable!(),
    };
    let keep_up = || {
        let done = upkeep().run().unwrap();
        match &mut engine.inner.core().journal {
            Journal::File(file) => file.kept_up(done),
            Journal::Table(_) => unreachable!(),
        }
    };
    engine.reserve("", &call(0, 0, 1), Write::Deferred).await.unwrap();
    for number in 1..=8_000 {
        let call = call(number, 0, 1);
        engine.reserve("", &call, Write::Deferred).await.unwrap();
        engine.settle(&call.call_id, Usage::default(), UsageSource::Upstream, Write::Deferred).await.unwrap();
    }
    engine.write_deferred().unwrap();
    let mut settled = Vec::new();
    while let Ok(Command::Apply(settlement)) = commands.try_recv() {
        settled.push(settlement);
    }
    let (first, last) = settled.split_at(7_999);
    engine.inner.applied(first);
    // The next file is made where nobody waits for it.
    keep_up();
    assert_eq!(names(), ["000000000001.journal", "000000000002.journal"]);
    let is_dirty = || engine.inner.dirty.notified().now_or_never().is_some();
    assert!(is_dirty() && !is_dirty());
    engine.inner.applied(last);
    assert!(is_dirty(), "whoever synchronises is told");
    assert_eq!(names(), ["000000000001.journal", "000000000002.journal"], "the disk has not got it yet");
    engine.reserve("", &call(9_000, 0, 1), Write::Deferred).await.unwrap();
    engine.write_deferred().unwrap();
    keep_up();
    assert_eq!(names(), ["000000000001.spare", "000000000002.journal"]);
    drop(engine);
    let (_, found) = FileJournal::open(directory.path()).unwrap();
    let calls: Vec<&CallId> = found.records.iter().map(Record::call_id).collect();
    assert_eq!(calls, [&call(0, 0, 1).call_id, &call(9_000, 0, 1).call_id]);
}
