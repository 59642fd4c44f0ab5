//! A request: reading the few members the gateway acts on, and rewriting only those.
//!
//! Every other byte goes to the upstream as it came, members unknown to us included. Which members count is a table
//! in [`crate::dialect`]. Where the upstream speaks another dialect the body is converted instead
//! ([`crate::convert`]).

use std::ops::Range;

use crate::convert::{self, ConvertError};
use crate::dialect::{Dialect, MEMBERS_MAX, Role};
use crate::scan::{Member, ScanError, Scanner, members};

/// Longest model name accepted, in bytes.
pub const MODEL_BYTES_MAX: usize = 256;
/// Most answers per request (`n`) accepted.
pub const ANSWERS_MAX: u64 = 128;
/// Largest output limit that means anything; larger ones are read as this.
pub const OUTPUT_TOKENS_MAX: u64 = 1 << 32;
/// The least that Anthropic takes for `thinking.budget_tokens`.
const THINKING_TOKENS_MIN: u64 = 1_024;

/// Why a body is not a request that can be metered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
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

impl RequestError {
    /// The member that is at fault, as the `param` of an error body.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) | Self::NotUtf8 => None,
            Self::NoModel => Some("model"),
            Self::Duplicate(member) | Self::Invalid { member, .. } => Some(member),
        }
    }
}

/// Which member of a chat completion carries the output limit where the request has none and one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputField {
    /// `max_tokens`: what nearly every compatible upstream reads.
    MaxTokens,
    /// `max_completion_tokens`: what OpenAI's own newer models insist on.
    MaxCompletionTokens,
}

impl OutputField {
    pub(crate) fn name(self) -> &'static str {
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
    /// The member to add in the second case to a chat completion.
    pub output_field: OutputField,
}

/// A body as the upstream is to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// `None` where it is the client's own, byte for byte.
    pub body: Option<Vec<u8>>,
    /// Members that were left out because the upstream's dialect has no place for them and no answer depends on
    /// them; the tables in [`crate::convert`] name them all.
    pub left_out: Vec<&'static str>,
}

#[derive(Debug, Clone)]
struct Limit {
    name: &'static str,
    /// `None` for a `null`.
    tokens: Option<u64>,
    span: Range<usize>,
}

#[derive(Debug, Clone)]
struct Thinking {
    budget_tokens: u64,
    members: Options,
    span: Range<usize>,
}

/// What the gateway needs of a request; spans point into the body that was read.
#[derive(Debug, Clone)]
pub struct Request {
    dialect: Dialect,
    model: String,
    model_span: Range<usize>,
    stream: bool,
    /// Asked for by the client; where it is false, the usage of the stream is ours alone.
    include_usage: bool,
    stream_options_span: Option<Range<usize>>,
    limits: [Option<Limit>; 2],
    answers: u64,
    thinking: Option<Thinking>,
    input_is_whole: bool,
    /// Of the closing brace.
    end: usize,
}

/// The values of the table's members, by their place in it.
#[derive(Default)]
struct Found {
    spans: [Option<Range<usize>>; MEMBERS_MAX],
    duplicate: Option<&'static str>,
}

impl Found {
    fn keep(&mut self, table: &[(&'static str, Role)], scanner: &Scanner<'_>, member: Member) {
        let quoted = scanner.slice(&member.name);
        let unescaped: String;
        let name: &[u8] = if memchr::memchr(b'\\', quoted).is_some() {
            // `"mod\u0065l"` is `model` to whoever decodes it. A name that cannot be decoded is not one of ours.
            unescaped = serde_json::from_slice(quoted).unwrap_or_default();
            unescaped.as_bytes()
        } else {
            quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
        };
        for (slot, (known, _)) in self.spans.iter_mut().zip(table) {
            if known.as_bytes() == name {
                if slot.replace(member.value).is_some() {
                    self.duplicate = Some(known);
                }
                return;
            }
        }
    }
}

impl Request {
    /// Reads a body in one pass. Cost is linear in its length; nothing but the model's name is copied.
    pub fn read(dialect: Dialect, body: &[u8]) -> Result<Self, RequestError> {
        std::str::from_utf8(body).map_err(|_| RequestError::NotUtf8)?;
        let table = dialect.members();
        let mut scanner = Scanner::new(body);
        let mut found = Found::default();
        let end = members(&mut scanner, |scanner, member| found.keep(table, scanner, member))?;
        scanner.require_end()?;
        if let Some(member) = found.duplicate {
            return Err(RequestError::Duplicate(member));
        }
        let mut request = Self {
            dialect,
            model: String::new(),
            model_span: 0..0,
            stream: false,
            include_usage: false,
            stream_options_span: None,
            limits: [None, None],
            answers: 1,
            thinking: None,
            input_is_whole: true,
            end,
        };
        for (span, (name, role)) in found.spans.into_iter().zip(table) {
            if let Some(span) = span {
                request.take(name, *role, scanner.slice(&span), span)?;
            }
        }
        if request.model.is_empty() { Err(RequestError::NoModel) } else { Ok(request) }
    }

    fn take(
        &mut self,
        name: &'static str,
        role: Role,
        text: &[u8],
        span: Range<usize>,
    ) -> Result<(), RequestError> {
        match role {
            Role::Model => {
                self.model = read_model(text)?;
                self.model_span = span;
            }
            Role::Stream => self.stream = read_flag(text, name)?,
            Role::StreamOptions => {
                self.include_usage = read_include_usage(text)?;
                self.stream_options_span = Some(span);
            }
            Role::Limit => {
                let limit = Limit { name, tokens: read_tokens(text, name)?, span };
                let [first, second] = &mut self.limits;
                *(if first.is_none() { first } else { second }) = Some(limit);
            }
            Role::Answers => self.answers = read_answers(text)?,
            Role::Thinking => self.thinking = Thinking::read(text, span),
            Role::Background => {
                if read_flag(text, name)? {
                    let wanted = "false, for what runs in the background cannot be metered here";
                    return Err(RequestError::Invalid { member: name, wanted });
                }
            }
            Role::Elsewhere => self.input_is_whole &= text == b"null",
        }
        Ok(())
    }

    /// What it is written in.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The model as the client names it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The client wants a stream.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// The client wants the usage at the end of its stream. In dialects other than chat completions it always
    /// stands there.
    pub fn include_usage(&self) -> bool {
        self.include_usage || self.dialect != Dialect::Chat
    }

    /// How many answers the client wants (`n`), at least 1.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// All input stands in the body; else some is kept by the upstream, and only the model's context bounds it.
    pub fn input_is_whole(&self) -> bool {
        self.input_is_whole
    }

    /// The client's own limit of output tokens for each answer, the smaller where two are given.
    pub fn output_tokens_max(&self) -> Option<u64> {
        self.limits.iter().flatten().filter_map(|limit| limit.tokens).min()
    }

    /// The most output tokens of each answer, where the model gives `given` at most and `default` stands for what is
    /// not known. Zero where the dialect has no output.
    pub fn output_tokens_wanted(&self, given: Option<u64>, default: u64) -> u64 {
        match (self.output_tokens_max(), given) {
            _ if !self.dialect.has_output() => 0,
            (Some(asked), Some(given)) => asked.min(given),
            (asked, given) => asked.or(given).unwrap_or(default),
        }
    }

    /// The body for an upstream of `upstream`'s dialect. `body` must be the text that was read.
    pub fn for_upstream(
        &self,
        body: &[u8],
        upstream: Dialect,
        rewrite: &Rewrite<'_>,
    ) -> Result<Sent, ConvertError> {
        if upstream == self.dialect {
            return Ok(Sent { body: self.rewrite(body, rewrite), left_out: Vec::new() });
        }
        convert::request(self, body, upstream, rewrite)
    }

    /// The body for an upstream of the same dialect, `None` where it is `body` itself. `body` must be the text that
    /// was read.
    pub fn rewrite(&self, body: &[u8], rewrite: &Rewrite<'_>) -> Option<Vec<u8>> {
        let mut edits: Vec<(Range<usize>, String)> = Vec::with_capacity(4);
        let mut added = String::new();
        if rewrite.model != self.model {
            edits.push((self.model_span.clone(), quoted(rewrite.model)));
        }
        if self.stream && !self.include_usage() {
            match &self.stream_options_span {
                Some(span) => {
                    let options = body.get(span.clone()).unwrap_or_default();
                    edits.push((span.clone(), with_usage(options)));
                }
                None => added.push_str(r#","stream_options":{"include_usage":true}"#),
            }
        }
        if let Some(tokens_max) = rewrite.output_tokens_max
            && self.dialect.has_output()
        {
            self.limit(tokens_max, rewrite.output_field, &mut edits, &mut added);
        }
        if edits.is_empty() && added.is_empty() {
            return None;
        }
        edits.sort_by_key(|(span, _)| span.start);
        edits.push((self.end..self.end, added));
        Some(apply(body, &edits))
    }

    /// Lowers limits that are higher; sets one where none stands, over a `null` of that name, else as a new member.
    fn limit(
        &self,
        tokens_max: u64,
        field: OutputField,
        edits: &mut Vec<(Range<usize>, String)>,
        added: &mut String,
    ) {
        let mut limited = false;
        for limit in self.limits.iter().flatten() {
            let Some(tokens) = limit.tokens else { continue };
            limited = true;
            if tokens > tokens_max {
                edits.push((limit.span.clone(), tokens_max.to_string()));
            }
        }
        if !limited {
            let name = self.limit_name(field);
            match self.limits.iter().flatten().find(|limit| limit.name == name) {
                Some(limit) => edits.push((limit.span.clone(), tokens_max.to_string())),
                None => added.push_str(&format!(",\"{name}\":{tokens_max}")),
            }
        }
        if let Some(thinking) = &self.thinking
            && thinking.budget_tokens >= tokens_max
        {
            edits.push((thinking.span.clone(), thinking.below(tokens_max)));
        }
    }

    fn limit_name(&self, field: OutputField) -> &'static str {
        match self.dialect {
            Dialect::Chat => field.name(),
            Dialect::Responses => "max_output_tokens",
            Dialect::Messages | Dialect::Embeddings | Dialect::CountTokens => "max_tokens",
        }
    }
}

impl Thinking {
    /// `None` for thinking without a budget, which is the upstream's to judge.
    fn read(text: &[u8], span: Range<usize>) -> Option<Self> {
        let members: Options = serde_json::from_slice(text).ok()?;
        let budget_tokens = members.get("budget_tokens")?.as_u64()?;
        Some(Self { budget_tokens, members, span })
    }

    /// The member with a budget that fits below a limit, or none where the least does not.
    fn below(&self, tokens_max: u64) -> String {
        let budget = tokens_max.saturating_sub(1);
        if budget < THINKING_TOKENS_MIN {
            return r#"{"type":"disabled"}"#.to_owned();
        }
        let mut members = self.members.clone();
        members.insert("budget_tokens".into(), budget.into());
        serde_json::Value::Object(members).to_string()
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

fn read_model(text: &[u8]) -> Result<String, RequestError> {
    let wanted = RequestError::Invalid { member: "model", wanted: "a text of 1 to 256 bytes" };
    match serde_json::from_slice::<String>(text) {
        Ok(model) if !model.is_empty() && model.len() <= MODEL_BYTES_MAX => Ok(model),
        _ => Err(wanted),
    }
}

fn read_flag(text: &[u8], member: &'static str) -> Result<bool, RequestError> {
    match text {
        b"true" => Ok(true),
        b"false" | b"null" => Ok(false),
        _ => Err(RequestError::Invalid { member, wanted: "true or false" }),
    }
}

fn read_tokens(text: &[u8], member: &'static str) -> Result<Option<u64>, RequestError> {
    let tokens: Option<u64> = serde_json::from_slice(text)
        .map_err(|_| RequestError::Invalid { member, wanted: "a whole number of tokens" })?;
    Ok(tokens.map(|tokens| tokens.min(OUTPUT_TOKENS_MAX)))
}

fn read_answers(text: &[u8]) -> Result<u64, RequestError> {
    match serde_json::from_slice::<Option<u64>>(text) {
        Ok(None) => Ok(1),
        Ok(Some(n)) if (1..=ANSWERS_MAX).contains(&n) => Ok(n),
        _ => Err(RequestError::Invalid { member: "n", wanted: "a whole number from 1 to 128" }),
    }
}

type Options = serde_json::Map<String, serde_json::Value>;

fn read_include_usage(text: &[u8]) -> Result<bool, RequestError> {
    let wanted = RequestError::Invalid { member: "stream_options", wanted: "an object" };
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
#[path = "request_tests.rs"]
mod tests;
