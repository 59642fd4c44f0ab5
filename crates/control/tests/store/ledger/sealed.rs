//! Tampering with entries shows.

use std::path::Path;

use super::*;
use creel_control::seal::{RootsFile, SealKey};
use creel_control::sealing::{Difference, Log, SealError, Sealer, SealerConfig, verify};
use creel_control::store::Value;
use creel_testkit::both_databases;

/// Straight in the database, as its administrator can.
async fn sql(t: &TestStore, text: &'static str, values: Vec<Value>) {
    let changed = t.store.write(move |tx| Box::pin(tx.execute(text, values))).await.unwrap();
    assert!(changed > 0, "{text}");
}

/// A call that was never, beside a real one; its batch may be none.
const FORGED: &str = "INSERT INTO ledger_entry (id, call_id, part, account_id, runtime_id, provider_id, provider_name,
         model_code, label, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
         micros, unbilled_micros, month, hour, created_at_ms, batch)
     SELECT $1, 'forged', part, account_id, runtime_id, provider_id, provider_name, model_code, label,
         0, 0, 0, 0, 0, 1, 0, month, hour, created_at_ms, CAST($3 AS BIGINT) FROM ledger_entry WHERE id = $2";

fn config(key: &SealKey, roots: &Path, owner: &str) -> SealerConfig {
    let (key, roots, owner_id) = (key.clone(), roots.to_owned(), owner.to_owned());
    SealerConfig { log: Log::Ledger, key, roots, owner_id, retention: None }
}

/// How many entries were checked, how many wait to be sealed, and what differs.
async fn differences(t: &TestStore, roots: &Path, key: &SealKey) -> (u64, u64, Vec<Difference>) {
    let mut found = Vec::new();
    let mut report = |difference| found.push(difference);
    let (file, tags) = (RootsFile::new(roots.to_owned()), Some(key.tag_key()));
    let seen = verify(Log::Ledger, &t.store, &file, key.public(), tags, &mut report).await.unwrap();
    (seen.rows, seen.unsealed, found)
}

both_databases! {
    async fn what_is_done_to_entries_is_named(t) {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let world = World::new(&t).await;
        world.grant(1_000, None).await;
        let process = world.start().await;
        process.store.set_audit_key(key.tag_key());
        t.store.set_audit_key(key.tag_key());
        let mut calls = Vec::new();
        for _ in 0..3 {
            let start = world.call(Some(UNIT), output(10));
            calls.push(format!("{}/0", start.call_id));
            process.spend(start, output(10)).await.unwrap();
        }
        process.ledger.flush().await;
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("roots.jsonl");
        let config = config(&key, &roots, "a");
        let mut sealer = Sealer::new(t.store.clone(), t.ids.clone(), config);
        assert_eq!(sealer.pass().await.unwrap(), 3);
        let differences = async || differences(&t, &roots, &key).await;
        assert_eq!(differences().await, (3, 0, vec![]));
        let id = |number: usize| calls[number].clone();

        // A cheaper call, and back again.
        sql(&t, "UPDATE ledger_entry SET micros = 1 WHERE id = $1", params![id(0)]).await;
        assert_eq!(differences().await.2, [Difference::Changed { id: id(0), batch: 1 }]);
        sql(&t, "UPDATE ledger_entry SET micros = 10 WHERE id = $1", params![id(0)]).await;
        sql(&t, "UPDATE ledger_entry SET end_user_id = 'ann' WHERE id = $1", params![id(0)]).await;
        assert_eq!(differences().await.2, [Difference::Changed { id: id(0), batch: 1 }]);
        sql(&t, "UPDATE ledger_entry SET end_user_id = NULL WHERE id = $1", params![id(0)]).await;
        // One that was never, before and after it could have been sealed.
        sql(&t, FORGED, params!["forged/0", id(0), Some(1i64)]).await;
        assert_eq!(differences().await.2, [Difference::Inserted { id: "forged/0".into(), batch: 1 }]);
        sql(&t, "DELETE FROM ledger_entry WHERE id = 'forged/0'", vec![]).await;
        sql(&t, FORGED, params!["forged/0", id(0), None::<i64>]).await;
        assert_eq!(sealer.pass().await.unwrap(), 0);
        assert_eq!(differences().await.2, [Difference::NotOurs { id: "forged/0".into() }]);
        sql(&t, "DELETE FROM ledger_entry WHERE id = 'forged/0'", vec![]).await;
        sql(&t, "DELETE FROM ledger_entry WHERE id = $1", params![id(1)]).await;
        assert_eq!(differences().await.2, [Difference::Removed { id: id(1), batch: 1 }]);
    }

    async fn many_entries_are_sealed_by_the_transaction_that_inserts_them(t) {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let world = World::new(&t).await;
        world.grant(10_000, None).await;
        let process = world.start().await;
        process.store.set_audit_key(key.tag_key());
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("roots.jsonl");
        let config = config(&key, &roots, "a");
        let mut sealer = Sealer::new(process.store.clone(), t.ids.clone(), config);
        assert_eq!(sealer.pass().await.unwrap(), 0);
        let spend = async |count: usize| {
            let calls = (0..count).map(|_| process.spend(world.call(Some(UNIT), output(1)), output(1)));
            futures_util::future::try_join_all(calls).await.unwrap();
            process.ledger.flush().await;
        };
        let unsealed = async || -> i64 {
            let count = "SELECT COUNT(*) AS total FROM ledger_entry WHERE batch IS NULL";
            t.store.db().fetch_optional(count, vec![]).await.unwrap().unwrap().int("total").unwrap()
        };
        let differences = async || differences(&t, &roots, &key).await;
        spend(400).await;
        let (late, in_file) = (unsealed().await, || std::fs::read_to_string(&roots).unwrap_or_default().lines().count());
        assert!(late < 16 && in_file() == 0, "{late}");
        // The file lacks these roots until the sealer's next pass, and says so to who asks before.
        assert!(matches!(differences().await.2[0], Difference::NotInFile { batch: 1 }));
        // A batch's own entries are told from others then, too.
        let own = "SELECT MIN(id) AS id FROM ledger_entry WHERE batch = 1";
        let own = t.store.db().fetch_optional(own, vec![]).await.unwrap().unwrap().text("id").unwrap();
        sql(&t, FORGED, params!["forged/0", own, Some(1i64)]).await;
        assert_eq!(differences().await.2.last(), Some(&Difference::Inserted { id: "forged/0".into(), batch: 1 }));
        sql(&t, "DELETE FROM ledger_entry WHERE id = 'forged/0'", vec![]).await;
        assert_eq!(sealer.pass().await.unwrap() as i64, late);
        assert_eq!(differences().await, (400, 0, vec![]));
        // Few wait, and follow in the same chain.
        spend(1).await;
        assert_eq!((unsealed().await, sealer.pass().await.unwrap()), (1, 1));
        spend(200).await;
        let id = "SELECT MIN(id) AS id FROM ledger_entry WHERE batch = (SELECT MAX(batch) FROM ledger_entry)";
        let id = t.store.db().fetch_optional(id, vec![]).await.unwrap().unwrap().text("id").unwrap();
        let batch = "SELECT MAX(batch) AS batch FROM ledger_seal";
        let batch = t.store.db().fetch_optional(batch, vec![]).await.unwrap().unwrap().int("batch").unwrap();
        // Changed, and the signed record taken away, before the file has it: this process remembers.
        sql(&t, "UPDATE ledger_entry SET micros = 0 WHERE id = $1", params![&id]).await;
        sql(&t, "UPDATE ledger_seal SET record_json = '{}' WHERE batch = $1", params![batch]).await;
        sealer.pass().await.unwrap();
        assert_eq!(differences().await.2, [Difference::Copy { batch }, Difference::Changed { id, batch }]);
        // A batch that nobody signed, behind the last, which that pass may have made.
        let behind = "SELECT MAX(batch) + 1 AS batch FROM ledger_seal";
        let behind = t.store.db().fetch_optional(behind, vec![]).await.unwrap().unwrap().int("batch").unwrap();
        let record = "INSERT INTO ledger_seal (batch, record_json)
             SELECT CAST($2 AS BIGINT), REPLACE(record_json, '\"batch\":' || batch, '\"batch\":' || CAST($2 AS BIGINT))
             FROM ledger_seal WHERE batch = $1 - 1";
        sql(&t, record, params![batch, behind]).await;
        let honest = "SELECT MIN(id) AS id FROM ledger_entry";
        let honest = t.store.db().fetch_optional(honest, vec![]).await.unwrap().unwrap().text("id").unwrap();
        sql(&t, FORGED, params!["forged/0", &honest, Some(behind)]).await;
        assert_eq!(differences().await.2.last(), Some(&Difference::Inserted { id: "forged/0".into(), batch: behind }));
    }

    async fn what_a_running_sealer_writes_has_every_batch_in_order(t) {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let world = World::new(&t).await;
        world.grant(10_000, None).await;
        let process = world.start().await;
        process.store.set_audit_key(key.tag_key());
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("roots.jsonl");
        let config = config(&key, &roots, "a");
        let tasks = Tasks::new();
        let mut sealer = Sealer::new(process.store.clone(), t.ids.clone(), config);
        sealer.pass().await.unwrap();
        sealer.start(&tasks);
        // More than one writing of the file, and less than would be read from the database.
        for _ in 0..15 {
            let calls = (0..400).map(|_| process.spend(world.call(Some(UNIT), output(1)), output(1)));
            futures_util::future::try_join_all(calls).await.unwrap();
        }
        process.ledger.flush().await;
        assert_eq!(tasks.shutdown(Duration::from_secs(20)).await, 0);
        let differences = async || differences(&t, &roots, &key).await;
        assert_eq!(differences().await, (6_000, 0, vec![]));
        // Among thousands of others in a walk of several pages, before, between and behind them.
        let ids = "SELECT MIN(id) AS id FROM ledger_entry GROUP BY batch ORDER BY batch LIMIT 3";
        let ids = t.store.db().fetch_all(ids, vec![]).await.unwrap();
        let mut forged = Vec::new();
        for (at, batch) in [(0, 2i64), (1, 1), (2, 3)] {
            let beside = ids[at].text("id").unwrap();
            for id in [format!("!{at}"), format!("{beside}!"), format!("~{at}")] {
                sql(&t, FORGED, params![&id, &beside, Some(batch)]).await;
                forged.push(Difference::Inserted { id, batch });
            }
        }
        // One that is sealed in the place of another.
        let gone = ids[0].text("id").unwrap();
        sql(&t, "DELETE FROM ledger_entry WHERE id = $1", params![&gone]).await;
        forged.push(Difference::Removed { id: gone, batch: 1 });
        let (rows, unsealed, mut found) = differences().await;
        found.sort_by_key(ToString::to_string);
        forged.sort_by_key(ToString::to_string);
        assert_eq!((rows, unsealed, found), (5_999, 0, forged));
    }

    async fn a_process_that_has_lost_the_lease_seals_nothing(t) {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let world = World::new(&t).await;
        world.grant(10_000, None).await;
        let process = world.start().await;
        process.store.set_audit_key(key.tag_key());
        let folder = tempfile::tempdir().unwrap();
        let sealer = |store: &Store, owner: &str| {
            let config = config(&key, &folder.path().join(owner), owner);
            Sealer::new(store.clone(), t.ids.clone(), config)
        };
        let mut ours = sealer(&process.store, "a");
        ours.pass().await.unwrap();
        sql(&t, "UPDATE ledger_owner SET lease_until_ms = 0 WHERE name = 'ledger-seal'", vec![]).await;
        let mut theirs = sealer(&t.store, "b");
        theirs.pass().await.unwrap();
        let calls = (0..400).map(|_| process.spend(world.call(Some(UNIT), output(1)), output(1)));
        futures_util::future::try_join_all(calls).await.unwrap();
        process.ledger.flush().await;
        assert_eq!(theirs.pass().await.unwrap(), 400);
    }

    async fn entries_from_before_there_were_tags_are_sealed_as_they_are(t) {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let world = World::new(&t).await;
        world.grant(1_000, None).await;
        let process = world.start().await;
        process.spend(world.call(Some(UNIT), output(10)), output(10)).await.unwrap();
        process.ledger.flush().await;
        let folder = tempfile::tempdir().unwrap();
        let sealer = |owner: &str| {
            let config = config(&key, &folder.path().join("roots.jsonl"), owner);
            Sealer::new(t.store.clone(), t.ids.clone(), config)
        };
        let mut first = sealer("a");
        assert_eq!(first.pass().await.unwrap(), 1);
        // After the first pass what has no tag is somebody else's, also where all tags were taken away.
        process.spend(world.call(Some(UNIT), output(10)), output(10)).await.unwrap();
        process.ledger.flush().await;
        assert_eq!(first.pass().await.unwrap(), 0);
        process.store.set_audit_key(key.tag_key());
        process.spend(world.call(Some(UNIT), output(10)), output(10)).await.unwrap();
        process.ledger.flush().await;
        if t.store.db().is_postgres() {
            assert!(matches!(sealer("b").pass().await, Err(SealError::NotTheSealer)));
        }
        assert_eq!(first.pass().await.unwrap(), 1);
    }
}
