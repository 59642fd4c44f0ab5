//! Reserving and settling.

use super::*;
use creel_testkit::both_databases;
use futures_util::future::join_all;

both_databases! {
    async fn the_documented_call_costs_what_it_says(t) {
        let world = World::new(&t).await;
        let pack = world.grant(10_000_000, None).await;
        let process = world.start().await;
        let usage = Usage { input: 8_349, cached_input: 40_794, output: 573, ..Usage::default() };
        let start = world.call(Some(CARD), usage);
        let call_id = start.call_id.clone();
        assert_eq!(process.spend(start, usage).await.unwrap().to_string(), "3.173280");
        process.ledger.flush().await;
        assert_eq!(world.entries(&call_id).await, [(Some(pack.id.to_string()), Label::Exact, 3_173_280)]);
        assert_eq!(world.pack_used(&pack).await, 3_173_280);
        world.assert_clean().await;
    }

    async fn packs_are_spent_monthly_first_and_then_by_expiry(t) {
        let world = World::new(&t).await;
        let never = world.grant(100, None).await;
        let late = world.grant(100, Some(48)).await;
        let soon = world.grant(100, Some(24)).await;
        world.grant_monthly(Micros(1_000_000)).await;
        let process = world.start().await;
        let tokens = 1_000_000 + 250;
        let start = world.call(Some(UNIT), output(tokens));
        let call_id = start.call_id.clone();
        assert_eq!(process.spend(start, output(tokens)).await.unwrap(), Micros(1_000_250));
        process.ledger.flush().await;
        let monthly = world.credits.list_packs(&world.account_id).await.unwrap().remove(0);
        assert_eq!(monthly.source, PackSource::Monthly);
        let expect = [(monthly, 1_000_000), (soon, 100), (late, 100), (never, 50)];
        let expect: Vec<_> =
            expect.into_iter().map(|(pack, micros)| (Some(pack.id.to_string()), Label::Exact, micros)).collect();
        assert_eq!(world.entries(&call_id).await, expect);
        world.assert_clean().await;
    }

    async fn concurrent_calls_never_hold_more_than_there_is(t) {
        let world = World::new(&t).await;
        let pack = world.grant(1_000, None).await;
        world.set_quota(Some(640)).await;
        let process = world.start().await;
        let calls = (0..64).map(|_| process.ledger.reserve(world.call(Some(UNIT), output(100))));
        let held: Vec<_> = join_all(calls).await.into_iter().filter_map(Result::ok).collect();
        // Six whole bounds and what remains of the quota.
        assert_eq!(held.len(), 7);
        assert_eq!(held.iter().map(|held| held.held().0).sum::<i64>(), 640);
        assert_eq!(process.ledger.remaining(&world.call(Some(UNIT), output(1))).await, Ok(Some(Micros(0))));
        let refused = process.ledger.reserve(world.call(Some(UNIT), output(1))).await;
        assert_eq!(refused.unwrap_err(), Refusal::QuotaSpent);
        let settled = held.into_iter().map(|held| process.ledger.settle(held, output(100), UsageSource::Upstream));
        let billed: i64 = join_all(settled).await.into_iter().map(|billed| billed.unwrap().0).sum();
        assert_eq!(billed, 640);
        process.ledger.flush().await;
        assert_eq!(world.pack_used(&pack).await, 640);
        let refused = process.ledger.reserve(world.call(Some(UNIT), output(1))).await;
        assert_eq!(refused.unwrap_err(), Refusal::QuotaSpent);
        world.assert_clean().await;
    }

    async fn what_is_used_beyond_the_balance_is_a_labelled_overrun(t) {
        let world = World::new(&t).await;
        let pack = world.grant(150, None).await;
        let process = world.start().await;
        let start = world.call(Some(UNIT), output(100));
        let call_id = start.call_id.clone();
        assert_eq!(process.spend(start, output(400)).await.unwrap(), Micros(150));
        process.ledger.flush().await;
        assert_eq!(
            world.entries(&call_id).await,
            [(Some(pack.id.to_string()), Label::Exact, 150), (None, Label::Overrun, 0)]
        );
        let refused = process.ledger.reserve(world.call(Some(UNIT), output(1))).await;
        assert_eq!(refused.unwrap_err(), Refusal::PacksSpent);
        world.assert_clean().await;
    }

    async fn a_release_gives_back_all_and_writes_no_entry(t) {
        let world = World::new(&t).await;
        let pack = world.grant(100, None).await;
        let process = world.start().await;
        let held = process.reserve(world.call(Some(UNIT), output(100))).await;
        assert_eq!(process.ledger.reserve(world.call(Some(UNIT), output(1))).await.unwrap_err(), Refusal::PacksSpent);
        let call_id = held.call_id().clone();
        process.ledger.release(held).await;
        assert_eq!(process.ledger.remaining(&world.call(Some(UNIT), output(1))).await, Ok(Some(Micros(100))));
        process.ledger.flush().await;
        assert_eq!(world.entries(&call_id).await, []);
        assert_eq!(world.pack_used(&pack).await, 0);
    }

    async fn calls_to_own_providers_count_against_quotas_and_not_packs(t) {
        let world = World::new(&t).await;
        let pack = world.grant(1_000, None).await;
        world.set_quota(Some(100)).await;
        let process = world.start().await;
        let start = world.own_call(Some(UNIT), output(60));
        let call_id = start.call_id.clone();
        assert_eq!(process.spend(start, output(60)).await.unwrap(), Micros(60));
        process.ledger.flush().await;
        assert_eq!(world.entries(&call_id).await, [(None, Label::Exact, 60)]);
        assert_eq!(world.pack_used(&pack).await, 0);
        // Without a price a call costs nothing, also while the rest of the quota is held.
        let held = process.reserve(world.own_call(Some(UNIT), output(60))).await;
        let free = world.own_call(None, output(60));
        let free_id = free.call_id.clone();
        assert_eq!(process.spend(free, output(60)).await.unwrap(), Micros(0));
        process.ledger.settle(held, output(60), UsageSource::Estimated).await.unwrap();
        // Spent is spent, for free calls too.
        assert_eq!(process.spend(world.own_call(None, output(1)), output(1)).await, Err(Refusal::QuotaSpent));
        process.ledger.flush().await;
        assert_eq!(world.entries(&free_id).await, [(None, Label::Free, 0)]);
        world.assert_clean().await;
    }

    async fn an_account_that_bills_all_pays_for_own_providers_from_packs(t) {
        let world = World::new(&t).await;
        let pack = world.grant(1_000, None).await;
        world.credits.set_bills_all(world.actor("SetBilling"), true).await.unwrap();
        let process = world.start().await;
        assert_eq!(process.spend(world.own_call(Some(UNIT), output(60)), output(60)).await.unwrap(), Micros(60));
        assert_eq!(process.spend(world.own_call(None, output(60)), output(60)).await.unwrap(), Micros(0));
        process.ledger.flush().await;
        assert_eq!(world.pack_used(&pack).await, 60);
        world.assert_clean().await;
    }

    async fn a_billed_call_needs_a_price_and_a_pack(t) {
        let world = World::new(&t).await;
        let process = world.start().await;
        assert_eq!(process.spend(world.call(None, output(1)), output(1)).await, Err(Refusal::NoPrice));
        assert_eq!(process.spend(world.call(Some(UNIT), output(1)), output(1)).await, Err(Refusal::PacksSpent));
        let own = world.own_call(Some(UNIT), output(1));
        assert_eq!(process.ledger.remaining(&own).await, Ok(None));
        assert_eq!(process.spend(own, output(1)).await, Ok(Micros(1)));
    }

    async fn changes_of_others_are_seen(t) {
        let world = World::new(&t).await;
        let process = world.start().await;
        let spend = || process.spend(world.call(Some(UNIT), output(10)), output(10));
        assert_eq!(spend().await, Err(Refusal::PacksSpent));
        world.grant(100, None).await;
        process.ledger.flush().await;
        assert_eq!(spend().await, Ok(Micros(10)));
        world.set_quota(Some(10)).await;
        process.ledger.flush().await;
        assert_eq!(spend().await, Err(Refusal::QuotaSpent));
        world.set_quota(None).await;
        process.ledger.flush().await;
        assert_eq!(spend().await, Ok(Micros(10)));
        process.stop().await;
        world.assert_clean().await;
    }

    async fn quotas_and_monthly_packs_begin_anew_with_the_month(t) {
        let world = World::new(&t).await;
        world.grant_monthly(Micros(2_000_000)).await;
        world.set_quota(Some(1_500_000)).await;
        let process = world.start().await;
        let spend = || process.spend(world.call(Some(UNIT), output(1_500_000)), output(1_500_000));
        assert_eq!(spend().await, Ok(Micros(1_500_000)));
        assert_eq!(spend().await, Err(Refusal::QuotaSpent));
        t.clock.advance(SignedDuration::from_hours(31 * 24));
        assert_eq!(spend().await, Ok(Micros(1_500_000)));
        process.ledger.flush().await;
        // What was left of January is gone, and February's pack has what February left.
        let packs = world.credits.list_packs(&world.account_id).await.unwrap();
        assert_eq!(packs.iter().map(|pack| pack.used.0).collect::<Vec<_>>(), [1_500_000]);
        world.assert_clean().await;
    }
}
