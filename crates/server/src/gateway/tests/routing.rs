//! Several targets of one provider, each with an upstream that does something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use creel_control::model::ProviderApi;
use creel_control::tasks::Tasks;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::sync::Notify;

use super::harness::*;
use super::{ASKED, CHUNK_A, CHUNK_B, CHUNK_USAGE, COMPLETION, DONE, PLAIN, stream, used};
use crate::gateway::Limits;
use crate::gateway::ports::*;
use crate::http::cork::{Turn, Unrecorded};

const API: ProviderApi = ProviderApi::OpenAiCompletions;

/// Without waiting between tries.
fn limits() -> Limits {
    Limits { again_after: Duration::ZERO, ..Limits::default() }
}

/// A provider `many` with a target at each of some upstreams, whose keys are `a`, `b` and so on: calls begin at the
/// first and go on in order, for each weighs a million times what the next one does.
struct Many {
    house: House,
    upstreams: Vec<FakeUpstream>,
}

impl Many {
    async fn open(scripts: Vec<Vec<Step>>) -> Self {
        Self::with(scripts, FakeBilling::default(), limits()).await
    }

    async fn with(scripts: Vec<Vec<Step>>, billing: FakeBilling, limits: Limits) -> Self {
        let tasks = Tasks::new();
        let mut upstreams = Vec::new();
        for script in scripts {
            upstreams.push(FakeUpstream::start(&tasks, script).await);
        }
        let addresses: Vec<String> =
            upstreams.iter().map(|upstream| format!("http://{}/v1", upstream.address)).collect();
        Self::at(tasks, upstreams, &addresses, billing, limits).await
    }

    async fn at(
        tasks: Tasks,
        upstreams: Vec<FakeUpstream>,
        addresses: &[String],
        billing: FakeBilling,
        limits: Limits,
    ) -> Self {
        let weights = [1 << 31, 1 << 20, 1 << 10, 1];
        let targets = addresses.iter().zip(["a", "b", "c", "d"]).zip(weights);
        let targets = targets.map(|((address, key), weight)| (target("many", API, key, address), weight));
        let group = Group::new(vec![provider_at("many", API, targets.collect(), &["m", "n"])]);
        let directory = Directory::new();
        directory.replace(snapshot(group));
        let house = House::of(tasks, upstreams[0].clone(), directory, billing, limits).await;
        Self { house, upstreams }
    }

    fn calls(&self) -> Vec<usize> {
        self.upstreams.iter().map(FakeUpstream::calls).collect()
    }

    async fn ask(&self) -> Response<Incoming> {
        self.house.chat(PERSON_KEY, PLAIN).await
    }

    fn pass(&self, seconds: i64) {
        self.house.clock.advance(SignedDuration::from_secs(seconds));
    }
}

fn header<'a>(response: &'a Response<Incoming>, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

/// As [`answer`], without `Retry-After`.
fn plainly(status: u16, body: &str) -> Vec<Step> {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    vec![Step::Write(head.into_bytes())]
}

fn good_stream() -> Vec<Step> {
    stream(&[CHUNK_A, CHUNK_B, CHUNK_USAGE, DONE])
}

/// Asked twice, of two targets whose second answers well: as a stream and as a whole.
async fn moves_on(what: &str, bad: Vec<Step>, limits: &Limits) {
    for (body, good, expect) in [
        (ASKED, good_stream(), [CHUNK_A, CHUNK_B, CHUNK_USAGE, DONE].concat()),
        (PLAIN, answer(200, COMPLETION), COMPLETION.to_owned()),
    ] {
        let many = Many::with(vec![bad.clone(), good], FakeBilling::default(), limits.clone()).await;
        let response = many.house.chat(AGENT_KEY, body).await;
        assert_eq!(
            (header(&response, "x-creel-upstream"), header(&response, "x-creel-tries")),
            ("many/b", "2"),
            "{what}"
        );
        assert!(header(&response, "x-creel-overhead-us").parse::<u64>().is_ok(), "{what}");
        assert_eq!(text(response).await, (200, expect), "{what}");
        assert_eq!(many.calls(), [1, 1], "{what}");
        let booked = many.house.billing.after(2).await;
        assert!(
            matches!(&booked[..], [Booked::Reserved { .. }, settled] if *settled == used()),
            "{what}: {booked:?}"
        );
    }
}

#[tokio::test]
async fn what_fails_before_an_answer_goes_to_another_target_and_is_billed_once() {
    let quick = Limits { first_byte_max: Duration::from_millis(150), ..limits() };
    for status in [401, 402, 403, 408, 429, 500, 502, 503, 504, 529] {
        moves_on(&status.to_string(), plainly(status, "{}"), &limits()).await;
        moves_on(&format!("{status} for now"), answer(status, "{}"), &limits()).await;
    }
    moves_on("unpaid", plainly(429, r#"{"error":{"code":"insufficient_quota"}}"#), &limits()).await;
    moves_on("unpaid too", plainly(400, r#"{"error":{"code":"Arrearage"}}"#), &limits()).await;
    moves_on("closed", Vec::new(), &limits()).await;
    moves_on("half a head", vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-".to_vec())], &limits()).await;
    moves_on("no http", vec![Step::Write(b"220 smtp ready\r\n\r\n".to_vec())], &limits()).await;
    moves_on("silent", vec![Step::Wait(Arc::new(Notify::new()))], &quick).await;
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_passed_by() {
    let tasks = Tasks::new();
    let good = FakeUpstream::start(&tasks, answer(200, COMPLETION)).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = format!("http://{}/v1", listener.local_addr().expect("an address"));
    drop(listener);
    let addresses = [nobody, format!("http://{}/v1", good.address)];
    let many = Many::at(tasks, vec![good], &addresses, FakeBilling::default(), limits()).await;
    let response = many.ask().await;
    assert_eq!(header(&response, "x-creel-upstream"), "many/b");
    assert_eq!(text(response).await.0, 200);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_not_tried_elsewhere() {
    for status in [400, 404, 409, 413, 422, 501] {
        let many = Many::open(vec![answer(status, "{}"), answer(200, COMPLETION)]).await;
        let response = many.ask().await;
        assert_eq!(
            (header(&response, "x-creel-upstream"), header(&response, "x-creel-tries")),
            ("many/a", "1")
        );
        assert_eq!(text(response).await.0, status);
        assert_eq!(many.calls(), [1, 0], "{status}");
        assert_eq!(many.house.billing.after(2).await.len(), 2);
        assert_eq!(many.house.billing.booked.borrow()[1], Booked::Released);
    }
}

#[tokio::test]
async fn nothing_is_tried_again_once_an_answer_has_begun() {
    let mut cut = good_stream();
    cut.truncate(2);
    let head_only = vec![stream_head()];
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"choices\"";
    for (body, script) in [(ASKED, cut), (ASKED, head_only), (PLAIN, vec![Step::Write(short.into())])] {
        let many = Many::open(vec![script, answer(200, COMPLETION)]).await;
        let response = many.house.chat(AGENT_KEY, body).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-creel-tries")), (200, "1"));
        // Cut or told, but never continued by another's answer.
        let got = response
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_else(|_| Bytes::new());
        assert!(!got.windows(5).any(|part| part == b"hello"), "{got:?}");
        let booked = many.house.billing.after(2).await;
        assert!(matches!(booked[1], Booked::Settled { source: UsageSource::Estimated, .. }), "{booked:?}");
        assert_eq!((many.calls(), booked.len()), (vec![1, 0], 2));
    }
}

#[tokio::test]
async fn a_call_takes_three_tries_at_the_most() {
    let bad = || plainly(500, r#"{"error":{"message":"trouble"}}"#);
    let many = Many::open(vec![bad(), bad(), bad(), answer(200, COMPLETION)]).await;
    let response = many.ask().await;
    assert_eq!((header(&response, "x-creel-upstream"), header(&response, "x-creel-tries")), ("many/c", "3"));
    let (status, body) = text(response).await;
    assert!(status == 500 && body.contains("trouble"), "{body}");
    assert_eq!(many.calls(), [1, 1, 1, 0]);
    assert!(matches!(many.house.billing.after(2).await[..], [Booked::Reserved { .. }, Booked::Released]));
}

#[tokio::test]
async fn a_single_target_is_tried_again_where_its_trouble_may_pass() {
    for (script, status, calls) in [
        (plainly(503, "{}"), 503, 3),
        (Vec::new(), 502, 3),
        (plainly(429, "{}"), 429, 1),
        (plainly(401, "{}"), 502, 1),
        (answer(503, "{}"), 503, 1),
    ] {
        let many = Many::open(vec![script]).await;
        assert_eq!((text(many.ask().await).await.0, many.calls()), (status, vec![calls]));
    }
}

#[tokio::test]
async fn nobody_waits_for_another_try_after_the_client_has_gone() {
    let go_on = Arc::new(Notify::new());
    let mut script = vec![Step::Wait(go_on.clone())];
    script.extend(plainly(500, "{}"));
    let many = Many::open(vec![script, answer(200, COMPLETION)]).await;
    let client = tokio::net::TcpStream::connect(many.house.address).await.expect("a connection");
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {AGENT_KEY}\r\ncontent-length: {}\r\n\r\n{PLAIN}",
        PLAIN.len()
    );
    client.writable().await.expect("room");
    assert_eq!(client.try_write(request.as_bytes()).expect("written"), request.len());
    many.house.billing.after(1).await;
    while many.calls()[0] == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    // The house, its front and the call itself hold the gateway, and the connection no more.
    while Arc::strong_count(&many.house.gateway) > 3 {
        tokio::task::yield_now().await;
    }
    go_on.notify_one();
    assert_eq!(many.house.billing.after(2).await[1], Booked::Released);
    assert_eq!(many.calls(), [1, 0]);
}

#[tokio::test]
async fn retry_after_keeps_calls_for_that_model_away_until_it_is_over() {
    let many = Many::open(vec![answer(429, "{}")]).await;
    let first = many.ask().await;
    assert_eq!((first.status().as_u16(), header(&first, "retry-after")), (429, "7"));
    many.pass(2);
    let second = many.ask().await;
    assert_eq!((header(&second, "retry-after"), header(&second, "x-creel-tries")), ("5", ""));
    let (status, body) = text(second).await;
    assert!(status == 429 && body.contains("upstream_busy"), "{body}");
    assert_eq!(
        (many.calls(), many.house.billing.booked.borrow().len()),
        (vec![1], 2),
        "nothing was reserved for it"
    );
    // The provider's limit is one of the model.
    text(many.house.chat(PERSON_KEY, r#"{"model":"n"}"#).await).await;
    assert_eq!(many.calls(), [2]);
    many.pass(5);
    text(many.ask().await).await;
    assert_eq!(many.calls(), [3]);
}

#[tokio::test]
async fn while_one_target_rests_another_answers() {
    let many = Many::open(vec![answer(429, "{}"), answer(200, COMPLETION)]).await;
    for _ in 0..5 {
        assert_eq!(text(many.ask().await).await.0, 200);
    }
    assert_eq!(many.calls(), [1, 5]);
    many.pass(7);
    assert_eq!(text(many.ask().await).await.0, 200);
    assert_eq!(many.calls(), [2, 6]);
}

#[tokio::test]
async fn a_refused_key_is_left_out_for_a_minute() {
    for status in [401, 403] {
        let many = Many::open(vec![plainly(status, "{}"), answer(200, COMPLETION)]).await;
        for _ in 0..20 {
            assert_eq!(text(many.ask().await).await.0, 200);
        }
        assert_eq!(many.calls(), [1, 20]);
        many.pass(60);
        assert_eq!(text(many.ask().await).await.0, 200);
        assert_eq!(many.calls(), [2, 21]);
    }
}

#[tokio::test]
async fn a_target_that_keeps_failing_is_left_alone_and_then_asked_by_one_call() {
    let many = Many::open(vec![plainly(503, "{}")]).await;
    for calls in [3, 6, 9, 12, 13] {
        assert_eq!(text(many.ask().await).await.0, 503);
        assert_eq!(many.calls(), [calls]);
    }
    for _ in 0..10 {
        let response = many.ask().await;
        assert_eq!(header(&response, "retry-after"), "5");
        let (status, body) = text(response).await;
        assert!(status == 503 && body.contains("upstream_unavailable"), "{body}");
    }
    assert_eq!(many.calls(), [13]);
    many.pass(5);
    assert_eq!(text(many.ask().await).await.0, 503);
    assert_eq!(many.calls(), [14], "one, and then it is left alone for longer");
    assert_eq!(header(&many.ask().await, "retry-after"), "10");
}

#[tokio::test]
async fn a_request_that_makes_its_upstream_stumble_shuts_no_other_out() {
    let many = Many::open(vec![plainly(500, "{}")]).await;
    for _ in 0..10 {
        assert_eq!(text(many.ask().await).await.0, 500);
    }
    assert_eq!(many.calls(), [30]);
}

#[tokio::test]
async fn answers_that_keep_breaking_off_open_a_target_too() {
    let mut cut = good_stream();
    cut.truncate(2);
    let many = Many::open(vec![cut, good_stream()]).await;
    for _ in 0..5 {
        let (_, got) = text(many.house.chat(PERSON_KEY, ASKED).await).await;
        assert!(got.contains("upstream_broke_off"), "{got}");
    }
    assert_eq!(many.calls(), [5, 0]);
    for _ in 0..3 {
        assert!(text(many.house.chat(PERSON_KEY, ASKED).await).await.1.ends_with(DONE));
    }
    assert_eq!(many.calls(), [5, 3]);
}

#[tokio::test]
async fn refusals_of_ours_are_held_against_no_target() {
    let billing = FakeBilling { refuse: Some(Refusal::QuotaSpent), ..FakeBilling::default() };
    let many = Many::with(vec![answer(200, COMPLETION)], billing, limits()).await;
    for key in [AGENT_KEY, PERSON_KEY] {
        for _ in 0..20 {
            many.house.chat(key, PLAIN).await;
        }
    }
    let access = many.house.gateway.directory.lookup(&KeyHash::of(PERSON_KEY)).expect("access");
    let Resolution::Found(route) = access.group.as_ref().expect("a group").resolve("m", None) else {
        panic!("no route")
    };
    assert!(route.provider.upstream.out("m", 1_790_000_000_000).is_none());
    assert_eq!(many.calls(), [0]);
}

#[tokio::test]
async fn without_a_key_in_use_the_operator_is_told_to_look_after_it() {
    let many = Many::at(
        Tasks::new(),
        vec![FakeUpstream::start(&Tasks::new(), Vec::new()).await],
        &[],
        FakeBilling::default(),
        limits(),
    )
    .await;
    let (status, body) = text(many.ask().await).await;
    let error: Value = serde_json::from_str(&body).expect("json");
    assert_eq!((status, error["error"]["code"].as_str()), (502, Some("upstream_credentials")));
    assert!(many.house.billing.booked.borrow().is_empty());
}

/// A smart model `auto` that stands for `s` at the first upstream, for small requests, and for `l` at the second.
async fn smart(scripts: Vec<Vec<Step>>, billing: FakeBilling) -> Many {
    let tasks = Tasks::new();
    let mut upstreams = Vec::new();
    for script in scripts {
        upstreams.push(FakeUpstream::start(&tasks, script).await);
    }
    let tier = |at: usize, name: &str, code: &str, context_tokens_max| {
        let address = format!("http://{}/v1", upstreams[at].address);
        let provider = provider_at(name, API, vec![(target(name, API, "", &address), 1)], &[code]);
        Tier { context_tokens_max, route: Route { model: provider.models[0].clone(), provider } }
    };
    let tiers = vec![tier(0, "small", "s", Some(1_000)), tier(1, "large", "l", None)];
    let auto = Model {
        code: "auto".into(),
        name: "auto".into(),
        context_tokens_max: None,
        output_tokens_max: None,
        card: None,
        smart: Some(Arc::new(Smart { order: Order::Declared, tiers })),
    };
    let provider = Provider {
        id: creel_wire::id::ProviderId::parse("mpt-credit").expect("an id"),
        name: "credit".into(),
        upstream: Upstream::new(API, Vec::new()),
        billed: true,
        models: vec![Arc::new(auto)],
    };
    let directory = Directory::new();
    directory.replace(snapshot(Group::new(vec![Arc::new(provider)])));
    let house = House::of(tasks, upstreams[0].clone(), directory, billing, limits()).await;
    Many { house, upstreams }
}

fn asks_auto(content: &str) -> String {
    format!(r#"{{"model":"auto","max_tokens":100,"messages":[{{"role":"user","content":"{content}"}}]}}"#)
}

fn reserved(booked: &Booked) -> &str {
    match booked {
        Booked::Reserved { model, .. } => model,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_smart_model_is_the_one_that_fits_and_says_which() {
    let many = smart(vec![answer(200, COMPLETION), answer(200, COMPLETION)], FakeBilling::default()).await;
    for (content, model, upstream, calls) in
        [("hi", "s", "small", [1, 0]), (&*"x".repeat(5_000), "l", "large", [1, 1])]
    {
        let response = many.house.chat(AGENT_KEY, asks_auto(content)).await;
        assert_eq!(
            (header(&response, "x-creel-model"), header(&response, "x-creel-upstream")),
            (model, upstream)
        );
        assert_eq!(text(response).await.0, 200);
        assert_eq!(many.calls(), calls);
        let booked = many.house.billing.booked.borrow().clone();
        assert_eq!(reserved(&booked[booked.len() - 2]), model);
    }
    let sent: Value = serde_json::from_str(&many.upstreams[1].last().body).expect("json");
    assert_eq!(sent["model"], "l");
}

#[tokio::test]
async fn a_smart_model_goes_on_to_the_next_and_what_answered_is_billed() {
    let many = smart(vec![plainly(500, "{}"), answer(200, COMPLETION)], FakeBilling::default()).await;
    let response = many.house.chat(AGENT_KEY, asks_auto("hi")).await;
    assert_eq!((header(&response, "x-creel-model"), header(&response, "x-creel-tries")), ("l", "4"));
    assert_eq!(text(response).await, (200, COMPLETION.to_owned()));
    assert_eq!(many.calls(), [3, 1]);
    let booked = many.house.billing.after(4).await;
    assert_eq!((reserved(&booked[0]), reserved(&booked[2])), ("s", "l"));
    assert_eq!((&booked[1], &booked[3], booked.len()), (&Booked::Released, &used(), 4));
}

#[tokio::test]
async fn a_smart_model_does_not_go_on_where_that_would_not_help() {
    let many = smart(vec![answer(400, "{}"), answer(200, COMPLETION)], FakeBilling::default()).await;
    assert_eq!(text(many.house.chat(PERSON_KEY, asks_auto("hi")).await).await.0, 400);
    assert_eq!(many.calls(), [1, 0]);
    let billing = FakeBilling { refuse: Some(Refusal::PacksSpent), ..FakeBilling::default() };
    let many = smart(vec![answer(200, COMPLETION), answer(200, COMPLETION)], billing).await;
    assert_eq!(text(many.house.chat(PERSON_KEY, asks_auto("hi")).await).await.0, 402);
    assert_eq!(many.calls(), [0, 0]);
    // The last failure is told where all have failed.
    let many = smart(vec![plainly(401, "{}"), answer(429, "{}")], FakeBilling::default()).await;
    let response = many.house.chat(PERSON_KEY, asks_auto("hi")).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-creel-model")), (429, "l"));
    assert_eq!(many.house.billing.after(4).await[3], Booked::Released);
}

#[tokio::test]
async fn an_upstream_is_not_asked_what_cannot_be_recorded_and_not_blamed_for_it() {
    let many = Many::open(vec![answer(200, COMPLETION), answer(200, COMPLETION)]).await;
    let is_full = Arc::new(AtomicBool::new(true));
    let full = is_full.clone();
    let before = move || if full.load(Ordering::Relaxed) { Err(Unrecorded) } else { Ok(()) };
    many.house.tasks.spawn("send", Turn::begin(Arc::new(before)).send());
    for number in 1..=10 {
        let response = many.ask().await;
        assert_eq!(header(&response, "x-creel-tries"), "1");
        let (status, body) = text(response).await;
        assert!(status == 503 && body.contains("cannot record this call"), "{body}");
        assert_eq!(many.house.billing.after(2 * number).await.last(), Some(&Booked::Released));
    }
    assert_eq!(many.calls(), [0, 0]);
    is_full.store(false, Ordering::Relaxed);
    let response = many.ask().await;
    assert_eq!(header(&response, "x-creel-upstream"), "many/a");
    assert_eq!(text(response).await, (200, COMPLETION.to_owned()));
}
