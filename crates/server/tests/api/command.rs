//! Commands: RunCommand and DescribeInvocations, with a guest that is part of the test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_control::message::Messages;
use creel_control::runtime::Runtimes;
use creel_testkit::{TestStore, both_databases};
use creel_wire::guest::{CommandEnd, CommandResult, InvocationOutcome, InvocationRequest, ToServer};
use creel_wire::id::RuntimeId;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::caller::{Caller, Params, text};
use crate::guest::Guest;
use crate::harness::TestApp;

const SHELL: (&str, &str) = ("Type", "RunShellScript");
const SCRIPT: (&str, &str) = ("CommandContent", "echo hi");

fn messages(t: &TestStore) -> Messages {
    Messages::new(t.store.clone(), t.ids.clone(), Runtimes::new(t.store.clone(), t.ids.clone()))
}

/// Starts a command on runtimes; its InvokeId.
async fn run(caller: &Caller<'_>, ids: &[&str]) -> String {
    let names: Vec<String> = (1..=ids.len()).map(|n| format!("DesktopId.{n}")).collect();
    let named = names.iter().map(String::as_str).zip(ids.iter().copied());
    let params: Vec<(&str, &str)> = [SHELL, SCRIPT].into_iter().chain(named).collect();
    text(&caller.ecd("RunCommand", &params).await["InvokeId"])
}

/// A command with all its detail.
async fn shown(caller: &Caller<'_>, id: &str) -> Value {
    let params = [("InvokeId", id), ("IncludeOutput", "true"), ("ContentEncoding", "PlainText")];
    caller.ecd("DescribeInvocations", &params).await["Invocations"][0].clone()
}

/// InvocationStatus and ErrorCode of a command in its first runtime.
async fn first_run(caller: &Caller<'_>, id: &str) -> (String, String) {
    let run = shown(caller, id).await["InvokeDesktops"][0].clone();
    (text(&run["InvocationStatus"]), run["ErrorCode"].as_str().unwrap_or_default().to_owned())
}

fn words(status: &str, code: &str) -> (String, String) {
    (status.to_owned(), code.to_owned())
}

/// Does what a link does with what waits for a runtime: takes it, and answers as the guest would.
async fn answer(t: &TestStore, runtime: &str, end: CommandEnd, output: &str) {
    let (messages, runtime) = (messages(t), RuntimeId::parse(runtime).unwrap());
    for waiting in messages.to_send(&runtime, false).await.unwrap() {
        messages.mark_sent(&waiting.id).await.unwrap();
        let result = CommandResult { end: end.clone(), output: STANDARD.encode(output), dropped: 5 };
        messages.finish(&runtime, &waiting.id, InvocationOutcome::Ran(result)).await.unwrap();
    }
}

both_databases! {
    async fn what_became_of_a_command_is_told_for_each_runtime(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let ids = root.desktops(&root.office_site().await, "3").await;
        for id in &ids {
            root.desktop_in(id, "Running").await;
        }
        root.ecd("StopDesktops", &[("DesktopId.1", &ids[2])]).await;
        root.desktop_in(&ids[2], "Stopped").await;
        let (first, second, stopped) = (ids[0].as_str(), ids[1].as_str(), ids[2].as_str());
        let id = run(&root, &[first, second, stopped]).await;
        let command = shown(&root, &id).await;
        assert_eq!(command["InvocationStatus"], "Pending");
        assert_eq!(command["CommandContent"], "echo hi");
        let run_of = |command: &Value, id: &str| {
            let runs = command["InvokeDesktops"].as_array().unwrap().clone();
            runs.into_iter().find(|run| run["DesktopId"] == id).unwrap()
        };
        let down = run_of(&command, stopped);
        assert_eq!((&down["InvocationStatus"], &down["ErrorCode"]), (&json!("Failed"), &json!("InstanceNotRunning")));
        assert!(text(&down["ErrorInfo"]).contains("Start it"));

        let first_id = RuntimeId::parse(first).unwrap();
        let waiting = messages(&t).to_send(&first_id, false).await.unwrap();
        assert!(matches!(&waiting[0].request, InvocationRequest::Command { script } if script == "echo hi"));
        assert_eq!(waiting[0].timeout_ms, 300_000, "the documented default");
        answer(&t, first, CommandEnd::Exited { code: 0 }, "hi\n").await;
        assert_eq!(shown(&root, &id).await["InvocationStatus"], "Running");
        answer(&t, second, CommandEnd::Exited { code: 3 }, "no\n").await;
        let command = shown(&root, &id).await;
        assert_eq!(
            (&command["InvocationStatus"], &command["InvokeDesktopCount"], &command["InvokeDesktopSucceedCount"]),
            (&json!("PartialFailed"), &json!(3), &json!(1))
        );
        let good = run_of(&command, first);
        assert_eq!(
            (&good["InvocationStatus"], &good["ExitCode"], &good["Output"], &good["Dropped"], &good["Repeats"]),
            (&json!("Success"), &json!(0), &json!("hi\n"), &json!(5), &json!(1))
        );
        assert!(good.get("ErrorCode").is_none() && good["StartTime"].is_string() && good["FinishTime"].is_string());
        assert!(text(&good["JvsAgentId"]).starts_with("jvs-"));
        let bad = run_of(&command, second);
        assert_eq!((&bad["ExitCode"], &bad["ErrorCode"]), (&json!(3), &json!("ExitCodeNonzero")));
        // Base64 unless plain text is asked for; outputs and desktops only when asked for.
        let default = root.ecd("DescribeInvocations", &[("InvokeId", &id)]).await["Invocations"][0].clone();
        assert_eq!(text(&default["CommandContent"]), STANDARD.encode("echo hi"));
        assert!(default.get("InvokeDesktops").is_none());
        let with_runs = [("InvokeId", id.as_str()), ("IncludeInvokeDesktops", "true")];
        let with_runs = root.ecd("DescribeInvocations", &with_runs).await["Invocations"][0].clone();
        assert!(run_of(&with_runs, first).get("Output").is_none());
        // A message list has no commands in it.
        let listed = root.call(("2026-11-24", "DescribeAgentMessages"), &[("RuntimeId", first)]).await;
        assert_eq!(listed.body["Messages"], json!([]));
    }

    async fn ends_that_no_guest_reports_are_told_too(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        let runtime = RuntimeId::parse(&id).unwrap();
        root.desktop_in(&id, "Running").await;
        for (end, code) in [
            (CommandEnd::TimedOut, "ExecutionTimeout"),
            (CommandEnd::Interrupted, "ExecutionInterrupted"),
            (CommandEnd::Killed { signal: 9 }, "ExecutionException"),
            (CommandEnd::Failed { message: "no shell".to_owned() }, "ExecutionException"),
        ] {
            let command = run(&root, &[&id]).await;
            answer(&t, &id, end, "").await;
            assert_eq!(first_run(&root, &command).await, words("Failed", code));
        }
        let late = run(&root, &[&id]).await;
        t.clock.advance(SignedDuration::from_secs(299));
        messages(&t).expire().await.unwrap();
        assert_eq!(first_run(&root, &late).await, words("Pending", ""));
        t.clock.advance(SignedDuration::from_secs(1));
        messages(&t).expire().await.unwrap();
        assert_eq!(first_run(&root, &late).await, words("Failed", "DeliveryTimeout"));

        let lost = run(&root, &[&id]).await;
        let waiting = messages(&t).to_send(&runtime, false).await.unwrap().remove(0);
        messages(&t).mark_sent(&waiting.id).await.unwrap();
        t.clock.advance(SignedDuration::from_secs(359));
        messages(&t).expire().await.unwrap();
        assert_eq!(first_run(&root, &lost).await, words("Running", ""), "300 s to run, 60 to tell");
        t.clock.advance(SignedDuration::from_secs(1));
        messages(&t).expire().await.unwrap();
        assert_eq!(first_run(&root, &lost).await, words("Failed", "ClientNotResponse"));
        let late_report = InvocationOutcome::Ran(CommandResult {
            end: CommandEnd::Exited { code: 0 }, output: String::new(), dropped: 0,
        });
        messages(&t).finish(&runtime, &waiting.id, late_report).await.unwrap();
        assert_eq!(first_run(&root, &lost).await, words("Failed", "ClientNotResponse"), "only the first end counts");
        assert_eq!(shown(&root, &lost).await["InvocationStatus"], "Failed");

        let stopped = run(&root, &[&id]).await;
        root.ecd("RebootDesktops", &[("DesktopId.1", &id)]).await;
        assert_eq!(first_run(&root, &stopped).await, words("Failed", "InstanceNotRunning"));
        let running = run(&root, &[&id]).await;
        let waiting = messages(&t).to_send(&runtime, false).await.unwrap().remove(0);
        messages(&t).mark_sent(&waiting.id).await.unwrap();
        root.ecd("HibernateDesktops", &[("DesktopId.1", &id)]).await;
        assert_eq!(first_run(&root, &running).await, words("Failed", "ExecutionInterrupted"));
        // Only once it has stopped: else Running may still be the word of before.
        root.desktop_in(&id, "Stopped").await;
        root.ecd("WakeupDesktops", &[("DesktopId.1", &id)]).await;
        root.desktop_in(&id, "Running").await;
        let deleted = run(&root, &[&id]).await;
        root.ecd("DeleteDesktops", &[("DesktopId.1", &id)]).await;
        assert_eq!(first_run(&root, &deleted).await, words("Failed", "InstanceReleased"));
    }

    async fn every_filter_finds_its_own_page_by_page(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let ids = root.desktops(&root.office_site().await, "2").await;
        for id in &ids {
            root.desktop_in(id, "Running").await;
        }
        let succeeded = run(&root, &[&ids[0]]).await;
        answer(&t, &ids[0], CommandEnd::Exited { code: 0 }, "").await;
        t.clock.advance(SignedDuration::from_secs(1));
        let failed = run(&root, &[&ids[1]]).await;
        answer(&t, &ids[1], CommandEnd::TimedOut, "").await;
        t.clock.advance(SignedDuration::from_secs(1));
        let of_alice = [SHELL, SCRIPT, ("DesktopId.1", ids[0].as_str()), ("EndUserId", "alice")];
        let waiting = text(&root.ecd("RunCommand", &of_alice).await["InvokeId"]);
        let (s, f, w) = (succeeded.as_str(), failed.as_str(), waiting.as_str());
        let found = async |params: &[(&str, &str)]| {
            let mut ids = Vec::new();
            let mut token = String::new();
            loop {
                let page = [&[("MaxResults", "1"), ("NextToken", token.as_str())], params].concat();
                let body = root.ecd("DescribeInvocations", &page).await;
                ids.extend(body["Invocations"].as_array().unwrap().iter().map(|command| text(&command["InvokeId"])));
                match body.get("NextToken").and_then(Value::as_str) {
                    Some(next) => next.clone_into(&mut token),
                    None => return ids,
                }
            }
        };
        let outer = text(&shown(&root, s).await["InvokeDesktops"][0]["JvsAgentId"]);
        let (one, two) = (ids[0].as_str(), ids[1].as_str());
        let cases: [(Params<'_>, &[&str]); 13] = [
            (&[], &[w, f, s]),
            (&[("InvokeId", f)], &[f]),
            (&[("DesktopId", one)], &[w, s]),
            (&[("DesktopId", &outer)], &[w, s]),
            (&[("DesktopIds.1", one), ("DesktopIds.2", two)], &[w, f, s]),
            (&[("EndUserId", "alice")], &[w]),
            (&[("CommandType", "RunShellScript")], &[w, f, s]),
            (&[("CommandType", "RunBatScript")], &[]),
            (&[("InvokeStatus", "Finished")], &[s]),
            (&[("InvokeStatus", "Failed")], &[f]),
            (&[("InvokeStatus", "Pending")], &[w]),
            (&[("InvokeStatus", "Stopped")], &[]),
            (&[("InvokeStatus", "Finished"), ("DesktopId", two)], &[]),
        ];
        for (params, expected) in cases {
            assert_eq!(found(params).await, expected, "{params:?}");
        }
        let stranger = Caller::stranger(&app).await;
        for params in [[("InvokeId", s)], [("DesktopId", one)]] {
            assert_eq!(stranger.ecd("DescribeInvocations", &params).await["Invocations"], json!([]));
        }
    }

    async fn what_is_refused(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        root.desktop_in(&id, "Running").await;
        let good = [SHELL, SCRIPT, ("DesktopId.1", id.as_str())];
        let names: Vec<String> = (2..=301).map(|n| format!("DesktopId.{n}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "ecd-1")).collect();
        let (just, over) = ("x".repeat(16 * 1024), "x".repeat(16 * 1024 + 1));
        root.ecd_refuses("RunCommand", &good, &[
            (&[("RegionId", "")], 400, "MissingRegionId"),
            (&[("RegionId", "cn-beijing")], 400, "InvalidRegionId"),
            (&[("Type", "")], 400, "MissingType"),
            (&[("Type", "RunPowerShellScript")], 400, "InvalidType"),
            (&[("CommandContent", "")], 400, "MissingCommandContent"),
            (&[("CommandContent", &over)], 400, "InvalidCommandContent"),
            (&[("CommandContent", "a\0b")], 400, "InvalidCommandContent"),
            (&[("ContentEncoding", "Base64"), ("CommandContent", "%%%")], 400, "InvalidCommandContent"),
            (&[("ContentEncoding", "Base64"), ("CommandContent", "/w==")], 400, "InvalidCommandContent"),
            (&[("ContentEncoding", "Hex")], 400, "InvalidContentEncoding"),
            (&[("Timeout", "0")], 400, "InvalidTimeout"),
            (&[("Timeout", "86401")], 400, "InvalidTimeout"),
            (&[("CommandRole", "root")], 400, "UnsupportedParameter"),
            (&[("DesktopId.1", "")], 400, "MissingDesktopId"),
            (&[("DesktopId.2", "ecd-none")], 404, "InvalidDesktopId.NotFound"),
            (&many, 400, "InvalidDesktopId"),
        ]).await;
        let stranger = Caller::stranger(&app).await;
        stranger.ecd_refuses("RunCommand", &good, &[(&[], 404, "InvalidDesktopId.NotFound")]).await;
        assert_eq!(root.ecd("DescribeInvocations", &[]).await["Invocations"], json!([]), "nothing was recorded");

        let encoded = STANDARD.encode(&just);
        let largest = [SHELL, ("CommandContent", &encoded), ("ContentEncoding", "Base64"), ("DesktopId.1", &id),
            ("Timeout", "86400"), ("ClientToken", "t")];
        let made = root.ecd("RunCommand", &largest).await;
        assert_eq!(root.ecd("RunCommand", &largest).await["InvokeId"], made["InvokeId"]);
        root.ecd_refuses("RunCommand", &largest, &[(&[("Timeout", "1")], 400, "IdempotentParameterMismatch")]).await;
        let waiting = messages(&t).to_send(&RuntimeId::parse(&id).unwrap(), false).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].timeout_ms), (1, 86_400_000));
        assert!(matches!(&waiting[0].request, InvocationRequest::Command { script } if *script == just));

        root.ecd_refuses("DescribeInvocations", &[], &[
            (&[("RegionId", "")], 400, "MissingRegionId"),
            (&[("RegionId", "cn-beijing")], 400, "InvalidRegionId"),
            (&[("MaxResults", "51")], 400, "InvalidMaxResults"),
            (&[("NextToken", "x")], 400, "InvalidNextToken"),
            (&[("InvokeStatus", "Odd")], 400, "InvalidInvokeStatus"),
            (&[("ContentEncoding", "Hex")], 400, "InvalidContentEncoding"),
        ]).await;
    }

    async fn a_command_reaches_a_guest_that_runs_commands_and_no_older_one(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let ids = root.desktops(&root.office_site().await, "2").await;
        for id in &ids {
            root.desktop_in(id, "Running").await;
        }
        let mut new = Guest::link(&t, &app, &ids[0], true).await;
        let mut old = Guest::link(&t, &app, &ids[1], false).await;
        let command = run(&root, &[&ids[0]]).await;
        let invocation = new.invocation().await;
        assert!(matches!(invocation.request, InvocationRequest::Command { .. }));
        let result = CommandResult { end: CommandEnd::Exited { code: 0 }, output: STANDARD.encode("hi"), dropped: 0 };
        new.say(&ToServer::InvocationResult {
            invocation_id: invocation.id, outcome: InvocationOutcome::Ran(result),
        }).await;
        assert_eq!(settled(&root, &command).await, words("Success", ""));

        let command = run(&root, &[&ids[1]]).await;
        assert_eq!(settled(&root, &command).await, words("Failed", "ClientNeedUpgrade"));
        let info = shown(&root, &command).await["InvokeDesktops"][0]["ErrorInfo"].clone();
        assert!(text(&info).ends_with("Reboot the runtime to renew it."), "{info}");
        // Its link lives on: the next message arrives, and the command never did.
        let message = [("RuntimeId", ids[1].as_str()), ("Message", "still there?")];
        root.call(("2026-11-24", "SendAgentMessage"), &message).await.assert_ok();
        assert!(matches!(old.invocation().await.request, InvocationRequest::Chat { .. }));
    }
}

async fn settled(caller: &Caller<'_>, id: &str) -> (String, String) {
    for _ in 0..400 {
        let found = first_run(caller, id).await;
        if found.0 == "Success" || found.0 == "Failed" {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the command {id} never came to an end");
}
