//! Finding the usage in an answer that is not streamed, while its bytes pass by.
//!
//! The answer goes to the client as it arrives and is never gathered: a small state machine follows the JSON and
//! keeps only the text of the outermost `usage` member, which stands before or behind the choices as the upstream
//! likes.

use memchr::memchr2;

use crate::dialect::Dialect;
use crate::usage::{self, Usage};

/// Longest `usage` object kept, in bytes; a longer one tells nothing.
const USAGE_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Between tokens, or in a number or literal.
    Plain,
    /// In a string.
    String,
    /// Behind a backslash in a string.
    Escape,
}

/// Follows one JSON answer.
#[derive(Debug)]
pub(crate) struct AnswerScanner {
    dialect: Dialect,
    within: Within,
    depth: u32,
    /// At depth 1, a string that begins now is a member's name.
    name_next: bool,
    /// The member's name, as far as it may be `usage`: how many of its bytes have matched, or `None`.
    matched: Option<usize>,
    /// The member whose value comes is `usage`.
    wanted: bool,
    kept: Vec<u8>,
    usage: Option<Usage>,
}

const NAME: &[u8] = b"usage";

impl AnswerScanner {
    /// A scanner before the first byte of an answer in `dialect`.
    pub(crate) fn of(dialect: Dialect) -> Self {
        Self {
            dialect,
            within: Within::Plain,
            depth: 0,
            name_next: false,
            matched: None,
            wanted: false,
            kept: Vec::new(),
            usage: None,
        }
    }

    /// Follows the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Of these bytes, where the wanted value begins.
        let (mut at, mut kept_from) = (0, 0);
        while let Some(&byte) = bytes.get(at) {
            match self.within {
                Within::Escape => self.within = Within::String,
                Within::String if self.matched.is_none() => {
                    let Some(found) = memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) else {
                        break;
                    };
                    at += found;
                    self.within = if bytes.get(at) == Some(&b'"') { Within::Plain } else { Within::Escape };
                }
                Within::String => self.step_name(byte),
                Within::Plain => {
                    if self.wanted && self.depth == 1 && matches!(byte, b',' | b'}') {
                        self.keep(bytes.get(kept_from..at));
                        self.end_of_wanted();
                    }
                    if self.step_plain(byte) {
                        self.kept.clear();
                        kept_from = at + 1;
                    }
                }
            }
            at += 1;
        }
        if self.wanted {
            self.keep(bytes.get(kept_from..));
        }
    }

    /// The usage, once its member has been passed.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// A byte of what may be the name.
    fn step_name(&mut self, byte: u8) {
        match byte {
            b'\\' => {
                self.within = Within::Escape;
                self.matched = None;
            }
            b'"' => self.within = Within::Plain,
            _ => self.matched = self.matched.filter(|at| NAME.get(*at) == Some(&byte)).map(|at| at + 1),
        }
    }

    /// True where the wanted value begins behind this byte.
    fn step_plain(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => {
                self.within = Within::String;
                self.matched = (self.depth == 1 && self.name_next).then_some(0);
                self.name_next = false;
            }
            b':' if self.depth == 1 => {
                self.wanted = self.matched == Some(NAME.len());
                self.matched = None;
                return self.wanted;
            }
            b',' if self.depth == 1 => self.name_next = true,
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.name_next = self.depth == 1;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }

    /// Keeps more of the wanted value, as far as there is room.
    fn keep(&mut self, more: Option<&[u8]>) {
        let (more, room) = (more.unwrap_or_default(), USAGE_BYTES_MAX.saturating_sub(self.kept.len()));
        self.kept.extend_from_slice(more.get(..room).unwrap_or(more));
    }

    fn end_of_wanted(&mut self) {
        self.wanted = false;
        self.usage = usage::of(self.dialect, &self.kept).or(self.usage);
        self.kept = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn scan(parts: &[&[u8]]) -> Option<Usage> {
        let mut scanner = AnswerScanner::of(Dialect::Chat);
        for part in parts {
            scanner.push(part);
        }
        scanner.usage()
    }

    #[test]
    fn usage_is_found_before_and_behind_the_choices() {
        let used = Some(Usage { input: 4, output: 2, ..Usage::default() });
        for (text, expect) in [
            (r#"{"usage":{"prompt_tokens":4,"completion_tokens":2},"choices":[]}"#, used),
            (
                r#"{"choices":[{"usage":{"prompt_tokens":9}}], "usage" : {"prompt_tokens":4,"completion_tokens":2} }"#,
                used,
            ),
            (r#"{"a":"usage","b":"\"usage\":{}","usage":null}"#, None),
            (r#"{"a":{"usage":{"prompt_tokens":4}}}"#, None),
            (r#"{"usages":{"prompt_tokens":4}}"#, None),
            (r#"{"choices":[]}"#, None),
            (r#"{"usage":{"prompt_tokens":4"#, None),
            ("not json at all", None),
        ] {
            assert_eq!(scan(&[text.as_bytes()]), expect, "{text}");
        }
    }

    #[test]
    fn an_endless_usage_is_not_kept() {
        let text = format!(r#"{{"usage":{{"a":"{}","prompt_tokens":4}}}}"#, "x".repeat(100_000));
        assert_eq!(scan(&[text.as_bytes()]), None);
    }

    fn split(bytes: &[u8], mut at: Vec<usize>) -> Vec<&[u8]> {
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn any_split_of_what_is_no_json_finds_the_same(
            text in r#"([{}\[\]:,"\\ 1]|"usage"|"usage":\{"prompt_tokens":[0-9]\}){0,30}"#,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let at = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            prop_assert_eq!(scan(&split(text.as_bytes(), at)), scan(&[text.as_bytes()]));
        }

        #[test]
        fn any_split_finds_the_same(content in ".{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let text = json!({"choices": [{"message": {"content": content}}], "x": content,
                "usage": {"prompt_tokens": 7, "completion_tokens": 3}, "y": [1, {"usage": 2}]}).to_string();
            let at = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            prop_assert_eq!(scan(&split(text.as_bytes(), at)), Some(Usage { input: 7, output: 3, ..Usage::default() }));
        }
    }
}
