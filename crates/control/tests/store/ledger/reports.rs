//! Reports by group, tag and user, previews of prices, and what is compared with invoices.

use super::*;
use creel_control::ledger::{ReportBy, month_of};
use creel_control::store::Value;
use creel_testkit::both_databases;

async fn sql(t: &TestStore, text: &'static str, values: Vec<Value>) {
    t.store.write(move |tx| Box::pin(tx.execute(text, values))).await.unwrap();
}

fn of(world: &World<'_>, runtime: usize, tokens: u64) -> CallStart {
    CallStart { runtime_id: world.runtimes[runtime].clone(), ..world.own_call(Some(UNIT), output(tokens)) }
}

/// Key, calls and micro-credits of each row.
async fn rows(world: &World<'_>, by: ReportBy) -> Vec<(Option<String>, i64, i64)> {
    let month = month_of(world.t.clock.now_ms());
    let report = world.credits.report(&world.account_id, month, &by).await.unwrap();
    assert_eq!(report.total.0, report.rows.iter().map(|row| row.micros.0).sum::<i64>());
    let mut rows: Vec<_> = report.rows.into_iter().map(|row| (row.key, row.calls, row.micros.0)).collect();
    rows.sort();
    rows
}

both_databases! {
    async fn a_month_adds_up_by_group_tag_and_user(t) {
        let world = World::new(&t).await;
        let [first, second] = world.runtimes.clone().map(String::from);
        let account = world.account_id.to_string();
        let group = t.ids.resource_group().to_string();
        sql(&t, "INSERT INTO resource_group (id, account_id, name, created_at_ms) VALUES ($1, $2, 'lab', 0)",
            params![&group, &account]).await;
        sql(&t, "UPDATE runtime SET resource_group_id = $1 WHERE id = $2", params![&group, &first]).await;
        sql(&t, "INSERT INTO runtime_tag (runtime_id, tag_key, tag_value, account_id) VALUES ($1, 'team', 'red', $2)",
            params![&second, &account]).await;
        let user = "INSERT INTO runtime_user (runtime_id, end_user_id, account_id) VALUES ($1, $2, $3)";
        sql(&t, user, params![&first, "ann", &account]).await;
        let process = world.start().await;
        process.spend(of(&world, 0, 30), output(30)).await.unwrap();
        process.spend(of(&world, 1, 5), output(5)).await.unwrap();
        process.ledger.flush().await;
        // Of two users it is neither's.
        sql(&t, user, params![&first, "bob", &account]).await;
        process.spend(of(&world, 0, 2), output(2)).await.unwrap();
        process.ledger.flush().await;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(rows(&world, ReportBy::ResourceGroup).await, [(None, 1, 5), (Some(group.clone()), 2, 32)]);
        assert_eq!(rows(&world, ReportBy::Tag("team".into())).await, [(None, 2, 32), (some("red"), 1, 5)]);
        assert_eq!(rows(&world, ReportBy::User).await, [(None, 2, 7), (some("ann"), 1, 30)]);
        world.assert_clean().await;

        // A sum that somebody changed is told by the check, for a user and for a group as for an agent.
        for subject in [format!("{account}/ann"), group, first.clone()] {
            let change = "UPDATE usage_month SET used_micros = used_micros + $2 WHERE subject_id = $1";
            sql(&t, change, params![&subject, 1i64]).await;
            let found = world.credits.check().await.unwrap().differences;
            assert!(found.len() == 1 && found[0].subject.starts_with(&subject) && found[0].by == 1, "{found:?}");
            sql(&t, change, params![&subject, -1i64]).await;
        }
        sql(&t, "UPDATE usage_month SET used_micros = used_micros + 1 WHERE subject_id = $1", params![&account]).await;
        let month = month_of(t.clock.now_ms());
        let report = world.credits.report(&world.account_id, month, &ReportBy::User).await;
        assert!(matches!(report, Err(LedgerError::SumsDiffer { by: Micros(-1) })));
    }

    async fn a_price_is_previewed_on_the_calls_of_a_month(t) {
        let world = World::new(&t).await;
        let process = world.start().await;
        let usage = Usage { input: 8_349, cached_input: 40_794, output: 573, ..Usage::default() };
        process.spend(world.own_call(Some(CARD), usage), usage).await.unwrap();
        process.spend(world.own_call(Some(CARD), usage), usage).await.unwrap();
        let other = CallStart { model_code: "other".into(), ..world.own_call(Some(CARD), usage) };
        process.spend(other, usage).await.unwrap();
        process.ledger.flush().await;
        let month = month_of(t.clock.now_ms());
        let card = RateCard { input: 400_000, ..CARD };
        for provider in [world.provider_id.as_str(), "wuying-credit"] {
            let seen = world.credits.preview_price(&world.account_id, provider, "qwen", month, &card).await.unwrap();
            assert_eq!((seen.calls, seen.unknown, seen.usage.input), (2, 0, 2 * 8_349));
            assert_eq!((seen.before, seen.after), (Micros(2 * 3_173_280), Micros(2 * (3_173_280 + 8_349 * 200))));
        }
        let earlier = world.credits.preview_price(&world.account_id, "wuying-credit", "qwen", month - 1, &card);
        assert_eq!(earlier.await.unwrap().calls, 0);

        let hour = creel_control::ledger::hour_of(t.clock.now_ms());
        let used = world.credits.usage_by_model(None, "wuying-credit", (hour, hour + 1)).await.unwrap();
        let shown: Vec<_> = used.iter().map(|row| (row.model_code.as_str(), row.calls, row.usage.output)).collect();
        assert_eq!(shown, [("other", 1, 573), ("qwen", 2, 2 * 573)]);
        let none = world.credits.usage_by_model(None, "wuying-credit", (hour + 1, hour + 2)).await.unwrap();
        assert_eq!(none, []);
    }

    async fn a_call_that_was_cut_off_is_counted_apart(t) {
        let world = World::new(&t).await;
        world.grant(1_000, None).await;
        let process = world.start().await;
        std::mem::forget(process.reserve(world.call(Some(UNIT), output(40))).await);
        world.kill(process).await;
        let process = world.start().await;
        process.spend(world.call(Some(UNIT), output(3)), output(3)).await.unwrap();
        process.ledger.flush().await;
        let hour = creel_control::ledger::hour_of(t.clock.now_ms());
        let used = world.credits.usage_by_model(Some(&world.account_id), "wuying-credit", (hour - 1, hour + 1)).await.unwrap();
        assert_eq!((used[0].calls, used[0].unknown, used[0].usage.output), (1, 1, 3));
    }
}
