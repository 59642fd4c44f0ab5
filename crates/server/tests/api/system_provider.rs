//! The operator's providers, edited by `creel admin provider` beside a running server.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use creel_control::virtual_key;
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::RuntimeId;
use creel_wire::secret::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::caller::{Caller, Params, text};
use crate::command_line::{app_at_present, args, creel_async, stderr, stdout};
use crate::harness::TestApp;

const APPSTREAM: &str = "2021-09-01";
const COMPLETION: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;

/// An upstream that answers whoever gives a key in force.
#[derive(Clone, Default)]
struct Keyed {
    in_force: Arc<Mutex<HashSet<String>>>,
    calls: Arc<Mutex<HashMap<String, usize>>>,
}

impl Keyed {
    async fn start(&self, t: &TestStore) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (stop, tasks, keyed) = (t.tasks.cancelled(), t.tasks.clone(), self.clone());
        t.tasks.spawn("upstream", async move {
            loop {
                let accepted = tokio::select! { a = listener.accept() => a, () = stop.cancelled() => return };
                let (mut stream, keyed) = (accepted.unwrap().0, keyed.clone());
                tasks.spawn("upstream.connection", async move {
                    let mut request = Vec::new();
                    loop {
                        // It ends with its body, an object.
                        while !request.ends_with(b"}") {
                            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                                return;
                            }
                        }
                        let (status, body) =
                            keyed.answer(&String::from_utf8(std::mem::take(&mut request)).unwrap());
                        let head = format!(
                            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}",
                            body.len()
                        );
                        if stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        url
    }

    fn answer(&self, request: &str) -> (u16, &'static str) {
        let mut lines = request.lines();
        let bearer = lines.find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
        *self.calls.lock().unwrap().entry(bearer.to_owned()).or_default() += 1;
        match self.in_force.lock().unwrap().contains(bearer) {
            true => (200, COMPLETION),
            false => (401, r#"{"error":{"message":"Incorrect API key provided"}}"#),
        }
    }

    fn accept(&self, key: &str) {
        self.in_force.lock().unwrap().insert(key.to_owned());
    }

    fn revoke(&self, key: &str) {
        self.in_force.lock().unwrap().remove(key);
    }

    fn calls(&self, key: &str) -> usize {
        self.calls.lock().unwrap().get(key).copied().unwrap_or_default()
    }

    /// Waits until calls come with this key.
    async fn is_used(&self, key: &str) {
        let (before, start) = (self.calls(key), Instant::now());
        while self.calls(key) < before + 3 {
            assert!(start.elapsed() < Duration::from_secs(10), "no call uses the key");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until no call has come with this key for as long as 20 others take.
    async fn is_idle(&self, key: &str, other: &str) {
        let start = Instant::now();
        let (mut last, mut since) = (self.calls(key), self.calls(other));
        while self.calls(other) < since + 20 {
            assert!(start.elapsed() < Duration::from_secs(10), "calls still use the key");
            if self.calls(key) != last {
                (last, since) = (self.calls(key), self.calls(other));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// `creel admin` on the database of a server.
struct Admin(Vec<(&'static str, String)>);

impl Admin {
    fn new(app: &TestApp) -> Self {
        Self(vec![
            ("CREEL_DATA_DIR", app.data_dir.path().display().to_string()),
            ("CREEL_DATABASE", app.database().to_owned()),
        ])
    }

    async fn ok(&self, line: &str) -> String {
        let done = creel_async(self.0.clone(), args(&format!("admin {line}"))).await;
        assert_eq!(done.status.code(), Some(0), "{line}: {}", stderr(&done));
        stdout(&done)
    }

    async fn refused(&self, line: &str) -> (Option<i32>, String) {
        let done = creel_async(self.0.clone(), args(&format!("admin {line}"))).await;
        assert_ne!(done.status.code(), Some(0), "{line}");
        (done.status.code(), stderr(&done))
    }

    /// With a key in the environment, where arguments would show it.
    async fn add_key(&self, name: &str, key: &str) {
        let mut environment = self.0.clone();
        environment.push(("PROVIDER_KEY", key.to_owned()));
        let line = format!("admin provider key add wuying-credit {name} --env PROVIDER_KEY");
        let done = creel_async(environment, args(&line)).await;
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    }
}

async fn ok(caller: &Caller<'_>, action: &str, params: Params<'_>) -> Value {
    let answer = caller.call((APPSTREAM, action), params).await;
    answer.assert_ok();
    answer.body
}

/// A runtime that may call model `m` of the operator's provider, and a virtual key of it.
async fn virtual_key(t: &TestStore, app: &TestApp) -> Secret {
    let root = Caller::root(app);
    let site = root.office_site().await;
    let runtime = root.desktops(&site, "1").await.remove(0);
    let whose = [("AgentProvider", "OpenClaw"), ("BizType", "1")];
    let params = [whose[0], whose[1], ("Name", "g")];
    let group = text(&ok(&root, "CreateModelTemplate", &params).await["Data"]["ModelTemplateId"]);
    let params = [whose[0], whose[1], ("ModelTemplateId", &group), ("ProviderName", "wuying-credit")];
    let made = ok(&root, "CreateModelProviderTemplate", &params).await;
    let provider = text(&made["Data"]["ProviderTemplateId"]);
    let params = [("ProviderTemplateId", provider.as_str()), ("LlmTemplateItems.1.LlmCode", "m")];
    ok(&root, "BatchCreateLlmTemplates", &params).await;
    let params =
        [("ModelTemplateId", group.as_str()), ("RuntimeType", "CloudDesktop"), ("RuntimeIds.1", &runtime)];
    ok(&root, "ConfigRuntimeModelTemplate", &params).await;
    let id = RuntimeId::parse(&runtime).unwrap();
    virtual_key::create_for_person(&t.store, &t.ids, &id).await.unwrap()
}

/// Calls without a pause from several sides until it is told to end.
struct Load {
    ends: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Load {
    fn begin(t: &TestStore, app: &Arc<TestApp>, key: &Secret) -> Self {
        let load = Self { ends: Arc::default(), done: Arc::default(), failed: Arc::default() };
        for _ in 0..4 {
            let (app, key) = (app.clone(), key.clone());
            let (ends, done, failed) = (load.ends.clone(), load.done.clone(), load.failed.clone());
            t.tasks.spawn("load", async move {
                let body = json!({ "model": "m", "max_tokens": 5, "messages": [{ "role": "user", "content": "hi" }] });
                while !ends.load(Ordering::Relaxed) {
                    let answer = app.gateway(&key, "/v1/chat/completions", Some(&body)).await;
                    if answer.status != 200 || answer.headers.contains_key("x-creel-refusal") {
                        failed.lock().unwrap().push(format!("{} {}", answer.status, answer.body));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_under_load_with_no_restart_and_no_failed_call() {
    // The command line has the machine's clock.
    let (app, t) = app_at_present().await;
    let (admin, upstream) = (Admin::new(&app), Keyed::default());
    let app = Arc::new(app);
    let url = upstream.start(&t).await;
    let name = |number: usize| format!("key-{number}");
    let clear = |number: usize| format!("sk-canary-rotation-{number}");
    admin.ok(&format!("provider add wuying-credit --api openai-completions --base-url {url}")).await;
    admin.ok("provider model set wuying-credit m --context-window 1000").await;
    admin.ok("price set --provider wuying-credit --model m --input 0.001 --output-tokens 0.001").await;
    admin.ok("ledger grant --credits 1000").await;
    upstream.accept(&clear(0));
    admin.add_key(&name(0), &clear(0)).await;
    let key = virtual_key(&t, &app).await;
    // The pack is from now on, and the server's clock stands still.
    t.clock.advance(jiff::SignedDuration::from_secs(60));
    let start = Instant::now();
    let body = json!({ "model": "m", "messages": [] });
    loop {
        let answer = app.gateway(&key, "/v1/chat/completions", Some(&body)).await;
        if answer.status == 200 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "the gateway does not follow: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let load = Load::begin(&t, &app, &key);
    for number in 1..5 {
        let (old, new) = (number - 1, number);
        upstream.is_used(&clear(old)).await;
        upstream.accept(&clear(new));
        admin.add_key(&name(new), &clear(new)).await;
        upstream.is_used(&clear(new)).await;
        if number % 2 == 0 {
            // In order: disabled here before it is revoked there.
            admin.ok(&format!("provider key disable wuying-credit {}", name(old))).await;
            upstream.is_idle(&clear(old), &clear(new)).await;
            upstream.revoke(&clear(old));
        } else {
            // In a hurry: calls find out and use the other.
            upstream.revoke(&clear(old));
            upstream.is_idle(&clear(old), &clear(new)).await;
        }
        admin.ok(&format!("provider key remove wuying-credit {}", name(old))).await;
    }
    load.ends.store(true, Ordering::Relaxed);
    let done = load.done.load(Ordering::Relaxed);
    let failed = load.failed.lock().unwrap().clone();
    assert!(
        failed.is_empty(),
        "{} of {done} calls failed: {:?}",
        failed.len(),
        &failed[..failed.len().min(5)]
    );
    assert!(done > 50, "{done} calls");
    let keys = admin.ok("provider key list wuying-credit").await;
    assert!(keys.contains("key-4") && !keys.contains("key-3") && !keys.contains("rotation"), "{keys}");
}

both_databases! {
    async fn a_provider_is_made_shown_changed_and_forgotten_from_the_command_line(t) {
        let app = TestApp::start(&t).await;
        let admin = Admin::new(&app);
        admin.ok("provider add wuying-credit --api openai-completions --base-url https://a/v1@3 --base-url https://b/v1").await;
        let file = app.data_dir.path().join("key");
        std::fs::write(&file, "sk-canary-in-a-file\n").unwrap();
        admin.ok(&format!("provider key add wuying-credit only-b --file {} --base-url https://b/v1 --weight 5", file.display())).await;
        admin.add_key("all", "sk-canary-in-the-environment").await;
        admin.ok("provider model set wuying-credit m --name Model --context-window 1000 --max-output-tokens 100").await;
        admin.ok("price set --provider wuying-credit --model m --input 0.2 --output-tokens 1.2").await;

        let listed: Value = serde_json::from_str(&admin.ok("provider list --output json").await).unwrap();
        let row = |url: &str, weight: i64| json!({
            "Name": "wuying-credit", "Api": "openai-completions", "BaseUrl": url, "Weight": weight, "Keys": 2, "Models": 1,
            "From": "store",
        });
        assert_eq!(listed, json!([row("https://a/v1", 3), row("https://b/v1", 1)]));
        let keys = admin.ok("provider key list wuying-credit").await;
        assert!(keys.contains("sk-****file") && keys.contains("https://b/v1") && !keys.contains("canary"), "{keys}");
        assert!(admin.ok("provider model list wuying-credit").await.contains("Model"));
        assert!(admin.ok("price list").await.contains("1.200000"));
        admin.ok("price set --provider wuying-credit --model m --input 0.3 --output-tokens 1.5 --from 2030-01-01T00:00:00Z \
                  --multiplier 0.9 --multiplier-min 0.5 --multiplier-max 1").await;
        let prices: Value = serde_json::from_str(&admin.ok("price list --output json").await).unwrap();
        let shown = |n: usize, column: &str| prices[n][column].clone();
        assert_eq!((shown(0, "Input"), shown(0, "MultiplierMin")), (json!("0.200000"), Value::Null));
        assert_eq!((shown(1, "Input"), shown(1, "MultiplierMax")), (json!("0.300000"), json!("1.000000")));
        assert_eq!(shown(1, "EffectiveFrom"), "2030-01-01T00:00:00Z");

        admin.ok("provider set wuying-credit --api anthropic-messages --base-url https://b/v1").await;
        let (code, why) = admin.refused("provider set wuying-credit --base-url https://c").await;
        assert!(code == Some(1) && why.contains("a key is for an address"), "{why}");
        admin.ok("provider key set wuying-credit only-b --weight 7").await;
        admin.ok("provider key disable wuying-credit only-b").await;
        let keys: Value = serde_json::from_str(&admin.ok("provider key list wuying-credit --output json").await).unwrap();
        let only_b = keys.as_array().unwrap().iter().find(|key| key["Name"] == "only-b").unwrap();
        assert_eq!((&only_b["Status"], &only_b["Weight"]), (&json!("Disabled"), &json!(7)));
        admin.ok("provider key enable wuying-credit only-b").await;
        admin.ok("provider model remove wuying-credit m").await;
        for (line, code) in [
            ("provider add wuying-credit --api openai-completions --base-url https://a", 1),
            ("provider add other --api x --base-url https://a", 2),
            ("provider set wuying-credit", 2),
            ("provider key add wuying-credit k --env NOT_SET", 2),
            ("provider key disable wuying-credit nobodys", 1),
            ("provider key list nobodys", 1),
            ("price set --provider wuying-credit --model m --input 1 --output-tokens 1 --from 2020-01-01T00:00:00Z", 1),
        ] {
            let (found, why) = admin.refused(line).await;
            assert_eq!(found, Some(code), "{line}: {why}");
        }
        admin.ok("provider remove wuying-credit").await;
        assert_eq!(admin.ok("provider list --output json").await.trim(), "[]");
    }
}
