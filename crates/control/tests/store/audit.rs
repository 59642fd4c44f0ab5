//! Sealing audit rows, and finding what was done to them since.

use std::path::PathBuf;

use creel_control::access::Actor;
use creel_control::audit::{EventFilter, Refusals};
use creel_control::page::Cursor;
use creel_control::seal::{RootsFile, SealKey};
use creel_control::sealing::Log as Sealed;
use creel_control::sealing::{Difference, Retention, SealError, Sealer, SealerConfig, Verified, verify};
use creel_control::store::{Value, audit_search_statement, params};
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::AccountId;
use jiff::SignedDuration;

use crate::model::actor_of;

fn account() -> AccountId {
    AccountId::parse("11").unwrap()
}

/// A log, its key, and where its roots are kept.
struct Log<'t> {
    t: &'t TestStore,
    key: String,
    folder: tempfile::TempDir,
}

impl<'t> Log<'t> {
    fn new(t: &'t TestStore) -> Self {
        let log =
            Self { t, key: SealKey::generate_base64().to_string(), folder: tempfile::tempdir().unwrap() };
        t.store.set_audit_key(log.key().tag_key());
        log
    }

    fn key(&self) -> SealKey {
        SealKey::from_base64(&self.key).unwrap()
    }

    fn roots(&self) -> PathBuf {
        self.folder.path().join("audit/roots.jsonl")
    }

    fn sealer(&self, owner_id: &str, roots: PathBuf) -> Sealer {
        let config = SealerConfig {
            log: Sealed::Audit,
            key: self.key(),
            roots,
            owner_id: owner_id.to_owned(),
            retention: Some(Retention { days: 30, operator_account_id: account() }),
        };
        Sealer::new(self.t.store.clone(), self.t.ids.clone(), config)
    }

    /// Writes a row for each of these resources, a second apart; gives their ids.
    async fn write(&self, resources: &[&'static str]) -> Vec<String> {
        let mut ids = Vec::new();
        for resource in resources {
            let actor = actor_of(self.t, "11", "CreateThing");
            ids.push(actor.request_id.clone());
            record(self.t, actor, resource).await;
            self.t.clock.advance(SignedDuration::from_secs(1));
        }
        ids
    }

    async fn verified(&self) -> (Verified, Vec<Difference>) {
        let mut found = Vec::new();
        let mut report = |difference| found.push(difference);
        let (file, key) = (RootsFile::new(self.roots()), self.key());
        let seen =
            verify(Sealed::Audit, &self.t.store, &file, key.public(), Some(key.tag_key()), &mut report)
                .await
                .unwrap();
        assert_eq!(seen.differences, found.len() as u64);
        (seen, found)
    }

    async fn differences(&self) -> Vec<Difference> {
        self.verified().await.1
    }

    /// The file's lines, changed.
    fn edit(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut lines: Vec<String> =
            std::fs::read_to_string(self.roots()).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        std::fs::write(self.roots(), lines.iter().map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
    }
}

async fn record(t: &TestStore, actor: Actor, resource: &'static str) {
    let now_ms = t.store.clock().now_ms();
    t.store
        .write(move |tx| Box::pin(async move { actor.audit(tx, &[resource], now_ms).await }))
        .await
        .unwrap();
}

/// Straight in the database, as its administrator can.
async fn sql(t: &TestStore, text: &'static str, values: Vec<Value>) {
    let changed = t.store.write(move |tx| Box::pin(tx.execute(text, values))).await.unwrap();
    assert!(changed > 0, "{text}");
}

both_databases! {
    async fn rows_are_sealed_once_and_verify_without_differences(t) {
        let log = Log::new(&t);
        let mut sealer = log.sealer("a", log.roots());
        assert_eq!(sealer.pass().await.unwrap(), 0);
        assert_eq!(log.verified().await, (Verified::default(), vec![]));
        log.write(&["ecd-1", "ecd-2"]).await;
        let (seen, found) = log.verified().await;
        assert_eq!((seen.unsealed, found), (2, vec![]));
        assert_eq!(sealer.pass().await.unwrap(), 2);
        log.write(&["ecd-3"]).await;
        assert_eq!(sealer.pass().await.unwrap(), 1);
        assert_eq!(sealer.pass().await.unwrap(), 0);
        let (seen, found) = log.verified().await;
        assert_eq!(found, []);
        assert_eq!((seen.batches, seen.rows, seen.unsealed), (2, 3, 0));
        assert_eq!(seen.head.unwrap().0, 2);
    }

    async fn what_is_done_to_rows_is_named(t) {
        let log = Log::new(&t);
        let mut sealer = log.sealer("a", log.roots());
        let first = log.write(&["ecd-1", "ecd-2", "ecd-3"]).await;
        sealer.pass().await.unwrap();
        let second = log.write(&["ecd-4", "ecd-5"]).await;
        sealer.pass().await.unwrap();
        let id = |index: usize| first[index].clone();

        sql(&t, "UPDATE audit SET actor = 'LTAIother' WHERE id = $1", params![id(0)]).await;
        assert_eq!(log.differences().await, [Difference::Changed { id: id(0), batch: 1 }]);
        sql(&t, "UPDATE audit SET actor = 'LTAItest' WHERE id = $1", params![id(0)]).await;
        assert_eq!(log.differences().await, [], "put back as it was");

        // Two rows in each other's place.
        sql(
            &t,
            "UPDATE audit SET at_ms = (SELECT MIN(at_ms) + MAX(at_ms) FROM audit WHERE id IN ($1, $2)) - at_ms
             WHERE id IN ($1, $2)",
            params![id(0), id(1)],
        )
        .await;
        let mut found = log.differences().await;
        found.sort_by_key(ToString::to_string);
        let mut expected = [0, 1].map(|index| Difference::Changed { id: id(index), batch: 1 });
        expected.sort_by_key(ToString::to_string);
        assert_eq!(found, expected);
        sql(
            &t,
            "UPDATE audit SET at_ms = (SELECT MIN(at_ms) + MAX(at_ms) FROM audit WHERE id IN ($1, $2)) - at_ms
             WHERE id IN ($1, $2)",
            params![id(0), id(1)],
        )
        .await;

        sql(&t, "UPDATE audit SET batch = 2 WHERE id = $1", params![id(2)]).await;
        assert_eq!(
            log.differences().await,
            [
                Difference::Moved { id: id(2), batch: 1, now: Some(2) },
                Difference::Inserted { id: id(2), batch: 2 },
            ]
        );
        sql(&t, "UPDATE audit SET batch = 1 WHERE id = $1", params![id(2)]).await;

        let copy = "INSERT INTO audit (id, account_id, actor, action, resources_json, at_ms, batch)
             SELECT $1, account_id, actor, action, resources_json, at_ms, $2 FROM audit WHERE id = $3";
        for batch in [-5, 0, 1, 2, 3, i64::MAX] {
            sql(&t, copy, params!["forged", batch, id(0)]).await;
            assert_eq!(log.differences().await, [Difference::Inserted { id: "forged".into(), batch }]);
            sql(&t, "DELETE FROM audit WHERE id = $1", params!["forged"]).await;
        }

        sql(&t, "DELETE FROM audit_resource WHERE audit_id = $1", params![id(1)]).await;
        assert_eq!(log.differences().await, [Difference::Hidden { id: id(1), batch: 1 }]);
        sql(&t, "DELETE FROM audit WHERE id = $1", params![id(1)]).await;
        assert_eq!(log.differences().await, [Difference::Removed { id: id(1), batch: 1 }]);
        sql(&t, "DELETE FROM audit WHERE id = $1", params![second[0].clone()]).await;
        assert_eq!(log.differences().await.len(), 2);
    }

    async fn rows_that_creel_did_not_write_are_never_sealed(t) {
        let log = Log::new(&t);
        let mut sealer = log.sealer("a", log.roots());
        log.write(&["ecd-1"]).await;
        sealer.pass().await.unwrap();
        let ids = log.write(&["ecd-2", "ecd-3"]).await;
        sql(&t, "UPDATE audit SET action = 'Nothing' WHERE id = $1", params![ids[0].clone()]).await;
        sql(
            &t,
            "INSERT INTO audit (id, account_id, actor, action, resources_json, at_ms, tag)
             SELECT 'forged', account_id, actor, action, resources_json, 0, tag FROM audit WHERE id = $1",
            params![ids[1].clone()],
        )
        .await;
        assert_eq!(sealer.pass().await.unwrap(), 1, "the one that is as it was");
        let ours = |id: &str| Difference::NotOurs { id: id.to_owned() };
        assert_eq!(log.differences().await, [ours("forged"), ours(&ids[0])]);
    }

    async fn what_is_done_to_the_roots_is_named(t) {
        let log = Log::new(&t);
        let mut sealer = log.sealer("a", log.roots());
        for resource in ["ecd-1", "ecd-2", "ecd-3"] {
            log.write(&[resource]).await;
            sealer.pass().await.unwrap();
        }
        let good = std::fs::read(log.roots()).unwrap();
        let texts = async |change: fn(&mut Vec<String>)| {
            std::fs::write(log.roots(), &good).unwrap();
            log.edit(change);
            log.differences().await.iter().map(Difference::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            texts(|lines| lines.truncate(1)).await,
            [
                "the roots file lacks root 2, which the database has",
                "the roots file lacks root 3, which the database has"
            ]
        );
        let found = texts(|lines| lines[1] = lines[1].replace("\"kept_from\":1", "\"kept_from\":2")).await;
        assert_eq!(
            found,
            [
                "the roots file: batch 2: the signature is not that of this root by this key",
                "the database's copy of root 2 is not that of the roots file",
                "the roots file: batch 3: it does not follow from the batch before it",
            ]
        );
        assert_eq!(
            texts(|lines| drop(lines.remove(0))).await,
            [
                "the roots file begins with root 2, and should begin with 1".to_owned(),
                format!("row {} was inserted into batch 1", first_row(&t).await),
            ]
        );
        assert_eq!(
            texts(|lines| drop(lines.remove(1))).await[0],
            "the roots file: batch 3 follows where batch 2 should"
        );
        assert_eq!(texts(|lines| lines[1] = "{}".into()).await[0], "line 2 of the roots file is not a record");
        std::fs::write(log.roots(), &good).unwrap();
        assert_eq!(log.differences().await, []);

        sql(&t, "UPDATE audit_seal SET record_json = '{}' WHERE batch = $1", params![2]).await;
        assert_eq!(log.differences().await, [Difference::Copy { batch: 2 }]);
        // Another key than that of these roots.
        let file = RootsFile::new(log.roots());
        let other = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let mut count = 0;
        let mut report = |_| count += 1;
        verify(Sealed::Audit, &t.store, &file, other.public(), None, &mut report).await.unwrap();
        assert_eq!(count, 4, "three signatures and the copy");
    }

    async fn a_crash_between_any_two_steps_loses_nothing(t) {
        let log = Log::new(&t);
        // Killed between the write and the seal.
        log.write(&["ecd-1"]).await;
        log.sealer("a", log.roots()).pass().await.unwrap();
        log.write(&["ecd-2"]).await;
        drop(log.sealer("a", log.roots()));
        // Killed between the database and the file, and in the middle of a line.
        let before = std::fs::read(log.roots()).unwrap();
        t.clock.advance(SignedDuration::from_secs(60));
        log.sealer("b", log.roots()).pass().await.unwrap();
        let after = std::fs::read(log.roots()).unwrap();
        for cut in [before.len(), before.len() + 30, after.len() - 1] {
            std::fs::write(log.roots(), &after[..cut]).unwrap();
            t.clock.advance(SignedDuration::from_secs(60));
            assert_eq!(log.sealer("c", log.roots()).pass().await.unwrap(), 0);
            assert_eq!(std::fs::read(log.roots()).unwrap(), after);
            assert_eq!(log.differences().await, []);
        }
    }

    async fn one_process_seals_and_all_keep_the_roots(t) {
        let log = Log::new(&t);
        let other = log.folder.path().join("other.jsonl");
        let (mut a, mut b) = (log.sealer("a", log.roots()), log.sealer("b", other.clone()));
        log.write(&["ecd-1"]).await;
        a.pass().await.unwrap();
        if t.store.db().is_postgres() {
            assert!(matches!(b.pass().await, Err(SealError::NotTheSealer)));
            assert_eq!(std::fs::read(&other).unwrap(), std::fs::read(log.roots()).unwrap());
            t.clock.advance(SignedDuration::from_secs(60));
        }
        log.write(&["ecd-2"]).await;
        assert_eq!(b.pass().await.unwrap(), 1, "the lease is over, or its holder known to be dead");
        log.write(&["ecd-3"]).await;
        // The first finds out before it seals on an old root.
        let again = a.pass().await;
        assert!(matches!(again, Err(SealError::NotTheSealer) | Ok(1)), "{again:?}");
        b.pass().await.ok();
        a.pass().await.ok();
        assert_eq!(std::fs::read(&other).unwrap(), std::fs::read(log.roots()).unwrap());
        assert_eq!(log.differences().await, []);
    }

    async fn a_copy_that_does_not_follow_stops_sealing(t) {
        let log = Log::new(&t);
        let mut sealer = log.sealer("a", log.roots());
        log.write(&["ecd-1"]).await;
        sealer.pass().await.unwrap();
        sql(
            &t,
            "INSERT INTO audit_seal (batch, record_json) SELECT 2, record_json FROM audit_seal WHERE batch = $1",
            params![1],
        )
        .await;
        log.write(&["ecd-2"]).await;
        assert!(matches!(sealer.pass().await, Err(SealError::Forked(_))));
        sql(&t, "UPDATE audit_seal SET record_json = 'x' WHERE batch = $1", params![2]).await;
        assert!(matches!(sealer.pass().await, Err(SealError::NotARecord(2))));
        sql(&t, "DELETE FROM audit_seal WHERE batch = $1", params![2]).await;
        assert_eq!(sealer.pass().await.unwrap(), 1);
        assert_eq!(log.differences().await, []);
    }

    async fn old_batches_are_removed_whole_and_the_removal_is_an_event(t) {
        let log = Log::new(&t);
        let mut sealer = log.sealer("a", log.roots());
        let day = SignedDuration::from_hours(24);
        for resource in ["ecd-1", "ecd-2", "ecd-3"] {
            log.write(&[resource]).await;
            sealer.pass().await.unwrap();
            t.clock.advance(day);
        }
        // The first is 30 days and some hours old: kept until it is 31 days old.
        t.clock.advance(day * 27);
        sealer.pass().await.unwrap();
        assert_eq!(log.verified().await.0.rows, 3);
        t.clock.advance(day);
        sealer.pass().await.unwrap();
        let (seen, found) = log.verified().await;
        assert_eq!(found, []);
        assert_eq!((seen.rows, seen.batches), (2, 2), "ecd-3 and the removal");
        let removal = EventFilter { action: Some("RemoveAuditEvents".into()), ..EventFilter::all(account()) };
        let events = creel_control::audit::AuditLog::new(t.store.clone());
        let events = events.search(&removal, None, 10).await.unwrap().items;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event.resources(), ["audit-batches:1-2"]);
        let seals = t.store.db().fetch_all("SELECT batch FROM audit_seal ORDER BY batch", vec![]).await.unwrap();
        assert_eq!(seals.len(), 2);

        // Whoever says that more was removed than the roots say is found out.
        let third = first_row(&t).await;
        sql(&t, "DELETE FROM audit WHERE id = $1", params![third.clone()]).await;
        assert_eq!(log.differences().await, [Difference::Removed { id: third, batch: 3 }]);
    }

    async fn refusals_beyond_the_bound_are_counted(t) {
        Log::new(&t);
        let refusals = Refusals::new(t.store.clone(), t.ids.clone());
        let refuse = async |count: u32| {
            for _ in 0..count {
                let actor = actor_of(&t, "11", "CreateThing");
                refusals.record(&actor, creel_control::audit::Decision::Denied, "NoPermission", &[]).await.unwrap();
            }
        };
        refuse(creel_control::audit::ROWS_A_MINUTE + 70).await;
        let rows = "SELECT action, calls FROM audit WHERE decision = 'Denied' AND outcome = 'Failure'
                    AND code = 'NoPermission' ORDER BY calls DESC";
        assert_eq!(t.store.db().fetch_all(rows, vec![]).await.unwrap().len(), 30);
        t.clock.advance(SignedDuration::from_secs(60));
        refuse(1).await;
        let found = t.store.db().fetch_all(rows, vec![]).await.unwrap();
        assert_eq!(found.len(), 32);
        assert_eq!((found[0].text("action").unwrap(), found[0].int("calls").unwrap()), ("RefusedCalls".into(), 70));
    }

    async fn every_filter_is_served_by_an_index(t) {
        let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO audit (id, account_id, principal, actor, action, resources_json, decision, at_ms)
             SELECT 'id' || i, '1' || (i % 3), 'p' || (i % 97), 'k' || (i % 101), 'a' || (i % 89), '[]',
                 CASE i % 500 WHEN 0 THEN 'Denied' ELSE 'Allowed' END, i FROM n";
        sql(&t, rows, vec![]).await;
        let resources = "INSERT INTO audit_resource (audit_id, resource, account_id, at_ms)
             SELECT id, 'r' || (at_ms % 83), account_id, at_ms FROM audit";
        sql(&t, resources, vec![]).await;
        t.store.write(|tx| Box::pin(tx.execute("ANALYZE", vec![]))).await.unwrap();
        let filter = EventFilter::all(account());
        let text = |value: &str| Some(value.to_owned());
        for (filter, index) in [
            (filter.clone(), "audit_account"),
            (EventFilter { principal: text("p7"), ..filter.clone() }, "audit_principal"),
            (EventFilter { key_id: text("k7"), ..filter.clone() }, "audit_key"),
            (EventFilter { action: text("a7"), ..filter.clone() }, "audit_action"),
            (EventFilter { resource: text("r7"), ..filter.clone() }, "audit_resource_resource"),
            (
                EventFilter { decision: Some(creel_control::audit::Decision::Denied), ..filter.clone() },
                "audit_denied",
            ),
        ] {
            let after = Cursor { key: 15_000, id: "x".to_owned() };
            for after in [None, Some(&after)] {
                let plan = plan(&t, &audit_search_statement(&filter, after, 10)).await;
                assert!(plan.contains(index), "{index}: {plan}");
                assert!(!plan.contains("TEMP B-TREE") && !plan.contains("Sort"), "{plan}");
            }
        }
    }
}

async fn first_row(t: &TestStore) -> String {
    let row = t.store.db().fetch_optional("SELECT id FROM audit ORDER BY at_ms, id LIMIT 1", vec![]).await;
    row.unwrap().unwrap().text("id").unwrap()
}

/// With PostgreSQL told not to sort the few rows of this test, since it should not sort many.
async fn plan(t: &TestStore, statement: &sea_query::SelectStatement) -> String {
    let is_postgres = t.store.db().is_postgres();
    let (sql, column) = if is_postgres {
        (format!("EXPLAIN {}", statement.to_string(sea_query::PostgresQueryBuilder)), "QUERY PLAN")
    } else {
        (format!("EXPLAIN QUERY PLAN {}", statement.to_string(sea_query::SqliteQueryBuilder)), "detail")
    };
    let rows = t.store.write(move |tx| {
        Box::pin(async move {
            if is_postgres {
                tx.execute("SET LOCAL enable_sort = off", vec![]).await?;
                tx.execute("SET LOCAL enable_bitmapscan = off", vec![]).await?;
            }
            tx.fetch_all(sql, vec![]).await
        })
    });
    let rows: Result<_, creel_control::store::StoreError> = rows.await;
    rows.unwrap().iter().map(|row| row.text(column).unwrap()).collect::<Vec<_>>().join("\n")
}
