//! Reads a policy document: the JSON grammar of the provider's RAM, version "1".
//!
//! Whatever is not understood is refused, never read past: a statement without its condition would allow more than it
//! says.

use serde::Deserialize;

use super::pattern::Pattern;
use super::{Effect, Policy, ResourcePattern, Statement};

/// Bytes of a document at the most.
pub const DOCUMENT_BYTES_MAX: usize = 16_384;
/// Statements of a document at the most.
pub const STATEMENTS_MAX: usize = 100;

/// Why a text is not a policy document; shown to its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("a policy document has at most {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is not a policy document: {0}")]
    NotADocument(String),
    #[error("Version must be \"1\"")]
    Version,
    #[error("a policy document has 1 to {STATEMENTS_MAX} statements")]
    Statements,
    #[error("statement {0}: Effect must be Allow or Deny")]
    Effect(usize),
    #[error("statement {0}: either Action or NotAction must name something")]
    Action(usize),
    #[error("statement {0}: {1:?} is not an action: write product:Operation, such as appstreaming:List*")]
    ActionForm(usize, String),
    #[error("statement {0}: Resource must name something")]
    Resource(usize),
    #[error("statement {0}: {1:?} is not a resource: write * or acs:product:region:account:type/id")]
    ResourceForm(usize, String),
    #[error(
        "statement {0}: Condition is not supported here; leave the statement out or name its resources instead"
    )]
    Condition(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    version: String,
    statement: Vec<RawStatement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawStatement {
    sid: Option<String>,
    effect: String,
    action: Option<OneOrMore>,
    not_action: Option<OneOrMore>,
    resource: OneOrMore,
    condition: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn texts(&self) -> &[String] {
        match self {
            OneOrMore::One(text) => std::slice::from_ref(text),
            OneOrMore::More(texts) => texts,
        }
    }
}

impl Policy {
    /// Compiles a document.
    ///
    /// # Errors
    /// If it is anything but a document that is understood whole.
    pub fn parse(name: &str, document: &str) -> Result<Self, DocumentError> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLong);
        }
        let document: Document =
            serde_json::from_str(document).map_err(|error| DocumentError::NotADocument(error.to_string()))?;
        if document.version != "1" {
            return Err(DocumentError::Version);
        }
        if !(1..=STATEMENTS_MAX).contains(&document.statement.len()) {
            return Err(DocumentError::Statements);
        }
        let statements = document.statement.iter().enumerate();
        let statements =
            statements.map(|(index, raw)| statement(index + 1, raw)).collect::<Result<_, _>>()?;
        Ok(Policy { name: name.to_owned(), statements })
    }
}

/// `number` counts from 1.
fn statement(number: usize, raw: &RawStatement) -> Result<Statement, DocumentError> {
    if raw.condition.is_some() {
        return Err(DocumentError::Condition(number));
    }
    let effect = match raw.effect.as_str() {
        "Allow" => Effect::Allow,
        "Deny" => Effect::Deny,
        _ => return Err(DocumentError::Effect(number)),
    };
    let (actions, negated) = match (&raw.action, &raw.not_action) {
        (Some(actions), None) => (actions.texts(), false),
        (None, Some(actions)) => (actions.texts(), true),
        _ => return Err(DocumentError::Action(number)),
    };
    if actions.is_empty() {
        return Err(DocumentError::Action(number));
    }
    if raw.resource.texts().is_empty() {
        return Err(DocumentError::Resource(number));
    }
    let resource = |text: &String| {
        resource_pattern(text).ok_or_else(|| DocumentError::ResourceForm(number, shown(text)))
    };
    Ok(Statement {
        label: raw.sid.clone().filter(|sid| !sid.is_empty()).unwrap_or_else(|| number.to_string()),
        effect,
        actions: actions
            .iter()
            .map(|text| action_pattern(text).ok_or_else(|| DocumentError::ActionForm(number, shown(text))))
            .collect::<Result<_, _>>()?,
        negated,
        resources: raw.resource.texts().iter().map(resource).collect::<Result<_, _>>()?,
    })
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Actions are compared without regard to case, so that a Deny is not lost by a slip.
fn action_pattern(text: &str) -> Option<Pattern> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'*' | b'?' | b':');
    let formed = text == "*"
        || text.split_once(':').is_some_and(|(product, operation)| {
            !product.is_empty() && !operation.is_empty() && !operation.contains(':')
        });
    (formed && text.bytes().all(allowed)).then(|| Pattern::new(&text.to_ascii_lowercase()))
}

fn resource_pattern(text: &str) -> Option<ResourcePattern> {
    if text == "*" {
        return Some(ResourcePattern::any());
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let mut parts = text.splitn(5, ':');
    let ("acs", product, region, account, path) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
    else {
        return None;
    };
    if product.is_empty() || path.is_empty() {
        return None;
    }
    // As the provider has it: nothing for region or account is any.
    let or_any = |part: &str| if part.is_empty() { Pattern::Any } else { Pattern::new(part) };
    Some(ResourcePattern {
        product: Pattern::new(product),
        region: or_any(region),
        account: or_any(account),
        path: Pattern::new(path),
    })
}
