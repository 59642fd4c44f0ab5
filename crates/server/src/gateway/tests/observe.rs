//! What is told of calls: one line each, metrics, spans; and never their content.

use std::sync::Mutex;

use creel_control::clock::FixedClock;
use creel_llm::dialect::Dialect;
use creel_wire::id::{AccountId, CallId, RuntimeId};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::harness::*;
use super::*;
use crate::gateway::observe::{CallLog, CallLogConfig, Observer, Spans};

/// A house whose calls are logged into a folder of its own.
struct Watched {
    house: House,
    directory: tempfile::TempDir,
}

impl Watched {
    async fn open(script: Vec<Step>, billing: FakeBilling) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = CallLogConfig { path: directory.path().join("calls.jsonl"), bytes_max: 1 << 20 };
        let log = CallLog::open(&config).expect("a log");
        let observer = Observer { log: Some(log), ..Observer::default() };
        let house = House::observed(script, billing, observer).await;
        Self { house, directory }
    }

    /// The lines, once there are so many; and what Prometheus is told.
    async fn told(&self, lines: usize) -> (Vec<Value>, String) {
        let path = self.directory.path().join("calls.jsonl");
        let read = || {
            let text = std::fs::read_to_string(&path).expect("a log");
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()
        };
        let all = async {
            while read().len() < lines {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("the lines in time");
        let mut registry = Registry::with_prefix("creel");
        self.house.gateway.observer.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        (read(), text)
    }
}

#[tokio::test]
async fn an_answered_call_is_one_line_with_its_sizes_and_price() {
    let watched = Watched::open(stream(&[CHUNK_A, CHUNK_B, CHUNK_USAGE, DONE]), FakeBilling::default()).await;
    let response = watched.house.chat(AGENT_KEY, ASKED).await;
    let (_, body) = text(response).await;
    let (lines, metrics) = watched.told(1).await;
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for (name, value) in [
        ("key", Value::from("agent")),
        ("dialect", "chat_completions".into()),
        ("provider", "one".into()),
        ("model", "m".into()),
        ("stream", true.into()),
        ("outcome", "answered".into()),
        ("upstream_status", 200.into()),
        ("tries", 1.into()),
        ("request_bytes", ASKED.len().into()),
        ("answer_bytes", body.len().into()),
        ("cost_micros", CARD.cost(&USED).0.into()),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert_eq!(
        line["usage"],
        serde_json::json!({"input": 8_349, "cached_input": 40_794, "cache_write": 0, "output": 573, "estimated": false})
    );
    let whole = line.to_string();
    assert!(!whole.contains("hel") && !whole.contains(REAL_KEY) && !whole.contains(AGENT_KEY), "{whole}");
    for expect in [
        r#"creel_gen_ai_server_request_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_request_model="m",outcome="answered"} 1"#,
        r#"creel_gen_ai_server_token_usage_sum{gen_ai_operation_name="chat",gen_ai_request_model="m",gen_ai_token_type="input"} 49143"#,
        "creel_llm_calls_running 0",
        "creel_llm_upstream_requests_total 1",
    ] {
        assert!(metrics.contains(expect), "{expect} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn refused_failed_and_abandoned_calls_have_a_line_too() {
    let billing = FakeBilling { refuse: Some(Refusal::QuotaSpent), ..FakeBilling::default() };
    let watched = Watched::open(answer(200, COMPLETION), billing).await;
    text(watched.house.chat(AGENT_KEY, PLAIN).await).await;
    text(watched.house.chat(PERSON_KEY, r#"{"model":"gpt-9"}"#).await).await;
    text(watched.house.chat(PERSON_KEY, "{").await).await;
    text(watched.house.chat("vk-nobody", PLAIN).await).await;
    let (lines, metrics) = watched.told(3).await;
    let codes =
        lines.iter().map(|line| (line["outcome"].as_str(), line["code"].as_str())).collect::<Vec<_>>();
    let refused = |code| (Some("refused"), Some(code));
    assert_eq!(
        codes,
        [refused("agent_quota_spent"), refused("model_not_allowed"), refused("invalid_request")]
    );
    assert!(lines.iter().all(|line| line["tries"] == 0 && line["cost_micros"].is_null()), "{lines:?}");
    assert!(metrics.contains(r#"creel_llm_refusals_total{code="agent_quota_spent"} 1"#), "{metrics}");
    assert!(metrics.contains("creel_llm_calls_unauthenticated_total 1"), "{metrics}");

    let watched = Watched::open(answer(400, r#"{"error":{"message":"no"}}"#), FakeBilling::default()).await;
    text(watched.house.chat(PERSON_KEY, PLAIN).await).await;
    let (lines, _) = watched.told(1).await;
    assert_eq!((&lines[0]["outcome"], &lines[0]["upstream_status"]), (&"upstream_error".into(), &400.into()));

    let gate = Arc::new(Notify::new());
    let script = vec![stream_head(), Step::Chunk(CHUNK_A.as_bytes().to_vec()), Step::Wait(gate.clone())];
    let watched = Watched::open(script, FakeBilling::default()).await;
    let mut response = watched.house.chat(PERSON_KEY, ASKED).await;
    response.body_mut().frame().await.expect("a frame").expect("data");
    drop(response);
    gate.notify_one();
    let (lines, _) = watched.told(1).await;
    assert_eq!(lines[0]["outcome"], "client_gone", "{lines:?}");
    assert_eq!(lines[0]["usage"]["estimated"], true, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_continues_the_callers_trace_and_goes_to_the_collector() {
    let collector = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", collector.local_addr().expect("an address"));
    let got = Arc::new(Mutex::new(Vec::new()));
    let tasks = Tasks::new();
    let kept = got.clone();
    tasks.spawn("collector", async move {
        let (mut stream, _) = collector.accept().await.expect("a connection");
        let mut part = [0; 65_536];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            kept.lock().expect("unpoisoned").extend_from_slice(&part[..length]);
            let whole =
                String::from_utf8_lossy(&kept.lock().expect("unpoisoned")).contains("creel.runtime.id");
            if whole {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("written");
            }
        }
    });
    let spans = Spans::new(&endpoint, 100).expect("spans");
    let observer = Observer { spans: Some(spans), ..Observer::default() };
    let house = House::observed(answer(200, COMPLETION), FakeBilling::default(), observer).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut request = chat_request(AGENT_KEY, PLAIN);
    let parent = format!("00-{trace}-b7ad6b7169203331-01").parse().expect("a header");
    request.headers_mut().insert("traceparent", parent);
    text(house.send(request).await).await;
    let seen = house.upstream.last().head.to_lowercase();
    assert!(seen.contains(&format!("traceparent: 00-{trace}-")), "{seen}");
    assert!(!seen.contains("b7ad6b7169203331"), "the upstream's parent is our span: {seen}");
    house.gateway.observer.spans.as_ref().expect("spans").shutdown().await;
    let got = String::from_utf8_lossy(&got.lock().expect("unpoisoned")).into_owned();
    for expect in ["POST /v1/traces", "chat m", "gen_ai.usage.input_tokens", "creel-gateway"] {
        assert!(got.contains(expect), "{expect} is not in {got}");
    }
    assert!(!got.contains(REAL_KEY) && !got.contains(AGENT_KEY) && !got.contains("hello"));
}

#[test]
fn the_files_of_the_log_are_bounded() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = CallLogConfig { path: directory.path().join("calls.jsonl"), bytes_max: 80_000 };
    let log = CallLog::open(&config).expect("a log");
    let observer = Arc::new(Observer { log: Some(log), ..Observer::default() });
    let access = AgentAccess {
        account: AccountId::parse("11").expect("an id"),
        runtime: RuntimeId::parse("ecd-1").expect("an id"),
        key_kind: KeyKind::Person,
        limits: creel_control::call_limit::Limits::default(),
        capture: None,
        group: None,
    };
    let (id, clock) = (CallId::parse("call-1").expect("an id"), FixedClock::at(jiff::Timestamp::UNIX_EPOCH));
    for _ in 0..2_000 {
        drop(observer.begin(&access, &id, Dialect::Chat, &http::HeaderMap::new(), &clock));
    }
    // The last reference writes what waits.
    drop(observer);
    let sizes = std::fs::read_dir(directory.path()).expect("a folder");
    let sizes: Vec<u64> =
        sizes.map(|file| file.expect("a file").metadata().expect("its size").len()).collect();
    assert_eq!(sizes.len(), 8, "{sizes:?}");
    assert!(sizes.iter().sum::<u64>() < 90_000, "{sizes:?}");
}
