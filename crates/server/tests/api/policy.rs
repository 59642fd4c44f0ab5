//! What principals may do: policies, refusals, and every operation's own door.

use creel_testkit::both_databases;
use creel_wire::ops::ALL;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::harness::{Answer, READ, TestApp, WRITE};
use crate::principal::{Key, ours, stranger, user};

/// Puts a policy of these statements.
async fn put(app: &TestApp, name: &str, statements: Value) -> Answer {
    let document = json!({"Version": "1", "Statement": statements}).to_string();
    let mut call = app.call(("2026-11-24", "PutPolicy"));
    call.form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("PolicyName", name), ("PolicyDocument", &document)])
        .finish();
    app.send(call.acs3()).await
}

/// A user with one policy of these statements.
async fn user_with(app: &TestApp, name: &str, statements: Value) -> Key {
    let user = user(app, name).await;
    put(app, name, statements).await.assert_ok();
    ours(app, "AttachPolicy", &format!("PolicyName={name}&PrincipalName={name}")).await.assert_ok();
    user
}

fn allow(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

#[track_caller]
fn assert_denied(answer: &Answer, kind: &str, by: Option<(&str, &str)>) {
    answer.assert_refused(403, "NoPermission");
    let detail = &answer.body["AccessDeniedDetail"];
    assert_eq!(detail["NoPermissionType"], kind, "{}", answer.body);
    let found = (detail["PolicyName"].as_str(), detail["Statement"].as_str());
    assert_eq!(found, by.unzip(), "{}", answer.body);
}

const STOP: (&str, &str) = ("2020-09-30", "StopDesktops");
const CONFIG: (&str, &str) = ("2021-09-01", "ConfigRuntimeModelTemplate");
const LIST: (&str, &str) = ("2021-09-01", "ListDesktopAgentRuntime");

both_databases! {
    async fn every_operation_refuses_a_user_without_policies(t) {
        let app = TestApp::start(&t).await;
        let nobody = user(&app, "nobody").await;
        for spec in ALL {
            let answer = nobody.get(&app, (spec.version, spec.action), "").await;
            assert_denied(&answer, "ImplicitDeny", None);
            let detail = &answer.body["AccessDeniedDetail"];
            assert_eq!(detail["AuthAction"], spec.permission);
            assert_eq!((&detail["AuthPrincipalType"], &detail["AuthPrincipalDisplayName"]),
                (&json!("SubUser"), &json!("nobody")));
            let root = app.server.accounts().find_by_name("root").await.unwrap().unwrap();
            assert_eq!(detail["AuthPrincipalOwnerId"], root.id.as_str());
            assert_eq!(detail["PolicyType"], "AccountLevelIdentityBasedPolicy");
        }
    }

    async fn full_access_and_read_only_are_there_from_the_start(t) {
        let app = TestApp::start(&t).await;
        let (all, reader) = (user(&app, "all").await, user(&app, "reader").await);
        ours(&app, "AttachPolicy", "PolicyName=FullAccess&PrincipalName=all").await.assert_ok();
        ours(&app, "AttachPolicy", "PolicyName=ReadOnlyAccess&PrincipalName=reader").await.assert_ok();
        for spec in ALL {
            let operation = (spec.version, spec.action);
            assert_ne!(all.get(&app, operation, "").await.code(), "NoPermission", "{}", spec.action);
            let answer = reader.get(&app, operation, "").await;
            assert_eq!(answer.code() == "NoPermission", spec.mutates, "{}: {}", spec.action, answer.body);
        }
        // Not even full access makes somebody the root.
        for action in ["CreateAccessKey", "CreateTemporaryCredentials"] {
            all.get(&app, ("2026-11-24", action), "PrincipalName=root").await.assert_refused(403, "NoPermission");
        }
        ours(&app, "ListAccessKeys", "PrincipalName=root").await.assert_ok();
    }

    async fn a_call_is_about_every_id_that_it_names_in_whatever_form(t) {
        let app = TestApp::start(&t).await;
        let user = user_with(&app, "ops", json!([
            allow("ecd:Stop*", "acs:ecd:*:*:desktop/ecd-1"),
            allow("ecd:Stop*", "acs:ecd:cn-hangzhou:*:desktop/ecd-2*"),
            allow("appstreaming:ConfigRuntimeModelTemplate", "acs:ecd:*:*:desktop/*"),
            allow("appstreaming:ConfigRuntimeModelTemplate", "acs:appstreaming:*:*:modeltemplate/mt-1"),
            {"Sid": "Keep", "Effect": "Deny", "Action": "*", "Resource": "acs:ecd:*:*:desktop/ecd-22"},
            allow("appstreaming:ListDesktopAgentRuntime", "acs:ecd:*:*:desktop/ecd-1"),
        ])).await;
        let region = "RegionId=cn-hangzhou";
        let own_json = form_urlencoded::byte_serialize(br#"["ecd-1","ecd-3"]"#).collect::<String>();
        for (operation, query, expect) in [
            (STOP, format!("{region}&DesktopId.1=ecd-1"), Ok(())),
            (STOP, format!("{region}&DesktopId.1=ecd-1&DesktopId.2=ecd-21"), Ok(())),
            (STOP, format!("{region}&DesktopId.1=ecd-1&DesktopId.2=ecd-3"), Err(None)),
            (STOP, format!("{region}&DesktopId={own_json}"), Err(None)),
            (STOP, format!("{region}&DesktopId.1=ecd-21&DesktopId.2=ecd-22"), Err(Some(("ops", "Keep")))),
            (STOP, region.to_owned(), Err(None)),
            (CONFIG, "ModelTemplateId=mt-1&RuntimeType=CloudDesktop&RuntimeIds.1=ecd-1".to_owned(), Ok(())),
            (CONFIG, "ModelTemplateId=mt-2&RuntimeType=CloudDesktop&RuntimeIds.1=ecd-1".to_owned(), Err(None)),
            (CONFIG, "ModelTemplateId=mt-1&RuntimeType=CloudDesktop&RuntimeIds.1=ecd-22".to_owned(),
                Err(Some(("ops", "Keep")))),
            (LIST, "ResourceIds.1=ecd-1".to_owned(), Ok(())),
            // Without ids, or with a filter that is none, it is about all.
            (LIST, String::new(), Err(None)),
            (LIST, "DesktopNames.1=a".to_owned(), Err(None)),
            (LIST, "ResourceIds.1=ecd-1&DesktopIds.1=ecd-2".to_owned(), Err(None)),
        ] {
            let answer = user.get(&app, operation, &query).await;
            match expect {
                Ok(()) => assert_ne!(answer.code(), "NoPermission", "{query}: {}", answer.body),
                Err(by) => assert_denied(&answer, if by.is_some() { "ExplicitDeny" } else { "ImplicitDeny" }, by),
            }
        }
        let long = format!("{region}&DesktopId.1={}", "e".repeat(300));
        user.get(&app, STOP, &long).await.assert_refused(400, "InvalidParameter");
        // A refusal says nothing of whether the resource is there; nor does what is allowed.
        user.get(&app, STOP, &format!("{region}&DesktopId.1=ecd-1")).await.assert_refused(404, "InvalidDesktopId.NotFound");
    }

    async fn changes_are_seen_within_a_second_everywhere(t) {
        let app = TestApp::start(&t).await;
        let user = user_with(&app, "ops", json!([allow("creel:Describe*", "*")])).await;
        user.get(&app, READ, "").await.assert_ok();
        put(&app, "ops", json!([allow("ecd:*", "*")])).await.assert_ok();
        user.get(&app, READ, "").await.assert_refused(403, "NoPermission");
        put(&app, "ops", json!([allow("creel:*", "*")])).await.assert_ok();
        user.get(&app, READ, "").await.assert_ok();
        // Of another process, such as the operator's command line: not before a second has passed.
        let others = creel_control::principal::Principals::new(
            t.store.clone(), t.ids.clone(), app.server.accounts().clone());
        let root = app.server.accounts().find_by_name("root").await.unwrap().unwrap();
        let actor = creel_control::access::Actor::operator(root.id.clone(), "DetachPolicy", t.ids.request_id());
        others.detach(actor, "ops".to_owned(), "ops".to_owned()).await.unwrap();
        t.clock.advance(SignedDuration::from_secs(1));
        user.get(&app, READ, "").await.assert_refused(403, "NoPermission");
    }

    async fn policies_are_put_listed_attached_and_deleted(t) {
        let app = TestApp::start(&t).await;
        let statements = json!([allow("creel:*", "*")]);
        put(&app, "one", statements.clone()).await.assert_ok();
        t.clock.advance(SignedDuration::from_secs(1));
        put(&app, "two", statements.clone()).await.assert_ok();
        let shown = ours(&app, "GetPolicy", "PolicyName=one").await.body["Policy"].clone();
        assert_eq!((&shown["PolicyType"], &shown["AttachmentCount"]), (&json!("Custom"), &json!(0)));
        let document: Value = serde_json::from_str(shown["PolicyDocument"].as_str().unwrap()).unwrap();
        assert_eq!(document["Statement"], statements);
        assert_eq!((&shown["CreateDate"], &shown["UpdateDate"]), (&json!("2026-01-02T03:04:05Z"), &json!("2026-01-02T03:04:05Z")));
        put(&app, "one", statements.clone()).await.assert_ok();
        let shown = ours(&app, "GetPolicy", "PolicyName=one").await.body["Policy"].clone();
        assert_eq!((&shown["CreateDate"], &shown["UpdateDate"]), (&json!("2026-01-02T03:04:05Z"), &json!("2026-01-02T03:04:06Z")));

        let names = |answer: &Answer| -> Vec<String> {
            let policies = answer.body["Policies"].as_array().unwrap();
            policies.iter().map(|policy| policy["PolicyName"].as_str().unwrap().to_owned()).collect()
        };
        let first = ours(&app, "ListPolicies", "MaxResults=1").await;
        assert_eq!(names(&first), ["one"]);
        let next = format!("NextToken={}", first.body["NextToken"].as_str().unwrap());
        let second = ours(&app, "ListPolicies", &next).await;
        assert_eq!((names(&second), second.body.get("NextToken")), (vec!["two".to_owned()], None));
        let system = ours(&app, "ListPolicies", "PolicyType=System").await;
        assert_eq!(names(&system), ["FullAccess", "ReadOnlyAccess", "AgentOperator"]);

        ours(&app, "CreatePrincipal", "PrincipalName=alice").await.assert_ok();
        for policy in ["one", "FullAccess"] {
            let both = format!("PolicyName={policy}&PrincipalName=alice");
            ours(&app, "AttachPolicy", &both).await.assert_ok();
            ours(&app, "AttachPolicy", &both).await.assert_refused(409, "EntityAlreadyExists.User.Policy");
        }
        let attached = ours(&app, "ListPolicies", "PrincipalName=alice").await;
        assert_eq!(names(&attached), ["FullAccess", "one"]);
        assert_eq!(attached.body["Policies"][1]["AttachDate"], "2026-01-02T03:04:06Z");
        assert_eq!(attached.body["Policies"][1]["AttachmentCount"], 1);
        let system = ours(&app, "ListPolicies", "PrincipalName=alice&PolicyType=System").await;
        assert_eq!(names(&system), ["FullAccess"]);
        ours(&app, "DeletePolicy", "PolicyName=one").await.assert_refused(409, "DeleteConflict.Policy.User");
        ours(&app, "DetachPolicy", "PolicyName=one&PrincipalName=alice").await.assert_ok();
        ours(&app, "DetachPolicy", "PolicyName=one&PrincipalName=alice").await
            .assert_refused(404, "EntityNotExist.User.Policy");
        ours(&app, "DeletePolicy", "PolicyName=one").await.assert_ok();
        // Attachments go with their principal.
        ours(&app, "AttachPolicy", "PolicyName=two&PrincipalName=alice").await.assert_ok();
        ours(&app, "DeletePrincipal", "PrincipalName=alice").await.assert_ok();
        ours(&app, "DeletePolicy", "PolicyName=two").await.assert_ok();
    }

    async fn what_is_wrong_with_a_policy_is_told(t) {
        let app = TestApp::start(&t).await;
        let good = json!([allow("*", "*")]);
        ours(&app, "CreatePrincipal", "PrincipalName=alice").await.assert_ok();
        put(&app, "a b", good.clone()).await.assert_refused(400, "InvalidPolicyName");
        put(&app, "FullAccess", good.clone()).await.assert_refused(403, "OperationDenied.SystemPolicy");
        ours(&app, "DeletePolicy", "PolicyName=FullAccess").await.assert_refused(403, "OperationDenied.SystemPolicy");
        let conditional = json!([{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {}}}]);
        let refused = put(&app, "one", conditional).await;
        refused.assert_refused(400, "InvalidPolicyDocument");
        assert!(refused.body["Message"].as_str().unwrap().contains("Condition is not supported"), "{}", refused.body);
        ours(&app, "PutPolicy", "PolicyName=one&PolicyDocument=x").await.assert_refused(400, "InvalidPolicyDocument");
        // What another account has is not there.
        let other = stranger(&app).await;
        let theirs = "PolicyName=theirs&PolicyDocument=%7B%22Version%22%3A%221%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22*%22%2C%22Resource%22%3A%22*%22%7D%5D%7D";
        other.get(&app, ("2026-11-24", "PutPolicy"), theirs).await.assert_ok();
        for name in ["absent", "theirs"] {
            for action in ["GetPolicy", "DeletePolicy"] {
                ours(&app, action, &format!("PolicyName={name}")).await.assert_refused(404, "EntityNotExist.Policy");
            }
            ours(&app, "AttachPolicy", &format!("PolicyName={name}&PrincipalName=alice")).await
                .assert_refused(404, "EntityNotExist.Policy");
        }
        for action in ["AttachPolicy", "DetachPolicy"] {
            ours(&app, action, "PolicyName=FullAccess&PrincipalName=nobody").await
                .assert_refused(404, "EntityNotExist.User");
            ours(&app, action, "PolicyName=FullAccess&PrincipalName=root").await
                .assert_refused(400, "InvalidPrincipalName");
        }
        ours(&app, "ListPolicies", "PrincipalName=nobody").await.assert_refused(404, "EntityNotExist.User");
        for number in 0..20 {
            let name = format!("p{number}");
            put(&app, &name, good.clone()).await.assert_ok();
            ours(&app, "AttachPolicy", &format!("PolicyName={name}&PrincipalName=alice")).await.assert_ok();
        }
        ours(&app, "AttachPolicy", "PolicyName=FullAccess&PrincipalName=alice").await
            .assert_refused(409, "LimitExceeded.User.Policy");
    }

    async fn an_account_has_only_so_many_policies(t) {
        let app = TestApp::start(&t).await;
        put(&app, "first", json!([allow("ecd:*", "*")])).await.assert_ok();
        t.store.write(|tx| Box::pin(async move {
            let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
                       INSERT INTO policy (account_id, name, description, document_json, created_at_ms, updated_at_ms)
                       SELECT policy.account_id, 'p' || n.i, '', '{}', 0, 0 FROM n, policy WHERE policy.name = 'first'";
            tx.execute(sql, vec![]).await
        })).await.unwrap();
        put(&app, "one-more", json!([allow("ecd:*", "*")])).await.assert_refused(409, "LimitExceeded.Policy");
        put(&app, "first", json!([allow("ecd:*", "*")])).await.assert_ok();
        ours(&app, "DeletePolicy", "PolicyName=p1").await.assert_ok();
        put(&app, "one-more", json!([allow("ecd:*", "*")])).await.assert_ok();
    }

    async fn refusals_are_recorded_within_a_bound(t) {
        let app = TestApp::start(&t).await;
        let user = user_with(&app, "ops", json!([
            {"Sid": "Never", "Effect": "Deny", "Action": "ecd:*", "Resource": "*"}])).await;
        for _ in 0..70 {
            user.get(&app, WRITE, "RegionId=cn-hangzhou").await.assert_refused(403, "NoPermission");
        }
        let sql = "SELECT principal, decision, outcome, code, resources_json FROM audit
                   WHERE action = 'CreateSimpleOfficeSite'";
        let rows = t.store.db().fetch_all(sql, vec![]).await.unwrap();
        assert_eq!(rows.len(), 30, "a minute of a key");
        let text = |column: &str| rows[0].text(column).unwrap();
        assert_eq!((text("principal"), text("decision"), text("outcome"), text("code")),
            ("user:ops".to_owned(), "Denied".to_owned(), "Failure".to_owned(), "NoPermission".to_owned()));
        assert_eq!(text("resources_json"), r#"["ecd:CreateSimpleOfficeSite","policy/ops#Never"]"#);
    }
}
