//! End users: made, listed, removed.

use creel_testkit::both_databases;
use serde_json::{Value, json};

use crate::caller::{Caller, Params, text};
use crate::harness::TestApp;

const USER: &str = "2021-03-08";
const CREATE: (&str, &str) = (USER, "CreateUsers");
const DESCRIBE: (&str, &str) = (USER, "DescribeUsers");
const REMOVE: (&str, &str) = (USER, "RemoveUsers");

async fn ok(caller: &Caller<'_>, operation: (&str, &str), params: Params<'_>) -> Value {
    let answer = caller.call(operation, params).await;
    answer.assert_ok();
    answer.body
}

/// Users with nothing but a name.
pub(crate) async fn create(caller: &Caller<'_>, names: &[&str]) {
    let keys: Vec<String> = (1..=names.len()).map(|n| format!("Users.{n}.EndUserId")).collect();
    let params: Vec<(&str, &str)> = keys.iter().map(String::as_str).zip(names.iter().copied()).collect();
    assert_eq!(ok(caller, CREATE, &params).await["AllSucceed"], json!(true));
}

/// The names that a list shows.
async fn names(caller: &Caller<'_>, params: Params<'_>) -> Vec<String> {
    let body = ok(caller, DESCRIBE, params).await;
    assert_eq!(body["Count"].as_u64().unwrap() as usize, body["Users"].as_array().unwrap().len());
    body["Users"].as_array().unwrap().iter().map(|user| text(&user["EndUserId"])).collect()
}

both_databases! {
    async fn users_are_made_each_on_its_own(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let good = [
            ("Users.1.EndUserId", "alice"), ("Users.1.Email", "alice@example.com"), ("Users.1.Phone", "13811111111"),
            ("Users.1.RealNickName", "Alice"), ("Users.1.Remark", "first"), ("Users.1.OwnerType", "CreateFromManager"),
            ("Users.2.EndUserId", "alice"), ("Users.3.EndUserId", "Bob"), ("Users.3.Email", "bob@example.com"),
            ("Users.4.EndUserId", "carol"), ("Users.4.Email", "nobody"), ("Users.5.EndUserId", "dave"),
            ("Users.5.Phone", "x"), ("Users.6.EndUserId", "erin_2"), ("IsLocalAdmin", "true"), ("ClientToken", "t"),
        ];
        let body = ok(&root, CREATE, &good).await;
        let result = &body["CreateResult"];
        assert_eq!(body["AllSucceed"], json!(false));
        assert_eq!(result["CreatedUsers"], json!([
            {"EndUserId": "alice", "Email": "alice@example.com", "Phone": "13811111111", "RealNickName": "Alice",
             "Remark": "first"},
            {"EndUserId": "erin_2"},
        ]));
        let failed: Vec<(String, String)> = result["FailedUsers"].as_array().unwrap().iter()
            .map(|user| (text(&user["EndUserId"]), text(&user["ErrorCode"]))).collect();
        let expected = [("alice", "ExistedEndUserId"), ("Bob", "InvalidUsername"), ("carol", "InvalidEmail"),
            ("dave", "InvalidPhone")];
        assert_eq!(failed, expected.map(|(name, code)| (name.to_owned(), code.to_owned())));
        assert_eq!(result["FailedUsers"][1]["Email"], json!("bob@example.com"));
        // The same call again makes nothing and answers the same.
        assert_eq!(ok(&root, CREATE, &good).await["CreateResult"], *result);
        root.refuses(CREATE, &good, &[(&[("Users.6.EndUserId", "erin_3")], 400, "IdempotentParameterMismatch")]).await;

        let shown = ok(&root, DESCRIBE, &[("EndUserIds.1", "alice"), ("ShowExtras", r#"{"any":true}"#)]).await;
        assert_eq!(shown["Users"], json!([{
            "EndUserId": "alice", "Email": "alice@example.com", "Phone": "13811111111", "RealNickName": "Alice",
            "NickName": "Alice", "Remark": "first", "OwnerType": "CreateFromManager", "Status": 0,
            "EnableAdminAccess": true, "IsTenantManager": false, "Groups": [], "Orgs": [], "Properties": [],
            "Extras": {"AssignedResourceCount": {"CloudDesktop": 0}, "ResourcePolicyList": []},
        }]));
        let many: Vec<String> = (1..=101).map(|n| format!("Users.{n}.EndUserId")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "bob")).collect();
        root.refuses(CREATE, &[("Users.1.EndUserId", "bob")], &[
            (&many, 400, "InvalidUsers"),
            (&[("Users.1.EndUserId", "")], 400, "MissingUsers"),
            (&[("Users.1.Password", "Secret12345")], 400, "UnsupportedParameter"),
            (&[("Password", "Secret12345")], 400, "UnsupportedParameter"),
            (&[("Users.1.OrgId", "org-1")], 400, "UnsupportedParameter"),
            (&[("Users.1.OwnerType", "Owner")], 400, "InvalidUsers"),
            (&[("AutoLockTime", "soon")], 400, "InvalidAutoLockTime"),
        ]).await;
    }

    async fn users_are_listed_by_page_and_by_every_filter(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        create(&root, &["zoe", "adam", "anna_m", "bob"]).await;
        ok(&root, CREATE, &[
            ("Users.1.EndUserId", "eve"), ("Users.1.Email", "Adele@Example.com"), ("AutoLockTime", "2026-01-03"),
        ]).await;
        let site = root.office_site().await;
        root.ecd("CreateDesktops", &[
            ("OfficeSiteId", &site), ("BundleId", "b-openclaw-linux"), ("EndUserId.1", "bob"), ("EndUserId.2", "bob"),
        ]).await;
        root.ecd_refuses("CreateDesktops", &[("OfficeSiteId", &site), ("BundleId", "b-openclaw-linux")], &[
            (&[("EndUserId.1", "nobody")], 404, "InvalidEndUserId.NotFound"),
            (&[("EndUserId.1", "Bob")], 404, "InvalidEndUserId.NotFound"),
        ]).await;

        let cases: [(Params<'_>, &[&str]); 13] = [
            (&[], &["adam", "anna_m", "bob", "eve", "zoe"]),
            (&[("EndUserIds.1", "zoe"), ("EndUserIds.2", "nobody")], &["zoe"]),
            (&[("ExcludeEndUserIds.1", "zoe"), ("ExcludeEndUserIds.2", "eve")], &["adam", "anna_m", "bob"]),
            (&[("Filter", "AD")], &["adam", "eve"]),
            (&[("Filter", "a*m")], &["adam", "anna_m", "eve"]),
            (&[("Filter", "a_")], &["anna_m"]),
            (&[("Filter", "a_m")], &["anna_m"]),
            (&[("Filter", "b*")], &["bob"]),
            (&[("Status", "0")], &["adam", "anna_m", "bob", "eve", "zoe"]),
            (&[("Status", "9")], &[]),
            (&[("FilterWithAssignedResource", r#"{"CloudDesktop":"true"}"#)], &["bob"]),
            (&[("FilterWithAssignedResources", r#"{"CloudDesktop":false}"#)], &["adam", "anna_m", "eve", "zoe"]),
            (&[("FilterWithAssignedResource", "{}"), ("ExcludeGroupId", "ug-1")], &["adam", "anna_m", "bob", "eve", "zoe"]),
        ];
        for (params, expected) in cases {
            assert_eq!(names(&root, params).await, expected, "{params:?}");
        }
        t.clock.advance(jiff::SignedDuration::from_hours(21));
        assert_eq!(names(&root, &[("Status", "9")]).await, ["eve"], "locked at the start of that day");

        let mut token = String::new();
        let mut pages = Vec::new();
        loop {
            let page = ok(&root, DESCRIBE, &[("MaxResults", "2"), ("NextToken", &token)]).await;
            assert_eq!(page["Count"], json!(5));
            pages.push(page["Users"].as_array().unwrap().len());
            match page["NextToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(pages, [2, 2, 1]);
        root.refuses(DESCRIBE, &[], &[
            (&[("MaxResults", "501")], 400, "InvalidMaxResults"),
            (&[("NextToken", "x")], 400, "InvalidNextToken"),
            (&[("Status", "1")], 400, "InvalidStatus"),
            (&[("FilterWithAssignedResource", r#"{"Phone":"true"}"#)], 400, "InvalidFilterWithAssignedResource"),
            (&[("FilterWithAssignedResources", r#"{"CloudDesktop":1}"#)], 400, "InvalidFilterWithAssignedResources"),
            (&[("GroupId", "ug-1")], 400, "UnsupportedParameter"),
            (&[("FilterMap", r#"{"a":"b"}"#)], 400, "UnsupportedParameter"),
        ]).await;
        assert_eq!(names(&Caller::stranger(&app).await, &[]).await, [""; 0]);
    }

    async fn a_removed_user_is_entitled_to_nothing_and_inherits_nothing(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        create(&root, &["alice", "bob"]).await;
        let site = root.office_site().await;
        root.ecd("CreateDesktops", &[
            ("OfficeSiteId", &site), ("BundleId", "b-openclaw-linux"), ("EndUserId.1", "alice"), ("EndUserId.2", "bob"),
        ]).await;
        let stranger = Caller::stranger(&app).await;
        let nobody = json!({
            "RemovedUsers": [],
            "FailedUsers": [{"EndUserId": "alice", "ErrorCode": "InvalidUsername",
                             "ErrorMessage": "alice is an invalid username."}],
        });
        assert_eq!(ok(&stranger, REMOVE, &[("Users.1", "alice")]).await["RemoveUsersResult"], nobody);

        let removed = ok(&root, REMOVE, &[("Users.1", "nobody"), ("Users.2", "alice"), ("Users.3", "A b")]).await;
        let result = &removed["RemoveUsersResult"];
        assert_eq!(result["RemovedUsers"], json!(["alice"]));
        assert_eq!((&result["FailedUsers"][0]["EndUserId"], &result["FailedUsers"][1]["EndUserId"]),
            (&json!("nobody"), &json!("A b")));
        assert_eq!(ok(&root, REMOVE, &[("Users.1", "alice")]).await["RemoveUsersResult"], nobody);
        create(&root, &["alice"]).await;
        let desktops = root.ecd("DescribeDesktops", &[]).await;
        assert_eq!(desktops["Desktops"][0]["EndUserIds"], json!(["bob"]));
        root.refuses(REMOVE, &[], &[(&[], 400, "MissingUsers")]).await;
    }
}
