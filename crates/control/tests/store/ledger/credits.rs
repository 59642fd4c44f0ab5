//! Quotas, packs, prices, what the API shows, and the check.

use super::*;
use crate::runtime::whole;
use creel_control::ledger::{AgentKind, EntriesQuery, MultiplierRange, Price, PriceOf, PriceSeed, Subject};
use creel_testkit::both_databases;

fn quota(micros: i64) -> QuotaChange {
    QuotaChange { quota: Some(Micros(micros)), ..QuotaChange::default() }
}

both_databases! {
    async fn a_quota_of_a_foreign_agent_changes_nothing(t) {
        let world = World::new(&t).await;
        let other = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone()).create("other").await.unwrap();
        let foreign = t.ids.runtime();
        insert_runtime(&t.store, &other.id, &foreign, None).await;
        for unknown in [foreign.to_string(), "ecd-unknown".into(), "jvs-2".into()] {
            let ids = vec!["jvs-1".into(), unknown.clone()];
            let set = world.credits.set_quota(world.actor("SetAgentCreditQuota"), ids, quota(5)).await;
            assert!(matches!(set, Err(LedgerError::RuntimeNotFound(id)) if id == unknown));
        }
        let ids = ["jvs-1".to_owned()];
        let (agents, _) = world.credits.list_agents(&world.account_id, &ids, None, None, 10).await.unwrap();
        assert_eq!(agents[0].total, None);
        // The outer id and the runtime's name the same agent.
        let set = world.credits.set_quota(world.actor("SetAgentCreditQuota"), ids.to_vec(), quota(5)).await;
        set.unwrap();
        let ids = [world.runtimes[0].to_string()];
        let (agents, _) = world.credits.list_agents(&world.account_id, &ids, None, None, 10).await.unwrap();
        assert_eq!((agents[0].agent_id.as_str(), agents[0].total), ("jvs-1", Some(Micros(5))));
    }

    async fn agents_are_listed_by_id_in_pages(t) {
        let world = World::new(&t).await;
        let list = |kind, after| {
            let (credits, account_id) = (&world.credits, &world.account_id);
            async move { credits.list_agents(account_id, &[], kind, after, 1).await.unwrap() }
        };
        let (first, next) = list(None, None).await;
        assert_eq!(first[0].runtime_id, world.runtimes[0].clone().min(world.runtimes[1].clone()));
        let (second, end) = list(None, next.as_ref()).await;
        assert!(second[0].runtime_id > first[0].runtime_id && end.is_none());
        let (jvs, end) = list(Some(AgentKind::Jvs), None).await;
        assert!(jvs[0].agent_id == "jvs-1" && end.is_none());
        assert_eq!(list(Some(AgentKind::OpenClaw), None).await.0[0].runtime_id, world.runtimes[1]);
        assert!(list(Some(AgentKind::Absent), None).await.0.is_empty());
    }

    async fn usage_is_told_of_account_pack_and_agent(t) {
        let world = World::new(&t).await;
        let pack = world.grant(1_000, Some(24)).await;
        world.set_quota(Some(500)).await;
        let process = world.start().await;
        process.spend(world.call(Some(UNIT), output(30)), output(30)).await.unwrap();
        t.clock.advance(SignedDuration::from_hours(2));
        process.spend(world.call(Some(UNIT), output(12)), output(12)).await.unwrap();
        process.ledger.flush().await;
        let subjects =
            vec![Subject::Account, Subject::Pack(pack.id.to_string()), Subject::Agent("jvs-1".into())];
        let infos = world.credits.usage(&whole(&world.account_id), subjects).await.unwrap();
        let shown: Vec<_> = infos
            .iter()
            .map(|info| (info.key.as_str(), info.total.unwrap().0, info.used.0, info.remaining().unwrap().0))
            .collect();
        assert_eq!(
            shown,
            [
                (world.account_id.as_str(), 1_000, 42, 958),
                (pack.id.as_str(), 1_000, 42, 958),
                ("jvs-1", 500, 42, 458)
            ]
        );
        for info in &infos {
            assert_eq!(info.current.as_ref().map(|current| &current.id), if info.key == "jvs-1" { None } else { Some(&pack.id) });
            assert_eq!((info.used_day.0, info.used_week.0, info.used_month.0, info.used_ever.0), (42, 42, 42, 42));
            let used: Vec<i64> = info.trend.iter().map(|(_, micros)| micros.0).collect();
            assert_eq!((used.len(), used[23], used[22], used[21]), (24, 12, 0, 30));
        }
        for unknown in [Subject::Pack("crp-1".into()), Subject::Agent("ecd-1".into())] {
            assert!(world.credits.usage(&whole(&world.account_id), vec![unknown]).await.is_err());
        }
    }

    async fn entries_are_listed_newest_first_with_their_whole_sum(t) {
        let world = World::new(&t).await;
        world.grant(1_000, None).await;
        let process = world.start().await;
        for tokens in 1..=5 {
            t.clock.advance(SignedDuration::from_millis(1));
            process.spend(world.call(Some(UNIT), output(tokens)), output(tokens)).await.unwrap();
        }
        process.ledger.flush().await;
        let mut query = EntriesQuery { runtime_ids: vec!["jvs-1".into()], limit: 2, ..EntriesQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = world.credits.list_entries(&whole(&world.account_id), query.clone()).await.unwrap();
            assert_eq!(page.total, Micros(15));
            seen.extend(page.entries.iter().map(|entry| entry.micros.0));
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, [5, 4, 3, 2, 1]);
        let from_ms = Some(t.clock.now_ms() - 1);
        let query = EntriesQuery { from_ms, until_ms: Some(t.clock.now_ms()), limit: 9, ..EntriesQuery::default() };
        assert_eq!(world.credits.list_entries(&whole(&world.account_id), query).await.unwrap().total, Micros(4));
        let query = EntriesQuery { runtime_ids: vec!["ecd-1".into()], limit: 9, ..EntriesQuery::default() };
        assert_eq!(world.credits.list_entries(&whole(&world.account_id), query).await.unwrap().entries, []);
    }

    async fn the_newest_price_in_effect_counts(t) {
        let world = World::new(&t).await;
        let now_ms = t.clock.now_ms();
        let (account_id, provider_id) = (world.account_id.clone(), world.provider_id.clone());
        let price = |effective_from_ms, card| Price {
            of: PriceOf::Own(account_id.clone(), provider_id.clone()),
            model_code: "m".into(),
            effective_from_ms,
            card,
            range: None,
        };
        let unknown = world.credits.set_price(world.actor("SetPrice"), price(now_ms, UNIT)).await;
        assert!(matches!(unknown, Err(LedgerError::ProviderNotFound(_))));
        insert_provider(&t.store, &account_id, &provider_id).await;
        for (at_ms, card) in [(now_ms - 2, CARD), (now_ms - 1, UNIT), (now_ms + 1_000, CARD)] {
            world.credits.set_price(world.actor("SetPrice"), price(at_ms, card)).await.unwrap();
        }
        let of = PriceOf::Own(account_id.clone(), provider_id.clone());
        let found = || async { world.credits.price_list().await.unwrap().find(&of, "m").cloned().unwrap() };
        let card = || async { Some(found().await.card) };
        assert_eq!(card().await, Some(UNIT));
        t.clock.advance(SignedDuration::from_secs(1));
        assert_eq!(card().await, Some(CARD));
        assert_eq!(world.credits.list_prices(&account_id).await.unwrap().len(), 3);
        let past = world.credits.set_price(world.actor("SetPrice"), price(now_ms - 3_600_000, CARD)).await;
        assert!(matches!(past, Err(LedgerError::PriceInThePast)));
        assert_eq!(world.credits.next_price_in().await.unwrap(), None);
        let next = price(t.clock.now_ms() + 5_000, UNIT);
        world.credits.set_price(world.actor("SetPrice"), next.clone()).await.unwrap();
        assert_eq!(world.credits.next_price_in().await.unwrap(), Some(Duration::from_secs(5)));
        let range = |min, max| Price { range: Some(MultiplierRange { min_micros: min, max_micros: max }), ..next.clone() };
        let outside = world.credits.set_price(world.actor("SetPrice"), range(2 * MULTIPLIER_ONE, None)).await;
        assert!(matches!(outside, Err(LedgerError::MultiplierOutOfRange)));
        world.credits.set_price(world.actor("SetPrice"), range(0, Some(2 * MULTIPLIER_ONE))).await.unwrap();
        t.clock.advance(SignedDuration::from_secs(5));
        assert_eq!(found().await.range, Some(MultiplierRange { min_micros: 0, max_micros: Some(2 * MULTIPLIER_ONE) }));
    }

    async fn system_prices_are_what_was_seeded_last(t) {
        let world = World::new(&t).await;
        let seed = |code: &str, card| PriceSeed { provider_name: "p".into(), model_code: code.into(), card };
        world.credits.seed_system_prices(vec![seed("a", CARD), seed("b", CARD)]).await.unwrap();
        t.clock.advance(SignedDuration::from_secs(1));
        for _ in 0..2 {
            world.credits.seed_system_prices(vec![seed("b", UNIT)]).await.unwrap();
        }
        let list = world.credits.price_list().await.unwrap();
        let card = |code| list.find(&PriceOf::System("p".into()), code).map(|price| price.card);
        assert_eq!((card("a"), card("b")), (None, Some(UNIT)));
        let versions = world.credits.list_system_prices().await.unwrap();
        let cards: Vec<_> = versions.iter().map(|price| (price.model_code.as_str(), price.card)).collect();
        assert_eq!(cards, [("b", CARD), ("b", UNIT)], "a version for each change, and none for the same again");
    }

    async fn a_pack_needs_a_positive_amount(t) {
        let world = World::new(&t).await;
        let grant = |micros, source| Grant { runtime_id: None, source, micros: Micros(micros), expires_at_ms: None };
        for bad in [grant(0, PackSource::Granted), grant(-1, PackSource::Granted), grant(1, PackSource::Monthly)] {
            let made = world.credits.grant(world.actor("GrantCredits"), bad).await;
            assert!(matches!(made, Err(LedgerError::BadAmount)));
        }
        let foreign = Grant { runtime_id: Some("ecd-1".into()), ..grant(1, PackSource::Purchased) };
        let made = world.credits.grant(world.actor("GrantCredits"), foreign).await;
        assert!(matches!(made, Err(LedgerError::RuntimeNotFound(_))));
    }

    async fn the_check_names_every_difference(t) {
        let world = World::new(&t).await;
        let pack = world.grant(1_000, None).await;
        let process = world.start().await;
        let start = world.call(Some(UNIT), output(30));
        let call_id = start.call_id.to_string();
        process.spend(start, output(30)).await.unwrap();
        process.stop().await;
        world.assert_clean().await;
        for (sql, expect) in [
            ("UPDATE credit_pack SET used_micros = used_micros + 1", vec![("pack", pack.id.to_string(), 1)]),
            (
                "UPDATE usage_month SET used_micros = used_micros + 2 WHERE subject_id LIKE 'ecd-%'",
                vec![("month", format!("{} 202601", world.runtimes[0]), 2)],
            ),
            (
                "UPDATE ledger_entry SET output_tokens = output_tokens - 1",
                vec![("cost of call", call_id.clone(), 1)],
            ),
        ] {
            let undo = if sql.contains('+') { sql.replacen('+', "-", 1) } else { sql.replacen(" - ", " + ", 1) };
            let change = |text: String| {
                t.store.write(move |tx| Box::pin(async move { tx.execute(text, Vec::new()).await }))
            };
            let changed: Result<u64, StoreError> = change(sql.to_owned()).await;
            assert_eq!(changed.unwrap(), 1);
            let found = world.credits.check().await.unwrap().differences;
            let found: Vec<_> = found.iter().map(|d| (d.what.as_str(), d.subject.clone(), d.by)).collect();
            assert_eq!(found, expect);
            let undone: Result<u64, StoreError> = change(undo).await;
            assert_eq!(undone.unwrap(), 1);
        }
        world.assert_clean().await;
    }
}

async fn insert_provider(store: &Store, account_id: &AccountId, provider_id: &ProviderId) {
    let (account_id, provider_id) = (account_id.to_string(), provider_id.to_string());
    let inserted: Result<u64, StoreError> = store
        .write(move |tx| {
            Box::pin(async move {
                tx.execute(
                    "INSERT INTO model_group (id, account_id, name, description, agent_provider, agent_platform,
                         biz_type, ref_scope, source, revision, created_at_ms)
                     VALUES ('mt-1', $1, 'g', '', 'OpenClaw', 'ENTERPRISE', 1, 'RESOURCE_MIXED', 'User', 1, 0)",
                    params![&account_id],
                )
                .await?;
                tx.execute(
                    "INSERT INTO model_provider (id, account_id, group_id, provider_name, name, description,
                         provider_type, config_json, api, base_url, proxied, created_at_ms)
                     VALUES ($1, $2, 'mt-1', 'p', '', '', 'Custom', '{}', 'openai-completions', 'http://x', 1, 0)",
                    params![&provider_id, &account_id],
                )
                .await
            })
        })
        .await;
    inserted.unwrap();
}
