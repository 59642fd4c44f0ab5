//! Temporary credentials.

use creel_testkit::both_databases;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::harness::{READ, TestApp};
use crate::principal::{Key, ours, user};

const OURS: &str = "2026-11-24";
const MAKE: (&str, &str) = (OURS, "CreateTemporaryCredentials");

fn key(credentials: &Value) -> Key {
    let text = |field: &str| credentials[field].as_str().unwrap().to_owned();
    Key { id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: Some(text("SecurityToken")) }
}

/// Credentials that the root makes.
async fn make(app: &TestApp, query: &str) -> Key {
    let made = ours(app, MAKE.1, query).await;
    made.assert_ok();
    key(&made.body["Credentials"])
}

fn encoded(document: &Value) -> String {
    form_urlencoded::byte_serialize(document.to_string().as_bytes()).collect()
}

both_databases! {
    async fn they_are_good_with_both_signatures_until_they_end(t) {
        let app = TestApp::start(&t).await;
        let made = ours(&app, MAKE.1, "DurationSeconds=900").await;
        assert_eq!(made.body["Credentials"]["Expiration"], "2026-01-02T03:19:05Z");
        let temporary = key(&made.body["Credentials"]);
        assert!(temporary.id.starts_with("STS."));
        temporary.get(&app, READ, "").await.assert_ok();
        app.send(temporary.call(&app, READ, "").rpc1()).await.assert_ok();
        t.clock.advance(SignedDuration::from_secs(899));
        temporary.get(&app, READ, "").await.assert_ok();
        t.clock.advance(SignedDuration::from_secs(1));
        temporary.get(&app, READ, "").await.assert_refused(400, "InvalidSecurityToken.Expired");
        app.send(temporary.call(&app, READ, "").rpc1()).await.assert_refused(400, "InvalidSecurityToken.Expired");
        for (seconds, ok) in [(899, false), (900, true), (43_200, true), (43_201, false)] {
            let answer = ours(&app, MAKE.1, &format!("DurationSeconds={seconds}")).await;
            assert_eq!(answer.code(), if ok { "" } else { "InvalidDurationSeconds" }, "{seconds}");
        }
    }

    async fn key_secret_and_token_belong_together(t) {
        let app = TestApp::start(&t).await;
        let (one, two) = (make(&app, "").await, make(&app, "").await);
        let with = |change: &dyn Fn(&mut Key)| {
            let mut key = one.clone();
            change(&mut key);
            key
        };
        for (key, code) in [
            (with(&|key| key.token = None), "MissingSecurityToken"),
            (with(&|key| key.token = Some("no token".to_owned())), "InvalidSecurityToken.Malformed"),
            (with(&|key| key.token = two.token.clone()), "InvalidSecurityToken.Malformed"),
            (with(&|key| key.id = two.id.clone()), "InvalidSecurityToken.Malformed"),
            (with(&|key| key.secret = two.secret.clone()), "SignatureDoesNotMatch"),
        ] {
            key.get(&app, READ, "").await.assert_refused(400, code);
            app.send(key.call(&app, READ, "").rpc1()).await.assert_refused(400, code);
        }
        // A sealed secret of another kind is no token either.
        let sql = "SELECT secret_sealed FROM access_key";
        let row = t.store.db().fetch_optional(sql, vec![]).await.unwrap().unwrap();
        let sealed = row.text("secret_sealed").unwrap();
        with(&|key| key.token = Some(sealed.clone())).get(&app, READ, "").await
            .assert_refused(400, "InvalidSecurityToken.Malformed");
    }

    async fn they_end_with_their_principal(t) {
        let app = TestApp::start(&t).await;
        user(&app, "alice").await;
        ours(&app, "AttachPolicy", "PolicyName=ReadOnlyAccess&PrincipalName=alice").await.assert_ok();
        let temporary = make(&app, "PrincipalName=alice").await;
        temporary.get(&app, READ, "").await.assert_ok();
        ours(&app, "UpdatePrincipal", "PrincipalName=alice&Status=Inactive").await.assert_ok();
        temporary.get(&app, READ, "").await.assert_refused(400, "InvalidAccessKeyId.Inactive");
        ours(&app, "UpdatePrincipal", "PrincipalName=alice&Status=Active").await.assert_ok();
        temporary.get(&app, READ, "").await.assert_ok();
        ours(&app, "DeletePrincipal", "PrincipalName=alice").await.assert_ok();
        temporary.get(&app, READ, "").await.assert_refused(404, "InvalidAccessKeyId.NotFound");
        // The same name again is somebody else.
        user(&app, "alice").await;
        temporary.get(&app, READ, "").await.assert_refused(404, "InvalidAccessKeyId.NotFound");
        ours(&app, MAKE.1, "PrincipalName=nobody").await.assert_refused(404, "EntityNotExist.User");
    }

    async fn a_policy_narrows_them_and_never_widens(t) {
        let app = TestApp::start(&t).await;
        user(&app, "alice").await;
        ours(&app, "AttachPolicy", "PolicyName=ReadOnlyAccess&PrincipalName=alice").await.assert_ok();
        let policy = json!({"Version": "1", "Statement": [
            {"Effect": "Allow", "Action": ["creel:DescribeAgentMessages", "creel:SendAgentMessage"], "Resource": "*"}]});
        let policy = format!("Policy={}", encoded(&policy));
        let alices = make(&app, &format!("PrincipalName=alice&{policy}")).await;
        let roots = make(&app, &policy).await;
        let send = (OURS, "SendAgentMessage");
        let describe = (OURS, "DescribeLedgerEntries");
        alices.get(&app, READ, "").await.assert_ok();
        roots.get(&app, READ, "").await.assert_ok();
        // What the policy allows and the principal may not, and the other way round.
        let not_hers = alices.get(&app, send, "RuntimeId=ecd-1&Message=a").await;
        not_hers.assert_refused(403, "NoPermission");
        assert_eq!(not_hers.body["AccessDeniedDetail"]["PolicyType"], "AccountLevelIdentityBasedPolicy");
        roots.get(&app, send, "RuntimeId=ecd-1&Message=a").await.assert_refused(404, "Runtime.NotFound");
        for key in [&alices, &roots] {
            let refused = key.get(&app, describe, "").await;
            refused.assert_refused(403, "NoPermission");
            assert_eq!(refused.body["AccessDeniedDetail"]["PolicyType"], "SessionPolicy");
        }
        // The longest policy there may be still makes a token that is taken.
        let statement = |sid: String| json!({"Sid": sid, "Effect": "Allow", "Action": "creel:*", "Resource": "*"});
        let rest = 2_048 - json!({"Version": "1", "Statement": [statement(String::new())]}).to_string().len();
        let longest = json!({"Version": "1", "Statement": [statement("x".repeat(rest))]});
        make(&app, &format!("Policy={}", encoded(&longest))).await.get(&app, READ, "").await.assert_ok();
        for policy in ["x", "%7B%7D"] {
            ours(&app, MAKE.1, &format!("Policy={policy}")).await.assert_refused(400, "InvalidPolicy");
        }
        let wide = json!({"Version": "1", "Statement": [statement("\u{e9}".repeat(rest))]});
        ours(&app, MAKE.1, &format!("Policy={}", encoded(&wide))).await.assert_refused(400, "InvalidPolicy");
    }

    async fn temporary_credentials_make_no_others_and_users_none_of_the_roots(t) {
        let app = TestApp::start(&t).await;
        let all = user(&app, "all").await;
        ours(&app, "AttachPolicy", "PolicyName=FullAccess&PrincipalName=all").await.assert_ok();
        let own = all.get(&app, MAKE, "").await;
        own.assert_ok();
        key(&own.body["Credentials"]).get(&app, MAKE, "").await.assert_refused(403, "NoPermission");
        make(&app, "").await.get(&app, MAKE, "").await.assert_refused(403, "NoPermission");
        all.get(&app, MAKE, "PrincipalName=root").await.assert_refused(403, "NoPermission");
        // Making them leaves a row, which holds neither secret nor token.
        let sql = "SELECT resources_json FROM audit WHERE action = 'CreateTemporaryCredentials' AND decision = 'Allowed'";
        let rows = t.store.db().fetch_all(sql, vec![]).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.text("resources_json").unwrap().contains("\"STS.")));
    }
}
