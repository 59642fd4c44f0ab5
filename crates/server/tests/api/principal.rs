//! Principals of an account and their keys.

use creel_testkit::both_databases;
use jiff::SignedDuration;

use crate::harness::{Answer, Call, KEY_ID, READ, TestApp};

const OURS: &str = "2026-11-24";

/// A call of our own as the root.
pub(crate) async fn ours(app: &TestApp, action: &str, query: &str) -> Answer {
    app.get((OURS, action), query).await
}

/// A user with a key, by which it calls `operation`.
pub(crate) async fn user(app: &TestApp, name: &str) -> Key {
    ours(app, "CreatePrincipal", &format!("PrincipalName={name}")).await.assert_ok();
    key(app, name).await
}

/// One more key of a principal.
pub(crate) async fn key(app: &TestApp, name: &str) -> Key {
    let made = ours(app, "CreateAccessKey", &format!("PrincipalName={name}")).await;
    made.assert_ok();
    let text = |field: &str| made.body["AccessKey"][field].as_str().unwrap().to_owned();
    Key { id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: None }
}

/// What signs a call.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl Key {
    pub(crate) fn call(&self, app: &TestApp, operation: (&str, &str), query: &str) -> Call {
        let mut call = app.call(operation);
        (call.key_id, call.secret) = (self.id.clone(), self.secret.clone());
        call.security_token = self.token.clone();
        query.clone_into(&mut call.query);
        call
    }

    pub(crate) async fn get(&self, app: &TestApp, operation: (&str, &str), query: &str) -> Answer {
        app.send(self.call(app, operation, query).acs3()).await
    }
}

/// A key of another account's root.
pub(crate) async fn stranger(app: &TestApp) -> Key {
    let account = app.server.accounts().create("other").await.unwrap();
    let key = app.server.accounts().create_key(&account.id).await.unwrap();
    Key { id: key.id.to_string(), secret: key.secret.expose().to_owned(), token: None }
}

both_databases! {
    async fn a_user_is_made_listed_changed_and_deleted(t) {
        let app = TestApp::start(&t).await;
        let made = ours(&app, "CreatePrincipal", "PrincipalName=alice&Description=ops&ClientToken=one").await;
        made.assert_ok();
        let alice = &made.body["Principal"];
        assert_eq!(alice["PrincipalType"], "User");
        assert_eq!((alice["Status"].as_str(), alice["CreateDate"].as_str()), (Some("Active"), Some("2026-01-02T03:04:05Z")));
        let again = ours(&app, "CreatePrincipal", "PrincipalName=alice&Description=ops&ClientToken=one").await;
        assert_eq!(again.body["Principal"], *alice);
        ours(&app, "CreatePrincipal", "PrincipalName=bob&ClientToken=one").await
            .assert_refused(400, "IdempotentParameterMismatch");
        for name in ["alice", "root"] {
            ours(&app, "CreatePrincipal", &format!("PrincipalName={name}")).await
                .assert_refused(409, "EntityAlreadyExists.User");
        }
        for name in ["a%20b", "a/b", "%E9%92%89"] {
            ours(&app, "CreatePrincipal", &format!("PrincipalName={name}")).await
                .assert_refused(400, "InvalidPrincipalName");
        }
        let first = ours(&app, "ListPrincipals", "MaxResults=1").await;
        assert_eq!(first.body["Principals"][0]["PrincipalName"], "root");
        let token = first.body["NextToken"].as_str().unwrap();
        let second = ours(&app, "ListPrincipals", &format!("NextToken={token}")).await;
        assert_eq!(second.body["Principals"], serde_json::json!([alice]));
        assert!(second.body.get("NextToken").is_none());
        let found = ours(&app, "ListPrincipals", "PrincipalName=alice").await;
        assert_eq!(found.body["Principals"], serde_json::json!([alice]));

        let changed = ours(&app, "UpdatePrincipal", "PrincipalName=alice&Description=dev").await;
        assert_eq!(changed.body["Principal"]["Description"], "dev");
        assert_eq!(changed.body["Principal"]["Status"], "Active");
        for action in ["UpdatePrincipal", "DeletePrincipal", "CreateAccessKey", "ListAccessKeys"] {
            ours(&app, action, "PrincipalName=nobody").await.assert_refused(404, "EntityNotExist.User");
            let strange = stranger_name(&app, action).await;
            strange.assert_refused(404, "EntityNotExist.User");
        }
        ours(&app, "UpdatePrincipal", "PrincipalName=root&Status=Inactive").await.assert_refused(403, "OperationDenied.Root");
        ours(&app, "DeletePrincipal", "PrincipalName=root").await.assert_refused(403, "OperationDenied.Root");
        let key = key(&app, "alice").await;
        ours(&app, "DeletePrincipal", "PrincipalName=alice").await.assert_ok();
        ours(&app, "DeletePrincipal", "PrincipalName=alice").await.assert_refused(404, "EntityNotExist.User");
        key.get(&app, READ, "").await.assert_refused(404, "InvalidAccessKeyId.NotFound");
    }

    async fn keys_are_rotated_turned_off_and_deleted(t) {
        let app = TestApp::start(&t).await;
        let old = user(&app, "alice").await;
        let new = key(&app, "alice").await;
        // Who has no policy may do nothing, yet is known.
        old.get(&app, READ, "").await.assert_refused(403, "NoPermission");
        new.get(&app, READ, "").await.assert_refused(403, "NoPermission");
        let of_old = format!("PrincipalName=alice&UserAccessKeyId={}", old.id);
        ours(&app, "UpdateAccessKey", &format!("{of_old}&Status=Inactive")).await.assert_ok();
        old.get(&app, READ, "").await.assert_refused(400, "InvalidAccessKeyId.Inactive");
        ours(&app, "UpdateAccessKey", &format!("{of_old}&Status=Active")).await.assert_ok();
        old.get(&app, READ, "").await.assert_refused(403, "NoPermission");
        ours(&app, "UpdateAccessKey", &format!("{of_old}&Status=Off")).await.assert_refused(400, "InvalidStatus");
        // Off with its principal, whose other key goes off as well.
        ours(&app, "UpdatePrincipal", "PrincipalName=alice&Status=Inactive").await.assert_ok();
        for key in [&old, &new] {
            key.get(&app, READ, "").await.assert_refused(400, "InvalidAccessKeyId.Inactive");
        }
        ours(&app, "UpdatePrincipal", "PrincipalName=alice&Status=Active").await.assert_ok();
        ours(&app, "DeleteAccessKey", &of_old).await.assert_ok();
        old.get(&app, READ, "").await.assert_refused(404, "InvalidAccessKeyId.NotFound");
        new.get(&app, READ, "").await.assert_refused(403, "NoPermission");
        // Only the principal's own keys, and none of another account.
        let strange = stranger(&app).await;
        for id in [&old.id, &strange.id, KEY_ID, "no key"] {
            let which = format!("PrincipalName=alice&UserAccessKeyId={}", id.replace(' ', "%20"));
            ours(&app, "DeleteAccessKey", &which).await.assert_refused(404, "EntityNotExist.User.AccessKey");
            ours(&app, "UpdateAccessKey", &format!("{which}&Status=Inactive")).await
                .assert_refused(404, "EntityNotExist.User.AccessKey");
        }
        for _ in 1..10 {
            key(&app, "alice").await;
        }
        ours(&app, "CreateAccessKey", "PrincipalName=alice").await.assert_refused(409, "LimitExceeded.User.AccessKey");
        // Without a name it is about the caller.
        let own = ours(&app, "ListAccessKeys", "").await;
        assert_eq!(own.body["AccessKeys"][0]["AccessKeyId"], KEY_ID);
    }

    async fn the_last_use_of_a_key_is_shown_at_once_and_kept_in_one_write_a_minute(t) {
        let app = TestApp::start(&t).await;
        let alice = user(&app, "alice").await;
        let last_use = async || {
            ours(&app, "ListAccessKeys", "PrincipalName=alice").await.body["AccessKeys"][0]["LastUsedDate"].clone()
        };
        assert!(last_use().await.is_null());
        t.clock.advance(SignedDuration::from_secs(7));
        alice.get(&app, READ, "").await.assert_refused(403, "NoPermission");
        let mut wrong = alice.clone();
        wrong.secret = "other".to_owned();
        t.clock.advance(SignedDuration::from_secs(7));
        wrong.get(&app, READ, "").await.assert_refused(400, "SignatureDoesNotMatch");
        assert_eq!(last_use().await, "2026-01-02T03:04:12Z");

        // What the task does once a minute.
        let principals = creel_control::principal::Principals::new(
            t.store.clone(), t.ids.clone(), app.server.accounts().clone());
        principals.note_use(&alice.id.parse().unwrap());
        principals.write_uses().await.unwrap();
        let sql = "SELECT last_used_at_ms FROM access_key WHERE id = $1";
        let row = t.store.db().fetch_optional(sql, creel_control::store::params![alice.id.as_str()]).await.unwrap();
        assert_eq!(row.unwrap().opt_int("last_used_at_ms").unwrap(), Some(1_767_323_045_000 + 14_000));
    }

    async fn a_change_of_a_principal_is_audited(t) {
        let app = TestApp::start(&t).await;
        user(&app, "alice").await;
        let sql = "SELECT resources_json FROM audit WHERE action = 'CreateAccessKey' AND nonce IS NOT NULL";
        let rows = t.store.db().fetch_all(sql, vec![]).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].text("resources_json").unwrap().starts_with(r#"["principal/alice","LTAI"#));
        let mut replay = app.call((OURS, "CreateAccessKey"));
        "PrincipalName=alice".clone_into(&mut replay.query);
        app.send(replay.acs3()).await.assert_ok();
        app.send(replay.acs3()).await.assert_refused(400, "SignatureNonceUsed");
    }
}

/// A call about a principal of this name that is there in another account only.
async fn stranger_name(app: &TestApp, action: &str) -> Answer {
    let name = format!("strange{}", action.to_lowercase());
    if app.server.accounts().find_by_name("other").await.unwrap().is_none() {
        stranger(app).await;
    }
    let other = app.server.accounts().find_by_name("other").await.unwrap().unwrap();
    let key = app.server.accounts().create_key(&other.id).await.unwrap();
    let other = Key { id: key.id.to_string(), secret: key.secret.expose().to_owned(), token: None };
    other.get(app, (OURS, "CreatePrincipal"), &format!("PrincipalName={name}")).await.assert_ok();
    ours(app, action, &format!("PrincipalName={name}")).await
}
