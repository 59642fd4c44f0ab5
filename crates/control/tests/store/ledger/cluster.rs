//! Several processes over one PostgreSQL: one owns the ledger, the others ask it, and take its place.

use super::*;
use futures_util::future::join_all;

async fn postgres() -> TestStore {
    creel_testkit::open(creel_testkit::Database::Postgres).await
}

/// Puts the end of a lease or of a replica into the past, as time would.
async fn expire(world: &World<'_>, sql: &'static str, id: &str) {
    let id = id.to_owned();
    let changed: Result<u64, StoreError> =
        world.t.store.write(move |tx| Box::pin(async move { tx.execute(sql, params![id]).await })).await;
    assert_eq!(changed.unwrap(), 1);
}

const LEASE_ENDS: &str = "UPDATE ledger_owner SET lease_until_ms = 0 WHERE owner_id = $1 AND name = 'ledger'";
const REPLICA_ENDS: &str = "UPDATE replica SET lease_until_ms = 0 WHERE id = $1";

/// The owner among these, once there is one.
async fn owner(processes: &[Process]) -> usize {
    for _ in 0..600 {
        if let Some(at) = processes.iter().position(|process| process.ledger.is_owner()) {
            return at;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no process took the ledger within 30 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_processes_spend_one_balance_exactly() {
    let t = postgres().await;
    let world = World::new(&t).await;
    let pack = world.grant(1_000, None).await;
    let processes = [world.start().await, world.start().await, world.start().await];
    assert_eq!(processes.iter().filter(|process| process.ledger.is_owner()).count(), 1);
    let calls =
        (0..60).map(|number| processes[number % 3].ledger.reserve(world.call(Some(UNIT), output(100))));
    let (held, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!((held.len(), refused.len()), (10, 50));
    assert!(refused.into_iter().all(|refused| refused.is_err_and(|refusal| refusal == Refusal::PacksSpent)));
    for process in &processes {
        assert_eq!(process.ledger.remaining(&world.call(Some(UNIT), output(1))).await, Ok(Some(Micros(0))));
    }
    // A reservation is a call's, not a process's: any may settle it.
    let mut held = held.into_iter().map(Result::unwrap);
    processes[0].ledger.release(held.next().unwrap()).await;
    let settled = held
        .enumerate()
        .map(|(number, held)| processes[number % 3].ledger.settle(held, output(100), UsageSource::Upstream));
    assert!(join_all(settled).await.into_iter().all(|billed| billed.unwrap() == Micros(100)));
    for process in &processes {
        // The whole remainder is one process's to spend, at once.
        assert_eq!(process.ledger.remaining(&world.call(Some(UNIT), output(1))).await, Ok(Some(Micros(100))));
    }
    processes[owner(&processes).await].ledger.flush().await;
    assert_eq!(world.pack_used(&pack).await, 900);
    for process in processes {
        process.stop().await;
    }
    world.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_processes_that_live_survive_their_owner_and_those_of_the_dead_do_not() {
    let t = postgres().await;
    let world = World::new(&t).await;
    let pack = world.grant(1_000, None).await;
    let dead = world.start().await;
    let living = [world.start().await, world.start().await];
    assert!(dead.ledger.is_owner());
    let lost = dead.reserve(world.call(Some(UNIT), output(50))).await;
    let lost_id = lost.call_id().clone();
    std::mem::forget(lost);
    let mut kept = Vec::new();
    for process in &living {
        kept.push(process.reserve(world.call(Some(UNIT), output(100))).await);
    }
    let kept_id = kept[0].call_id().clone();
    // Ends without moving the clock, so that the others stay alive.
    let Process { ledger, store, tasks, runtime, replica_id, board } = dead;
    board.0.lock().unwrap().remove(&replica_id);
    drop((ledger, store, tasks));
    end(runtime).await;
    expire(&world, LEASE_ENDS, &replica_id).await;
    expire(&world, REPLICA_ENDS, &replica_id).await;

    let next = owner(&living).await;
    let entries = world.entries(&lost_id).await;
    assert_eq!(entries, [(Some(pack.id.to_string()), Label::Unsettled, 50)]);
    for process in &living {
        let remaining = process.ledger.remaining(&world.call(Some(UNIT), output(1))).await;
        assert_eq!(remaining, Ok(Some(Micros(750))));
    }
    for (process, held) in living.iter().zip(kept) {
        assert_eq!(process.ledger.settle(held, output(80), UsageSource::Upstream).await.unwrap(), Micros(80));
    }
    living[next].ledger.flush().await;
    assert_eq!(world.entries(&kept_id).await, [(Some(pack.id.to_string()), Label::Exact, 80)]);
    assert_eq!(world.pack_used(&pack).await, 210);
    assert_eq!(
        world.credits.release_unsettled(world.actor("ReleaseCall"), lost_id.clone()).await.unwrap(),
        Micros(50)
    );
    for process in living {
        process.stop().await;
    }
    world.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_held_is_unsettled_while_its_owner_lives() {
    let t = postgres().await;
    let world = World::new(&t).await;
    let pack = world.grant(1_000, None).await;
    let (living, dead) = (world.start().await, world.start().await);
    let lost = dead.reserve(world.call(Some(UNIT), output(50))).await;
    let lost_id = lost.call_id().clone();
    std::mem::forget(lost);
    let Process { ledger, store, tasks, runtime, replica_id, .. } = dead;
    drop((ledger, store, tasks));
    end(runtime).await;
    living.ledger.flush().await;
    assert_eq!(world.entries(&lost_id).await, []);
    expire(&world, REPLICA_ENDS, &replica_id).await;
    // The owner looks each second of real time.
    while world.entries(&lost_id).await.is_empty() {
        living.ledger.flush().await;
    }
    assert_eq!(world.entries(&lost_id).await, [(Some(pack.id.to_string()), Label::Unsettled, 50)]);
    living.stop().await;
    world.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_taken_over_admits_nothing_and_its_calls_go_on_at_the_next() {
    let t = postgres().await;
    let world = World::new(&t).await;
    let pack = world.grant(1_000, None).await;
    let processes = [world.start().await, world.start().await];
    let first = owner(&processes).await;
    let held = processes[first].reserve(world.call(Some(UNIT), output(900))).await;
    let held_id = held.call_id().clone();
    // It does not know yet that its lease has ended: a process that stood still looks like this.
    expire(&world, LEASE_ENDS, &processes[first].replica_id).await;
    let taken: Result<u64, StoreError> = t
        .store
        .write(|tx| {
            Box::pin(async move {
                let sql = "UPDATE ledger_owner SET epoch = epoch + 1, owner_id = 'x' WHERE name = 'ledger'";
                tx.execute(sql, Vec::new()).await
            })
        })
        .await;
    assert_eq!(taken.unwrap(), 1);
    // Whoever takes it up, the first included, knows the call: no more is admitted than remains.
    let more = join_all(
        (0..8).map(|number| processes[number % 2].ledger.reserve(world.call(Some(UNIT), output(100)))),
    );
    let admitted: Vec<_> = more.await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(admitted.iter().map(|held| held.held().0).collect::<Vec<_>>(), [100]);
    for other in admitted {
        processes[0].ledger.release(other).await;
    }
    let settled = processes[first].ledger.settle(held, output(300), UsageSource::Upstream).await;
    assert_eq!(settled.unwrap(), Micros(300));
    processes[owner(&processes).await].ledger.flush().await;
    assert_eq!(world.entries(&held_id).await, [(Some(pack.id.to_string()), Label::Exact, 300)]);
    for process in processes {
        process.stop().await;
    }
    world.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_asked_twice_gets_the_same_answer() {
    use creel_control::ledger::{Answer, Answered, Ask, Asked};
    let t = postgres().await;
    let world = World::new(&t).await;
    let pack = world.grant(1_000, None).await;
    let owner = world.start().await;
    let replica: Result<u64, StoreError> = t
        .store
        .write(|tx| {
            Box::pin(async move {
                let sql = "INSERT INTO replica (id, lease_until_ms) VALUES ('r', 9000000000000)";
                tx.execute(sql, Vec::new()).await
            })
        })
        .await;
    replica.unwrap();
    let start = world.call(Some(UNIT), output(100));
    let call_id = start.call_id.clone();
    let settle = |tokens| Ask::Settle {
        call_id: call_id.clone(),
        usage: output(tokens),
        source: UsageSource::Upstream,
    };
    let unknown = world.call(Some(UNIT), output(1)).call_id;
    let course = [
        (Ask::Reserve(start.clone()), Answer::Held(Micros(100))),
        (Ask::Reserve(start.clone()), Answer::Held(Micros(100))),
        (Ask::Release(unknown.clone()), Answer::Released),
        (settle(70), Answer::Billed(Micros(70))),
        // Not the first time that it is told, so what it says is not believed any more.
        (settle(90), Answer::Billed(Micros(70))),
        (Ask::Release(call_id.clone()), Answer::Ended),
        (Ask::Reserve(start.clone()), Answer::Unavailable),
        (Ask::Settle { call_id: unknown, usage: output(1), source: UsageSource::Upstream }, Answer::Ended),
        (Ask::Remaining(start), Answer::Remaining(Some(Micros(930)))),
    ];
    for (id, (ask, expect)) in course.into_iter().enumerate() {
        // A connection for each, as after a loss.
        let (asks, asks_rx) = tokio::sync::mpsc::channel(1);
        let (answers_tx, mut answers) = tokio::sync::mpsc::unbounded_channel();
        let ledger = owner.ledger.clone();
        #[expect(clippy::disallowed_methods, reason = "its end is awaited below")]
        let line = tokio::spawn(async move { ledger.serve("r", asks_rx, answers_tx).await });
        let id = id as u64;
        asks.send(vec![Asked { id, again: true, ask: ask.clone() }]).await.unwrap();
        let answered = answers.recv().await.unwrap();
        assert_eq!(answered, [Answered { id, answer: expect }], "{ask:?}");
        drop(asks);
        line.await.unwrap();
    }
    owner.ledger.flush().await;
    assert_eq!(world.entries(&call_id).await, [(Some(pack.id.to_string()), Label::Exact, 70)]);
    owner.stop().await;
    world.assert_clean().await;
}

/// Lets time pass while something waits for a lease to end or to be renewed.
async fn while_time_passes<T>(t: &TestStore, waiting: impl Future<Output = T>) -> T {
    let mut waiting = std::pin::pin!(waiting);
    loop {
        tokio::select! {
            done = waiting.as_mut() => return done,
            () = tokio::time::sleep(Duration::from_millis(250)) => t.clock.advance(SignedDuration::from_secs(1)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_the_others_cannot_reach_does_not_start_beside_them() {
    let t = postgres().await;
    let world = World::new(&t).await;
    let owner = world.start().await;
    let lonely = |id: &str| {
        let phone = Arc::new(Phone { board: Switchboard::default(), replica_id: id.into() });
        Place::Table(Cluster { replica_id: id.into(), address: String::new(), dial: phone })
    };
    let tasks = Tasks::new();
    let open = |id| Ledger::open(t.store.clone(), &tasks, lonely(id));
    let refused = while_time_passes(&t, open("a")).await.map(|_| ());
    assert!(matches!(refused, Err(LedgerError::NoAddress { of_owner: false, .. })), "{refused:?}");
    owner.stop().await;
    let alone = open("b").await.unwrap();
    assert!(alone.is_owner());
    let refused = while_time_passes(&t, world.try_start()).await.map(|_| ());
    assert!(matches!(refused, Err(LedgerError::NoAddress { of_owner: true, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_nobody_can_reach_comes_back_after_a_crash() {
    let t = postgres().await;
    let world = World::new(&t).await;
    let dead: Result<u64, StoreError> = t
        .store
        .write(|tx| {
            Box::pin(async move {
                let sql = "INSERT INTO ledger_owner (name, owner_id, epoch, lease_until_ms, address)
                           VALUES ('ledger', 'dead', 1, $1, '')";
                tx.execute(sql, params![creel_testkit::start_of_time().as_millisecond() + 9_000]).await
            })
        })
        .await;
    dead.unwrap();
    let process = while_time_passes(&t, world.try_start()).await.unwrap();
    assert!(process.ledger.is_owner());
    process.stop().await;
}
