mod dialects;
mod harness;
mod observe;
mod pool;
mod routing;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use creel_control::call_limit::{Excess, LimitKind};
use creel_control::tasks::Tasks;
use creel_llm::tokens::{self, Sample};
use creel_llm::usage::Usage;
use creel_wire::money::Micros;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::sync::Notify;

use super::Limits;
use super::ports::*;
use harness::*;

pub(super) const CHUNK_A: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"he\"}}]}\n\n";
const CHUNK_B: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"llo\"}}]}\n\n";
const CHUNK_USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":49143,\"completion_tokens\":573,\"prompt_tokens_details\":{\"cached_tokens\":40794}}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

const USED: Usage = Usage { input: 8_349, cached_input: 40_794, cache_write: 0, output: 573, reasoning: 0 };
const ASKED: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":100}"#;
const UNASKED: &str = r#"{"model":"m","stream":true,"max_tokens":100}"#;
const PLAIN: &str = r#"{"model":"m","max_tokens":100}"#;
const COMPLETION: &str = r#"{"choices":[{"message":{"content":"hello"}}],"usage":{"prompt_tokens":49143,"completion_tokens":573,"prompt_tokens_details":{"cached_tokens":40794}}}"#;

fn stream(chunks: &[&str]) -> Vec<Step> {
    let mut steps = vec![stream_head()];
    steps.extend(chunks.iter().map(|chunk| Step::Chunk(chunk.as_bytes().to_vec())));
    steps.push(Step::Chunk(Vec::new()));
    steps
}

fn settled(usage: Usage, source: UsageSource) -> Booked {
    Booked::Settled { usage, source }
}

/// What is booked where no usage was told: the request and the answer's texts, counted.
fn estimated(request: &str, answer: &str) -> Booked {
    let input = Sample::of_request(&Bytes::copy_from_slice(request.as_bytes())).tokens("m");
    settled(Usage { input, output: tokens::count("m", answer), ..Usage::default() }, UsageSource::Estimated)
}

fn used() -> Booked {
    settled(USED, UsageSource::Upstream)
}

#[tokio::test]
async fn a_stream_passes_unchanged_and_is_billed() {
    let house = House::open(stream(&[CHUNK_A, CHUNK_B, CHUNK_USAGE, DONE])).await;
    let response = house.chat(AGENT_KEY, ASKED).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers()["x-request-id"], "up-1");
    assert!(!response.headers().contains_key("set-cookie"));
    assert_eq!(text(response).await, (200, [CHUNK_A, CHUNK_B, CHUNK_USAGE, DONE].concat()));
    let booked = house.billing.after(2).await;
    let bound = Usage { input: ASKED.len() as u64, output: 100, ..Usage::default() };
    assert_eq!(booked, [Booked::Reserved { bound, model: "m".into(), billed: true }, used()]);
    assert_eq!(CARD.cost(&USED).to_string(), "3.173280");
}

#[tokio::test]
async fn usage_that_was_not_asked_for_is_billed_and_hidden() {
    let house = House::open(stream(&[CHUNK_A, CHUNK_B, CHUNK_USAGE, DONE])).await;
    let response = house.chat(AGENT_KEY, UNASKED).await;
    assert_eq!(text(response).await, (200, [CHUNK_A, CHUNK_B, DONE].concat()));
    assert_eq!(house.billing.after(2).await[1], used());
    assert!(house.upstream.last().body.contains(r#""stream_options":{"include_usage":true}"#));
}

#[tokio::test]
async fn any_cut_of_a_stream_gives_the_same_answer_and_bill() {
    let whole = [": hi\n\n", CHUNK_A, CHUNK_B, CHUNK_USAGE, DONE].concat();
    let hidden = [": hi\n\n", CHUNK_A, CHUNK_B, DONE].concat();
    for size in [1, 2, 3, 7, 50, 61, 130] {
        let parts: Vec<&str> =
            whole.as_bytes().chunks(size).map(|c| std::str::from_utf8(c).unwrap()).collect();
        let house = House::open(stream(&parts)).await;
        assert_eq!(text(house.chat(AGENT_KEY, ASKED).await).await.1, whole, "{size}");
        assert_eq!(house.billing.after(2).await[1], used(), "{size}");
        assert_eq!(text(house.chat(AGENT_KEY, UNASKED).await).await.1, hidden, "{size}");
        assert_eq!(house.billing.after(4).await[3], used(), "{size}");
    }
}

#[tokio::test]
async fn a_whole_answer_passes_unchanged_and_is_billed() {
    let house = House::open(answer(200, COMPLETION)).await;
    let response = house.chat(AGENT_KEY, PLAIN).await;
    assert_eq!(response.headers()["content-length"], COMPLETION.len().to_string().as_str());
    assert_eq!(text(response).await, (200, COMPLETION.to_owned()));
    assert_eq!(house.billing.after(2).await[1], used());
}

#[tokio::test]
async fn the_last_bytes_wait_for_the_settlement() {
    for (script, body, until) in [
        (stream(&[CHUNK_A, CHUNK_USAGE, DONE]), ASKED, [CHUNK_A, CHUNK_USAGE].concat()),
        (answer(200, COMPLETION), PLAIN, String::new()),
    ] {
        let gate = Arc::new(Notify::new());
        let billing = FakeBilling { gate: Some(gate.clone()), ..FakeBilling::default() };
        let house = House::with(script, billing, Limits::default()).await;
        let mut response = house.chat(AGENT_KEY, body).await;
        let mut before = Vec::new();
        while before.len() < until.len() {
            let frame = response.body_mut().frame().await.expect("more").expect("whole");
            before.extend_from_slice(&frame.into_data().expect("data"));
        }
        assert_eq!(String::from_utf8(before).expect("text"), until);
        assert_eq!(house.billing.booked.borrow().len(), 1);
        gate.notify_one();
        let (_, rest) = text(response).await;
        assert!(rest.ends_with(if until.is_empty() { "}" } else { DONE }), "{rest}");
        assert_eq!(house.billing.booked.borrow().last(), Some(&used()));
    }
}

#[tokio::test]
async fn absent_usage_is_settled_as_an_estimate() {
    let house = House::open(stream(&[CHUNK_A, CHUNK_B, DONE])).await;
    assert_eq!(text(house.chat(AGENT_KEY, ASKED).await).await.0, 200);
    assert_eq!(house.billing.after(2).await[1], estimated(ASKED, "hello"));
}

#[tokio::test]
async fn requests_reach_the_upstream_byte_for_byte_without_what_is_ours() {
    let house = House::open(answer(200, COMPLETION)).await;
    let body =
        "{ \"x_new\" :[1e5, {\"\u{4e2d}\":null}],\"model\":\"m\" , \"max_tokens\":9,\"messages\":[]}\n";
    house.chat(AGENT_KEY, body).await;
    let Seen { head, body: sent } = house.upstream.last();
    assert_eq!(sent, body);
    let head = head.to_lowercase();
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(head.contains("traceparent: 00-1-2-01\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: bearer {REAL_KEY}\r\n")), "{head}");
    for ours in ["canary: of", "cookie", AGENT_KEY, "host: gateway"] {
        assert!(!head.contains(ours), "{ours}: {head}");
    }
}

#[tokio::test]
async fn models_are_found_by_code_and_by_provider() {
    let house = House::open(answer(200, COMPLETION)).await;
    for (model, provider, expect) in [
        ("m", None, "m"),
        ("one/m", None, "m"),
        ("two/both", None, "both"),
        ("a/b", None, "a/b"),
        ("one/a/b", None, "a/b"),
        ("both", Some("two"), "both"),
        ("both", None, "model_ambiguous"),
        ("m", Some("two"), "model_not_allowed"),
        ("M", None, "model_not_allowed"),
        ("two/m", None, "model_not_allowed"),
    ] {
        let mut request = chat_request(PERSON_KEY, format!(r#"{{"model":"{model}"}}"#));
        if let Some(provider) = provider {
            request.headers_mut().insert("x-creel-provider", provider.parse().expect("a header"));
        }
        let (status, body) = text(house.send(request).await).await;
        if status == 200 {
            assert_eq!(
                serde_json::from_str::<Value>(&house.upstream.last().body).expect("json")["model"],
                expect
            );
        } else {
            assert_eq!(
                serde_json::from_str::<Value>(&body).expect("json")["error"]["code"],
                expect,
                "{model}"
            );
        }
    }
    assert_eq!(house.upstream.calls(), 6);
}

#[tokio::test]
async fn models_are_listed_by_the_shortest_name_that_works() {
    let house = House::open(Vec::new()).await;
    let request = Request::get("/v1/models")
        .header("authorization", format!("bearer {AGENT_KEY}"))
        .body(Full::new(Bytes::new()))
        .expect("a request");
    let (status, body) = text(house.send(request).await).await;
    let list: Value = serde_json::from_str(&body).expect("json");
    let ids: Vec<_> =
        list["data"].as_array().expect("a list").iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!((status, ids), (200, vec!["m", "one/both", "a/b", "two/both", "c", "r"]));
    assert_eq!(list["data"][3]["owned_by"], "two");
}

fn limited(kind: LimitKind) -> Refusal {
    Refusal::Limited(Excess { kind, wait_seconds: 12 })
}

#[tokio::test]
async fn refusals_happen_before_the_upstream_and_take_the_form_of_the_key() {
    for (refusal, status, code, word) in [
        (Refusal::QuotaSpent, 429, "agent_quota_spent", "quota"),
        (Refusal::PacksSpent, 402, "credits_spent", "credits"),
        (Refusal::NoPrice, 403, "model_without_price", "price"),
        (limited(LimitKind::RequestsPerMinute), 429, "requests_per_minute", "requests within a minute"),
        (limited(LimitKind::TokensPerMinute), 429, "tokens_per_minute", "tokens"),
        (limited(LimitKind::ConcurrentCalls), 429, "concurrent_calls", "same time"),
    ] {
        let billing = FakeBilling { refuse: Some(refusal), ..FakeBilling::default() };
        let house = House::with(answer(200, COMPLETION), billing, Limits::default()).await;
        let response = house.chat(PERSON_KEY, PLAIN).await;
        let wait =
            response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        assert_eq!(wait.as_deref(), matches!(refusal, Refusal::Limited(_)).then_some("12"));
        let (got, body) = text(response).await;
        let error: Value = serde_json::from_str(&body).expect("json");
        assert_eq!((got, error["error"]["code"].as_str()), (status, Some(code)));

        let response = house.chat(AGENT_KEY, PLAIN).await;
        assert_eq!(response.headers()["x-creel-refusal"], code);
        let (got, body) = text(response).await;
        let told: Value = serde_json::from_str(&body).expect("json");
        assert_eq!((got, told["usage"]["total_tokens"].as_u64()), (200, Some(0)));
        assert!(told["choices"][0]["message"]["content"].as_str().expect("a text").contains(word), "{body}");

        let (got, body) = text(house.chat(AGENT_KEY, ASKED).await).await;
        assert!(got == 200 && body.contains(word) && body.ends_with(DONE), "{body}");
        assert_eq!(house.upstream.calls(), 0);
        assert!(house.billing.booked.borrow().is_empty());
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_answer_is_worth_a_retry_for_everyone() {
    let billing = FakeBilling { refuse: Some(Refusal::Unavailable), ..FakeBilling::default() };
    let house = House::with(answer(200, COMPLETION), billing, Limits::default()).await;
    for key in [AGENT_KEY, PERSON_KEY] {
        assert_eq!(text(house.chat(key, PLAIN).await).await.0, 503);
    }
    assert_eq!(house.upstream.calls(), 0);
}

#[tokio::test]
async fn a_model_outside_the_group_is_told_to_an_agent_in_words() {
    let house = House::open(answer(200, COMPLETION)).await;
    let response = house.chat(AGENT_KEY, r#"{"model":"gpt-9"}"#).await;
    assert_eq!(response.headers()["x-creel-refusal"], "model_not_allowed");
    assert_eq!(response.status(), 200);
    let (status, body) = text(house.chat("vk-bare", PLAIN).await).await;
    assert!(status == 403 && body.contains("no_model_group"), "{body}");
    assert_eq!(house.upstream.calls(), 0);
}

#[tokio::test]
async fn requests_that_cannot_be_served_get_openai_errors() {
    let limits = Limits { body_bytes_max: 64, ..Limits::default() };
    let house = House::with(answer(200, COMPLETION), FakeBilling::default(), limits).await;
    let keyed = |method: Method, path: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {PERSON_KEY}"));
        request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request")
    };
    let chat = "/v1/chat/completions";
    let unkeyed = Request::post(chat).body(Full::new(Bytes::new())).expect("a request");
    for (request, status, code) in [
        (keyed(Method::POST, "/v1/completions", ""), 404, "unknown_url"),
        (keyed(Method::GET, chat, ""), 405, "method_not_allowed"),
        (keyed(Method::POST, chat, "{"), 400, "invalid_request"),
        (keyed(Method::POST, chat, "{}"), 400, "invalid_request"),
        (keyed(Method::POST, chat, &"x".repeat(65)), 413, "request_too_large"),
        (chat_request("vk-unknown", PLAIN), 401, "invalid_api_key"),
        (unkeyed, 401, "invalid_api_key"),
    ] {
        let (got, body) = text(house.send(request).await).await;
        let error: Value = serde_json::from_str(&body).expect("json");
        assert_eq!((got, error["error"]["code"].as_str()), (status, Some(code)));
    }
    assert_eq!(house.upstream.calls(), 0);
}

#[tokio::test]
async fn before_the_first_snapshot_clients_are_told_to_come_again() {
    let tasks = Tasks::new();
    let upstream = FakeUpstream::start(&tasks, Vec::new()).await;
    let house = House::of(tasks, upstream, Directory::new(), FakeBilling::default(), Limits::default()).await;
    let (status, body) = text(house.chat(AGENT_KEY, PLAIN).await).await;
    assert!(status == 503 && body.contains("starting"), "{body}");
}

#[tokio::test]
async fn upstream_errors_pass_in_openais_shape_and_cost_nothing() {
    for (status, key) in [400, 404, 429, 500, 503].into_iter().flat_map(|s| [(s, AGENT_KEY), (s, PERSON_KEY)])
    {
        let body = r#"{"error":{"message":"no: sk-canary-7d1f0c4e9b","code":"x"}}"#;
        let house = House::open(answer(status, body)).await;
        let response = house.chat(key, PLAIN).await;
        assert_eq!(response.headers()["retry-after"], "7");
        let (got, body) = text(response).await;
        let error: Value = serde_json::from_str(&body).expect("json");
        assert_eq!((got, error["error"]["message"].as_str()), (status, Some("no: [redacted]")));
        assert_eq!(house.billing.after(2).await[1], Booked::Released);
    }
}

#[tokio::test]
async fn refused_credentials_are_the_operators_trouble() {
    for status in [401, 402, 403] {
        let house =
            House::open(answer(status, r#"{"error":{"message":"Incorrect API key sk-canary-7d1f0c4e9b"}}"#))
                .await;
        let response = house.chat(AGENT_KEY, ASKED).await;
        assert_eq!(response.headers()["x-creel-refusal"], "upstream_credentials");
        let (got, body) = text(response).await;
        assert!(got == 200 && body.contains("administrator") && !body.contains("canary"), "{body}");
        let (got, body) = text(house.chat(PERSON_KEY, PLAIN).await).await;
        assert!(got == 502 && body.contains("upstream_credentials"), "{body}");
        assert_eq!(house.billing.after(4).await[3], Booked::Released);
    }
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_bad_gateway() {
    let tasks = Tasks::new();
    let upstream = FakeUpstream::start(&tasks, Vec::new()).await;
    // Bound and dropped: nobody listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    drop(listener);
    let house = House::at(tasks, upstream, &base_url, FakeBilling::default(), Limits::default()).await;
    let (status, body) = text(house.chat(AGENT_KEY, PLAIN).await).await;
    assert!(status == 502 && body.contains("upstream_unreachable"), "{body}");
    assert_eq!(house.billing.after(2).await[1], Booked::Released);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_gateway_timeout() {
    let never = vec![Step::Wait(Arc::new(Notify::new()))];
    let limits = Limits { first_byte_max: Duration::from_millis(50), ..Limits::default() };
    let house = House::with(never, FakeBilling::default(), limits).await;
    let (status, body) = text(house.chat(AGENT_KEY, PLAIN).await).await;
    assert!(status == 504 && body.contains("upstream_timeout"), "{body}");
    assert_eq!(house.billing.after(2).await[1], Booked::Released);
}

#[tokio::test]
async fn a_broken_stream_says_so_and_bills_what_is_known() {
    let cut = |chunks: &[&str]| {
        let mut steps = stream(chunks);
        steps.pop();
        steps
    };
    for (script, body, expect) in
        [(cut(&[CHUNK_A, CHUNK_USAGE]), ASKED, used()), (cut(&[CHUNK_A]), UNASKED, estimated(UNASKED, "he"))]
    {
        let house = House::open(script).await;
        let (status, got) = text(house.chat(AGENT_KEY, body).await).await;
        assert!(status == 200 && got.starts_with(CHUNK_A) && got.contains("upstream_broke_off"), "{got}");
        assert!(!got.contains("[DONE]"), "{got}");
        assert_eq!(house.billing.after(2).await[1], expect);
    }
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_is_not_taken_for_whole() {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{COMPLETION}"
    );
    let house =
        House::open(vec![Step::Write(head.replace("content-length", "Content-Length").into_bytes())]).await;
    let response = house.chat(AGENT_KEY, PLAIN).await;
    assert!(response.into_body().collect().await.is_err());
    // The usage came through before the break.
    assert_eq!(house.billing.after(2).await[1], used());
}

#[tokio::test]
async fn a_silent_stream_ends() {
    let mut script = stream(&[CHUNK_A]);
    script.pop();
    script.push(Step::Wait(Arc::new(Notify::new())));
    let limits = Limits { silence_max: Duration::from_millis(50), ..Limits::default() };
    let house = House::with(script, FakeBilling::default(), limits).await;
    let (_, got) = text(house.chat(AGENT_KEY, ASKED).await).await;
    assert!(got.contains("upstream_broke_off"), "{got}");
    assert!(matches!(
        house.billing.after(2).await[1],
        Booked::Settled { source: UsageSource::Estimated, .. }
    ));
}

#[tokio::test]
async fn a_call_whose_client_has_gone_is_drained_and_billed_from_its_usage() {
    let go_on = Arc::new(Notify::new());
    let mut script = stream(&[CHUNK_A]);
    script.truncate(2);
    script.push(Step::Wait(go_on.clone()));
    script.extend(stream(&[CHUNK_B, CHUNK_USAGE, DONE]).into_iter().skip(1));
    let house = House::with(script, FakeBilling::default(), Limits::default()).await;
    let mut response = house.chat(AGENT_KEY, ASKED).await;
    response.body_mut().frame().await.expect("a frame").expect("data");
    drop(response);
    go_on.notify_one();
    assert_eq!(house.billing.after(2).await[1], used());
}

#[tokio::test]
async fn a_client_gone_before_the_head_is_billed_too() {
    let go_on = Arc::new(Notify::new());
    let mut script = vec![Step::Wait(go_on.clone())];
    script.extend(answer(200, COMPLETION));
    let house = House::open(script).await;
    // Its future is dropped once the upstream has the request, and its connection with it.
    let client = tokio::net::TcpStream::connect(house.address).await.expect("a connection");
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {AGENT_KEY}\r\ncontent-length: {}\r\n\r\n{PLAIN}",
        PLAIN.len()
    );
    client.writable().await.expect("room");
    assert_eq!(client.try_write(request.as_bytes()).expect("written"), request.len());
    house.billing.after(1).await;
    drop(client);
    go_on.notify_one();
    assert_eq!(house.billing.after(2).await[1], used());
}

#[tokio::test]
async fn draining_is_bounded() {
    let go_on = Arc::new(Notify::new());
    let mut script = stream(&[CHUNK_A]);
    script.truncate(2);
    script.push(Step::Wait(go_on.clone()));
    let endless = CHUNK_B.replace("llo", " more").repeat(400);
    script.extend(stream(&vec![endless.as_str(); 20]).into_iter().skip(1));
    let limits = Limits { drain_bytes_max: 30_000, ..Limits::default() };
    let house = House::with(script, FakeBilling::default(), limits).await;
    let mut response = house.chat(AGENT_KEY, ASKED).await;
    response.body_mut().frame().await.expect("a frame").expect("data");
    drop(response);
    go_on.notify_one();
    let Booked::Settled { source, usage } = house.billing.after(2).await[1].clone() else {
        panic!("unsettled")
    };
    // Never above what was reserved.
    assert_eq!((source, usage.output), (UsageSource::Estimated, 100));
}

#[tokio::test]
async fn the_output_limit_is_lowered_to_what_remains_but_not_to_uselessness() {
    let body = r#"{"model":"m","max_tokens":8000}"#;
    let input = CARD.cost(&CARD.bound(body.len() as u64, 0)).0;
    for (remaining, expect) in [
        (None, 8_000),
        (Some(Micros(input + 8_000 * 1_200)), 8_000),
        (Some(Micros(input + 2_000 * 1_200)), 2_000),
        (Some(Micros(5)), 1_024),
    ] {
        let billing = FakeBilling { remaining, ..FakeBilling::default() };
        let house = House::with(answer(200, COMPLETION), billing, Limits::default()).await;
        assert_eq!(text(house.chat(AGENT_KEY, body).await).await.0, 200);
        let Booked::Reserved { bound, .. } = house.billing.after(1).await[0].clone() else {
            panic!("unreserved")
        };
        // All of it is asked for, and what there is is held.
        assert_eq!(bound.output, 8_000);
        let sent: Value = serde_json::from_str(&house.upstream.last().body).expect("json");
        assert_eq!(sent["max_tokens"].as_u64(), Some(expect));
    }
}

#[test]
fn stored_hashes_are_checked() {
    assert_eq!(KeyHash::from_hex(&hex::encode([7; 32])), Some(KeyHash::from_bytes([7; 32])));
    assert_eq!(KeyHash::from_hex("07"), None);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn secrets_and_prompts_reach_neither_log_nor_client() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut seen = String::new();
    let leaky = format!(r#"{{"error":{{"message":"bad key {REAL_KEY}","code":"{REAL_KEY}"}}}}"#);
    for script in
        [answer(200, COMPLETION), answer(401, &leaky), answer(400, &leaky), answer(500, &leaky), Vec::new()]
    {
        let house = House::open(script).await;
        for key in [AGENT_KEY, PERSON_KEY] {
            let response =
                house.chat(key, r#"{"model":"m","messages":"prompt-canary","stream":false}"#).await;
            seen += &format!("{:?}", response.headers());
            seen += &text(response).await.1;
        }
        seen += &format!("{:?}", house.gateway);
    }
    let log = String::from_utf8(log.0.lock().expect("unpoisoned").clone()).expect("text");
    assert!(log.contains("refused the operator's key"), "{log}");
    for secret in [REAL_KEY, AGENT_KEY, PERSON_KEY, "prompt-canary"] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
