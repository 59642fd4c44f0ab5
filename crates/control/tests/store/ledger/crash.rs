//! What is left after a process ends in the middle, and who may own the ledger.

use super::*;
use creel_testkit::{Database, both_databases};
use futures_util::FutureExt as _;

both_databases! {
    async fn after_a_crash_settled_calls_are_there_once_and_open_ones_unsettled(t) {
        let world = World::new(&t).await;
        let pack = world.grant(1_000, None).await;
        let process = world.start().await;
        let settled = world.call(Some(UNIT), output(50));
        let settled_id = settled.call_id.clone();
        process.spend(settled, output(40)).await.unwrap();
        let released = process.reserve(world.call(Some(UNIT), output(50))).await;
        let released_id = released.call_id().clone();
        process.ledger.release(released).await;
        process.ledger.flush().await;
        let late = world.call(Some(UNIT), output(50));
        let late_id = late.call_id.clone();
        process.spend(late, output(30)).await.unwrap();
        let open = process.reserve(world.call(Some(UNIT), output(50))).await;
        let open_id = open.call_id().clone();
        // The process never gets to end it.
        std::mem::forget(open);
        world.kill(process).await;

        for _ in 0..2 {
            let process = world.start().await;
            let pack_id = Some(pack.id.to_string());
            assert_eq!(world.entries(&settled_id).await, [(pack_id.clone(), Label::Exact, 40)]);
            assert_eq!(world.entries(&late_id).await, [(pack_id.clone(), Label::Exact, 30)]);
            assert_eq!(world.entries(&released_id).await, []);
            assert_eq!(world.entries(&open_id).await, [(pack_id, Label::Unsettled, 50)]);
            assert_eq!(world.pack_used(&pack).await, 120);
            let remaining = process.ledger.remaining(&world.call(Some(UNIT), output(1))).await;
            assert_eq!(remaining, Ok(Some(Micros(880))));
            world.assert_clean().await;
            world.kill(process).await;
        }

        let process = world.start().await;
        let release = || world.credits.release_unsettled(world.actor("ReleaseCall"), open_id.clone());
        assert_eq!(release().await.unwrap(), Micros(50));
        assert!(matches!(release().await, Err(LedgerError::NotUnsettled(_))));
        process.ledger.flush().await;
        let remaining = process.ledger.remaining(&world.call(Some(UNIT), output(1))).await;
        assert_eq!(remaining, Ok(Some(Micros(930))));
        world.assert_clean().await;
    }

    async fn a_call_that_never_ends_is_unsettled_at_its_deadline(t) {
        let world = World::new(&t).await;
        let pack = world.grant(1_000, None).await;
        let process = world.start().await;
        let held = process.reserve(world.call(Some(UNIT), output(50))).await;
        let call_id = held.call_id().clone();
        t.clock.advance(SignedDuration::from_mins(71));
        // The sweeper looks each second of real time; every turn of the loop waits for one of its looks.
        while world.entries(&call_id).await.is_empty() {
            process.ledger.flush().await;
        }
        assert_eq!(world.entries(&call_id).await, [(Some(pack.id.to_string()), Label::Unsettled, 50)]);
        let settled = process.ledger.settle(held, output(10), UsageSource::Upstream).await;
        assert!(matches!(settled, Err(LedgerError::AlreadySettled)), "{settled:?}");
        world.assert_clean().await;
    }

    async fn a_process_that_ends_in_order_leaves_the_ledger_at_once(t) {
        let world = World::new(&t).await;
        world.grant(1_000, None).await;
        for _ in 0..2 {
            let process = world.start().await;
            process.spend(world.call(Some(UNIT), output(1)), output(1)).await.unwrap();
            process.stop().await;
        }
        world.assert_clean().await;
    }

    async fn random_days_end_with_every_call_once_and_no_difference(t) {
        let world = World::new(&t).await;
        for seed in 0..6 {
            random_day(&world, seed).await;
        }
    }
}

#[derive(Default)]
struct Expected {
    settled: Vec<(CallId, i64)>,
    released: Vec<CallId>,
    open: Vec<Reservation>,
}

/// Reserves, settles, releases and kills, by a fixed course for each seed.
async fn random_day(world: &World<'_>, seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut packs = Vec::new();
    for _ in 0..3 {
        packs.push(world.grant(200 + i64::try_from(next(400)).unwrap(), None).await);
    }
    let mut process = world.start().await;
    let mut expected = Expected::default();
    let mut unsettled = Vec::new();
    for _ in 0..60 {
        match next(12) {
            0..=4 => {
                let mut start = world.call(Some(UNIT), output(1 + next(60)));
                start.billed = next(4) != 0;
                start.runtime_id = world.runtimes[usize::try_from(next(2)).unwrap()].clone();
                if let Ok(held) = process.ledger.reserve(start).await {
                    expected.open.push(held);
                }
            }
            5..=8 if !expected.open.is_empty() => {
                let at = usize::try_from(next(expected.open.len() as u64)).unwrap();
                let held = expected.open.swap_remove(at);
                let call_id = held.call_id().clone();
                let billed =
                    process.ledger.settle(held, output(next(90)), UsageSource::Upstream).await.unwrap();
                expected.settled.push((call_id, billed.0));
            }
            9 if !expected.open.is_empty() => {
                let held = expected.open.pop().unwrap();
                expected.released.push(held.call_id().clone());
                process.ledger.release(held).await;
                // With a table, the records of a release go with the next batch.
                process.ledger.flush().await;
            }
            10 => process.ledger.flush().await,
            11 if next(3) == 0 => {
                for held in expected.open.drain(..) {
                    unsettled.push((held.call_id().clone(), held.held().0));
                    std::mem::forget(held);
                }
                world.kill(process).await;
                process = world.start().await;
                world.assert_clean().await;
            }
            _ => {}
        }
    }
    for held in expected.open.drain(..) {
        process.ledger.release(held).await;
    }
    process.stop().await;
    world.assert_clean().await;
    let sum =
        |entries: &[(Option<String>, Label, i64)]| entries.iter().map(|(_, _, micros)| micros).sum::<i64>();
    for (call_id, billed) in expected.settled {
        let entries = world.entries(&call_id).await;
        assert!(
            !entries.is_empty() && sum(&entries) == billed,
            "seed {seed}: {call_id} {billed} {entries:?}"
        );
    }
    for (call_id, held) in unsettled {
        let entries = world.entries(&call_id).await;
        let labelled = entries.iter().all(|(_, label, _)| *label == Label::Unsettled);
        assert!(labelled && sum(&entries) == held, "seed {seed}: {call_id} {held} {entries:?}");
    }
    for call_id in expected.released {
        assert_eq!(world.entries(&call_id).await, [], "seed {seed}: {call_id}");
    }
}

/// How many bytes of a journal's file were synchronised when its last record was written.
fn last_synced(bytes: &[u8]) -> usize {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut synced) = (0, 0);
    while at < bytes.len() {
        synced = number(at + 16);
        at += 24 + number(at + 20);
    }
    synced
}

/// On SQLite alone: there the journal is a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_stops_the_start_and_a_torn_one_does_not() {
    let t = creel_testkit::open(creel_testkit::Database::Sqlite).await;
    let world = World::new(&t).await;
    world.grant(1_000, None).await;
    let process = world.start().await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let held = process.reserve(world.call(Some(UNIT), output(10))).await;
        calls.push(held.call_id().clone());
        std::mem::forget(held);
    }
    let file = std::fs::read_dir(world.journal_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .unwrap();
    // What the machine may have lost is no damage; the records behind what is synchronised tell it.
    let all = std::fs::read(&file).unwrap();
    let told = async {
        while last_synced(&std::fs::read(&file).unwrap()) < all.len() {
            let held = process.reserve(world.call(Some(UNIT), output(10))).await;
            process.ledger.release(held).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("the file is synchronised");
    world.kill(process).await;
    let bytes = std::fs::read(&file).unwrap();

    let mut damaged = bytes.clone();
    damaged[all.len() / 2] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let refused = world.try_start().await.map(|_| ());
    assert!(matches!(&refused, Err(LedgerError::Damaged { .. })), "{refused:?}");

    std::fs::write(&file, &all[..all.len() - 5]).unwrap();
    let process = world.start().await;
    let entries = [&calls[0], &calls[1], &calls[2]].map(|call_id| world.entries(call_id));
    let entries: Vec<usize> = futures_util::future::join_all(entries).await.iter().map(Vec::len).collect();
    assert_eq!(entries, [1, 1, 0]);
    world.assert_clean().await;
    process.stop().await;
}

/// On SQLite alone: on PostgreSQL the second takes part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_owns_the_files() {
    let t = creel_testkit::open(creel_testkit::Database::Sqlite).await;
    let world = World::new(&t).await;
    let process = world.start().await;
    let second = world.try_start().await.map(|_| ());
    assert!(matches!(second, Err(LedgerError::Owned { .. })), "{second:?}");
    process.stop().await;
}

#[tokio::test]
async fn calls_of_one_turn_share_a_write_and_each_waits_for_it() {
    let t = creel_testkit::open(Database::Sqlite).await;
    let world = World::new(&t).await;
    let pack = world.grant(1_000, None).await;
    let process = world.start().await;
    process.spend(world.call(Some(UNIT), output(1)), output(1)).await.unwrap();
    let in_journal = |call_id: &CallId| {
        let files = std::fs::read_dir(world.journal_dir()).unwrap();
        let mut bytes = Vec::new();
        files.for_each(|file| bytes.extend(std::fs::read(file.unwrap().path()).unwrap()));
        let id = call_id.as_str().as_bytes();
        bytes.windows(id.len()).filter(|window| *window == id).count()
    };
    // They are polled in turn, so each finds others under way.
    let call = async |number: u64| {
        let held = process.reserve(world.call(Some(UNIT), output(10))).await;
        let call_id = held.call_id().clone();
        assert_eq!(in_journal(&call_id), 1);
        process.ledger.settle(held, output(number), UsageSource::Upstream).await.unwrap();
        assert_eq!(in_journal(&call_id), 2);
    };
    futures_util::future::join_all((1..=9).map(call)).await;

    // Whoever comes first writes what the others wait for.
    let other = process.reserve(world.call(Some(UNIT), output(10))).await;
    let waiting = world.call(Some(UNIT), output(10));
    let waiting_id = waiting.call_id.clone();
    let mut waits = Box::pin(process.ledger.reserve(waiting));
    assert!((&mut waits).now_or_never().is_none());
    let first = process.reserve(world.call(Some(UNIT), output(10))).await;
    assert_eq!(in_journal(&waiting_id), 1);
    process.ledger.release(first).await;
    process.ledger.release(waits.await.unwrap()).await;

    // One whose caller goes away while it waits is given back, and one that was to be settled is.
    let left = world.call(Some(UNIT), output(10));
    let left_id = left.call_id.clone();
    assert!(process.ledger.reserve(left).now_or_never().is_none());
    assert_eq!(in_journal(&left_id), 2);
    let other_id = other.call_id().clone();
    let third = process.reserve(world.call(Some(UNIT), output(10))).await;
    assert!(process.ledger.settle(other, output(7), UsageSource::Upstream).now_or_never().is_none());
    process.ledger.release(third).await;
    world.kill(process).await;

    let process = world.start().await;
    assert_eq!(world.entries(&left_id).await, []);
    assert_eq!(world.entries(&other_id).await, [(Some(pack.id.to_string()), Label::Exact, 7)]);
    assert_eq!(world.pack_used(&pack).await, 1 + 45 + 7);
    world.assert_clean().await;
    process.stop().await;
}
