use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn keep(model: &str) -> Rewrite<'_> {
    Rewrite { model, output_tokens_max: None, output_field: OutputField::MaxTokens }
}

fn rewritten(body: &str, rewrite: &Rewrite<'_>) -> String {
    let request = ChatRequest::read(body.as_bytes()).expect("a request");
    let sent = request.rewrite(body.as_bytes(), rewrite);
    sent.map_or(body.to_owned(), |sent| String::from_utf8(sent).expect("text"))
}

#[test]
fn members_are_read_wherever_they_stand() {
    let body = r#" {"messages":[{"role":"user","content":"a \"model\": {[ \\"}],"model":"m\u002d1",
        "stream" : true ,"stream_options":{"include_usage":true},"max_tokens":7,"max_completion_tokens":5,"n":2} "#;
    let request = ChatRequest::read(body.as_bytes()).expect("a request");
    assert_eq!(request.model(), "m-1");
    assert!(request.stream() && request.include_usage());
    assert_eq!((request.output_tokens_max(), request.answers()), (Some(5), 2));
}

#[test]
fn absent_and_null_members_take_their_defaults() {
    for body in [
        r#"{"model":"m"}"#,
        r#"{"model":"m","stream":null,"n":null,"max_tokens":null,"stream_options":null}"#,
    ] {
        let request = ChatRequest::read(body.as_bytes()).expect("a request");
        assert!(!request.stream() && !request.include_usage());
        assert_eq!((request.output_tokens_max(), request.answers()), (None, 1));
    }
}

#[test]
fn an_unchanged_request_keeps_every_byte() {
    let body = "{ \"x_new\" : [1e5,{\"\u{e9}\":null}],\n \"model\":\"m\", \"stream\":false }\n";
    let request = ChatRequest::read(body.as_bytes()).expect("a request");
    assert_eq!(request.rewrite(body.as_bytes(), &keep("m")), None);
}

#[test]
fn only_what_must_change_changes() {
    let clamp = |max| Rewrite { output_tokens_max: Some(max), ..keep("up") };
    let modern = |max| Rewrite { output_field: OutputField::MaxCompletionTokens, ..clamp(max) };
    for (body, rewrite, expect) in [
        (r#"{"a":1, "model":"p/m" ,"b":2}"#, keep("m"), r#"{"a":1, "model":"m" ,"b":2}"#),
        (
            r#"{"model":"m","stream":true}"#,
            keep("m"),
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options":{"x":1,"include_usage":false},"stream":true,"model":"m"}"#,
            keep("m"),
            r#"{"stream_options":{"x":1,"include_usage":true},"stream":true,"model":"m"}"#,
        ),
        (r#"{"max_tokens":9,"model":"m"}"#, clamp(4), r#"{"max_tokens":4,"model":"up"}"#),
        (r#"{"max_tokens":3,"model":"up"}"#, clamp(4), r#"{"max_tokens":3,"model":"up"}"#),
        (r#"{"model":"up"}"#, clamp(4), r#"{"model":"up","max_tokens":4}"#),
        (r#"{"model":"up"}"#, modern(4), r#"{"model":"up","max_completion_tokens":4}"#),
        (r#"{"max_tokens":null,"model":"up"}"#, clamp(4), r#"{"max_tokens":4,"model":"up"}"#),
        (
            r#"{"max_completion_tokens":9,"model":"up","max_tokens":8}"#,
            clamp(4),
            r#"{"max_completion_tokens":4,"model":"up","max_tokens":4}"#,
        ),
    ] {
        assert_eq!(rewritten(body, &rewrite), expect, "{body}");
    }
}

#[test]
fn what_is_not_a_request_is_refused() {
    let invalid = |member, wanted| ChatRequestError::Invalid { member, wanted };
    let syntax = |at| ChatRequestError::Json(ScanError::Syntax(at));
    for (body, expect) in [
        ("", ChatRequestError::Json(ScanError::Truncated)),
        (r#"{"model":"m""#, ChatRequestError::Json(ScanError::Truncated)),
        (r#"{"model":"m"#, ChatRequestError::Json(ScanError::Truncated)),
        (r#"{"model":"m\"#, ChatRequestError::Json(ScanError::Truncated)),
        ("[1]", syntax(0)),
        ("{}", ChatRequestError::NoModel),
        (r#"{"model":"m"} x"#, syntax(14)),
        (r#"{"model":"m",}"#, syntax(13)),
        (r#"{"a":[1}],"model":"m"}"#, syntax(7)),
        (r#"{"a":[1/*"*/],"model":"m"}"#, syntax(7)),
        (r#"{"model":"m","mod\u0065l":"n"}"#, ChatRequestError::Duplicate("model")),
        (r#"{"n":1,"model":"m","n":9}"#, ChatRequestError::Duplicate("n")),
        (r#"{"model":7}"#, invalid("model", "a text of 1 to 256 bytes")),
        (r#"{"model":""}"#, invalid("model", "a text of 1 to 256 bytes")),
        (r#"{"model":"m","stream":"yes"}"#, invalid("stream", "true or false")),
        (r#"{"model":"m","n":0}"#, invalid("n", "a whole number from 1 to 128")),
        (r#"{"model":"m","max_tokens":-1}"#, invalid("max_tokens", "a whole number of tokens")),
        (r#"{"model":"m","stream_options":[]}"#, invalid("stream_options", "an object")),
    ] {
        assert_eq!(ChatRequest::read(body.as_bytes()).err(), Some(expect), "{body}");
    }
    assert_eq!(ChatRequest::read(b"{\"model\":\"\xff\"}").err(), Some(ChatRequestError::NotUtf8));
}

#[test]
fn nesting_is_limited() {
    let nested =
        |levels: usize| format!(r#"{{"model":"m","a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(ChatRequest::read(nested(127).as_bytes()).is_ok());
    let too_deep = ChatRequestError::Json(ScanError::TooDeep);
    assert_eq!(ChatRequest::read(nested(128).as_bytes()).err(), Some(too_deep.clone()));
    assert_eq!(ChatRequest::read(nested(100_000).as_bytes()).err(), Some(too_deep));
}

#[test]
fn every_error_names_its_member() {
    assert_eq!(ChatRequestError::NoModel.param(), Some("model"));
    assert_eq!(ChatRequestError::Duplicate("n").param(), Some("n"));
    assert_eq!(ChatRequestError::NotUtf8.param(), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reading_agrees_with_a_full_parser(extra in any_json(), model in ".{1,20}", stream: bool, limit: Option<u32>) {
        let value = json!({"extra": extra, "model": model, "stream": stream, "max_tokens": limit});
        let body = value.to_string();
        let request = ChatRequest::read(body.as_bytes()).expect("a request");
        prop_assert_eq!(request.model(), &model);
        let rewrite = Rewrite { model: "z", output_tokens_max: Some(50), output_field: OutputField::MaxTokens };
        let sent: Value = serde_json::from_str(&rewritten(&body, &rewrite)).expect("json");
        prop_assert_eq!(&sent["extra"], &extra);
        prop_assert_eq!(&sent["model"], "z");
        prop_assert_eq!(sent["max_tokens"].as_u64(), Some(limit.map_or(50, |l| u64::from(l).min(50))));
        prop_assert_eq!(sent["stream_options"]["include_usage"].as_bool(), stream.then_some(true));
    }

    #[test]
    fn reading_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ChatRequest::read(&body);
    }

    #[test]
    fn reading_never_panics_on_nearly_json(body in "[\\[\\]{}\",:\\\\ model0-9tn]{0,80}") {
        let _ = ChatRequest::read(body.as_bytes());
    }
}
