//! Messages to agents, receipts: what they refuse, and that nobody reads another account's.

use creel_testkit::both_databases;
use serde_json::json;

use crate::caller::{Caller, text};
use crate::harness::TestApp;

const SEND: (&str, &str) = ("2026-11-24", "SendAgentMessage");
const LIST: (&str, &str) = ("2026-11-24", "DescribeAgentMessages");
const RECEIPTS: (&str, &str) = ("2026-11-24", "DescribeAgentReceipts");

both_databases! {
    async fn a_message_waits_and_is_its_accounts_own(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let stranger = Caller::stranger(&app).await;
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        root.desktop_in(&id, "Running").await;
        let good = [("RuntimeId", id.as_str()), ("Message", "hello"), ("ClientToken", "t")];
        let sent = root.call(SEND, &good).await;
        sent.assert_ok();
        let invocation = text(&sent.body["InvocationId"]);
        assert_eq!(root.call(SEND, &good).await.body["InvocationId"], json!(invocation));
        let listed = root.call(LIST, &[("InvocationIds.1", &invocation)]).await.body;
        assert_eq!((&listed["Messages"][0]["Status"], &listed["Messages"][0]["SessionKey"]), (&json!("Pending"), &json!("main")));
        let foreign = stranger.call(LIST, &[("InvocationIds.1", &invocation)]).await.body;
        assert_eq!(foreign["Messages"], json!([]));
        assert_eq!(stranger.call(RECEIPTS, &[("RuntimeIds.1", &id)]).await.body["Receipts"], json!([]));

        let long = "x".repeat(65);
        root.refuses(SEND, &good, &[
            (&[("RuntimeId", "")], 400, "MissingRuntimeId"),
            (&[("Message", "")], 400, "MissingMessage"),
            (&[("SessionKey", &long)], 400, "InvalidSessionKey"),
            (&[("SessionKey", "a b")], 400, "InvalidSessionKey"),
            (&[("Message", "another")], 400, "IdempotentParameterMismatch"),
            (&[("RuntimeId", "ecd-none"), ("ClientToken", "")], 404, "Runtime.NotFound"),
        ]).await;
        stranger.refuses(SEND, &good, &[(&[], 404, "Runtime.NotFound")]).await;
        stranger.refuses(LIST, &[("RuntimeId", &id)], &[(&[], 404, "Runtime.NotFound")]).await;
        root.refuses(LIST, &[], &[
            (&[("MaxResults", "101")], 400, "InvalidMaxResults"),
            (&[("NextToken", "x")], 400, "InvalidNextToken"),
            (&[("RuntimeId", "ecd-none")], 404, "Runtime.NotFound"),
        ]).await;

        for action in ["StopDesktops", "HibernateDesktops"] {
            root.ecd("StartDesktops", &[("DesktopId.1", &id)]).await;
            root.desktop_in(&id, "Running").await;
            root.ecd(action, &[("DesktopId.1", &id)]).await;
            root.desktop_in(&id, "Stopped").await;
            root.refuses(SEND, &good, &[(&[("ClientToken", "")], 400, "Agent.NotRunning")]).await;
        }
    }
}
