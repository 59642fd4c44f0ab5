use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(body: &[u8]) -> Result<Request, RequestError> {
    Request::read(Dialect::Chat, body)
}

fn keep(model: &str) -> Rewrite<'_> {
    Rewrite { model, output_tokens_max: None, output_field: OutputField::MaxTokens }
}

fn rewritten(body: &str, rewrite: &Rewrite<'_>) -> String {
    let request = read(body.as_bytes()).expect("a request");
    let sent = request.rewrite(body.as_bytes(), rewrite);
    sent.map_or(body.to_owned(), |sent| String::from_utf8(sent).expect("text"))
}

#[test]
fn members_are_read_wherever_they_stand() {
    let body = r#" {"messages":[{"role":"user","content":"a \"model\": {[ \\"}],"model":"m\u002d1",
        "stream" : true ,"stream_options":{"include_usage":true},"max_tokens":7,"max_completion_tokens":5,"n":2} "#;
    let request = read(body.as_bytes()).expect("a request");
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
        let request = read(body.as_bytes()).expect("a request");
        assert!(!request.stream() && !request.include_usage());
        assert_eq!((request.output_tokens_max(), request.answers()), (None, 1));
    }
}

#[test]
fn an_unchanged_request_keeps_every_byte() {
    let body = "{ \"x_new\" : [1e5,{\"\u{e9}\":null}],\n \"model\":\"m\", \"stream\":false }\n";
    let request = read(body.as_bytes()).expect("a request");
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
    let invalid = |member, wanted| RequestError::Invalid { member, wanted };
    let syntax = |at| RequestError::Json(ScanError::Syntax(at));
    for (body, expect) in [
        ("", RequestError::Json(ScanError::Truncated)),
        (r#"{"model":"m""#, RequestError::Json(ScanError::Truncated)),
        (r#"{"model":"m"#, RequestError::Json(ScanError::Truncated)),
        (r#"{"model":"m\"#, RequestError::Json(ScanError::Truncated)),
        ("[1]", syntax(0)),
        ("{}", RequestError::NoModel),
        (r#"{"model":"m"} x"#, syntax(14)),
        (r#"{"model":"m",}"#, syntax(13)),
        (r#"{"a":[1}],"model":"m"}"#, syntax(7)),
        (r#"{"a":[1/*"*/],"model":"m"}"#, syntax(7)),
        (r#"{"model":"m","mod\u0065l":"n"}"#, RequestError::Duplicate("model")),
        (r#"{"n":1,"model":"m","n":9}"#, RequestError::Duplicate("n")),
        (r#"{"model":7}"#, invalid("model", "a text of 1 to 256 bytes")),
        (r#"{"model":""}"#, invalid("model", "a text of 1 to 256 bytes")),
        (r#"{"model":"m","stream":"yes"}"#, invalid("stream", "true or false")),
        (r#"{"model":"m","n":0}"#, invalid("n", "a whole number from 1 to 128")),
        (r#"{"model":"m","max_tokens":-1}"#, invalid("max_tokens", "a whole number of tokens")),
        (r#"{"model":"m","stream_options":[]}"#, invalid("stream_options", "an object")),
    ] {
        assert_eq!(read(body.as_bytes()).err(), Some(expect), "{body}");
    }
    assert_eq!(read(b"{\"model\":\"\xff\"}").err(), Some(RequestError::NotUtf8));
}

#[test]
fn nesting_is_limited() {
    let nested =
        |levels: usize| format!(r#"{{"model":"m","a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(read(nested(127).as_bytes()).is_ok());
    let too_deep = RequestError::Json(ScanError::TooDeep);
    assert_eq!(read(nested(128).as_bytes()).err(), Some(too_deep.clone()));
    assert_eq!(read(nested(100_000).as_bytes()).err(), Some(too_deep));
}

#[test]
fn every_dialect_reads_its_own_members() {
    let body = br#"{"model":"m","stream":true,"max_tokens":7,"max_output_tokens":8,"n":3,"previous_response_id":"r"}"#;
    for (dialect, stream, max, answers, whole, wanted) in [
        (Dialect::Chat, true, Some(7), 3, true, 5),
        (Dialect::Responses, true, Some(8), 1, false, 5),
        (Dialect::Embeddings, false, None, 1, true, 0),
        (Dialect::Messages, true, Some(7), 1, true, 5),
        (Dialect::CountTokens, false, None, 1, true, 0),
    ] {
        let request = Request::read(dialect, body).expect("a request");
        let read =
            (request.stream(), request.output_tokens_max(), request.answers(), request.input_is_whole());
        assert_eq!(read, (stream, max, answers, whole), "{dialect:?}");
        assert_eq!(request.output_tokens_wanted(Some(5), 9), wanted, "{dialect:?}");
        assert_eq!(request.model(), "m");
    }
    let request = Request::read(Dialect::Responses, br#"{"model":"m","previous_response_id":null}"#);
    assert!(request.expect("a request").input_is_whole());
}

#[test]
fn every_dialect_has_its_own_limit() {
    let clamp = Rewrite { output_tokens_max: Some(2_000), ..keep("up") };
    let low = Rewrite { output_tokens_max: Some(1_024), ..keep("up") };
    for (dialect, body, rewrite, expect) in [
        (
            Dialect::Responses,
            r#"{"x":1.0,"model":"m","stream":true}"#,
            clamp,
            r#"{"x":1.0,"model":"up","stream":true,"max_output_tokens":2000}"#,
        ),
        (
            Dialect::Responses,
            r#"{"max_output_tokens":9000,"model":"m"}"#,
            clamp,
            r#"{"max_output_tokens":2000,"model":"up"}"#,
        ),
        (Dialect::Embeddings, r#"{"model":"m","input":"a"}"#, clamp, r#"{"model":"up","input":"a"}"#),
        (Dialect::CountTokens, r#"{"model":"m"}"#, clamp, r#"{"model":"up"}"#),
        (
            Dialect::Messages,
            r#"{"model":"m","max_tokens":9000,"stream":true}"#,
            clamp,
            r#"{"model":"up","max_tokens":2000,"stream":true}"#,
        ),
        (
            Dialect::Messages,
            r#"{"thinking":{"type":"enabled","budget_tokens":4000,"display":"omitted"},"model":"m","max_tokens":9000}"#,
            clamp,
            r#"{"thinking":{"type":"enabled","budget_tokens":1999,"display":"omitted"},"model":"up","max_tokens":2000}"#,
        ),
        (
            Dialect::Messages,
            r#"{"thinking":{"type":"enabled","budget_tokens":4000},"model":"m","max_tokens":9000}"#,
            low,
            r#"{"thinking":{"type":"disabled"},"model":"up","max_tokens":1024}"#,
        ),
        (
            Dialect::Messages,
            r#"{"thinking":{"type":"adaptive"},"model":"m","max_tokens":9000}"#,
            low,
            r#"{"thinking":{"type":"adaptive"},"model":"up","max_tokens":1024}"#,
        ),
    ] {
        let request = Request::read(dialect, body.as_bytes()).expect("a request");
        let sent = request.for_upstream(body.as_bytes(), dialect, &rewrite).expect("the same dialect");
        let sent = sent.body.map(|sent| String::from_utf8(sent).expect("text"));
        assert_eq!(sent.as_deref(), Some(expect), "{body}");
    }
}

#[test]
fn what_runs_in_the_background_is_refused() {
    let body = br#"{"model":"m","background":true}"#;
    let error = Request::read(Dialect::Responses, body).expect_err("refused");
    assert_eq!(error.param(), Some("background"));
}

#[test]
fn dialects_without_a_conversion_are_refused() {
    let request = Request::read(Dialect::Responses, br#"{"model":"m"}"#).expect("a request");
    let error = request.for_upstream(br#"{"model":"m"}"#, Dialect::Messages, &keep("m"));
    assert_eq!(error, Err(ConvertError::Never { from: Dialect::Responses, to: Dialect::Messages }));
}

#[test]
fn every_error_names_its_member() {
    assert_eq!(RequestError::NoModel.param(), Some("model"));
    assert_eq!(RequestError::Duplicate("n").param(), Some("n"));
    assert_eq!(RequestError::NotUtf8.param(), None);
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
        let request = read(body.as_bytes()).expect("a request");
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
        let _ = read(&body);
    }

    #[test]
    fn reading_never_panics_on_nearly_json(body in "[\\[\\]{}\",:\\\\ model0-9tn]{0,80}") {
        let _ = read(body.as_bytes());
    }
}
