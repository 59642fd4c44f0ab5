//! What happens when a pack is used up: nothing but refusals, or what its strategy says.

use super::*;
use creel_control::ledger::{UsedUp, UsedUpStrategy};
use creel_control::runtime::{PowerChange, RuntimeError, Runtimes};
use creel_testkit::both_databases;

async fn set(world: &World<'_>, pack: &Pack, strategy: UsedUpStrategy) {
    let ids = vec![pack.id.to_string()];
    world.credits.set_used_up_strategy(world.actor("ModifyInstanceProperties"), ids, strategy).await.unwrap();
}

async fn power(world: &World<'_>, runtime: usize) -> String {
    let sql = "SELECT power FROM runtime WHERE id = $1";
    let row =
        world.t.store.db().fetch_optional(sql, params![world.runtimes[runtime].as_str()]).await.unwrap();
    row.unwrap().text("power").unwrap()
}

async fn stopped_once(t: &TestStore, strategy: UsedUpStrategy) {
    let world = World::new(t).await;
    let pack = world.grant(100, None).await;
    set(&world, &pack, strategy).await;
    let used_up = UsedUp::new(t.store.clone(), t.ids.clone());
    let process = world.start().await;
    process.spend(world.call(Some(UNIT), output(60)), output(60)).await.unwrap();
    process.ledger.flush().await;
    assert_eq!((used_up.pass().await.unwrap(), power(&world, 0).await), (0, "Running".to_owned()));
    process.spend(world.call(Some(UNIT), output(60)), output(60)).await.unwrap();
    process.ledger.flush().await;
    assert_eq!(used_up.pass().await.unwrap(), 1);
    // What was never made cannot hibernate, so it is stopped.
    assert_eq!((power(&world, 0).await.as_str(), power(&world, 1).await.as_str()), ("Stopped", "Stopped"));
    let runtimes = Runtimes::new(t.store.clone(), t.ids.clone());
    let ids = vec![world.runtimes[0].to_string()];
    let start = || runtimes.set_power(world.actor("StartDesktops"), ids.clone(), PowerChange::Start);
    if strategy == UsedUpStrategy::Maintenance {
        assert!(matches!(start().await, Err(RuntimeError::CreditsUsedUp(_))));
        world.grant(1, None).await;
    }
    start().await.unwrap();
    assert_eq!((used_up.pass().await.unwrap(), power(&world, 0).await), (0, "Running".to_owned()));
    process.stop().await;
}

both_databases! {
    async fn postpaid_calls_go_on_and_say_so_until_the_pack_ends(t) {
        let world = World::new(&t).await;
        let pack = world.grant(100, Some(24)).await;
        let process = world.start().await;
        let start = || world.call(Some(UNIT), output(70));
        let first = start();
        process.spend(first.clone(), output(70)).await.unwrap();
        // Without a strategy what remains is all that is held and billed.
        let second = start();
        assert_eq!(process.spend(second.clone(), output(70)).await.unwrap(), Micros(30));
        assert_eq!(process.spend(start(), output(1)).await, Err(Refusal::PacksSpent));

        set(&world, &pack, UsedUpStrategy::Postpaid).await;
        process.ledger.flush().await;
        assert_eq!(process.ledger.remaining(&start()).await, Ok(None));
        let third = start();
        assert_eq!(process.spend(third.clone(), output(70)).await.unwrap(), Micros(70));
        process.ledger.flush().await;
        assert_eq!(world.entries(&third.call_id).await, [(None, Label::Exact, 70)]);
        let entries = world.credits.export_entries(None, "", 100).await.unwrap();
        let postpaid: Vec<_> = entries.iter().filter(|entry| entry.postpaid).map(|entry| &entry.call_id).collect();
        assert_eq!(postpaid, [&third.call_id]);
        // The quota still stands in the way.
        world.set_quota(Some(180)).await;
        process.ledger.flush().await;
        assert_eq!(process.spend(start(), output(70)).await.unwrap(), Micros(10));
        assert_eq!(process.spend(start(), output(1)).await, Err(Refusal::QuotaSpent));
        world.set_quota(None).await;
        world.assert_clean().await;
        t.clock.advance(SignedDuration::from_hours(25));
        process.ledger.flush().await;
        assert_eq!(process.spend(start(), output(1)).await, Err(Refusal::PacksSpent));
    }

    async fn a_postpaid_call_takes_the_rest_of_a_pack_first_and_survives_a_crash(t) {
        let world = World::new(&t).await;
        let pack = world.grant(100, None).await;
        set(&world, &pack, UsedUpStrategy::Postpaid).await;
        let process = world.start().await;
        let start = world.call(Some(UNIT), output(150));
        let held = process.reserve(start.clone()).await;
        assert_eq!(held.held(), Micros(150));
        std::mem::forget(held);
        world.kill(process).await;
        let process = world.start().await;
        process.ledger.flush().await;
        let cut = world.entries(&start.call_id).await;
        assert_eq!(cut, [(Some(pack.id.to_string()), Label::Unsettled, 100), (None, Label::Unsettled, 50)]);
        world.assert_clean().await;
        let released = world.credits.release_unsettled(world.actor("ReleaseUnsettledCall"), start.call_id).await;
        assert_eq!(released.unwrap(), Micros(150));
        world.assert_clean().await;
        assert_eq!(world.pack_used(&pack).await, 0);
    }

    async fn runtimes_of_a_used_up_pack_are_stopped_once(t) {
        stopped_once(&t, UsedUpStrategy::Shutdown).await;
    }

    async fn runtimes_in_maintenance_do_not_start_before_there_are_credits(t) {
        stopped_once(&t, UsedUpStrategy::Maintenance).await;
    }

    async fn a_runtime_with_other_credits_goes_on(t) {
        let world = World::new(&t).await;
        let pack = world.grant(10, None).await;
        set(&world, &pack, UsedUpStrategy::Shutdown).await;
        world.grant_monthly(Micros(50)).await;
        let process = world.start().await;
        let of_other = CallStart { runtime_id: world.runtimes[1].clone(), ..world.call(Some(UNIT), output(10)) };
        process.spend(of_other, output(10)).await.unwrap();
        process.ledger.flush().await;
        assert_eq!(UsedUp::new(t.store.clone(), t.ids.clone()).pass().await.unwrap(), 1);
        assert_eq!((power(&world, 0).await.as_str(), power(&world, 1).await.as_str()), ("Running", "Stopped"));
    }

    async fn the_pack_of_the_next_month_has_the_strategy_of_this(t) {
        let world = World::new(&t).await;
        world.grant_monthly(Micros(50)).await;
        let first = world.credits.list_packs(&world.account_id).await.unwrap().remove(0);
        set(&world, &first, UsedUpStrategy::Maintenance).await;
        t.clock.advance(SignedDuration::from_hours(31 * 24));
        let next = world.credits.list_packs(&world.account_id).await.unwrap();
        assert!(next.iter().all(|pack| pack.id != first.id));
        let whole = crate::runtime::whole(&world.account_id);
        world.credits.usage(&whole, vec![creel_control::ledger::Subject::Account]).await.unwrap();
        let next = world.credits.list_packs(&world.account_id).await.unwrap();
        assert_eq!(next[0].used_up_strategy, Some(UsedUpStrategy::Maintenance));
    }
}
