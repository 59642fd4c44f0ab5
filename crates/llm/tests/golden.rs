//! Every input of `tests/golden` on every way that there is for it, against the files beside it. After a wanted
//! change, `CREEL_UPDATE_GOLDEN=1 cargo test -p creel-llm --test golden` writes the outputs anew; read the difference.

#![expect(clippy::expect_used, reason = "a test may panic, helpers of tests too")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use creel_llm::answer::Answer;
use creel_llm::convert::Naming;
use creel_llm::dialect::Dialect;
use creel_llm::request::{OutputField, Request, Rewrite};
use creel_llm::sse;
use creel_llm::usage::Usage;
use proptest::prelude::*;

const NAMES: &[(&str, Dialect)] = &[
    ("chat", Dialect::Chat),
    ("responses", Dialect::Responses),
    ("embeddings", Dialect::Embeddings),
    ("messages", Dialect::Messages),
    ("count_tokens", Dialect::CountTokens),
];

fn name(dialect: Dialect) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == dialect).expect("a name").0
}

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder)
}

/// The inputs of a folder, `<case>.<dialect>.<ending>`, in order.
fn inputs(folder: &str, ending: &str) -> Vec<(String, Dialect, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(golden(folder)).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        let [case, dialect, last] = file.split('.').collect::<Vec<_>>()[..] else { continue };
        if last == ending {
            let dialect = NAMES.iter().find(|(known, _)| *known == dialect).expect("a dialect").1;
            found.push((case.to_owned(), dialect, std::fs::read(&path).expect("readable")));
        }
    }
    assert!(!found.is_empty());
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn compare(folder: &str, case: &str, from: Dialect, to: Dialect, ending: &str, actual: &str) {
    let file = golden(folder).join(format!("{case}.{}.to.{}.{ending}", name(from), name(to)));
    if std::env::var_os("CREEL_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, actual).expect("writable");
    }
    let expect = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(actual, expect, "{}", file.display());
}

fn pairs(from: Dialect) -> impl Iterator<Item = Dialect> {
    Dialect::ALL.into_iter().filter(move |to| from.converts_to(*to))
}

#[test]
fn requests() {
    for (case, client, body) in inputs("requests", "json") {
        let request = Request::read(client, &body).expect("a request");
        let rewrite = Rewrite {
            model: "model-1",
            output_tokens_max: Some(16_000),
            output_field: OutputField::MaxTokens,
        };
        for upstream in pairs(client) {
            let sent = match request.for_upstream(&body, upstream, &rewrite) {
                Ok(sent) => sent,
                Err(refused) => {
                    compare("requests", &case, client, upstream, "out", &format!("refused: {refused}\n"));
                    continue;
                }
            };
            let body = sent.body.expect("the model has another name");
            let mut text = String::from_utf8(body).expect("text");
            if client != upstream {
                let value: serde_json::Value = serde_json::from_str(&text).expect("json");
                text = serde_json::to_string_pretty(&value).expect("json");
                let read = Request::read(upstream, text.as_bytes()).expect("a request there");
                assert_eq!((read.model(), read.stream()), ("model-1", request.stream()));
                assert!(read.output_tokens_max() <= Some(16_000));
                write!(text, "\nleft out: {}\n", sent.left_out.join(", ")).expect("text");
            }
            compare("requests", &case, client, upstream, "out", &text);
        }
    }
}

fn asked(client: Dialect, stream: bool, include_usage: bool) -> Request {
    let body =
        format!(r#"{{"model":"m","stream":{stream},"stream_options":{{"include_usage":{include_usage}}}}}"#);
    Request::read(client, body.as_bytes()).expect("a request")
}

fn naming() -> Naming {
    Naming { id: "call-1".into(), created_s: 1_800_000_000, model: "m".into() }
}

struct Told {
    now: Vec<u8>,
    waiting: Vec<u8>,
    usage: Option<Usage>,
}

fn tell(mut answer: Answer, parts: &[&[u8]]) -> Told {
    let mut now = Vec::new();
    for part in parts {
        let passed = answer.push(Bytes::copy_from_slice(part)).expect("an answer");
        now.extend(passed.now.unwrap_or_default());
    }
    answer.end().expect("an answer");
    let waiting = answer.waiting().unwrap_or_default().to_vec();
    Told { now, waiting, usage: answer.usage() }
}

fn usage_line(usage: Option<Usage>) -> String {
    let told = usage.map(|u| {
        format!(
            "input {}, cached input {}, cache write {}, output {}, reasoning {}",
            u.input, u.cached_input, u.cache_write, u.output, u.reasoning
        )
    });
    format!("usage: {}\n", told.unwrap_or_else(|| "none".into()))
}

#[test]
fn answers() {
    for (case, upstream, body) in inputs("answers", "json") {
        for client in pairs(upstream) {
            let told = tell(Answer::new(&asked(client, false, false), upstream, false, naming), &[&body]);
            assert!(told.now.is_empty(), "the only piece is the last one");
            let mut text = String::from_utf8(told.waiting).expect("text");
            if client == upstream {
                assert_eq!(text.as_bytes(), body);
            } else {
                let value: serde_json::Value = serde_json::from_str(&text).expect("json");
                text = serde_json::to_string_pretty(&value).expect("json") + "\n";
            }
            compare("answers", &case, upstream, client, "out", &(text + &usage_line(told.usage)));
        }
    }
}

#[test]
fn streams() {
    for (case, upstream, body) in inputs("streams", "sse") {
        for client in pairs(upstream) {
            let told = tell(Answer::new(&asked(client, true, true), upstream, true, naming), &[&body]);
            let (now, waiting) = (String::from_utf8(told.now), String::from_utf8(told.waiting));
            let (now, waiting) = (now.expect("text"), waiting.expect("text"));
            if client == upstream {
                assert_eq!((now.clone() + &waiting).as_bytes(), body, "nothing is lost");
            }
            let text = format!("{now}--- waits\n{waiting}--- {}", usage_line(told.usage));
            compare("streams", &case, upstream, client, "out", &text);
        }
    }
}

/// A stream that has told its end says so in its last event, and only then.
fn ends(dialect: Dialect, stream: &[u8]) -> bool {
    let mut last = false;
    sse::Splitter::new()
        .push(stream, |event| {
            let data = event.data.unwrap_or_default();
            last = match dialect {
                Dialect::Chat => &*data == b"[DONE]",
                Dialect::Responses => [
                    r#"{"type":"response.completed"#,
                    r#"{"type":"response.incomplete"#,
                    r#"{"type":"response.failed"#,
                ]
                .iter()
                .any(|end| data.starts_with(end.as_bytes())),
                _ => &*data == br#"{"type":"message_stop"}"#,
            };
        })
        .expect("short events");
    last
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_split_of_a_stream_gives_the_same(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        for (case, upstream, body) in inputs("streams", "sse") {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let parts: Vec<&[u8]> = at.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            for (client, include_usage) in pairs(upstream).flat_map(|client| [(client, true), (client, false)]) {
                let answer = || Answer::new(&asked(client, true, include_usage), upstream, true, naming);
                let (once, cut) = (tell(answer(), &[&body]), tell(answer(), &parts));
                prop_assert_eq!(cut.usage, once.usage, "{}", &case);
                prop_assert!(!ends(client, &cut.now), "the end of {} waits", &case);
                let all = |told: Told| String::from_utf8([told.now, told.waiting].concat()).expect("text");
                prop_assert_eq!(all(cut), all(once), "{}", &case);
            }
        }
    }

    #[test]
    fn any_split_of_an_answer_gives_the_same(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10)) {
        for (case, upstream, body) in inputs("answers", "json") {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let parts: Vec<&[u8]> = at.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            for client in pairs(upstream) {
                let answer = || Answer::new(&asked(client, false, false), upstream, false, naming);
                let (once, cut) = (tell(answer(), &[&body]), tell(answer(), &parts));
                prop_assert_eq!(cut.usage, once.usage, "{}", &case);
                prop_assert_eq!([cut.now, cut.waiting].concat(), [once.now, once.waiting].concat(), "{}", &case);
            }
        }
    }
}

/// There and back: what both dialects can say comes back as it was, so the other golden files are not just plausible.
#[test]
fn a_request_survives_both_conversions() {
    let body = std::fs::read(golden("requests/agent.messages.json")).expect("readable");
    let rewrite = Rewrite { model: "m", output_tokens_max: None, output_field: OutputField::MaxTokens };
    let there = |from: Dialect, to: Dialect, body: &[u8]| {
        let request = Request::read(from, body).expect("a request");
        request.for_upstream(body, to, &rewrite).expect("convertible").body.expect("converted")
    };
    let chat = there(Dialect::Messages, Dialect::Chat, &body);
    let messages = there(Dialect::Chat, Dialect::Messages, &chat);
    let again = there(Dialect::Messages, Dialect::Chat, &messages);
    let value = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).expect("json");
    let (mut once, twice) = (value(&chat), value(&again));
    // Two things change on the first way only: a failed call is told in words, and effort is not a budget.
    once["messages"][4]["content"] = twice["messages"][4]["content"].clone();
    assert_eq!(once, twice);
}
