use creel_control::store::{StoreError, Topic, params};
use creel_testkit::both_databases;

both_databases! {
    async fn an_error_rolls_back_only_its_own_job(t) {
        let jobs = (0..50i64).map(|n| {
            let store = t.store.clone();
            async move {
                store.write(move |tx| Box::pin(async move {
                    tx.execute(
                        "INSERT INTO account (id, name, created_at_ms) VALUES ($1, $2, $3)",
                        params![format!("1{n}"), format!("name {n}"), n],
                    ).await?;
                    if n % 2 == 0 { Ok(()) } else { Err(StoreError::Corrupt { what: "asked to fail".into() }) }
                })).await
            }
        });
        let results = futures_util::future::join_all(jobs).await;
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 25);
        let rows = t.store.db().fetch_all("SELECT name FROM account ORDER BY name", Vec::new()).await.unwrap();
        assert_eq!(rows.len(), 25);
    }

    async fn a_job_that_is_alone_and_fails_leaves_nothing(t) {
        let insert = |name: &'static str, fails: bool| {
            let store = t.store.clone();
            async move {
                store.write(move |tx| Box::pin(async move {
                    let sql = "INSERT INTO account (id, name, created_at_ms) VALUES ($1, $1, 0)";
                    tx.execute(sql, params![name]).await?;
                    if fails { Err(StoreError::Corrupt { what: "asked to fail".into() }) } else { Ok(()) }
                })).await
            }
        };
        // Each is over before the next begins.
        for (name, fails) in [("11", false), ("12", true), ("13", true), ("14", false)] {
            assert_eq!(insert(name, fails).await.is_err(), fails, "{name}");
        }
        let rows = t.store.db().fetch_all("SELECT id FROM account ORDER BY id", Vec::new()).await.unwrap();
        let ids: Vec<String> = rows.iter().map(|row| row.text("id").unwrap()).collect();
        assert_eq!(ids, ["11", "14"]);
    }

    async fn a_panic_is_an_error_and_the_writer_lives_on(t) {
        let panicked: Result<(), StoreError> =
            t.store.write(|_tx| Box::pin(async { panic!("a defect") })).await;
        assert!(matches!(panicked, Err(StoreError::Panicked)));
        let after: Result<(), StoreError> = t.store.write(|tx| Box::pin(async move {
            tx.execute("DELETE FROM account", Vec::new()).await.map(|_| ())
        })).await;
        assert!(after.is_ok());
    }

    async fn constraints_are_told_apart(t) {
        let insert = |id: &'static str, name: &'static str| {
            let store = t.store.clone();
            async move {
                store.write(move |tx| Box::pin(async move {
                    tx.execute(
                        "INSERT INTO account (id, name, created_at_ms) VALUES ($1, $2, 0)",
                        params![id, name],
                    ).await.map(|_| ())
                })).await
            }
        };
        insert("11", "a").await.unwrap();
        let twice: Result<(), StoreError> = insert("12", "a").await;
        assert!(matches!(twice, Err(StoreError::Unique(_))));
        let orphan: Result<u64, StoreError> = t.store.write(|tx| Box::pin(async move {
            tx.execute(
                "INSERT INTO access_key (id, account_id, secret_sealed, active, created_at_ms)
                 VALUES ('k', 'nobody', '', 1, 0)",
                Vec::new(),
            ).await
        })).await;
        assert!(matches!(orphan, Err(StoreError::ForeignKey(_))), "{orphan:?}");
    }

    async fn a_topic_is_raised_after_the_commit_and_not_after_a_rollback(t) {
        let mut seen = t.store.topics().subscribe(Topic::Ledger);
        let failed: Result<(), StoreError> = t.store.write(|tx| Box::pin(async move {
            tx.raise(Topic::Ledger).await?;
            Err(StoreError::Corrupt { what: "asked to fail".into() })
        })).await;
        assert!(failed.is_err() && !seen.has_changed().unwrap());
        let done: Result<(), StoreError> =
            t.store.write(|tx| Box::pin(async move { tx.raise(Topic::Ledger).await })).await;
        assert!(done.is_ok() && seen.has_changed().unwrap());
        seen.mark_unchanged();
    }

    async fn another_process_is_heard_within_a_second_or_two(t) {
        let mut seen = t.store.topics().subscribe(Topic::Directory);
        // The first look only learns where things stand.
        tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
        seen.mark_unchanged();
        let clock: std::sync::Arc<dyn creel_control::clock::Clock> = t.clock.clone();
        let other = creel_control::store::Store::open(&t.url.parse().unwrap(), clock, &t.tasks).await.unwrap();
        let done: Result<(), StoreError> = other.write(|tx| Box::pin(async move {
            tx.execute("INSERT INTO account (id, name, created_at_ms) VALUES ('11', 'a', 0)", Vec::new()).await?;
            tx.raise(Topic::Directory).await
        })).await;
        done.unwrap();
        let heard = tokio::time::timeout(std::time::Duration::from_secs(5), seen.changed()).await;
        assert!(heard.is_ok());
    }
}

#[tokio::test]
async fn a_commit_that_fails_is_told_with_its_cause_to_all_who_shared_it() {
    let t = creel_testkit::open(creel_testkit::Database::Sqlite).await;
    let orphan = t.store.write(|tx| {
        Box::pin(async move {
            // The row is looked at by the commit, which then fails.
            tx.execute("PRAGMA defer_foreign_keys = ON", Vec::new()).await?;
            tx.execute(
                "INSERT INTO access_key (id, account_id, secret_sealed, active, created_at_ms)
                 VALUES ('k', 'nobody', '', 1, 0)",
                Vec::new(),
            )
            .await
        })
    });
    let account = |id: &'static str| {
        t.store.write(move |tx| {
            Box::pin(async move {
                let sql = "INSERT INTO account (id, name, created_at_ms) VALUES ($1, $1, 0)";
                tx.execute(sql, params![id]).await
            })
        })
    };
    // One task polls both, so that the writer finds both when it wakes.
    let (orphan, mate): (Result<u64, StoreError>, Result<u64, StoreError>) =
        tokio::join!(orphan, account("11"));
    for told in [&orphan, &mate] {
        let Err(error @ StoreError::NotCommitted(cause)) = told else { panic!("{told:?}") };
        assert!(error.is_retryable() && matches!(**cause, StoreError::ForeignKey(_)), "{cause:?}");
    }
    let rows = t.store.db().fetch_all("SELECT id FROM account", Vec::new()).await.unwrap();
    assert!(rows.is_empty());
    let after: Result<u64, StoreError> = account("11").await;
    assert_eq!(after.unwrap(), 1);
}
