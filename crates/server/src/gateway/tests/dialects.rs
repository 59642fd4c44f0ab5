//! Every dialect of callers against every kind of provider.

use super::*;

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const EMBEDDINGS: &str = "/v1/embeddings";
const MESSAGES: &str = "/v1/messages";
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"c-1","x_new":[1e5],"content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":8349,"cache_read_input_tokens":40794,"cache_creation_input_tokens":7,"output_tokens":573,"output_tokens_details":{"thinking_tokens":100}}}"#;
const RESPONSE: &str = r#"{"id":"resp_1","object":"response","x_new":1,"output":[],"usage":{"input_tokens":49150,"input_tokens_details":{"cached_tokens":40794,"cache_write_tokens":7},"output_tokens":573,"output_tokens_details":{"reasoning_tokens":100},"total_tokens":49723}}"#;
const VECTORS: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-0.5]}],"model":"m","usage":{"prompt_tokens":9,"total_tokens":9}}"#;
/// What both of the first two used.
const ALL_CLASSES: Usage = Usage { cache_write: 7, reasoning: 100, ..USED };

fn message_stream() -> Vec<String> {
    let event = |data: &str| {
        let kind = data.split('"').nth(3).expect("a type");
        format!("event: {kind}\ndata: {data}\n\n")
    };
    [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"c-1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":8349,"cache_read_input_tokens":40794,"cache_creation_input_tokens":7,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":573,"output_tokens_details":{"thinking_tokens":100}}}"#,
        r#"{"type":"message_stop"}"#,
    ]
    .map(event)
    .to_vec()
}

fn response_stream() -> Vec<String> {
    [
        r#"{"type":"response.created","response":{"id":"resp_1"}}"#.to_owned(),
        r#"{"type":"response.output_text.delta","delta":"hello"}"#.to_owned(),
        format!(r#"{{"type":"response.completed","response":{RESPONSE}}}"#),
    ]
    .map(|data| format!("event: x\ndata: {data}\n\n"))
    .to_vec()
}

fn steps(events: &[String]) -> Vec<Step> {
    stream(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

fn cut(mut steps: Vec<Step>) -> Vec<Step> {
    steps.pop();
    steps
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The data of a stream's events.
fn events(body: &str) -> Vec<Value> {
    body.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| if data == "[DONE]" { "[DONE]".into() } else { json(data) })
        .collect()
}

/// A request of a dialect for a model.
fn request(path: &str, model: &str, stream: bool) -> String {
    let rest = match path {
        EMBEDDINGS => r#""input":"a text""#,
        RESPONSES => r#""input":"Hi","max_output_tokens":100"#,
        COUNT_TOKENS => r#""messages":[{"role":"user","content":"Hi"}]"#,
        CHAT => {
            r#""stream_options":{"include_usage":true},"max_tokens":100,"messages":[{"role":"user","content":"Hi"}]"#
        }
        _ => r#""max_tokens":100,"messages":[{"role":"user","content":"Hi"}]"#,
    };
    format!(r#"{{"model":"{model}","stream":{stream},{rest}}}"#)
}

#[tokio::test]
async fn the_providers_own_dialect_passes_unchanged_and_is_billed() {
    let messages = [message_stream().concat(), response_stream().concat()];
    for (path, model, stream, script, body, usage, asked_at) in [
        (MESSAGES, "c", false, answer(200, MESSAGE), MESSAGE, ALL_CLASSES, "/v1/messages"),
        (MESSAGES, "c", true, steps(&message_stream()), &messages[0], ALL_CLASSES, "/v1/messages"),
        (RESPONSES, "r", false, answer(200, RESPONSE), RESPONSE, ALL_CLASSES, "/v1/responses"),
        (RESPONSES, "r", true, steps(&response_stream()), &messages[1], ALL_CLASSES, "/v1/responses"),
        (
            EMBEDDINGS,
            "m",
            false,
            answer(200, VECTORS),
            VECTORS,
            Usage { input: 9, ..Usage::default() },
            "/v1/embeddings",
        ),
    ] {
        let house = House::open(script).await;
        let mut sent = request(path, model, stream);
        sent.insert_str(1, "\"x_new\" : [1e5, {\"\u{4e2d}\":null}], ");
        assert_eq!(text(house.ask(path, AGENT_KEY, &*sent).await).await, (200, body.to_owned()), "{path}");
        assert_eq!(house.billing.after(2).await[1], settled(usage, UsageSource::Upstream), "{path}");
        let bound = Usage {
            input: sent.len() as u64,
            output: if path == EMBEDDINGS { 0 } else { 100 },
            ..Usage::default()
        };
        let reserved = Booked::Reserved { bound, model: model.into(), billed: true };
        assert_eq!(house.billing.booked.borrow()[0], reserved, "{path}");
        let seen = house.upstream.last();
        assert_eq!(seen.body, sent);
        assert!(seen.head.starts_with(&format!("POST {asked_at} HTTP/1.1\r\n")), "{}", seen.head);
    }
}

#[tokio::test]
async fn each_upstream_gets_its_own_headers_and_key() {
    for (path, model, key, wanted, absent) in [
        (
            MESSAGES,
            "c",
            "x-api-key",
            &["anthropic-version: 2024-01-01", "anthropic-beta: a,b"][..],
            "authorization",
        ),
        (CHAT, "c", "x-api-key", &["anthropic-version: 2023-06-01"], "anthropic-beta"),
        (MESSAGES, "m", "authorization", &["authorization: bearer"], "anthropic-"),
        (RESPONSES, "r", "authorization", &["authorization: bearer"], "anthropic-"),
    ] {
        let house = House::open(answer(500, "")).await;
        let mut asked = post(path, "-", request(path, model, false));
        let headers = asked.headers_mut();
        headers.remove("authorization");
        for (name, value) in
            [("x-api-key", AGENT_KEY), ("anthropic-version", "2024-01-01"), ("anthropic-beta", "a,b")]
        {
            headers.insert(name, value.parse().expect("a header"));
        }
        house.send(asked).await;
        let head = house.upstream.last().head.to_lowercase();
        let line = head.lines().find(|line| line.starts_with(&format!("{key}: "))).expect("a key");
        assert!(line.ends_with(REAL_KEY) && !head.contains(AGENT_KEY), "{head}");
        assert!(wanted.iter().all(|wanted| head.contains(wanted)) && !head.contains(absent), "{path} {head}");
    }
}

#[tokio::test]
async fn a_chat_completion_is_asked_of_a_provider_of_messages() {
    let house = House::open(answer(200, MESSAGE)).await;
    let response = house
        .chat(AGENT_KEY, r#"{"model":"c","store":true,"messages":[{"role":"system","content":"s"},{"role":"user","content":"Hi"}]}"#)
        .await;
    assert_eq!(response.headers()["x-creel-left-out"], "store");
    let length: usize =
        response.headers()["content-length"].to_str().expect("text").parse().expect("a length");
    let (status, body) = text(response).await;
    assert_eq!((status, body.len()), (200, length));
    let told = json(&body);
    assert_eq!(
        (&told["object"], &told["choices"][0]["message"]["content"]),
        (&"chat.completion".into(), &"hello".into())
    );
    assert_eq!((&told["id"], &told["created"]), (&"msg_1".into(), &1_790_000_000.into()));
    assert_eq!(told["usage"]["prompt_tokens"], 8_349 + 40_794 + 7);
    let asked = json(&house.upstream.last().body);
    // The model's own limit: messages cannot be asked for without one.
    assert_eq!(
        (&asked["max_tokens"], &asked["messages"][0]["content"][0]["text"]),
        (&8_192.into(), &"Hi".into())
    );
    assert_eq!(asked["system"][0]["text"], "s");
    assert_eq!(house.billing.after(2).await[1], settled(ALL_CLASSES, UsageSource::Upstream));
}

#[tokio::test]
async fn a_stream_of_a_message_becomes_one_of_a_chat_completion() {
    let house = House::open(steps(&message_stream())).await;
    let (status, body) = text(house.chat(AGENT_KEY, request(CHAT, "c", true)).await).await;
    let told = events(&body);
    let words: String =
        told.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!((status, words.as_str(), told.last()), (200, "hello", Some(&"[DONE]".into())));
    let usage = &told[told.len() - 2]["usage"];
    assert_eq!(
        (&usage["completion_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]),
        (&573.into(), &40_794.into())
    );
    assert_eq!(house.billing.after(2).await[1], settled(ALL_CLASSES, UsageSource::Upstream));
}

#[tokio::test]
async fn a_message_is_asked_of_a_provider_of_chat_completions() {
    let called = COMPLETION.replace(
        r#"{"content":"hello"}"#,
        r#"{"content":"hello","tool_calls":[{"id":"t","function":{"name":"f","arguments":"{\"a\":1}"}}]}"#,
    );
    let house = House::open(answer(200, &called)).await;
    let body = r#"{"model":"m","max_tokens":100,"tools":[{"name":"f","input_schema":{"type":"object"}}],
        "system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"Hi"}]}"#;
    let response = house.ask(MESSAGES, AGENT_KEY, body).await;
    assert_eq!(response.headers()["x-creel-left-out"], "cache_control");
    let (status, body) = text(response).await;
    let told = json(&body);
    assert_eq!((status, &told["type"], &told["model"]), (200, &"message".into(), &"m".into()));
    assert!(told["id"].as_str().expect("an id").starts_with("msg_call-"), "{told}");
    assert_eq!((&told["content"][1]["input"]["a"], &told["stop_reason"]), (&1.into(), &"tool_use".into()));
    assert_eq!(told["usage"]["cache_read_input_tokens"], 40_794);
    let asked = json(&house.upstream.last().body);
    assert_eq!((&asked["max_tokens"], &asked["messages"][0]["role"]), (&100.into(), &"system".into()));
    assert_eq!(house.billing.after(2).await[1], used());
}

#[tokio::test]
async fn a_stream_of_a_chat_completion_becomes_one_of_a_message() {
    let finished = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_owned() + "\n\n";
    let house = House::open(stream(&[CHUNK_A, CHUNK_B, &finished, CHUNK_USAGE, DONE])).await;
    let (status, body) = text(house.ask(MESSAGES, AGENT_KEY, request(MESSAGES, "m", true)).await).await;
    let told = events(&body);
    let words: String = told.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(
        (status, words.as_str(), &told[told.len() - 1]["type"]),
        (200, "hello", &"message_stop".into())
    );
    let end = &told[told.len() - 2];
    assert_eq!(
        (&end["delta"]["stop_reason"], &end["usage"]["output_tokens"]),
        (&"end_turn".into(), &573.into())
    );
    assert!(json(&house.upstream.last().body)["stream_options"]["include_usage"] == true);
    assert_eq!(house.billing.after(2).await[1], used());
}

#[tokio::test]
async fn the_end_of_every_answer_waits_for_the_settlement() {
    let finished = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_owned() + "\n\n";
    let chat = vec![CHUNK_A.to_owned(), finished, CHUNK_USAGE.to_owned(), DONE.to_owned()];
    for (path, model, script, end) in [
        (MESSAGES, "c", steps(&message_stream()), "message_stop"),
        (RESPONSES, "r", steps(&response_stream()), "response.completed"),
        (CHAT, "c", steps(&message_stream()), "[DONE]"),
        (MESSAGES, "m", steps(&chat), "message_stop"),
    ] {
        let gate = Arc::new(Notify::new());
        let billing = FakeBilling { gate: Some(gate.clone()), ..FakeBilling::default() };
        let house = House::with(script, billing, Limits::default()).await;
        let mut response = house.ask(path, AGENT_KEY, request(path, model, true)).await;
        let mut before = String::new();
        while !before.contains("he") {
            let frame = response.body_mut().frame().await.expect("more").expect("whole");
            before += std::str::from_utf8(&frame.into_data().expect("data")).expect("text");
        }
        // More would come if it could: the upstream has said all.
        let more = tokio::time::timeout(Duration::from_millis(50), async {
            while let Some(Ok(frame)) = response.body_mut().frame().await {
                before += std::str::from_utf8(&frame.into_data().expect("data")).expect("text");
            }
        });
        assert!(more.await.is_err() && !before.contains(end), "{path} {model}: {before}");
        gate.notify_one();
        assert!(text(response).await.1.contains(end), "{path} {model}");
    }
}

#[tokio::test]
async fn what_cannot_be_converted_is_refused_before_the_upstream() {
    let house = House::open(answer(200, "{}")).await;
    for (path, model, stream) in [
        (CHAT, "r", false),
        (CHAT, "r", true),
        (MESSAGES, "r", false),
        (MESSAGES, "r", true),
        (COUNT_TOKENS, "r", false),
        (RESPONSES, "m", false),
        (RESPONSES, "c", true),
        (EMBEDDINGS, "c", false),
    ] {
        let (status, body) = text(house.ask(path, PERSON_KEY, request(path, model, stream)).await).await;
        let error = json(&body);
        assert_eq!((status, &error["error"]["code"]), (400, &"no_conversion".into()), "{path} {model}");
        assert_eq!(error["type"] == "error", path.starts_with(MESSAGES), "{body}");

        let response = house.ask(path, AGENT_KEY, request(path, model, stream)).await;
        let answers = ![EMBEDDINGS, COUNT_TOKENS].contains(&path);
        assert_eq!(response.headers().contains_key("x-creel-refusal"), answers, "{path}");
        let (status, body) = text(response).await;
        assert_eq!((status == 200, body.contains("no conversion")), (answers, true), "{body}");
    }
    assert_eq!(house.upstream.calls(), 0);
    assert!(house.billing.booked.borrow().is_empty());
}

#[tokio::test]
async fn a_member_that_cannot_be_said_is_named_and_costs_nothing() {
    let house = House::open(answer(200, "{}")).await;
    for (path, body, param) in [
        (CHAT, r#"{"model":"c","seed":1,"messages":[{"role":"user","content":"Hi"}]}"#, "seed"),
        (
            CHAT,
            r#"{"model":"c","messages":[{"role":"user","content":[{"type":"input_audio"}]}]}"#,
            "messages[0].content[0].type",
        ),
        (
            MESSAGES,
            r#"{"model":"m","max_tokens":9,"top_k":3,"messages":[{"role":"user","content":"Hi"}]}"#,
            "top_k",
        ),
    ] {
        for key in [AGENT_KEY, PERSON_KEY] {
            let (status, got) = text(house.ask(path, key, body).await).await;
            let error = &json(&got)["error"];
            assert_eq!(
                (status, &error["code"], &error["param"]),
                (400, &"not_convertible".into(), &param.into()),
                "{got}"
            );
        }
    }
    assert_eq!(house.upstream.calls(), 0);
    assert!(
        house.billing.booked.borrow().iter().skip(1).step_by(2).all(|booked| *booked == Booked::Released)
    );
    assert_eq!(house.billing.booked.borrow().len(), 12);
}

#[tokio::test]
async fn an_answer_that_cannot_be_said_is_billed_and_told_as_an_error() {
    let call = r#"{"id":"t","index":0,"function":{"name":"f","arguments":"{"}}"#;
    let whole = COMPLETION
        .replace(r#"{"content":"hello"}"#, &format!(r#"{{"content":"hello","tool_calls":[{call}]}}"#));
    let house = House::open(answer(200, &whole)).await;
    let (status, body) = text(house.ask(MESSAGES, AGENT_KEY, request(MESSAGES, "m", false)).await).await;
    assert_eq!((status, &json(&body)["error"]["code"]), (422, &"answer_not_convertible".into()), "{body}");
    assert_eq!(house.billing.after(2).await[1], used());

    let calls = |id: &str| {
        let call = call
            .replace(r#""t""#, &format!(r#""{id}""#))
            .replace("\"index\":0", &format!("\"index\":{}", u8::from(id == "u")));
        format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n")
    };
    let house =
        House::open(steps(&[calls("t"), calls("u"), calls("t"), CHUNK_USAGE.into(), DONE.into()])).await;
    let (status, body) = text(house.ask(MESSAGES, AGENT_KEY, request(MESSAGES, "m", true)).await).await;
    let last = events(&body).pop().expect("an event");
    assert_eq!((status, &last["error"]["code"]), (200, &"answer_not_convertible".into()), "{body}");
    assert!(matches!(
        house.billing.after(2).await[1],
        Booked::Settled { source: UsageSource::Estimated, .. }
    ));
}

#[tokio::test]
async fn a_broken_stream_says_so_in_its_dialect_and_bills_what_is_known() {
    // Input that was told before the break is believed, output is counted.
    let told = Usage { input: 8_349, cached_input: 40_794, cache_write: 7, output: 1, ..Usage::default() };
    let some = || message_stream()[..4].to_vec();
    for (path, model, script, expect) in [
        (MESSAGES, "c", cut(steps(&some())), Some(settled(told, UsageSource::Estimated))),
        (CHAT, "c", cut(steps(&some())), Some(settled(told, UsageSource::Estimated))),
        (CHAT, "c", cut(steps(&message_stream()[..6])), Some(settled(ALL_CLASSES, UsageSource::Upstream))),
        (MESSAGES, "m", cut(stream(&[CHUNK_A, CHUNK_USAGE])), Some(used())),
        (RESPONSES, "r", cut(steps(&response_stream()[..2])), None),
    ] {
        let house = House::open(script).await;
        let (status, body) = text(house.ask(path, AGENT_KEY, request(path, model, true)).await).await;
        let last = events(&body).pop().expect("an event");
        let code = if path == RESPONSES { &last["code"] } else { &last["error"]["code"] };
        assert_eq!((status, code), (200, &"upstream_broke_off".into()), "{body}");
        assert_eq!(last["type"] == "error", path != CHAT, "{body}");
        let booked = house.billing.after(2).await[1].clone();
        match expect {
            Some(expect) => assert_eq!(booked, expect, "{path} {model}"),
            None => assert!(matches!(booked, Booked::Settled { source: UsageSource::Estimated, .. })),
        }
    }
}

#[tokio::test]
async fn an_answer_cut_before_its_conversion_is_a_bad_gateway() {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 900\r\n\r\n{COMPLETION}"
    );
    let house = House::open(vec![Step::Write(head.into_bytes())]).await;
    let (status, body) = text(house.ask(MESSAGES, AGENT_KEY, request(MESSAGES, "m", false)).await).await;
    assert!(status == 502 && body.contains("upstream_broke_off"), "{body}");
    // The usage came through before the break.
    assert_eq!(house.billing.after(2).await[1], used());
}

#[tokio::test]
async fn calls_whose_clients_have_gone_are_drained_in_every_dialect() {
    let head = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
        Step::Write(format!("{head}{}\r\n\r\n", body.len()).into_bytes())
    };
    let streamed = |events: Vec<String>, go_on: Step| {
        let mut script = steps(&events);
        script.insert(4, go_on);
        script
    };
    let finished = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_owned() + "\n\n";
    let chat =
        vec![CHUNK_A.to_owned(), CHUNK_B.to_owned(), finished, CHUNK_USAGE.to_owned(), DONE.to_owned()];
    type Script = Box<dyn Fn(Step) -> Vec<Step>>;
    let cases: [(&str, &str, bool, Script, Booked); 5] = [
        (
            MESSAGES,
            "c",
            true,
            Box::new(move |go_on| streamed(message_stream(), go_on)),
            settled(ALL_CLASSES, UsageSource::Upstream),
        ),
        (
            CHAT,
            "c",
            true,
            Box::new(move |go_on| streamed(message_stream(), go_on)),
            settled(ALL_CLASSES, UsageSource::Upstream),
        ),
        (MESSAGES, "m", true, Box::new(move |go_on| streamed(chat.clone(), go_on)), used()),
        (
            CHAT,
            "c",
            false,
            Box::new(move |go_on| vec![head(MESSAGE), go_on, Step::Write(MESSAGE.into())]),
            settled(ALL_CLASSES, UsageSource::Upstream),
        ),
        (
            EMBEDDINGS,
            "m",
            false,
            Box::new(move |go_on| vec![head(VECTORS), go_on, Step::Write(VECTORS.into())]),
            settled(Usage { input: 9, ..Usage::default() }, UsageSource::Upstream),
        ),
    ];
    for (path, model, stream, script, expect) in cases {
        let go_on = Arc::new(Notify::new());
        let house = House::open(script(Step::Wait(go_on.clone()))).await;
        let client = tokio::net::TcpStream::connect(house.address).await.expect("a connection");
        let body = request(path, model, stream);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {AGENT_KEY}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        client.writable().await.expect("room");
        assert_eq!(client.try_write(head.as_bytes()).expect("written"), head.len());
        house.billing.after(1).await;
        drop(client);
        go_on.notify_one();
        assert_eq!(house.billing.after(2).await[1], expect, "{path} {model}");
    }
}

#[tokio::test]
async fn counting_tokens_is_free_and_asked_of_the_provider_where_it_can() {
    let billing = FakeBilling { refuse: Some(Refusal::QuotaSpent), ..FakeBilling::default() };
    let house = House::with(answer(200, r#"{"input_tokens":14}"#), billing, Limits::default()).await;
    let response = house.ask(COUNT_TOKENS, AGENT_KEY, request(COUNT_TOKENS, "c", false)).await;
    assert!(!response.headers().contains_key("x-creel-usage"));
    assert_eq!(text(response).await, (200, r#"{"input_tokens":14}"#.to_owned()));
    assert!(house.upstream.last().head.starts_with("POST /v1/messages/count_tokens "));

    let asked = request(COUNT_TOKENS, "m", false);
    let response = house.ask(COUNT_TOKENS, AGENT_KEY, &*asked).await;
    assert_eq!(response.headers()["x-creel-usage"], "estimated");
    let counted = Sample::of_request(&Bytes::copy_from_slice(asked.as_bytes())).tokens("m");
    assert_eq!(text(response).await, (200, format!(r#"{{"input_tokens":{counted}}}"#)));
    assert_eq!(house.upstream.calls(), 1);
    assert!(house.billing.booked.borrow().is_empty());

    let down = House::open(answer(529, r#"{"type":"error","error":{"message":"Overloaded"}}"#)).await;
    let (status, body) =
        text(down.ask(COUNT_TOKENS, AGENT_KEY, request(COUNT_TOKENS, "c", false)).await).await;
    assert!(status == 529 && body.contains("overloaded_error"), "{body}");
    assert!(down.billing.booked.borrow().is_empty());
}

#[tokio::test]
async fn agents_are_told_of_refusals_in_their_dialect() {
    let billing = FakeBilling { refuse: Some(Refusal::QuotaSpent), ..FakeBilling::default() };
    let house = House::with(answer(200, "{}"), billing, Limits::default()).await;
    for (path, model, pointer, id) in [
        (MESSAGES, "c", "/content/0/text", "msg_call-"),
        (MESSAGES, "m", "/content/0/text", "msg_call-"),
        (RESPONSES, "r", "/output/0/content/0/text", "resp_call-"),
        (CHAT, "c", "/choices/0/message/content", "chatcmpl-call-"),
    ] {
        let response = house.ask(path, AGENT_KEY, request(path, model, false)).await;
        assert_eq!(response.headers()["x-creel-refusal"], "agent_quota_spent");
        let (status, body) = text(response).await;
        let told = json(&body);
        assert!(status == 200 && told["id"].as_str().expect("an id").starts_with(id), "{body}");
        assert!(told.pointer(pointer).and_then(Value::as_str).expect("a text").contains("quota"), "{body}");

        let response = house.ask(path, AGENT_KEY, request(path, model, true)).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(text(response).await.1.contains("quota"));
        let (status, body) = text(house.ask(path, PERSON_KEY, request(path, model, true)).await).await;
        assert_eq!((status, &json(&body)["error"]["code"]), (429, &"agent_quota_spent".into()));
    }
    // Vectors cannot hold a text.
    let (status, body) = text(house.ask(EMBEDDINGS, AGENT_KEY, request(EMBEDDINGS, "m", false)).await).await;
    assert!(status == 429 && body.contains("agent_quota_spent"), "{body}");
    assert_eq!(house.upstream.calls(), 0);
}

#[tokio::test]
async fn input_that_the_provider_keeps_is_bounded_by_the_context() {
    let house = House::open(answer(200, RESPONSE)).await;
    let body = r#"{"model":"r","input":"go on","previous_response_id":"resp_0","max_output_tokens":100}"#;
    assert_eq!(text(house.ask(RESPONSES, AGENT_KEY, body).await).await.0, 200);
    let bound = Usage { input: 200_000, output: 100, ..Usage::default() };
    let reserved = Booked::Reserved { bound, model: "r".into(), billed: true };
    assert_eq!(house.billing.after(2).await[0], reserved);
}

#[tokio::test]
async fn limits_are_lowered_to_what_remains_in_every_dialect() {
    for (path, model, member) in [
        (MESSAGES, "c", "max_tokens"),
        (RESPONSES, "r", "max_output_tokens"),
        (CHAT, "c", "max_tokens"),
        (MESSAGES, "m", "max_tokens"),
    ] {
        let billing = FakeBilling { remaining: Some(Micros(5)), ..FakeBilling::default() };
        let house = House::with(answer(500, ""), billing, Limits::default()).await;
        let body = request(path, model, false).replace(":100", ":8000");
        house.ask(path, AGENT_KEY, body).await;
        assert_eq!(json(&house.upstream.last().body)[member], 1_024, "{path} {model}");
    }
    // Vectors have no output that could be limited.
    let billing = FakeBilling { remaining: Some(Micros(5)), ..FakeBilling::default() };
    let house = House::with(answer(200, VECTORS), billing, Limits::default()).await;
    let body = request(EMBEDDINGS, "m", false);
    assert_eq!(text(house.ask(EMBEDDINGS, AGENT_KEY, &*body).await).await.0, 200);
    assert_eq!(house.upstream.last().body, body);
}

#[tokio::test]
async fn models_are_shown_in_both_shapes() {
    let house = House::open(Vec::new()).await;
    let get = async |path: &str, header: (&str, &str)| {
        let request = Request::get(path).header(header.0, header.1).header("anthropic-version", "2023-06-01");
        let mut request = request.body(Full::new(Bytes::new())).expect("a request");
        if header.0 == "authorization" {
            request.headers_mut().remove("anthropic-version");
        }
        let (status, body) = text(house.send(request).await).await;
        (status, json(&body))
    };
    let openai = ("authorization", &*format!("Bearer {AGENT_KEY}"));
    let anthropic = ("x-api-key", AGENT_KEY);
    let (status, list) = get("/v1/models", anthropic).await;
    assert_eq!(
        (status, &list["first_id"], &list["last_id"], &list["has_more"]),
        (200, &"m".into(), &"r".into(), &false.into())
    );
    let shown = serde_json::json!({
        "type": "model", "id": "c", "display_name": "C", "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active",
        "max_input_tokens": 200_000, "max_tokens": 8_192,
    });
    assert_eq!(list["data"][4], shown);
    assert_eq!(get("/v1/models/c", anthropic).await, (200, shown));
    let (status, one) = get("/v1/models/two%2Fboth", openai).await;
    assert_eq!((status, &one["id"], &one["owned_by"]), (200, &"two/both".into(), &"two".into()));
    assert_eq!(get("/v1/models/a/b", openai).await.1["id"], "a/b");
    for (path, header, status, code) in [
        ("/v1/models/gone", openai, 404, "model_not_found"),
        ("/v1/models/%ff", openai, 404, "model_not_found"),
        ("/v1/models/both", openai, 400, "model_ambiguous"),
        ("/v1/models/gone", anthropic, 404, "model_not_found"),
        ("/v1/models", ("x-api-key", "vk-unknown"), 401, "invalid_api_key"),
        ("/v1/models/m", ("authorization", "Bearer vk-unknown"), 401, "invalid_api_key"),
    ] {
        let (got, error) = get(path, header).await;
        assert_eq!((got, &error["error"]["code"]), (status, &code.into()), "{path}");
        assert_eq!(error["type"] == "error", header.0 == "x-api-key", "{error}");
    }
    let (status, list) = get("/v1/models", ("x-api-key", "vk-bare")).await;
    assert_eq!((status, &list["data"], &list["first_id"]), (200, &serde_json::json!([]), &Value::Null));
}

#[tokio::test]
async fn every_path_wants_a_key_and_says_so_in_its_dialect() {
    let house = House::open(answer(200, "{}")).await;
    for path in [CHAT, RESPONSES, EMBEDDINGS, MESSAGES, COUNT_TOKENS] {
        for (key, value) in
            [("authorization", "Bearer vk-unknown"), ("x-api-key", "vk-unknown"), ("x-none", "")]
        {
            let request = Request::post(path).header(key, value);
            let request = request.body(Full::new(Bytes::from(request_of(path)))).expect("a request");
            let (status, body) = text(house.send(request).await).await;
            let error = json(&body);
            assert_eq!((status, &error["error"]["code"]), (401, &"invalid_api_key".into()));
            assert_eq!(error["type"] == "error", path.starts_with(MESSAGES), "{body}");
        }
        let get = Request::get(path).body(Full::new(Bytes::new())).expect("a request");
        assert_eq!(text(house.send(get).await).await.0, 405, "{path}");
    }
    assert_eq!(house.upstream.calls(), 0);
    assert!(house.billing.booked.borrow().is_empty());
}

fn request_of(path: &str) -> String {
    request(path, "m", false)
}
