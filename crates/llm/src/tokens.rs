//! Counting tokens where an upstream does not report them.
//!
//! Two vocabularies are compiled in: OpenAI's o200k and Qwen's. For the models of other makers a count is near, not
//! exact; whoever uses one calls it an estimate. The first count of a process unpacks a vocabulary (70 ms, 24 MB),
//! so nothing on the way of a call that goes well may come here.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use tiktoken::CoreBpe;

/// Text is counted in blocks of this many bytes, so that no text costs more than linear time.
const BLOCK_BYTES: usize = 16 << 10;
/// Most bytes of a request or an answer that a sample keeps.
const SAMPLE_BYTES_MAX: usize = 16 << 10;
/// Pieces that a sample of a request consists of.
const PIECES: usize = 8;
/// So many letters and digits without a break are encoded data, such as a picture.
const DATA_BYTES_MIN: usize = 256;
/// Bytes of such data that cost about one token: a picture of 1 MB takes about 1,500.
const DATA_BYTES_PER_TOKEN: u64 = 700;

static O200K: LazyLock<CoreBpe> = LazyLock::new(tiktoken::encoding::o200k_base);
static QWEN: LazyLock<CoreBpe> = LazyLock::new(tiktoken::encoding::qwen2);

/// Vocabularies by a part of the model's name; all other models are counted with OpenAI's.
const VOCABULARIES: &[(&str, &LazyLock<CoreBpe>)] = &[("qwen", &QWEN), ("qwq", &QWEN), ("qvq", &QWEN)];

/// Tokens of a text.
pub fn count(model: &str, text: &str) -> u64 {
    let model = model.to_ascii_lowercase();
    let known = VOCABULARIES.iter().find(|(part, _)| model.contains(part));
    let vocabulary: &CoreBpe = known.map_or(&O200K, |(_, vocabulary)| vocabulary);
    let mut rest = text;
    let mut tokens = 0;
    while !rest.is_empty() {
        let (block, after) = rest.split_at(rest.floor_char_boundary(BLOCK_BYTES));
        tokens += vocabulary.count(block) as u64;
        rest = after;
    }
    tokens
}

/// A part of a request or an answer, small enough to be kept by every call, from which its tokens can be estimated.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    kept: Kept,
    /// Of which the kept ones are a part.
    bytes: u64,
    /// Only the texts in it count, not what is around them.
    is_answer: bool,
}

/// Shared as long as it is in one piece: most calls never need their samples.
#[derive(Debug, Clone)]
enum Kept {
    Piece(Bytes),
    Pieces(Vec<u8>),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Pieces(Vec::new())
    }
}

impl std::ops::Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Piece(bytes) => bytes,
            Self::Pieces(bytes) => bytes,
        }
    }
}

impl Sample {
    /// Of a request: the whole, or pieces from all over it.
    pub fn of_request(body: &Bytes) -> Self {
        let bytes = body.len() as u64;
        if body.len() <= SAMPLE_BYTES_MAX {
            return Self { kept: Kept::Piece(body.clone()), bytes, is_answer: false };
        }
        let mut kept = Vec::with_capacity(SAMPLE_BYTES_MAX);
        for piece in body.chunks(body.len().div_ceil(PIECES)) {
            kept.extend_from_slice(piece.get(..SAMPLE_BYTES_MAX / PIECES).unwrap_or(piece));
        }
        Self { kept: Kept::Pieces(kept), bytes, is_answer: false }
    }

    /// Of an answer that comes piece by piece.
    pub fn of_answer() -> Self {
        Self { is_answer: true, ..Self::default() }
    }

    /// The next piece of an answer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let room = SAMPLE_BYTES_MAX.saturating_sub(self.kept.len());
        if room == 0 {
            return;
        }
        if let Kept::Piece(first) = &self.kept {
            self.kept = Kept::Pieces(first.to_vec());
        }
        if let Kept::Pieces(kept) = &mut self.kept {
            kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    /// The same for what can be shared.
    pub fn push_shared(&mut self, bytes: &Bytes) {
        if self.kept.is_empty() {
            self.bytes += bytes.len() as u64;
            self.kept = Kept::Piece(bytes.slice(..bytes.len().min(SAMPLE_BYTES_MAX)));
        } else {
            self.push(bytes);
        }
    }

    /// About how many tokens the whole is.
    pub fn tokens(&self, model: &str) -> u64 {
        if self.kept.is_empty() {
            return 0;
        }
        let kept = if self.is_answer {
            answer_texts(&self.kept)
        } else {
            String::from_utf8_lossy(&self.kept).into()
        };
        let (text, data_bytes) = without_data(&unescaped(&kept));
        let tokens = count(model, &text) + data_bytes / DATA_BYTES_PER_TOKEN;
        let scaled = u128::from(tokens) * u128::from(self.bytes) / self.kept.len() as u128;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

/// Members of answers whose texts a model wrote, in all dialects.
const TEXTS: &[&str] = &[
    "content",
    "reasoning_content",
    "reasoning",
    "refusal",
    "arguments",
    "text",
    "thinking",
    "partial_json",
    "delta",
];

/// The texts of such members in JSON texts that stand one behind the other and may be cut anywhere, still escaped.
fn answer_texts(json: &[u8]) -> String {
    let mut out = Vec::new();
    let mut rest = json;
    let mut name: &[u8] = &[];
    while let Some(start) = memchr::memchr(b'"', rest) {
        // Only white space and a colon between a name and its text.
        let is_value = rest.get(..start).unwrap_or_default().iter().all(|byte| b": \n\r\t".contains(byte));
        rest = rest.get(start + 1..).unwrap_or_default();
        let end = end_of_string(rest);
        let text = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        if is_value && TEXTS.iter().any(|known| known.as_bytes() == name) {
            out.extend_from_slice(text);
            name = &[];
        } else {
            name = text;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn end_of_string(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let is_end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    });
    end.unwrap_or(text.len())
}

/// Without the escapes that JSON puts into texts; those of foreign letters become one letter each.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n' | 'r') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                let letter = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(letter.unwrap_or('?'));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Cow::Owned(out)
}

/// The text without encoded data, and how many bytes that was.
fn without_data(text: &str) -> (String, u64) {
    let is_data = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=');
    let mut out = String::with_capacity(text.len());
    let mut data_bytes = 0;
    for run in text.split_inclusive(|c| !is_data(c)) {
        let is_letters = run.trim_end_matches(|c| !is_data(c));
        if is_letters.len() >= DATA_BYTES_MIN {
            data_bytes += is_letters.len() as u64;
        } else {
            out.push_str(run);
        }
    }
    (out, data_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_with_the_vocabulary_of_the_model() {
        assert_eq!(count("gpt-5", "hello world"), 2);
        assert_eq!(count("", ""), 0);
        // Qwen's has a token for each digit.
        assert_eq!((count("Qwen3.6-Plus", "123456"), count("gpt-5", "123456")), (6, 2));
        // Blocks cost a token at each seam at most.
        let long = "The quick brown fox. ".repeat(4_000);
        let (tokens, bytes) = (count("gpt-5", &long), long.len() as u64);
        assert!(tokens.abs_diff(20_001) <= bytes / BLOCK_BYTES as u64 + 1, "{tokens}");
    }

    #[test]
    fn a_short_request_is_counted_in_full() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"hello\nworld"}]}"#;
        let tokens = Sample::of_request(&Bytes::from(body)).tokens("gpt-5");
        assert!((15..30).contains(&tokens), "{tokens}");
    }

    #[test]
    fn a_long_request_is_scaled_from_pieces() {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(10_000);
        let exact = count("gpt-5", &text);
        let tokens = Sample::of_request(&Bytes::from(text)).tokens("gpt-5");
        assert!(tokens.abs_diff(exact) < exact / 50, "{tokens} {exact}");
    }

    #[test]
    fn pictures_are_not_counted_as_text() {
        let body = format!(r#"{{"url":"data:image/png;base64,{}"}}"#, "iVBORw0KGgo".repeat(100_000));
        let tokens = Sample::of_request(&Bytes::from(body)).tokens("gpt-5");
        assert!((1_000..3_000).contains(&tokens), "{tokens}");
    }

    #[test]
    fn shared_pieces_are_those_that_are_copied() {
        let pieces = [" one".repeat(3_000), " two".repeat(3_000), " three".repeat(3_000)].map(Bytes::from);
        for count in 0..=pieces.len() {
            let (mut shared, mut copied) = (Sample::of_answer(), Sample::of_answer());
            for piece in pieces.iter().take(count) {
                shared.push_shared(piece);
                copied.push(piece);
            }
            assert_eq!((&*shared.kept, shared.bytes), (&*copied.kept, copied.bytes));
        }
    }

    #[test]
    fn only_the_texts_of_an_answer_count() {
        let mut sample = Sample::of_answer();
        for part in [
            r#"{"id":"chatcmpl-1","choices":[{"delta":{"role":"assistant","content":"hello wo"}}]}"#,
            r#"{"id":"chatcmpl-1","choices":[{"delta":{"content" : "rld, \"you\""}}]}"#,
            r#"{"choices":[{"delta":{"content":null}}],"x":"content"}"#,
        ] {
            sample.push(part.as_bytes());
        }
        assert_eq!(answer_texts(&sample.kept), r#"hello world, \"you\""#);
        assert_eq!(sample.tokens("gpt-5"), count("gpt-5", "hello world, \"you\""));
        assert_eq!(Sample::of_answer().tokens("gpt-5"), 0);
    }
}
