//! The content of calls: kept only where a policy says so, sealed, for as long as it says, and read only on record.

use std::time::{Duration, Instant};

use creel_control::retention::Retention;
use creel_control::virtual_key;
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::RuntimeId;
use creel_wire::secret::Secret;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::caller::{Caller, Params, text};
use crate::harness::TestApp;
use crate::user;

const OURS: &str = "2026-11-24";
const SET: (&str, &str) = (OURS, "SetCapturePolicy");
const POLICIES: (&str, &str) = (OURS, "ListCapturePolicies");
const CALLS: (&str, &str) = (OURS, "ListCapturedCalls");
const READ: (&str, &str) = (OURS, "ReadCapturedCall");
const APPSTREAM: &str = "2021-09-01";
const ASKED: &str = "lobster-canary-asked";
const ANSWERED: &str = "lobster-canary-answered";
const PROVIDER_KEY: &str = "sk-canary-0123456789";

/// An upstream that says the same to everybody, as a stream or whole.
async fn upstream(t: &TestStore) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (stop, tasks) = (t.tasks.cancelled(), t.tasks.clone());
    t.tasks.spawn("upstream", async move {
        loop {
            let accepted = tokio::select! { a = listener.accept() => a, () = stop.cancelled() => return };
            let mut stream = accepted.unwrap().0;
            tasks.spawn("upstream.connection", async move {
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let is_stream = String::from_utf8_lossy(&request).contains(r#""stream":true"#);
                let usage = r#""usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#;
                let start = r#"{"id":"1","created":1,"model":"m","object":"#;
                let (kind, body) = if is_stream {
                    let event = |delta: &str| {
                        format!("data: {start}\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{delta}\"}}}}]}}\n\n")
                    };
                    let end = format!("data: {start}\"chat.completion.chunk\",\"choices\":[],{usage}}}\n\ndata: [DONE]\n\n");
                    ("text/event-stream", event(ANSWERED) + &event(&"y".repeat(2_000)) + &end)
                } else {
                    let choice = format!(r#"{{"index":0,"message":{{"role":"assistant","content":"{ANSWERED}"}},"finish_reason":"stop"}}"#);
                    ("application/json", format!("{start}\"chat.completion\",\"choices\":[{choice}],{usage}}}"))
                };
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes()).await;
            });
        }
    });
    url
}

struct World<'a> {
    app: &'a TestApp,
    root: Caller<'a>,
    runtime: String,
    key: Secret,
}

async fn ok(caller: &Caller<'_>, operation: (&str, &str), params: Params<'_>) -> Value {
    let answer = caller.call(operation, params).await;
    answer.assert_ok();
    answer.body
}

impl<'a> World<'a> {
    async fn new(t: &TestStore, app: &'a TestApp) -> Self {
        let root = Caller::root(app);
        let runtime = root.desktops(&root.office_site().await, "1").await.remove(0);
        let whose = [("AgentProvider", "OpenClaw"), ("BizType", "1")];
        let made = ok(&root, (APPSTREAM, "CreateModelTemplate"), &[whose[0], whose[1], ("Name", "g")]).await;
        let group = text(&made["Data"]["ModelTemplateId"]);
        let url = upstream(t).await;
        let config =
            json!({ "api": "openai-completions", "apiKey": PROVIDER_KEY, "baseUrl": url }).to_string();
        let params = [
            whose[0],
            whose[1],
            ("ModelTemplateId", &group),
            ("ProviderName", "bailian"),
            ("Config", &config),
        ];
        let made = ok(&root, (APPSTREAM, "CreateModelProviderTemplate"), &params).await;
        let provider = text(&made["Data"]["ProviderTemplateId"]);
        let params = [("ProviderTemplateId", provider.as_str()), ("LlmTemplateItems.1.LlmCode", "m")];
        ok(&root, (APPSTREAM, "BatchCreateLlmTemplates"), &params).await;
        let params = [
            ("ModelTemplateId", group.as_str()),
            ("RuntimeType", "CloudDesktop"),
            ("RuntimeIds.1", &runtime),
        ];
        ok(&root, (APPSTREAM, "ConfigRuntimeModelTemplate"), &params).await;
        let id = RuntimeId::parse(&runtime).unwrap();
        let key = virtual_key::create_for_person(&t.store, &t.ids, &id).await.unwrap();
        Self { app, root, runtime, key }
    }

    /// The answer to a call; the first ones wait until the gateway knows key and model.
    async fn ask(&self, body: &Value) -> String {
        let start = Instant::now();
        loop {
            let request = Request::post(format!("{}/v1/chat/completions", self.app.server.agent_url()))
                .header("authorization", format!("Bearer {}", self.key.expose()))
                .header("content-type", "application/json")
                .body(Full::<bytes::Bytes>::from(body.to_string()))
                .unwrap();
            let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
            let response = client.request(request).await.unwrap();
            let status = response.status().as_u16();
            let told = response.into_body().collect().await.unwrap().to_bytes();
            if status == 200 {
                return String::from_utf8(told.to_vec()).unwrap();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{status}: {told:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn set(&self, params: Params<'_>) {
        ok(&self.root, SET, &crate::caller::with(&[("RuntimeId", &self.runtime)], params)).await;
    }

    async fn calls(&self) -> Vec<Value> {
        let listed = ok(&self.root, CALLS, &[("RuntimeIds.1", &self.runtime)]).await;
        listed["CapturedCalls"].as_array().unwrap().clone()
    }

    /// Asks until a call of this body is captured, and gives it; of each length there is one body.
    async fn captured(&self, body: &Value) -> Value {
        let start = Instant::now();
        let bytes = body.to_string().len();
        loop {
            self.ask(body).await;
            for _ in 0..20 {
                if let Some(call) = self.calls().await.iter().find(|call| call["RequestBytes"] == bytes) {
                    return call.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "nothing is captured");
        }
    }
}

fn asked(more: &str, stream: bool) -> Value {
    json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": format!("{ASKED} {more}") }] })
}

/// Everything that the server has on its disk, and in the table of what was captured.
async fn everything(t: &TestStore, app: &TestApp) -> String {
    let mut all = String::new();
    let mut folders = vec![app.data_dir.path().to_owned()];
    if let Some(path) = t.url.strip_prefix("sqlite:") {
        folders.push(std::path::Path::new(path).parent().unwrap().to_owned());
    }
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path()) {
                all += &String::from_utf8_lossy(&bytes);
            }
        }
    }
    all + &rows(t).await
}

/// The rows of captured calls as text.
async fn rows(t: &TestStore) -> String {
    let rows: Result<Vec<String>, creel_control::store::StoreError> = t
        .store
        .write(|tx| {
            Box::pin(async move {
                let sql = "SELECT call_id, request_sealed, answer_sealed FROM captured_call ORDER BY call_id";
                tx.fetch_all(sql, vec![])
                    .await?
                    .iter()
                    .map(|row| {
                        Ok(["call_id", "request_sealed", "answer_sealed"]
                            .map(|name| row.text(name).unwrap())
                            .join(" "))
                    })
                    .collect()
            })
        })
        .await;
    rows.unwrap().join("\n")
}

both_databases! {
    async fn nothing_is_kept_without_a_policy_and_with_one_only_sealed(t) {
        let app = TestApp::start(&t).await;
        let world = World::new(&t, &app).await;
        assert!(world.ask(&asked("", false)).await.contains(ANSWERED));
        assert_eq!(rows(&t).await, "");
        assert!(!everything(&t, &app).await.contains("lobster-canary"));

        world.set(&[("RetentionDays", "7"), ("BytesMax", "1024")]).await;
        let call = world.captured(&asked("", false)).await;
        assert_eq!((&call["LlmCode"], &call["RequestTruncated"], &call["AnswerTruncated"]), (&json!("m"), &json!(false), &json!(false)));
        let all = everything(&t, &app).await;
        assert!(all.contains(&text(&call["CallId"])), "it is looked at where it is");
        assert!(!all.contains("lobster-canary") && !all.contains(PROVIDER_KEY));
        let which = [("RuntimeId", world.runtime.as_str()), ("CallId", &text(&call["CallId"]))];
        let read = ok(&world.root, READ, &which).await;
        assert_eq!(read["Request"], asked("", false).to_string());
        assert!(text(&read["Answer"]).contains(ANSWERED));
        for secret in [PROVIDER_KEY, world.key.expose(), "Bearer"] {
            assert!(!read.to_string().contains(secret), "no credential is captured");
        }

        let whole = asked(&"x".repeat(2_000), true);
        let call = world.captured(&whole).await;
        let which = [("RuntimeId", world.runtime.as_str()), ("CallId", &text(&call["CallId"]))];
        let read = ok(&world.root, READ, &which).await;
        assert_eq!((&read["RequestTruncated"], &read["AnswerTruncated"]), (&json!(true), &json!(true)));
        assert_eq!(read["Request"], whole.to_string()[..1_024]);
        let (answer, answer_bytes) = (text(&read["Answer"]), read["AnswerBytes"].as_u64().unwrap());
        assert!(answer.starts_with("data: ") && answer.len() == 1_024 && answer_bytes > 2_000, "{answer_bytes}");

        // Off again; calls that begin a second later leave nothing.
        world.set(&[]).await;
        let start = Instant::now();
        loop {
            let before = world.calls().await.len();
            world.ask(&asked("", false)).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            if world.calls().await.len() == before {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it is still captured");
        }
        assert_eq!(ok(&world.root, POLICIES, &[]).await["CapturePolicies"], json!([]));
    }

    async fn what_is_kept_is_read_by_who_may_on_record_and_goes_in_time(t) {
        let app = TestApp::start(&t).await;
        let world = World::new(&t, &app).await;
        let root = &world.root;
        user::create(root, &["ann", "bob"]).await;
        root.ecd("ModifyEntitlement", &[("DesktopId", world.runtime.as_str()), ("EndUserId.1", "ann")]).await;
        let (ann, bob) = (Caller::end_user(&app, "ann").await, Caller::end_user(&app, "bob").await);
        world.set(&[("RetentionDays", "7")]).await;
        let call = world.captured(&asked("", false)).await;
        let id = text(&call["CallId"]);
        let which = [("RuntimeId", world.runtime.as_str()), ("CallId", id.as_str())];

        // An agent's own user sees that it is captured, and no content; others not even that.
        let seen = ok(&ann, POLICIES, &[]).await["CapturePolicies"].clone();
        assert_eq!((&seen[0]["ScopeId"], &seen[0]["RetentionDays"]), (&json!(world.runtime), &json!(7)));
        assert_eq!(ok(&bob, POLICIES, &[]).await["CapturePolicies"], json!([]));
        ok(root, SET, &[("RetentionDays", "3")]).await;
        assert_eq!(ok(&bob, POLICIES, &[]).await["CapturePolicies"][0]["Scope"], "Account");
        for (caller, operation) in [(&ann, CALLS), (&ann, READ), (&ann, SET)] {
            caller.call(operation, &which[..if operation == READ { 2 } else { 0 }]).await.assert_refused(403, "NoPermission");
        }

        // Read-only is not enough for content.
        ok(root, (OURS, "CreatePrincipal"), &[("PrincipalName", "reader")]).await;
        ok(root, (OURS, "AttachPolicy"), &[("PrincipalName", "reader"), ("PolicyName", "ReadOnlyAccess")]).await;
        let reader = Caller::member(&app, "reader").await;
        assert_eq!(ok(&reader, CALLS, &[]).await["CapturedCalls"][0]["CallId"], id.as_str());
        reader.call(READ, &which).await.assert_refused(403, "NoPermission");
        reader.call(SET, &[("RetentionDays", "1")]).await.assert_refused(403, "NoPermission");
        let stranger = Caller::stranger(&app).await;
        stranger.call(READ, &which).await.assert_refused(404, "EntityNotExist.CapturedCall");
        assert_eq!(ok(&stranger, CALLS, &[]).await["CapturedCalls"], json!([]));

        ok(root, READ, &which).await;
        for (event, resource) in [("ReadCapturedCall", id.as_str()), ("SetCapturePolicy", world.runtime.as_str())] {
            let found = ok(root, (OURS, "DescribeAuditEvents"), &[("EventName", event), ("Decision", "Allowed")]).await;
            let events = found["Events"].to_string();
            assert!(events.contains(resource) && !events.contains(ASKED), "{events}");
        }

        let retention = Retention::new(t.store.clone(), 90);
        t.clock.advance(SignedDuration::from_hours(7 * 24 - 1));
        retention.remove_old().await.unwrap();
        assert_eq!(world.calls().await.len(), 1);
        t.clock.advance(SignedDuration::from_hours(2));
        assert_eq!(world.calls().await.len(), 0, "what has expired is not shown before it is removed either");
        root.call(READ, &which).await.assert_refused(404, "EntityNotExist.CapturedCall");
        assert!(rows(&t).await.contains(&id));
        retention.remove_old().await.unwrap();
        assert_eq!(rows(&t).await, "");
    }
}
