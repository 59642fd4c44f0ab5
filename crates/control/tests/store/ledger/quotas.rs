//! Quotas of agents and resource groups by cycle, and what is told as they near their end.

use super::*;
use creel_control::ledger::{Cycle, Subject};
use creel_control::resource_group::ResourceGroups;
use creel_testkit::both_databases;
use creel_wire::id::ResourceGroupId;

async fn group_of(world: &World<'_>, name: &str) -> ResourceGroupId {
    let groups = ResourceGroups::new(world.t.store.clone(), world.t.ids.clone());
    groups.create(world.actor("CreateResourceGroup"), name.to_owned()).await.unwrap()
}

async fn put_into(world: &World<'_>, group: &ResourceGroupId, runtime: usize) {
    let groups = ResourceGroups::new(world.t.store.clone(), world.t.ids.clone());
    let runtimes = vec![world.runtimes[runtime].to_string()];
    groups.move_into(world.actor("TransferResourcesIntoGroup"), group.clone(), runtimes).await.unwrap();
}

fn of(world: &World<'_>, runtime: usize, tokens: u64) -> CallStart {
    CallStart { runtime_id: world.runtimes[runtime].clone(), ..world.own_call(Some(UNIT), output(tokens)) }
}

fn quota(micros: i64, cycle: Cycle) -> QuotaChange {
    QuotaChange { quota: Some(Micros(micros)), cycle: Some(cycle), warn_percent: None }
}

/// What is told, each once: what it is of and the quota that was neared.
async fn told(world: &World<'_>) -> Vec<(String, String, i64)> {
    let alerts = world.credits.claim_alerts().await.unwrap();
    for alert in &alerts {
        assert!(!world.credits.end_alert(alert, true).await.unwrap());
    }
    let mut told: Vec<_> =
        alerts.into_iter().map(|alert| (alert.kind, alert.subject_id, alert.quota.0)).collect();
    told.sort();
    told
}

both_databases! {
    async fn a_group_has_one_quota_for_its_runtimes_together(t) {
        let world = World::new(&t).await;
        let group = group_of(&world, "lab").await;
        put_into(&world, &group, 0).await;
        put_into(&world, &group, 1).await;
        world.credits.set_group_quota(world.actor("SetCreditQuota"), group.clone(), quota(100, Cycle::Month)).await.unwrap();
        let process = world.start().await;
        process.spend(of(&world, 0, 60), output(60)).await.unwrap();
        assert_eq!(process.ledger.remaining(&of(&world, 1, 1)).await, Ok(Some(Micros(40))));
        let held = process.reserve(of(&world, 1, 70)).await;
        assert_eq!((held.held(), process.spend(of(&world, 0, 1), output(1)).await), (Micros(40), Err(Refusal::GroupQuotaSpent)));
        process.ledger.settle(held, output(10), UsageSource::Upstream).await.unwrap();
        // Out of the group, and in another, other quotas count; what was spent stays where it was.
        let other = group_of(&world, "other").await;
        put_into_other(&world, &group, &other, 0).await;
        process.ledger.flush().await;
        process.spend(of(&world, 0, 500), output(500)).await.unwrap();
        process.spend(of(&world, 1, 500), output(500)).await.unwrap();
        process.ledger.flush().await;
        let listed = world.credits.list_quotas(&world.account_id).await.unwrap();
        assert_eq!((listed[0].subject_id.as_str(), listed[0].used), (group.as_str(), Micros(100)));
        assert_eq!(process.spend(of(&world, 1, 1), output(1)).await, Err(Refusal::GroupQuotaSpent));
        world.assert_clean().await;
        process.stop().await;
        // A quota of a group that is somebody else's.
        let unknown = world.credits.set_group_quota(world.actor("SetCreditQuota"), t.ids.resource_group(), quota(1, Cycle::Day)).await;
        assert!(matches!(unknown, Err(LedgerError::GroupNotFound(_))));
    }

    async fn a_quota_is_whole_again_with_its_cycle_also_after_a_restart(t) {
        let world = World::new(&t).await;
        let ids = || vec![world.runtimes[0].to_string()];
        world.credits.set_quota(world.actor("SetCreditQuota"), ids(), quota(50, Cycle::Day)).await.unwrap();
        let process = world.start().await;
        process.spend(of(&world, 0, 50), output(50)).await.unwrap();
        assert_eq!(process.spend(of(&world, 0, 1), output(1)).await, Err(Refusal::QuotaSpent));
        process.stop().await;
        let process = world.start().await;
        assert_eq!(process.spend(of(&world, 0, 1), output(1)).await, Err(Refusal::QuotaSpent));
        t.clock.advance(SignedDuration::from_hours(24));
        process.spend(of(&world, 0, 30), output(30)).await.unwrap();
        process.ledger.flush().await;
        let (agents, _) = world.credits.list_agents(&world.account_id, &ids(), None, None, 1).await.unwrap();
        assert_eq!((agents[0].total, agents[0].used), (Some(Micros(50)), Micros(30)));
        // A week has both days, or (on a Monday) one.
        world.credits.set_quota(world.actor("SetCreditQuota"), ids(), quota(1_000, Cycle::Month)).await.unwrap();
        let listed = world.credits.list_quotas(&world.account_id).await.unwrap();
        assert_eq!((listed[0].used, listed[0].warn_percent), (Micros(80), 80));
        world.assert_clean().await;
    }

    async fn a_crossing_is_told_once_until_the_next_cycle_or_quota(t) {
        let world = World::new(&t).await;
        let runtime = world.runtimes[0].to_string();
        let set = |micros| world.credits.set_quota(world.actor("SetCreditQuota"), vec![runtime.clone()], quota(micros, Cycle::Day));
        set(100).await.unwrap();
        let process = world.start().await;
        let mut process = Some(process);
        process.as_ref().unwrap().spend(of(&world, 0, 79), output(79)).await.unwrap();
        process.as_ref().unwrap().ledger.flush().await;
        assert_eq!(told(&world).await, []);
        process.as_ref().unwrap().spend(of(&world, 0, 1), output(1)).await.unwrap();
        process.as_ref().unwrap().ledger.flush().await;
        let alert = |quota| ("agent".to_owned(), runtime.clone(), quota);
        assert_eq!(told(&world).await, [alert(100)]);
        let whole = crate::runtime::whole(&world.account_id);
        let usage = world.credits.usage(&whole, vec![Subject::Agent(runtime.clone())]).await.unwrap();
        assert!(usage[0].warned_at_ms.is_some());
        // Neither more calls nor a restart tell it again.
        process.take().unwrap().stop().await;
        let process = world.start().await;
        process.spend(of(&world, 0, 5), output(5)).await.unwrap();
        process.ledger.flush().await;
        assert_eq!(told(&world).await, []);
        // A raised quota is told anew when it is neared, a lowered one at once.
        set(200).await.unwrap();
        process.ledger.flush().await;
        process.spend(of(&world, 0, 75), output(75)).await.unwrap();
        process.ledger.flush().await;
        assert_eq!(told(&world).await, [alert(200)]);
        set(170).await.unwrap();
        assert_eq!(told(&world).await, [alert(170)]);
        t.clock.advance(SignedDuration::from_hours(24));
        process.ledger.flush().await;
        process.spend(of(&world, 0, 160), output(160)).await.unwrap();
        process.ledger.flush().await;
        assert_eq!(told(&world).await, [alert(170)]);
    }

    async fn packs_accounts_and_groups_are_told_of_too(t) {
        let world = World::new(&t).await;
        let group = group_of(&world, "lab").await;
        put_into(&world, &group, 0).await;
        world.credits.set_group_quota(world.actor("SetCreditQuota"), group.clone(), quota(90, Cycle::Week)).await.unwrap();
        let first = world.grant(80, Some(1)).await;
        world.grant(20, Some(2)).await;
        world.credits.set_warn_percent(world.actor("SetWarnPercent"), 90).await.unwrap();
        let process = world.start().await;
        process.spend(world.call(Some(UNIT), output(72)), output(72)).await.unwrap();
        process.ledger.flush().await;
        let of_group = ("group".to_owned(), group.to_string(), 90);
        assert_eq!(told(&world).await, [of_group, ("pack".to_owned(), first.id.to_string(), 80)]);
        process.spend(world.call(Some(UNIT), output(18)), output(18)).await.unwrap();
        process.ledger.flush().await;
        assert_eq!(told(&world).await, [("account".to_owned(), world.account_id.to_string(), 100)]);
    }

    async fn amounts_of_any_size_do_not_stop_the_ledger(t) {
        let world = World::new(&t).await;
        let most = i64::MAX;
        world.credits.set_quota(world.actor("SetCreditQuota"), vec![world.runtimes[0].to_string()], quota(most, Cycle::Day)).await.unwrap();
        world.grant(most, None).await;
        world.grant(most, None).await;
        let process = world.start().await;
        process.spend(world.call(Some(UNIT), output(72)), output(72)).await.unwrap();
        process.ledger.flush().await;
        assert_eq!(told(&world).await, []);
        world.assert_clean().await;
        let whole = crate::runtime::whole(&world.account_id);
        let usage = world.credits.usage(&whole, vec![Subject::Account]).await.unwrap();
        assert_eq!((usage[0].total, usage[0].used), (Some(Micros(most)), Micros(72)));
    }

    async fn an_alert_is_tried_again_and_given_up_after_a_day(t) {
        let world = World::new(&t).await;
        world.credits.set_quota(world.actor("SetCreditQuota"), vec![world.runtimes[0].to_string()], quota(10, Cycle::Month)).await.unwrap();
        let process = world.start().await;
        process.spend(of(&world, 0, 10), output(10)).await.unwrap();
        process.ledger.flush().await;
        let mut attempts = 0;
        let mut ids = std::collections::BTreeSet::new();
        loop {
            let claimed = world.credits.claim_alerts().await.unwrap();
            // While one process has it no other does.
            assert_eq!(world.credits.claim_alerts().await.unwrap(), []);
            let given_up = match claimed.as_slice() {
                [] => false,
                [alert] => {
                    attempts += 1;
                    assert_eq!(alert.attempts, attempts);
                    ids.insert(alert.id.clone());
                    world.credits.end_alert(alert, false).await.unwrap()
                }
                more => panic!("{} alerts", more.len()),
            };
            if given_up {
                break;
            }
            t.clock.advance(SignedDuration::from_mins(10));
        }
        assert!((10..60).contains(&attempts) && ids.len() == 1, "{attempts}");
        t.clock.advance(SignedDuration::from_hours(48));
        assert_eq!(world.credits.claim_alerts().await.unwrap(), []);
    }
}

async fn put_into_other(world: &World<'_>, from: &ResourceGroupId, to: &ResourceGroupId, runtime: usize) {
    let groups = ResourceGroups::new(world.t.store.clone(), world.t.ids.clone());
    let runtimes = vec![world.runtimes[runtime].to_string()];
    let actor = world.actor("TransferResourcesOutofGroup");
    groups.move_out(actor, from.clone(), Some(to.clone()), runtimes).await.unwrap();
}
