//! How much one key and one account may ask for.

use std::sync::Arc;

use creel_testkit::both_databases;
use creel_wire::secret::Secret;
use jiff::SignedDuration;

use crate::harness::{Answer, READ, TestApp};

/// One call with this key.
async fn call(app: &TestApp, key: (&str, &Secret)) -> Answer {
    let mut call = app.call(READ);
    (call.key_id, call.secret) = (key.0.to_owned(), key.1.expose().to_owned());
    app.send(call.acs3()).await
}

both_databases! {
    async fn floods_are_told_when_to_come_again(t) {
        let data_dir = Arc::new(tempfile::tempdir().unwrap());
        let app = TestApp::start_with(&t, data_dir, |config| {
            config.limits.key_calls_per_second = 2;
            config.limits.account_calls_per_second = 3;
        }).await;
        let account = app.server.accounts().create("flooding").await.unwrap();
        let one = app.server.accounts().create_key(&account.id).await.unwrap();
        let two = app.server.accounts().create_key(&account.id).await.unwrap();
        let (one, two) = ((one.id.as_str(), &one.secret), (two.id.as_str(), &two.secret));
        for _ in 0..6 {
            call(&app, one).await.assert_ok();
        }
        let refused = call(&app, one).await;
        refused.assert_refused(429, "Throttling.User");
        assert_eq!(refused.headers["x-acs-retry-after"], "500");
        // The account's nine of three seconds: six by the first key, so three are left for the second.
        for _ in 0..3 {
            call(&app, two).await.assert_ok();
        }
        call(&app, two).await.assert_refused(429, "Throttling.User");
        app.get(READ, "").await.assert_ok();

        t.clock.advance(SignedDuration::from_secs(1));
        call(&app, one).await.assert_ok();
        call(&app, one).await.assert_ok();
        call(&app, one).await.assert_refused(429, "Throttling.User");
    }

    async fn strangers_leave_no_row(t) {
        let app = TestApp::start(&t).await;
        app.get(READ, "").await.assert_ok();
        let rows = async || {
            let count = t.store.db().fetch_all("SELECT CAST(COUNT(*) AS BIGINT) AS total FROM audit", vec![]);
            count.await.unwrap()[0].int("total").unwrap()
        };
        let before = rows().await;
        for number in 0..200 {
            let wrong = Secret::new("wrong".to_owned());
            call(&app, (&format!("LTAIstranger{number}"), &wrong)).await
                .assert_refused(404, "InvalidAccessKeyId.NotFound");
            call(&app, (crate::harness::KEY_ID, &wrong)).await.assert_refused(400, "SignatureDoesNotMatch");
        }
        assert_eq!(rows().await, before);
    }
}
