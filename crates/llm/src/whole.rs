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
/// What the usual ones need.
const USAGE_BYTES_USUAL: usize = 512;

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
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.within == Within::String && self.matched.is_none() && !self.wanted {
                let Some(found) = memchr2(b'"', b'\\', rest) else { return };
                rest = rest.get(found..).unwrap_or_default();
                let Some((&byte, tail)) = rest.split_first() else { return };
                self.step(byte);
                rest = tail;
                continue;
            }
            self.step(byte);
            rest = tail;
        }
    }

    /// The usage, once its member has been passed.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn step(&mut self, byte: u8) {
        if self.wanted {
            if self.depth == 1 && self.within == Within::Plain && matches!(byte, b',' | b'}') {
                self.end_of_wanted();
            } else if self.kept.len() < USAGE_BYTES_MAX {
                self.kept.push(byte);
            }
        }
        match self.within {
            Within::String => self.step_string(byte),
            Within::Escape => self.within = Within::String,
            Within::Plain => self.step_plain(byte),
        }
    }

    fn step_string(&mut self, byte: u8) {
        match byte {
            b'\\' => {
                self.within = Within::Escape;
                self.matched = None;
            }
            b'"' => self.within = Within::Plain,
            _ => self.matched = self.matched.filter(|at| NAME.get(*at) == Some(&byte)).map(|at| at + 1),
        }
    }

    fn step_plain(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.within = Within::String;
                self.matched = (self.depth == 1 && self.name_next).then_some(0);
                self.name_next = false;
            }
            b':' if self.depth == 1 => {
                self.wanted = self.matched == Some(NAME.len());
                if self.wanted {
                    self.kept.reserve(USAGE_BYTES_USUAL);
                }
                self.matched = None;
            }
            b',' if self.depth == 1 => self.name_next = true,
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.name_next = self.depth == 1;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
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

    proptest! {
        #[test]
        fn any_split_finds_the_same(content in ".{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let text = json!({"choices": [{"message": {"content": content}}], "x": content,
                "usage": {"prompt_tokens": 7, "completion_tokens": 3}, "y": [1, {"usage": 2}]}).to_string();
            let whole = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
            at.extend([0, whole.len()]);
            at.sort_unstable();
            let parts: Vec<&[u8]> = at.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            prop_assert_eq!(scan(&parts), Some(Usage { input: 7, output: 3, ..Usage::default() }));
        }
    }
}
