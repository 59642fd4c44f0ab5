//! Who is entitled to a runtime: how that is changed, and that it is all that an end user has.

use creel_control::message::Messages;
use creel_control::runtime::Runtimes;
use creel_testkit::both_databases;
use creel_wire::guest::InvocationRequest;
use serde_json::{Value, json};

use crate::caller::{Caller, Params, text};
use crate::harness::TestApp;
use crate::user;

const OURS: &str = "2026-11-24";
const LIST: (&str, &str) = ("2021-09-01", "ListDesktopAgentRuntime");
const SEND: (&str, &str) = (OURS, "SendAgentMessage");
const MESSAGES: (&str, &str) = (OURS, "DescribeAgentMessages");
const ENTRIES: (&str, &str) = (OURS, "DescribeLedgerEntries");
const USAGE: (&str, &str) = ("2021-12-21", "DescribeCreditUsageInfo");

/// The users of a runtime.
async fn users(root: &Caller<'_>, id: &str) -> Value {
    root.ecd("DescribeDesktops", &[("DesktopId.1", id)]).await["Desktops"][0]["EndUserIds"].clone()
}

/// The runtimes that a caller sees, by both lists.
async fn seen(caller: &Caller<'_>) -> Vec<String> {
    let listed = caller.call(LIST, &[]).await;
    listed.assert_ok();
    let mut ids: Vec<String> =
        listed.body["Data"].as_array().unwrap().iter().map(|r| text(&r["ResourceId"])).collect();
    assert_eq!(listed.body["TotalCount"], json!(ids.len()));
    ids.sort();
    let desktops = caller.ecd("DescribeDesktops", &[]).await;
    let mut same: Vec<String> =
        desktops["Desktops"].as_array().unwrap().iter().map(|d| text(&d["DesktopId"])).collect();
    same.sort();
    assert_eq!(ids, same);
    ids
}

/// What BatchModifyEntitlement says of each runtime.
async fn batch(root: &Caller<'_>, ids: &[String], people: &[&str], more: Params<'_>) -> Value {
    let keys: Vec<String> = (1..=ids.len().max(people.len())).map(|n| format!("DesktopId.{n}")).collect();
    let user_keys: Vec<String> = (1..=people.len()).map(|n| format!("EndUserId.{n}")).collect();
    let mut params: Vec<(&str, &str)> =
        keys.iter().map(String::as_str).zip(ids.iter().map(String::as_str)).collect();
    params.extend(user_keys.iter().map(String::as_str).zip(people.iter().copied()));
    params.extend(more);
    root.ecd("BatchModifyEntitlement", &params).await["Entitlements"].clone()
}

both_databases! {
    async fn a_runtime_is_given_and_taken(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let stranger = Caller::stranger(&app).await;
        user::create(&root, &["alice", "bob", "carol"]).await;
        user::create(&stranger, &["mallory"]).await;
        let ids = root.desktops(&root.office_site().await, "2").await;
        let (one, other) = (ids[0].as_str(), ids[1].as_str());
        let set = async |people: Params<'_>| {
            let mut params = vec![("DesktopId", one)];
            params.extend(people);
            root.ecd("ModifyEntitlement", &params).await
        };
        set(&[("EndUserId.1", "bob"), ("EndUserId.2", "alice"), ("EndUserId.3", "bob")]).await;
        assert_eq!(users(&root, one).await, json!(["alice", "bob"]));
        set(&[("EndUserId.1", "carol")]).await;
        assert_eq!(users(&root, one).await, json!(["carol"]));
        let both = [("EndUserId.1", "alice"), ("EndUserId.2", "carol"), ("AuthorizeDesktopId.1", other), ("RevokeDesktopId.1", one)];
        for _ in 0..2 {
            root.ecd("ModifyUserEntitlement", &both).await;
            assert_eq!((users(&root, one).await, users(&root, other).await), (json!([]), json!(["alice", "carol"])));
        }
        set(&[("EndUserId.1", "alice")]).await;
        set(&[]).await;
        assert_eq!(users(&root, one).await, json!([]));

        let set_good = [("DesktopId", one), ("EndUserId.1", "alice")];
        let many: Vec<String> = (1..=501).map(|n| format!("EndUserId.{n}")).collect();
        let many = |most: usize| -> Vec<(&str, &str)> { many[..=most].iter().map(|key| (key.as_str(), "alice")).collect() };
        root.ecd_refuses("ModifyEntitlement", &set_good, &[
            (&[("DesktopId", "")], 400, "MissingDesktopId"),
            (&[("DesktopId", "ecd-none")], 404, "InvalidDesktopId.NotFound"),
            (&[("EndUserId.1", "mallory")], 404, "InvalidEndUserId.NotFound"),
            (&[("EndUserId.2", "Not A Name")], 404, "InvalidEndUserId.NotFound"),
            (&[("RegionId", "cn-nowhere")], 400, "InvalidRegionId"),
            (&many(100), 400, "InvalidEndUserId"),
        ]).await;
        root.ecd_refuses("ModifyUserEntitlement", &both, &[
            (&[("EndUserId.1", ""), ("EndUserId.2", "")], 400, "MissingEndUserId"),
            (&[("AuthorizeDesktopId.1", ""), ("RevokeDesktopId.1", "")], 400, "MissingAuthorizeDesktopId"),
            (&[("RevokeDesktopId.1", other)], 400, "InvalidRevokeDesktopId"),
            (&[("RevokeDesktopId.1", "ecd-none")], 404, "InvalidDesktopId.NotFound"),
            (&[("EndUserId.2", "mallory")], 404, "InvalidEndUserId.NotFound"),
            (&many(100), 400, "InvalidEndUserId"),
        ]).await;
        let batch_good = [("DesktopId.1", one), ("EndUserId.1", "alice"), ("Preview", "false")];
        root.ecd_refuses("BatchModifyEntitlement", &batch_good, &[
            (&[("DesktopId.1", "")], 400, "MissingDesktopId"),
            (&[("Preview", "")], 400, "MissingPreview"),
            (&[("Strategy", "RANDOM")], 400, "InvalidStrategy"),
            (&[("MaxUserPerDesktop", "501")], 400, "InvalidMaxUserPerDesktop"),
            (&[("MaxDesktopPerUser", "-1")], 400, "InvalidMaxDesktopPerUser"),
            (&[("DesktopId.2", "ecd-none")], 404, "InvalidDesktopId.NotFound"),
            (&[("EndUserId.2", "mallory")], 404, "InvalidEndUserId.NotFound"),
            (&many(500), 400, "InvalidEndUserId"),
        ]).await;
        for (action, good) in [("ModifyEntitlement", &set_good[..]), ("ModifyUserEntitlement", &both), ("BatchModifyEntitlement", &batch_good)] {
            stranger.ecd_refuses(action, good, &[(&[], 404, "InvalidDesktopId.NotFound")]).await;
        }
        assert_eq!((users(&root, one).await, users(&root, other).await), (json!([]), json!(["alice", "carol"])));
    }

    async fn users_are_shared_out_at_once_or_looked_at_first(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        user::create(&root, &["alice", "bob", "carol"]).await;
        let ids = root.desktops(&root.office_site().await, "2").await;
        let people = ["alice", "bob", "carol", "alice"];
        let of = |answer: &Value| -> Vec<Value> {
            answer["AssignModels"].as_array().unwrap().iter().map(|model| model["EndUserIds"].clone()).collect()
        };
        let preview = batch(&root, &ids, &people, &[("Preview", "true")]).await;
        assert_eq!(of(&preview), [json!(["alice", "carol"]), json!(["bob"])]);
        assert_eq!((&preview["Status"], preview.get("TaskId")), (&json!("NOT_STARTED"), None));
        assert_eq!(users(&root, &ids[0]).await, json!([]));

        let done = batch(&root, &ids, &people, &[("Preview", "false")]).await;
        assert_eq!((&done["Status"], &done["AssignModels"][1]["InnerStatus"]), (&json!("PROCESSING"), &json!("PROCESSING")));
        assert_eq!(done["AssignModels"][0]["DesktopId"], json!(ids[0]));
        assert!(done["TaskId"].is_string());
        let placed = root.desktop_when(&ids[0], |shown| shown["ManagementFlag"] == "NoFlag").await;
        assert_eq!(placed["EndUserIds"], json!(["alice", "carol"]));
        root.desktop_when(&ids[1], |shown| shown["EndUserIds"] == json!(["bob"])).await;

        let central = [("Preview", "false"), ("Strategy", "CENTRAL"), ("MaxUserPerDesktop", "0")];
        assert_eq!(of(&batch(&root, &ids, &people, &central).await), [json!(["alice", "bob", "carol"]), json!([])]);
        root.desktop_when(&ids[1], |shown| shown["EndUserIds"] == json!([])).await;
        let capped = [("Preview", "true"), ("MaxUserPerDesktop", "1")];
        assert_eq!(of(&batch(&root, &ids, &people, &capped).await), [json!(["alice"]), json!(["bob"])]);
        let capped = [("Preview", "true"), ("MaxDesktopPerUser", "1")];
        assert_eq!(of(&batch(&root, &ids, &["bob"], &capped).await), [json!(["bob"]), json!([])]);
        assert_eq!(of(&batch(&root, &ids, &[], &[("Preview", "true")]).await), [json!([]), json!([])]);
    }

    async fn an_end_user_has_what_it_is_entitled_to_and_nothing_else(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        user::create(&root, &["alice", "bob"]).await;
        let ids = root.desktops(&root.office_site().await, "2").await;
        let (mine, other) = (ids[0].as_str(), ids[1].as_str());
        for id in [mine, other] {
            root.desktop_in(id, "Running").await;
        }
        let (alice, bob) = (Caller::end_user(&app, "alice").await, Caller::end_user(&app, "bob").await);
        let set = async |id: &str, person: &str| {
            root.ecd("ModifyEntitlement", &[("DesktopId", id), ("EndUserId.1", person)]).await;
        };
        assert_eq!(seen(&alice).await, Vec::<String>::new());
        set(mine, "alice").await;
        set(other, "bob").await;
        assert_eq!((seen(&alice).await, seen(&bob).await), (vec![mine.to_owned()], vec![other.to_owned()]));

        let hello = [("RuntimeId", mine), ("Message", "hello")];
        let sent = alice.call(SEND, &hello).await;
        sent.assert_ok();
        bob.refuses(SEND, &hello, &[(&[], 404, "Runtime.NotFound")]).await;
        root.call(SEND, &hello).await.assert_ok();
        let messages = async |caller: &Caller<'_>| caller.call(MESSAGES, &[]).await.body["Messages"].as_array().unwrap().len();
        assert_eq!((messages(&alice).await, messages(&bob).await, messages(&root).await), (1, 0, 2));
        let named = [("InvocationIds.1", sent.body["InvocationId"].as_str().unwrap())];
        assert_eq!(bob.call(MESSAGES, &named).await.body["Messages"], json!([]));
        assert_eq!(alice.call(MESSAGES, &named).await.body["Messages"][0]["SessionKey"], "main");
        let runtimes = Runtimes::new(t.store.clone(), t.ids.clone());
        let messages_of = Messages::new(t.store.clone(), t.ids.clone(), runtimes);
        let waiting = messages_of.to_send(&mine.parse().unwrap(), false).await.unwrap();
        let mut sessions: Vec<String> = waiting.into_iter().map(|sent| match sent.request {
            InvocationRequest::Chat { session, .. } => session,
            other => panic!("not a chat: {other:?}"),
        }).collect();
        sessions.sort();
        assert_eq!(sessions, ["main", "user-alice-main"], "each user talks to the agent apart");

        for caller in [&alice, &bob] {
            caller.call(ENTRIES, &[]).await.assert_ok();
            caller.refuses(USAGE, &[("UsageType", "Agent"), ("InstanceIds.1", "ecd-none")], &[
                (&[], 404, "Runtime.NotFound"),
                (&[("UsageType", "User")], 403, "NoPermission"),
            ]).await;
        }
        let spend = [("UsageType", "Agent"), ("InstanceIds.1", mine)];
        alice.call(USAGE, &spend).await.assert_ok();
        bob.refuses(USAGE, &spend, &[(&[], 404, "Runtime.NotFound")]).await;
        for (action, params) in [("StopDesktops", ("DesktopId.1", mine)), ("ModifyEntitlement", ("DesktopId", mine))] {
            alice.ecd_refuses(action, &[params], &[(&[], 403, "NoPermission")]).await;
        }

        // The same words and the same token are two messages if two people say them.
        root.ecd("ModifyUserEntitlement", &[("EndUserId.1", "bob"), ("AuthorizeDesktopId.1", mine)]).await;
        let again = [("RuntimeId", mine), ("Message", "hello again"), ("ClientToken", "1")];
        let said = async |caller: &Caller<'_>| text(&caller.call(SEND, &again).await.body["InvocationId"]);
        let (by_alice, by_bob) = (said(&alice).await, said(&bob).await);
        assert!(by_alice != by_bob && said(&root).await != by_alice);
        assert_eq!((said(&alice).await, said(&bob).await), (by_alice, by_bob));

        // What ends an entitlement ends it at once, with its messages.
        set(mine, "bob").await;
        assert_eq!((seen(&alice).await, messages(&alice).await, seen(&bob).await.len()), (Vec::new(), 0, 2));
        alice.refuses(SEND, &hello, &[(&[], 404, "Runtime.NotFound")]).await;

        // A removed user's key is refused, and a later user of the same name has nothing of it.
        let remove = root.call(("2021-03-08", "RemoveUsers"), &[("Users.1", "bob")]).await;
        remove.assert_ok();
        t.clock.advance(jiff::SignedDuration::from_secs(2));
        bob.refuses(LIST, &[], &[(&[], 404, "InvalidAccessKeyId.NotFound")]).await;
        user::create(&root, &["bob"]).await;
        assert_eq!(seen(&Caller::end_user(&app, "bob").await).await, Vec::<String>::new());
    }

    async fn a_principal_acts_for_one_end_user(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        user::create(&root, &["alice"]).await;
        let locked = [("Users.1.EndUserId", "larry"), ("AutoLockTime", "2020-01-02")];
        root.call(("2021-03-08", "CreateUsers"), &locked).await.assert_ok();
        let create = (OURS, "CreatePrincipal");
        let made = root.call(create, &[("PrincipalName", "chat"), ("EndUserId", "alice")]).await;
        assert_eq!((&made.body["Principal"]["PrincipalType"], &made.body["Principal"]["EndUserId"]), (&json!("EndUser"), &json!("alice")));
        root.refuses(create, &[("PrincipalName", "other"), ("EndUserId", "alice")], &[
            (&[("EndUserId", "nobody")], 404, "InvalidEndUserId.NotFound"),
            (&[("EndUserId", "No Name")], 404, "InvalidEndUserId.NotFound"),
        ]).await;
        let attach = [("PrincipalName", "chat"), ("PolicyName", "CreelReadOnlyAccess"), ("PolicyType", "System")];
        let refused = root.call((OURS, "AttachPolicy"), &attach).await;
        assert_eq!(refused.status / 100, 4, "{}", refused.body);

        // Locked is entitled as before, and sees nothing.
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        root.ecd("ModifyEntitlement", &[("DesktopId", &id), ("EndUserId.1", "larry")]).await;
        assert_eq!(users(&root, &id).await, json!(["larry"]));
        assert_eq!(seen(&Caller::end_user(&app, "larry").await).await, Vec::<String>::new());
    }
}
