//! What one event of a stream says about usage and end, in each dialect, without building a tree.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::scan::{Scanner, members};
use crate::usage::{self, Counts};

/// What the gateway needs to know of an event.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Counts that are reported, all there are so far.
    pub(crate) counts: Option<Counts>,
    /// They include the output.
    pub(crate) counts_output: bool,
    /// A client that did not ask for usage must not see this event.
    pub(crate) hidden: bool,
    /// Nothing but the end of the connection follows.
    pub(crate) last: bool,
    /// Its texts were written by the model, and no other event repeats them.
    pub(crate) has_text: bool,
}

/// The last events of a response; each holds the response with its usage, but `error`.
const RESPONSE_ENDS: &[&str] =
    &["response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"];

/// Reads the data of an event.
pub(crate) fn read(dialect: Dialect, data: &[u8]) -> Said {
    match dialect {
        Dialect::Messages | Dialect::CountTokens => read_message(&type_of(data), data),
        Dialect::Responses => read_response(&type_of(data), data),
        Dialect::Chat | Dialect::Embeddings => {
            if data == b"[DONE]" {
                return Said { last: true, ..Said::default() };
            }
            let found = usage::counts_of_chunk(data);
            Said {
                counts: found.map(|(counts, _)| counts),
                counts_output: found.is_some(),
                hidden: found.is_some_and(|(_, alone)| alone),
                last: false,
                has_text: true,
            }
        }
    }
}

fn read_message(kind: &str, data: &[u8]) -> Said {
    let within = match kind {
        "content_block_delta" => return Said { has_text: true, ..Said::default() },
        "message_stop" | "error" => return Said { last: true, ..Said::default() },
        "message_start" => "message",
        "message_delta" => "",
        _ => return Said::default(),
    };
    let counts = usage::counts_within(Dialect::Messages, data, within);
    Said { counts, counts_output: counts.is_some() && within.is_empty(), ..Said::default() }
}

fn read_response(kind: &str, data: &[u8]) -> Said {
    if !RESPONSE_ENDS.contains(&kind) {
        return Said { has_text: kind.ends_with(".delta"), ..Said::default() };
    }
    let counts = usage::counts_within(Dialect::Responses, data, "response");
    Said { counts, counts_output: counts.is_some(), last: true, ..Said::default() }
}

/// The `type` of an event's object; empty where it has none. Nearly always it stands first.
pub(crate) fn type_of(data: &[u8]) -> Cow<'_, str> {
    let text = |bytes| String::from_utf8_lossy(bytes);
    if let Some(rest) = data.strip_prefix(br#"{"type":""#)
        && let Some(end) = memchr::memchr2(b'"', b'\\', rest)
        && rest.get(end) == Some(&b'"')
    {
        return text(rest.get(..end).unwrap_or_default());
    }
    let mut found = Cow::Borrowed("");
    let mut scanner = Scanner::new(data);
    let _end = members(&mut scanner, |scanner, member| {
        if scanner.slice(&member.name) == br#""type""# {
            let value: Option<String> = serde_json::from_slice(scanner.slice(&member.value)).ok();
            found = Cow::Owned(value.unwrap_or_default());
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_found_wherever_it_stands() {
        for (data, expect) in [
            (r#"{"type":"message_stop"}"#, "message_stop"),
            (r#"{"a":{"type":"x"}, "type" : "y"}"#, "y"),
            (r#"{"type":"a\u0062"}"#, "ab"),
            (r#"{"type":7}"#, ""),
            (r#"{"type":"#, ""),
            ("[DONE]", ""),
        ] {
            assert_eq!(type_of(data.as_bytes()), expect, "{data}");
        }
    }

    #[test]
    fn ends_and_counts_are_told() {
        let used = r#""usage":{"input_tokens":3,"output_tokens":2}"#;
        for (dialect, data, output, last, text) in [
            (Dialect::Chat, "[DONE]".to_owned(), None, true, false),
            (Dialect::Chat, r#"{"choices":[]}"#.into(), None, false, true),
            (
                Dialect::Messages,
                format!(r#"{{"type":"message_start","message":{{{used}}}}}"#),
                Some((2, false)),
                false,
                false,
            ),
            (
                Dialect::Messages,
                format!(r#"{{"type":"message_delta","delta":{{}},{used}}}"#),
                Some((2, true)),
                false,
                false,
            ),
            (Dialect::Messages, r#"{"type":"content_block_delta"}"#.into(), None, false, true),
            (Dialect::Messages, r#"{"type":"message_stop"}"#.into(), None, true, false),
            (Dialect::Messages, r#"{"type":"error"}"#.into(), None, true, false),
            (Dialect::Messages, r#"{"type":"ping"}"#.into(), None, false, false),
            (Dialect::Responses, r#"{"type":"response.output_text.delta"}"#.into(), None, false, true),
            (Dialect::Responses, r#"{"type":"response.output_text.done"}"#.into(), None, false, false),
            (
                Dialect::Responses,
                format!(r#"{{"type":"response.created","response":{{{used}}}}}"#),
                None,
                false,
                false,
            ),
            (
                Dialect::Responses,
                format!(r#"{{"type":"response.completed","response":{{{used}}}}}"#),
                Some((2, true)),
                true,
                false,
            ),
            (
                Dialect::Responses,
                format!(r#"{{"type":"response.incomplete","response":{{{used}}}}}"#),
                Some((2, true)),
                true,
                false,
            ),
            (
                Dialect::Responses,
                r#"{"type":"response.failed","response":{"usage":null}}"#.into(),
                None,
                true,
                false,
            ),
            (Dialect::Responses, r#"{"type":"error","message":"x"}"#.into(), None, true, false),
        ] {
            let said = read(dialect, data.as_bytes());
            let counted = said.counts.map(|counts| (counts.usage(dialect).output, said.counts_output));
            assert_eq!((counted, said.last, said.has_text), (output, last, text), "{dialect:?} {data}");
        }
    }
}
