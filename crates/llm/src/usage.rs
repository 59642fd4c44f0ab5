//! What a call used, in classes that do not overlap.
//!
//! Upstreams report overlapping numbers, each in a way of its own, which the tables here tell; they are taken apart
//! once, so that a price can be put on each class and nothing is counted twice.

use std::sync::LazyLock;

pub use creel_wire::price::Usage;
use memchr::memmem::Finder;

use crate::dialect::Dialect;
use crate::scan::{Scanner, members};
use crate::tokens::Sample;

/// What a member of a `usage` object counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// All input, caches included; only what no cache had in [`Shape::cache_beside_input`].
    Input,
    /// All output, reasoning included, unless `Total` says otherwise.
    Output,
    Total,
    /// Read from a cache.
    Cached,
    /// Written to a cache.
    Written,
    Reasoning,
}

/// Where the upstreams of a dialect write their counts: the member, or member of a member, and what it counts. The
/// first one of each count that is there is believed.
struct Shape {
    counts: &'static [(&'static str, &'static str, Count)],
    /// Cached and written input is told beside the input, not as a part of it.
    cache_beside_input: bool,
}

/// OpenAI's chat completions and embeddings, and what speaks like them.
const CHAT: Shape = Shape {
    counts: &[
        ("", "prompt_tokens", Count::Input),
        ("", "completion_tokens", Count::Output),
        ("", "total_tokens", Count::Total),
        ("prompt_tokens_details", "cached_tokens", Count::Cached),
        // Moonshot
        ("", "cached_tokens", Count::Cached),
        // DeepSeek
        ("", "prompt_cache_hit_tokens", Count::Cached),
        ("prompt_tokens_details", "cache_write_tokens", Count::Written),
        // DashScope, where a cache was asked for explicitly
        ("prompt_tokens_details", "cache_creation_input_tokens", Count::Written),
        ("completion_tokens_details", "reasoning_tokens", Count::Reasoning),
    ],
    cache_beside_input: false,
};

const RESPONSES: Shape = Shape {
    counts: &[
        ("", "input_tokens", Count::Input),
        ("", "output_tokens", Count::Output),
        ("", "total_tokens", Count::Total),
        ("input_tokens_details", "cached_tokens", Count::Cached),
        ("input_tokens_details", "cache_write_tokens", Count::Written),
        ("output_tokens_details", "reasoning_tokens", Count::Reasoning),
    ],
    cache_beside_input: false,
};

const MESSAGES: Shape = Shape {
    counts: &[
        ("", "input_tokens", Count::Input),
        ("", "output_tokens", Count::Output),
        ("", "cache_read_input_tokens", Count::Cached),
        ("", "cache_creation_input_tokens", Count::Written),
        ("output_tokens_details", "thinking_tokens", Count::Reasoning),
    ],
    cache_beside_input: true,
};

impl Dialect {
    fn usage_shape(self) -> &'static Shape {
        match self {
            Self::Chat | Self::Embeddings => &CHAT,
            Self::Responses => &RESPONSES,
            Self::Messages | Self::CountTokens => &MESSAGES,
        }
    }
}

/// The counts of one `usage` object or, in a stream of messages, of several: each with its rank in the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts([Option<(usize, u64)>; 6]);

impl Counts {
    /// Reads the text of a `usage` member. `None` where it tells nothing: `null`, without any count, or not
    /// understood.
    pub(crate) fn read(dialect: Dialect, usage: &[u8]) -> Option<Self> {
        let shape = dialect.usage_shape();
        let mut counts = Self::default();
        let mut understood = true;
        let mut scanner = Scanner::new(usage);
        members(&mut scanner, |scanner, member| {
            let (name, value) = (bare(scanner.slice(&member.name)), scanner.slice(&member.value));
            if value.first() != Some(&b'{') {
                understood &= counts.take(shape, b"", name, value);
                return;
            }
            let mut within = Scanner::new(value);
            let end = members(&mut within, |within, inner| {
                let (inner, value) = (bare(within.slice(&inner.name)), within.slice(&inner.value));
                understood &= counts.take(shape, name, inner, value);
            });
            understood &= end.is_ok();
        })
        .ok()?;
        let told = [Count::Input, Count::Output, Count::Total].iter().any(|count| counts.has(*count));
        (understood && told).then_some(counts)
    }

    /// Keeps a count of the table; false where its value is none.
    fn take(&mut self, shape: &Shape, group: &[u8], name: &[u8], value: &[u8]) -> bool {
        let known = shape.counts.iter().enumerate().find(|(_, (known_group, known_name, _))| {
            known_name.as_bytes() == name && known_group.as_bytes() == group
        });
        let Some((rank, (_, _, count))) = known else { return true };
        if value == b"null" {
            return true;
        }
        let Ok(tokens) = serde_json::from_slice::<u64>(value) else { return false };
        if let Some(slot) = self.0.get_mut(*count as usize)
            && slot.is_none_or(|(best, _)| rank < best)
        {
            *slot = Some((rank, tokens));
        }
        true
    }

    fn get(&self, count: Count) -> Option<u64> {
        self.0.get(count as usize).copied().flatten().map(|(_, tokens)| tokens)
    }

    fn has(&self, count: Count) -> bool {
        self.get(count).is_some()
    }

    /// These counts, and those of a later report where it has them.
    pub(crate) fn then(self, later: Self) -> Self {
        let mut merged = self;
        for (slot, new) in merged.0.iter_mut().zip(later.0) {
            *slot = new.or(*slot);
        }
        merged
    }

    /// Takes the counts apart into classes that do not overlap.
    pub(crate) fn usage(&self, dialect: Dialect) -> Usage {
        let get = |count| self.get(count).unwrap_or(0);
        let (mut cached, mut written) = (get(Count::Cached), get(Count::Written));
        let mut input = get(Count::Input);
        if !self.has(Count::Input) && !self.has(Count::Output) {
            input = get(Count::Total);
        }
        if !dialect.usage_shape().cache_beside_input {
            cached = cached.min(input);
            written = written.min(input - cached);
            input -= cached + written;
        }
        let (mut output, reasoning) = (get(Count::Output), get(Count::Reasoning));
        // OpenAI counts reasoning within the output. Some others count it beside; the total tells.
        let all_input = input.saturating_add(cached).saturating_add(written);
        let beside = all_input.saturating_add(output).saturating_add(reasoning);
        if reasoning > 0 && self.get(Count::Total) == Some(beside) {
            output = output.saturating_add(reasoning);
        }
        Usage { input, cached_input: cached, cache_write: written, output, reasoning: reasoning.min(output) }
    }
}

/// A name without its quotes.
fn bare(quoted: &[u8]) -> &[u8] {
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
}

/// The usage in the text of a `usage` member of a dialect. `None` where it tells nothing; counts that are all zero
/// tell that nothing was used.
pub fn of(dialect: Dialect, usage: &[u8]) -> Option<Usage> {
    Counts::read(dialect, usage).map(|counts| counts.usage(dialect))
}

/// Made once: most events are shorter than what making it costs.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static DONE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"[DONE]"));

/// Behind a member's name: its value is `null`.
fn is_null_behind(rest: Option<&[u8]>) -> bool {
    let value = rest.and_then(|rest| rest.trim_ascii_start().strip_prefix(b":"));
    value.is_some_and(|value| value.trim_ascii_start().starts_with(b"null"))
}

/// How much at the beginning of a stream of chat completions, cut anywhere behind that, is whole events of which none has
/// counts or is the last: they need not be looked at one by one.
pub(crate) fn quiet_bytes(events: &[u8]) -> usize {
    let counts = find_counts(events).unwrap_or(events.len());
    let before = events.get(..counts).unwrap_or_default();
    let before = before.get(..DONE.find(before).unwrap_or(counts)).unwrap_or_default();
    // Behind the last line of nothing.
    let is_blank = |at: &usize| {
        let line = before.get(..*at).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.last().is_none_or(|byte| *byte == b'\n')
    };
    memchr::memrchr_iter(b'\n', before).find(is_blank).map_or(0, |at| at + 1)
}

/// Where a member `usage` is that has a value. Within a JSON string the quotes would be escaped, so this finds member names
/// only. Some say in each chunk that there is none yet.
fn find_counts(json: &[u8]) -> Option<usize> {
    USAGE.find_iter(json).find(|at| !is_null_behind(json.get(at + USAGE.needle().len()..)))
}

/// The counts in one chunk of a chat completion (the data of one event), and whether they are all that it says: a client
/// that did not ask for usage must not see such a chunk. Chunks without any cost one search.
pub(crate) fn counts_of_chunk(data: &[u8]) -> Option<(Counts, bool)> {
    find_counts(data)?;
    let mut scanner = Scanner::new(data);
    let (mut usage, mut nested, mut alone) = (None, None, true);
    members(&mut scanner, |scanner, member| match scanner.slice(&member.name) {
        b"\"usage\"" => usage = Counts::read(Dialect::Chat, scanner.slice(&member.value)),
        b"\"choices\"" => {
            let choices = scanner.slice(&member.value);
            alone = serde_json::from_slice::<[(); 0]>(choices).is_ok() || choices == b"null";
            nested = of_choices(choices);
        }
        _ => {}
    })
    .ok()?;
    usage.or(nested).map(|counts| (counts, alone))
}

/// Moonshot reports the usage of a stream within its last choice.
fn of_choices(choices: &[u8]) -> Option<Counts> {
    #[derive(serde::Deserialize)]
    struct Choice<'a> {
        #[serde(default, borrow)]
        usage: Option<&'a serde_json::value::RawValue>,
    }
    USAGE.find(choices)?;
    let choices: Vec<Choice<'_>> = serde_json::from_slice(choices).ok()?;
    let usage = choices.into_iter().rev().find_map(|choice| choice.usage)?;
    Counts::read(Dialect::Chat, usage.get().as_bytes())
}

/// The usage of the object in member `within` of an event, such as `response` of `response.completed`; of the event
/// itself where `within` is empty.
pub(crate) fn counts_within(dialect: Dialect, data: &[u8], within: &str) -> Option<Counts> {
    let mut found = None;
    let mut scanner = Scanner::new(data);
    members(&mut scanner, |scanner, member| {
        let name = bare(scanner.slice(&member.name));
        if within.is_empty() && name == b"usage" {
            found = Counts::read(dialect, scanner.slice(&member.value));
        } else if !within.is_empty() && name == within.as_bytes() {
            found = counts_within(dialect, scanner.slice(&member.value), "");
        }
    })
    .ok()?;
    found
}

/// An estimate for a call whose upstream reported nothing, by a tokenizer from samples of both sides. Never above
/// `bound`, which was reserved; the ledger labels what is settled by it.
pub fn estimate_by_tokens(model: &str, request: &Sample, answer: &Sample, bound: &Usage) -> Usage {
    Usage {
        input: request.tokens(model).min(bound.input_total()),
        output: answer.tokens(model).min(bound.output),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_events_without_counts_and_end_are_quiet() {
        let counts = r#"data: {"usage":{"prompt_tokens":1}}"#;
        for (quiet, rest) in [
            ("", ""),
            ("", "data: {}"),
            ("", "data: {}\n"),
            ("data: {}\n\n", ""),
            ("data: {}\r\n\r\n", "data: {}\r\n\r"),
            ("data: {}\n\r\n", "data"),
            ("\n", "data: {}"),
            (": said\n\nevent: x\ndata: {}\n\n", "data: {}\nid: 7\n"),
            ("data: {\"usage\":null}\n\ndata: {\"usage\" : null}\n\n", ""),
            ("data: {\"a\":1}\n\n", &format!("{counts}\n\ndata: [DONE]\n\n")),
            ("data: {\"a\":1}\r\n\r\n", &format!("id: 3\r\n{counts}\r\n\r\ndata: {{}}\r\n\r\n")),
            ("data: {}\n\n", "data: [DONE]\n\n"),
            ("data: {}\n\n", "data: {\"content\":\"[DONE]\"}\n\ndata: {}\n\n"),
            ("data: {}\n\n", "data: {\"usage\":nu"),
            // Counts behind the end are not looked for; those before it are.
            ("", &format!("{counts}\n\ndata: {{}}\n\n")),
        ] {
            assert_eq!(quiet_bytes([quiet, rest].concat().as_bytes()), quiet.len(), "{quiet:?} {rest:?}");
        }
    }

    #[test]
    fn classes_are_disjoint() {
        let usage = |input, cached_input, cache_write, output, reasoning| {
            Some(Usage { input, cached_input, cache_write, output, reasoning })
        };
        for (text, expect) in [
            (r#"{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}"#, usage(10, 0, 0, 3, 0)),
            (
                r#"{"prompt_tokens":49143,"completion_tokens":573,"prompt_tokens_details":{"cached_tokens":40794}}"#,
                usage(8349, 40794, 0, 573, 0),
            ),
            (
                r#"{"prompt_tokens":100,"completion_tokens":1,
                    "prompt_tokens_details":{"cached_tokens":60,"cache_creation_input_tokens":30}}"#,
                usage(10, 60, 30, 1, 0),
            ),
            (r#"{"prompt_tokens":9,"completion_tokens":1,"cached_tokens":4}"#, usage(5, 4, 0, 1, 0)),
            (
                r#"{"prompt_tokens":9,"completion_tokens":1,"prompt_cache_hit_tokens":4}"#,
                usage(5, 4, 0, 1, 0),
            ),
            (
                r#"{"prompt_tokens":5,"completion_tokens":9,"total_tokens":14,"completion_tokens_details":{"reasoning_tokens":7}}"#,
                usage(5, 0, 0, 9, 7),
            ),
            (
                r#"{"prompt_tokens":5,"completion_tokens":9,"total_tokens":21,"completion_tokens_details":{"reasoning_tokens":7}}"#,
                usage(5, 0, 0, 16, 7),
            ),
            (r#"{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":9}}"#, usage(0, 3, 0, 0, 0)),
            (r#"{"prompt_tokens":3,"prompt_tokens_details":null,"new":[]}"#, usage(3, 0, 0, 0, 0)),
            ("null", None),
            ("{}", None),
            (r#"{"prompt_tokens":0,"completion_tokens":0}"#, usage(0, 0, 0, 0, 0)),
            (r#"{"prompt_tokens":null,"completion_tokens":null}"#, None),
            (r#"{"prompt_tokens":8,"total_tokens":8}"#, usage(8, 0, 0, 0, 0)),
            (r#"{"total_tokens":8}"#, usage(8, 0, 0, 0, 0)),
            (
                r#"{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2}}"#,
                usage(3, 4, 2, 1, 0),
            ),
            // The better known place is believed, wherever it stands.
            (
                r#"{"cached_tokens":1,"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}"#,
                usage(5, 4, 0, 1, 0),
            ),
            (r#"{"prompt_tokens":-1}"#, None),
            (r#"{"prompt_tokens":1.5}"#, None),
            (r#"{"prompt_tokens":"#, None),
        ] {
            assert_eq!(of(Dialect::Chat, text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn each_dialect_has_its_own_places() {
        let usage = |input, cached_input, cache_write, output, reasoning| {
            Some(Usage { input, cached_input, cache_write, output, reasoning })
        };
        for (dialect, text, expect) in [
            (
                Dialect::Responses,
                r#"{"input_tokens":75,"input_tokens_details":{"cached_tokens":32,"cache_write_tokens":3},
                    "output_tokens":1186,"output_tokens_details":{"reasoning_tokens":1024},"total_tokens":1261}"#,
                usage(40, 32, 3, 1186, 1024),
            ),
            (
                Dialect::Messages,
                r#"{"input_tokens":21,"cache_creation_input_tokens":188,"cache_read_input_tokens":1086,
                    "cache_creation":{"ephemeral_5m_input_tokens":188,"ephemeral_1h_input_tokens":0},
                    "output_tokens":393,"output_tokens_details":{"thinking_tokens":300},"service_tier":"standard"}"#,
                usage(21, 1086, 188, 393, 300),
            ),
            (Dialect::Messages, r#"{"input_tokens":0,"output_tokens":0}"#, usage(0, 0, 0, 0, 0)),
            (Dialect::Messages, r#"{"prompt_tokens":5}"#, None),
            (Dialect::Embeddings, r#"{"prompt_tokens":8,"total_tokens":8}"#, usage(8, 0, 0, 0, 0)),
        ] {
            assert_eq!(of(dialect, text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn a_chunk_tells_its_usage_and_whether_it_stands_alone() {
        let used = Usage { input: 2, output: 1, ..Usage::default() };
        let object = r#"{"prompt_tokens":2,"completion_tokens":1}"#;
        for (text, expect) in [
            (format!(r#"{{"choices":[],"usage":{object}}}"#), Some((used, true))),
            (format!(r#"{{"usage":{object}}}"#), Some((used, true))),
            (format!(r#"{{"choices":[{{"delta":{{}}}}],"usage":{object}}}"#), Some((used, false))),
            (format!(r#"{{"choices":[{{"delta":{{}},"usage":{object}}}]}}"#), Some((used, false))),
            (
                format!(r#"{{"choices":[{{"delta":{{}},"usage":null}}],"usage":{object}}}"#),
                Some((used, false)),
            ),
            (format!(r#"{{"x":"usage","choices":[],"usage" : {object}}}"#), Some((used, true))),
            (r#"{"choices":[],"usage":null}"#.into(), None),
            (r#"{"choices":[{"delta":{"content":"usage"}}],"usage" : null}"#.into(), None),
            (r#"{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":9}"}}]}"#.into(), None),
            ("[DONE]".into(), None),
            (r#"{"usage""#.into(), None),
        ] {
            let found = counts_of_chunk(text.as_bytes());
            let found = found.map(|(counts, alone)| (counts.usage(Dialect::Chat), alone));
            assert_eq!(found, expect, "{text}");
        }
    }
}
