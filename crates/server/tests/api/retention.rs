//! What is removed some time after its end, and not before.

use creel_control::retention::Retention;
use creel_testkit::both_databases;
use jiff::SignedDuration;
use serde_json::json;

use crate::caller::{Caller, text};
use crate::harness::TestApp;

const SEND: (&str, &str) = ("2026-11-24", "SendAgentMessage");
const LIST: (&str, &str) = ("2026-11-24", "DescribeAgentMessages");

both_databases! {
    async fn messages_commands_and_remembered_answers_go_in_time(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        root.desktop_in(&id, "Running").await;
        let send = [("RuntimeId", id.as_str()), ("Message", "hello"), ("ClientToken", "once")];
        let first = text(&root.call(SEND, &send).await.body["InvocationId"]);
        let script = [("DesktopId.1", id.as_str()), ("Type", "RunShellScript"), ("CommandContent", "echo hi")];
        let command = text(&root.ecd("RunCommand", &script).await["InvokeId"]);
        // Stopping ends the command; the message ends when nobody has answered it.
        root.ecd("StopDesktops", &[("DesktopId.1", &id)]).await;
        t.clock.advance(SignedDuration::from_mins(11));
        let ended = async || root.call(LIST, &[]).await.body["Messages"][0]["Status"] == "Failed";
        while !ended().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let retention = Retention::new(t.store.clone(), 90);
        let kept = async || {
            let messages = root.call(LIST, &[]).await.body["Messages"].as_array().unwrap().len();
            let commands = root.ecd("DescribeInvocations", &[("InvokeId", &command)]).await;
            (messages, commands["Invocations"].as_array().unwrap().len())
        };

        t.clock.advance(SignedDuration::from_hours(6 * 24));
        retention.remove_old().await.unwrap();
        assert_eq!(root.call(SEND, &send).await.body["InvocationId"], json!(first), "the answer is remembered");
        t.clock.advance(SignedDuration::from_hours(2 * 24));
        retention.remove_old().await.unwrap();
        root.refuses(SEND, &send, &[(&[], 400, "Agent.NotRunning")]).await;
        t.clock.advance(SignedDuration::from_hours(81 * 24));
        retention.remove_old().await.unwrap();
        assert_eq!(kept().await, (1, 1));
        t.clock.advance(SignedDuration::from_hours(2 * 24));
        retention.remove_old().await.unwrap();
        assert_eq!(kept().await, (0, 0));
    }
}
