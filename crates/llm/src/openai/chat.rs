//! A chat completion request: reading the few members the gateway acts on, and rewriting only those.
//!
//! Every other byte goes to the upstream as it came, members unknown to us included. A member that is acted on must
//! stand once: two parsers disagree about which of two `model` members counts, and one of them decides the price.

use std::ops::Range;

use super::scan::{Member, ScanError, Scanner, members};

/// Longest model name accepted, in bytes.
pub const MODEL_BYTES_MAX: usize = 256;
/// Most answers per request (`n`) accepted.
pub const ANSWERS_MAX: u64 = 128;
/// Largest output limit that means anything; larger ones are read as this.
pub const OUTPUT_TOKENS_MAX: u64 = 1 << 32;

/// Why a body is not a chat completion request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatRequestError {
    /// Not JSON that can be passed on.
    #[error("the request body cannot be read as JSON")]
    Json(#[from] ScanError),
    /// Not text in UTF-8.
    #[error("the request body is not UTF-8")]
    NotUtf8,
    /// `model` is missing.
    #[error("the member model is required")]
    NoModel,
    /// A member that is acted on stands twice.
    #[error("the member {0} stands more than once")]
    Duplicate(&'static str),
    /// A member that is acted on has a value of the wrong type or range.
    #[error("the member {member} must be {wanted}")]
    Invalid {
        /// The member's name.
        member: &'static str,
        /// What its value must be, in words.
        wanted: &'static str,
    },
}

impl ChatRequestError {
    /// The member that is at fault, as the `param` of an error body.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) | Self::NotUtf8 => None,
            Self::NoModel => Some("model"),
            Self::Duplicate(member) | Self::Invalid { member, .. } => Some(member),
        }
    }
}

/// Which member carries the output limit where the request has none and one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputField {
    /// `max_tokens`: what nearly every compatible upstream reads.
    MaxTokens,
    /// `max_completion_tokens`: what OpenAI's own newer models insist on.
    MaxCompletionTokens,
}

impl OutputField {
    fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// What to change on the way to the upstream.
#[derive(Debug, Clone, Copy)]
pub struct Rewrite<'a> {
    /// The upstream's name of the model.
    pub model: &'a str,
    /// No more output tokens than this in each answer: lowers limits that are higher and sets one where none stands.
    pub output_tokens_max: Option<u64>,
    /// The member to add in the second case.
    pub output_field: OutputField,
}

#[derive(Debug, Clone)]
struct Limit {
    /// `None` for a `null`.
    tokens: Option<u64>,
    span: Range<usize>,
}

/// What the gateway needs of a request; spans point into the body that was read.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    model: String,
    model_span: Range<usize>,
    stream: bool,
    /// Asked for by the client; where it is false, the usage of the stream is ours alone.
    include_usage: bool,
    stream_options_span: Option<Range<usize>>,
    max_tokens: Option<Limit>,
    max_completion_tokens: Option<Limit>,
    answers: u64,
    /// Of the closing brace.
    end: usize,
}

#[derive(Default)]
struct Found {
    model: Option<Range<usize>>,
    stream: Option<Range<usize>>,
    stream_options: Option<Range<usize>>,
    max_tokens: Option<Range<usize>>,
    max_completion_tokens: Option<Range<usize>>,
    n: Option<Range<usize>>,
    duplicate: Option<&'static str>,
}

impl Found {
    fn keep(&mut self, scanner: &Scanner<'_>, member: Member) {
        let quoted = scanner.slice(&member.name);
        let unescaped: String;
        let name: &[u8] = if memchr::memchr(b'\\', quoted).is_some() {
            // `"mod\u0065l"` is `model` to whoever decodes it. A name that cannot be decoded is not one of ours.
            unescaped = serde_json::from_slice(quoted).unwrap_or_default();
            unescaped.as_bytes()
        } else {
            quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
        };
        let (slot, known) = match name {
            b"model" => (&mut self.model, "model"),
            b"stream" => (&mut self.stream, "stream"),
            b"stream_options" => (&mut self.stream_options, "stream_options"),
            b"max_tokens" => (&mut self.max_tokens, "max_tokens"),
            b"max_completion_tokens" => (&mut self.max_completion_tokens, "max_completion_tokens"),
            b"n" => (&mut self.n, "n"),
            _ => return,
        };
        if slot.replace(member.value).is_some() {
            self.duplicate = Some(known);
        }
    }
}

impl ChatRequest {
    /// Reads a body in one pass. Cost is linear in its length; nothing but the model's name is copied.
    pub fn read(body: &[u8]) -> Result<Self, ChatRequestError> {
        std::str::from_utf8(body).map_err(|_| ChatRequestError::NotUtf8)?;
        let mut scanner = Scanner::new(body);
        let mut found = Found::default();
        let end = members(&mut scanner, |scanner, member| found.keep(scanner, member))?;
        scanner.require_end()?;
        if let Some(member) = found.duplicate {
            return Err(ChatRequestError::Duplicate(member));
        }
        let model_span = found.model.ok_or(ChatRequestError::NoModel)?;
        let limit = |member, span: Option<Range<usize>>| match span {
            None => Ok(None),
            Some(span) => {
                read_tokens(scanner.slice(&span), member).map(|tokens| Some(Limit { tokens, span }))
            }
        };
        Ok(Self {
            model: read_model(scanner.slice(&model_span))?,
            model_span,
            stream: match found.stream {
                None => false,
                Some(span) => read_flag(scanner.slice(&span), "stream")?,
            },
            include_usage: match &found.stream_options {
                None => false,
                Some(span) => read_include_usage(scanner.slice(span))?,
            },
            stream_options_span: found.stream_options,
            max_tokens: limit("max_tokens", found.max_tokens)?,
            max_completion_tokens: limit("max_completion_tokens", found.max_completion_tokens)?,
            answers: match found.n {
                None => 1,
                Some(span) => read_answers(scanner.slice(&span))?,
            },
            end,
        })
    }

    /// The model as the client names it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The client wants a stream.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// The client wants the usage at the end of its stream.
    pub fn include_usage(&self) -> bool {
        self.include_usage
    }

    /// How many answers the client wants (`n`), at least 1.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// The client's own limit of output tokens for each answer, the smaller where two are given.
    pub fn output_tokens_max(&self) -> Option<u64> {
        let tokens = |limit: &Option<Limit>| limit.as_ref().and_then(|limit| limit.tokens);
        match (tokens(&self.max_tokens), tokens(&self.max_completion_tokens)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The body for the upstream, `None` where it is `body` itself. `body` must be the text that was read.
    pub fn rewrite(&self, body: &[u8], rewrite: &Rewrite<'_>) -> Option<Vec<u8>> {
        let mut edits: Vec<(Range<usize>, String)> = Vec::with_capacity(4);
        let mut added = String::new();
        if rewrite.model != self.model {
            edits.push((self.model_span.clone(), quoted(rewrite.model)));
        }
        if self.stream && !self.include_usage {
            match &self.stream_options_span {
                Some(span) => {
                    let options = body.get(span.clone()).unwrap_or_default();
                    edits.push((span.clone(), with_usage(options)));
                }
                None => added.push_str(r#","stream_options":{"include_usage":true}"#),
            }
        }
        if let Some(tokens_max) = rewrite.output_tokens_max {
            let mut limited = false;
            for limit in [&self.max_tokens, &self.max_completion_tokens].into_iter().flatten() {
                match limit.tokens {
                    Some(tokens) if tokens <= tokens_max => limited = true,
                    Some(_) => {
                        edits.push((limit.span.clone(), tokens_max.to_string()));
                        limited = true;
                    }
                    None => {}
                }
            }
            if !limited {
                self.add_limit(rewrite.output_field, tokens_max, &mut edits, &mut added);
            }
        }
        if edits.is_empty() && added.is_empty() {
            return None;
        }
        edits.sort_by_key(|(span, _)| span.start);
        edits.push((self.end..self.end, added));
        Some(apply(body, &edits))
    }

    /// Sets a limit where none stands: over a `null` of that name, else as a new member.
    fn add_limit(
        &self,
        field: OutputField,
        tokens_max: u64,
        edits: &mut Vec<(Range<usize>, String)>,
        added: &mut String,
    ) {
        let null = match field {
            OutputField::MaxTokens => &self.max_tokens,
            OutputField::MaxCompletionTokens => &self.max_completion_tokens,
        };
        match null {
            Some(limit) => edits.push((limit.span.clone(), tokens_max.to_string())),
            None => added.push_str(&format!(",\"{}\":{tokens_max}", field.name())),
        }
    }
}

/// Replaces each range (sorted, disjoint) by its text.
fn apply(body: &[u8], edits: &[(Range<usize>, String)]) -> Vec<u8> {
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut from = 0;
    for (span, text) in edits {
        out.extend_from_slice(body.get(from..span.start).unwrap_or_default());
        out.extend_from_slice(text.as_bytes());
        from = span.end;
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn read_model(text: &[u8]) -> Result<String, ChatRequestError> {
    let wanted = ChatRequestError::Invalid { member: "model", wanted: "a text of 1 to 256 bytes" };
    match serde_json::from_slice::<String>(text) {
        Ok(model) if !model.is_empty() && model.len() <= MODEL_BYTES_MAX => Ok(model),
        _ => Err(wanted),
    }
}

fn read_flag(text: &[u8], member: &'static str) -> Result<bool, ChatRequestError> {
    match text {
        b"true" => Ok(true),
        b"false" | b"null" => Ok(false),
        _ => Err(ChatRequestError::Invalid { member, wanted: "true or false" }),
    }
}

fn read_tokens(text: &[u8], member: &'static str) -> Result<Option<u64>, ChatRequestError> {
    let tokens: Option<u64> = serde_json::from_slice(text)
        .map_err(|_| ChatRequestError::Invalid { member, wanted: "a whole number of tokens" })?;
    Ok(tokens.map(|tokens| tokens.min(OUTPUT_TOKENS_MAX)))
}

fn read_answers(text: &[u8]) -> Result<u64, ChatRequestError> {
    match serde_json::from_slice::<Option<u64>>(text) {
        Ok(None) => Ok(1),
        Ok(Some(n)) if (1..=ANSWERS_MAX).contains(&n) => Ok(n),
        _ => Err(ChatRequestError::Invalid { member: "n", wanted: "a whole number from 1 to 128" }),
    }
}

type Options = serde_json::Map<String, serde_json::Value>;

fn read_include_usage(text: &[u8]) -> Result<bool, ChatRequestError> {
    let wanted = ChatRequestError::Invalid { member: "stream_options", wanted: "an object" };
    let options: Option<Options> = serde_json::from_slice(text).map_err(|_| wanted)?;
    let asked = options.as_ref().and_then(|options| options.get("include_usage"));
    Ok(asked.and_then(serde_json::Value::as_bool).unwrap_or(false))
}

/// The stream options with `include_usage` set; other options are kept.
fn with_usage(options: &[u8]) -> String {
    let mut options: Options =
        serde_json::from_slice::<Option<Options>>(options).ok().flatten().unwrap_or_default();
    options.insert("include_usage".into(), true.into());
    serde_json::Value::Object(options).to_string()
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
