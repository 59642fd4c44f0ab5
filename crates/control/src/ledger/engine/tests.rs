//! What an engine over files does when they cannot be written.

use super::*;
use crate::clock::FixedClock;
use crate::ledger::book_tests::{NOW_MS, book, call};

#[tokio::test]
async fn calls_whose_common_write_fails_are_refused_and_hold_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (file, _) = FileJournal::open(directory.path()).unwrap();
    let core = Core { book: book(&[100], None), journal: Journal::File(file) };
    let clock = Arc::new(FixedClock::at(jiff::Timestamp::from_millisecond(NOW_MS).unwrap()));
    let (engine, _commands) = Engine::new(clock, 1, "owner", CancellationToken::new(), core);
    // With one under way the others are not alone, so they wait for their turn.
    assert_eq!(engine.reserve("", call(0, 0, 10)).await, Ok(Micros(10)));
    // Takes every write and has room for none.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    match &mut engine.inner.core().journal {
        Journal::File(file) => file.set_file(full),
        Journal::Table(_) => unreachable!(),
    }
    let calls = (1..=3).map(|number| engine.reserve("", call(number, 0, 10)));
    assert_eq!(futures_util::future::join_all(calls).await, [const { Err(Refusal::Unavailable) }; 3]);
    assert_eq!(engine.inner.core().book.open().len(), 1);
    assert_eq!(engine.remaining(&call(4, 0, 10)).await, Ok(Some(Micros(90))));
}
