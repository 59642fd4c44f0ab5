//! What a call used, in classes that do not overlap.
//!
//! Upstreams of the OpenAI kind report overlapping numbers, each in a way of its own; here they are taken apart
//! once, so that a price can be put on each class and nothing is counted twice.

use serde::Deserialize;

pub use creel_wire::price::Usage;

use crate::openai::scan::{Scanner, members};

/// The `usage` object of the OpenAI dialect and of those near to it.
#[derive(Debug, Default, Deserialize)]
struct Reported {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    /// Moonshot's place for it.
    #[serde(default)]
    cached_tokens: Option<u64>,
    /// DeepSeek's name for it.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    /// DashScope, where a cache was asked for explicitly.
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl Reported {
    fn into_usage(self) -> Option<Usage> {
        let prompt = self.prompt_tokens.unwrap_or(0);
        let details = self.prompt_tokens_details.unwrap_or_default();
        let cached =
            details.cached_tokens.or(self.cached_tokens).or(self.prompt_cache_hit_tokens).unwrap_or(0);
        let cached = cached.min(prompt);
        let written = details.cache_creation_input_tokens.unwrap_or(0).min(prompt - cached);
        let reasoning =
            self.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0);
        let completion = self.completion_tokens.unwrap_or(0);
        // OpenAI counts reasoning within completion_tokens. Some others count it beside; the total tells.
        let beside = prompt.saturating_add(completion).saturating_add(reasoning);
        let output = if reasoning > 0 && self.total_tokens == Some(beside) {
            completion.saturating_add(reasoning)
        } else {
            completion
        };
        let usage = Usage {
            input: prompt - cached - written,
            cached_input: cached,
            cache_write: written,
            output,
            reasoning: reasoning.min(output),
        };
        (!usage.is_zero()).then_some(usage)
    }
}

/// Decodes the text of a `usage` member. `None` where it tells nothing: `null`, all zero, or not understood.
pub fn decode(usage: &[u8]) -> Option<Usage> {
    serde_json::from_slice::<Option<Reported>>(usage).ok().flatten()?.into_usage()
}

/// What one stream chunk says about usage, and whether that is all it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkUsage {
    /// The usage so far.
    pub usage: Usage,
    /// The chunk has no choices: a client that did not ask for usage must not see it.
    pub alone: bool,
}

/// The usage in one stream chunk (the data of one event). Chunks without any cost one search.
pub fn of_chunk(data: &[u8]) -> Option<ChunkUsage> {
    // Within a JSON string the quotes would be escaped, so this finds member names only.
    memchr::memmem::find(data, b"\"usage\"")?;
    let mut scanner = Scanner::new(data);
    let (mut usage, mut nested, mut alone) = (None, None, true);
    members(&mut scanner, |scanner, member| match scanner.slice(&member.name) {
        b"\"usage\"" => usage = decode(scanner.slice(&member.value)),
        b"\"choices\"" => {
            let choices = scanner.slice(&member.value);
            alone = serde_json::from_slice::<[(); 0]>(choices).is_ok() || choices == b"null";
            nested = of_choices(choices);
        }
        _ => {}
    })
    .ok()?;
    usage.or(nested).map(|usage| ChunkUsage { usage, alone })
}

/// Moonshot reports the usage of a stream within its last choice.
fn of_choices(choices: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Choice {
        #[serde(default)]
        usage: Option<Reported>,
    }
    memchr::memmem::find(choices, b"\"usage\"")?;
    let choices: Vec<Choice> = serde_json::from_slice(choices).ok()?;
    choices.into_iter().rev().find_map(|choice| choice.usage)?.into_usage()
}

/// An estimate for a call whose upstream reported nothing: four bytes a token of input; of the output a token for
/// each event of a stream at least, and one for four bytes of text. Never above `bound`, the class that was
/// reserved; the ledger labels what is settled by it.
pub fn estimate(request_bytes: u64, answer_events: u64, answer_bytes: u64, bound: &Usage) -> Usage {
    /// Around the text of one event or of a whole answer, in bytes.
    const FRAME_BYTES: u64 = 200;
    let text_bytes = answer_bytes.saturating_sub(answer_events.max(1).saturating_mul(FRAME_BYTES));
    let output = answer_events.max(text_bytes.div_ceil(4));
    Usage {
        input: request_bytes.div_ceil(4).min(bound.input_total()),
        output: output.min(bound.output),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (r#"{"prompt_tokens":0,"completion_tokens":0}"#, None),
            (r#"{"prompt_tokens":-1}"#, None),
            (r#"{"prompt_tokens":1.5}"#, None),
            (r#"{"prompt_tokens":"#, None),
        ] {
            assert_eq!(decode(text.as_bytes()), expect, "{text}");
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
            (r#"{"choices":[],"usage":null}"#.into(), None),
            (r#"{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":9}"}}]}"#.into(), None),
            ("[DONE]".into(), None),
            (r#"{"usage""#.into(), None),
        ] {
            let found = of_chunk(text.as_bytes()).map(|chunk| (chunk.usage, chunk.alone));
            assert_eq!(found, expect, "{text}");
        }
    }

    #[test]
    fn an_estimate_stays_within_the_bound() {
        let bound = Usage { input: 100, output: 50, ..Usage::default() };
        let used = |request, events, bytes| {
            let usage = estimate(request, events, bytes, &bound);
            (usage.input, usage.output)
        };
        assert_eq!(used(80, 3, 700), (20, 25));
        assert_eq!(used(80, 3, 300), (20, 3));
        assert_eq!(used(800, 0, 9_000), (100, 50));
        assert_eq!(used(0, 0, 0), (0, 0));
    }
}
