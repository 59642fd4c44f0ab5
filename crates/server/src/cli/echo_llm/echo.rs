//! What a request says, in any dialect, and what is answered to it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of text that one token stands for.
const TOKEN_BYTES: usize = 4;
/// OpenClaw sends what it knows itself as a user message behind the person's; it begins with this.
const OPENCLAW_CONTEXT: &str = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>";
/// OpenClaw writes this line below the person's words.
const OPENCLAW_RUNTIME: &str = "\n\nRuntime: agent=";

/// A request of any dialect.
#[derive(Debug, Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default)]
    system: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    instructions: Option<&'a RawValue>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    #[serde(default)]
    max_output_tokens: Option<usize>,
    #[serde(default)]
    pub(super) dimensions: Option<usize>,
    #[serde(default)]
    pub(super) encoding_format: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// Chat completions have the name one level deeper.
#[derive(Debug, Deserialize)]
struct Tool {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
}

impl Tool {
    fn name(&self) -> Option<&str> {
        self.name.as_deref().or(self.function.as_ref().map(|function| function.name.as_str()))
    }
}

/// A message, or an item of `input`.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    /// What a tool gave, in an item of `input`.
    #[serde(default)]
    output: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
    Other(serde::de::IgnoredAny),
}

/// A part of a message; one with `content` is what a tool gave.
#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    content: Option<Content>,
}

impl Content {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                let texts = parts.iter().filter_map(|part| match (&part.text, &part.content) {
                    (Some(text), _) => Some(text.clone()),
                    (None, content) => content.as_ref().map(Self::text),
                });
                texts.collect::<Vec<_>>().join("\n")
            }
            Self::Other(_) => String::new(),
        }
    }

    fn is_result(&self) -> bool {
        matches!(self, Self::Parts(parts) if parts.iter().any(|part| part.content.is_some()))
    }
}

/// Something that was said to the model.
struct Words {
    text: String,
    is_result: bool,
}

impl Message {
    fn words(&self) -> Option<Words> {
        let is_tool = self.role.as_deref() == Some("tool");
        let said = match (&self.output, &self.content) {
            (Some(output), _) => Words { text: output.text(), is_result: true },
            (None, Some(content)) if is_tool || self.role.as_deref() == Some("user") => {
                Words { text: content.text(), is_result: is_tool || content.is_result() }
            }
            _ => return None,
        };
        let text = if said.is_result { said.text } else { persons_words(&said.text) };
        (!text.is_empty()).then_some(Words { text, ..said })
    }
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Text(String),
    Call { name: String, arguments: String },
}

/// An answer and its usage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Echo<'a> {
    pub(super) model: &'a str,
    pub(super) said: Said,
    pub(super) is_cut: bool,
    pub(super) include_usage: bool,
    pub(super) input_tokens: usize,
    pub(super) output_tokens: usize,
}

pub(super) fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(TOKEN_BYTES).max(1)
}

impl<'a> Echo<'a> {
    /// `None` where there are no messages.
    pub(super) fn of(asked: &'a Asked<'_>) -> Option<Self> {
        let source = asked.messages.or(asked.input)?;
        let words = match serde_json::from_str::<Vec<Message>>(source.get()) {
            Ok(messages) => messages.iter().rev().find_map(Message::words),
            Err(_) => {
                let text: String =
                    serde_json::from_str(source.get()).ok().filter(|_| asked.input.is_some())?;
                Some(Words { text: persons_words(&text), is_result: false })
            }
        };
        let words = words.unwrap_or(Words { text: String::new(), is_result: false });
        let call = if words.is_result { None } else { asked.call(&words.text) };
        let mut text = words.text;
        let mut is_cut = false;
        if call.is_none() {
            is_cut = text.len() > asked.bytes_max();
            text.truncate(text.floor_char_boundary(asked.bytes_max()));
        }
        let input_bytes: usize = [Some(source), asked.system, asked.instructions]
            .iter()
            .flatten()
            .map(|raw| raw.get().len())
            .sum();
        let said = call.unwrap_or(Said::Text(text));
        let answer_bytes = match &said {
            Said::Text(text) => text.len(),
            Said::Call { arguments, .. } => arguments.len(),
        };
        Some(Self {
            model: &asked.model,
            said,
            is_cut,
            include_usage: asked.stream_options.as_ref().and_then(|o| o.include_usage).unwrap_or(false),
            input_tokens: tokens(input_bytes),
            output_tokens: tokens(answer_bytes),
        })
    }
}

impl Asked<'_> {
    /// Longest answer.
    fn bytes_max(&self) -> usize {
        let limits = [self.max_tokens, self.max_completion_tokens, self.max_output_tokens];
        let limit = limits.into_iter().flatten().min();
        limit.unwrap_or(usize::MAX).max(1).saturating_mul(TOKEN_BYTES)
    }

    /// `call NAME {…}` of a tool that is there.
    fn call(&self, words: &str) -> Option<Said> {
        let (name, arguments) = words.strip_prefix("call ")?.split_once(' ')?;
        let declared = self.tools.iter().flatten().any(|tool| tool.name() == Some(name));
        let arguments = arguments.trim();
        let is_object = serde_json::from_str::<serde_json::Map<_, _>>(arguments).is_ok();
        (declared && is_object).then(|| Said::Call { name: name.to_owned(), arguments: arguments.to_owned() })
    }
}

/// The words of the person in a message, without what OpenClaw adds: a context of its own (a message of its own,
/// or behind the words), the time before the words, and a line about its runtime below them.
fn persons_words(text: &str) -> String {
    let words = text.split(OPENCLAW_CONTEXT).next().unwrap_or_default();
    let words = words.split(OPENCLAW_RUNTIME).next().unwrap_or_default().trim();
    without_time(words).to_owned()
}

/// Takes off a leading `[Tue 2026-11-24 04:05 UTC] `.
fn without_time(words: &str) -> &str {
    const DAYS: [&str; 7] = ["Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "];
    const STAMP_BYTES_MAX: usize = 48;
    let stamped = words.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match stamped {
        Some((stamp, rest))
            if stamp.len() <= STAMP_BYTES_MAX
                && DAYS.iter().any(|day| stamp.starts_with(day))
                && stamp.contains(':') =>
        {
            rest.trim_start()
        }
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo_of(body: &str, check: impl FnOnce(&Echo<'_>)) {
        let asked: Asked<'_> = serde_json::from_str(body).expect("a request");
        check(&Echo::of(&asked).expect("messages"));
    }

    fn text(said: &Said) -> &str {
        match said {
            Said::Text(text) => text,
            Said::Call { .. } => panic!("a call"),
        }
    }

    #[test]
    fn the_last_words_of_the_person_are_echoed() {
        let stamped = r"[Tue 2026-11-24 04:05 UTC] Hello, \u4e2d\n\nRuntime: agent=main | host=vm";
        let context = r"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nnone\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>";
        for (messages, expect) in [
            (r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#.to_owned(), "a"),
            (r#"[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"[b] c"}]}]"#.into(), "[b] c"),
            (
                format!(
                    r#"[{{"role":"system","content":"s"}},{{"role":"user","content":"{stamped}"}},
                       {{"role":"user","content":[{{"type":"text","text":"{context}"}}]}}]"#
                ),
                "Hello, \u{4e2d}",
            ),
            (format!(r#"[{{"role":"user","content":"{stamped}\n{context}"}}]"#), "Hello, \u{4e2d}"),
            (r#"[{"role":"user"},{"role":"assistant","content":null}]"#.into(), ""),
        ] {
            echo_of(&format!(r#"{{"model":"m","messages":{messages}}}"#), |echo| {
                assert_eq!(text(&echo.said), expect);
            });
        }
        for (input, expect) in [
            (r#""a text""#, "a text"),
            (r#"[{"role":"user","content":"a"},{"type":"reasoning","summary":[]}]"#, "a"),
            (r#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"b"}]}]"#, "b"),
        ] {
            echo_of(&format!(r#"{{"model":"m","input":{input}}}"#), |echo| {
                assert_eq!(text(&echo.said), expect);
            });
        }
    }

    #[test]
    fn a_tool_is_called_when_told_and_its_result_is_echoed() {
        let called = || Said::Call { name: "f".into(), arguments: r#"{"a":1}"#.into() };
        let words = r#"{"role":"user","content":"call f {\"a\":1}"}"#;
        let chat = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
        let flat = r#""tools":[{"name":"f"}]"#;
        for (rest, expect) in [
            (format!(r#"{chat},"messages":[{words}]"#), called()),
            (format!(r#"{flat},"messages":[{words}]"#), called()),
            (format!(r#"{flat},"input":[{words}]"#), called()),
            (format!(r#""messages":[{words}]"#), Said::Text(r#"call f {"a":1}"#.into())),
            (
                format!(r#"{flat},"messages":[{{"role":"user","content":"call f now"}}]"#),
                Said::Text("call f now".into()),
            ),
            (
                format!(r#"{chat},"messages":[{words},{{"role":"tool","content":"ok"}}]"#),
                Said::Text("ok".into()),
            ),
            (
                format!(
                    r#"{flat},"messages":[{words},{{"role":"user","content":[{{"type":"tool_result","content":"ok"}}]}}]"#
                ),
                Said::Text("ok".into()),
            ),
            (
                format!(r#"{flat},"input":[{words},{{"type":"function_call_output","output":"ok"}}]"#),
                Said::Text("ok".into()),
            ),
        ] {
            echo_of(&format!(r#"{{"model":"m",{rest}}}"#), |echo| assert_eq!(echo.said, expect, "{rest}"));
        }
    }

    #[test]
    fn usage_follows_the_documented_rule() {
        let messages = r#"[{"role":"user","content":"12345"}]"#;
        echo_of(&format!(r#"{{"model":"m","system":"12","messages":{messages}}}"#), |echo| {
            assert_eq!((echo.input_tokens, echo.output_tokens), ((messages.len() + 4).div_ceil(4), 2));
        });
        echo_of(r#"{"model":"m","instructions":"12","input":"12345"}"#, |echo| {
            assert_eq!((echo.input_tokens, echo.output_tokens), ((7_usize + 4).div_ceil(4), 2));
        });
        for limit in ["max_tokens", "max_completion_tokens", "max_output_tokens"] {
            echo_of(&format!(r#"{{"model":"m","{limit}":1,"messages":{messages}}}"#), |echo| {
                assert_eq!((text(&echo.said), echo.is_cut, echo.output_tokens), ("1234", true, 1));
            });
        }
    }
}
