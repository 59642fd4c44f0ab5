//! Taking a JSON object apart so that nothing can be overlooked.

use serde_json::{Map, Value};

use crate::dialect::Dialect;

/// Why a request or an answer cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The body is not a JSON object.
    #[error("the body cannot be read as a JSON object")]
    Json,
    /// There is no conversion between the two.
    #[error("{from:?} requests cannot be sent to a provider that speaks {to:?}")]
    Never {
        /// What the request is written in.
        from: Dialect,
        /// What the upstream understands.
        to: Dialect,
    },
    /// This member cannot be said in the other dialect, or is not what its own dialect wants.
    #[error("{at} {why}")]
    Member {
        /// Its place, such as `messages[3].content[0].detail`.
        at: String,
        /// What is wrong, as the rest of a sentence.
        why: &'static str,
    },
}

impl ConvertError {
    /// The member at fault, as the `param` of an error body.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Json | Self::Never { .. } => None,
            Self::Member { at, .. } => Some(at),
        }
    }
}

/// What is wrong with a member that has no counterpart.
pub(super) const NO_PLACE: &str =
    "cannot be said in the dialect of this model's provider: remove it or use another model";

/// The place of a value, spelled out only where it is at fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    pub(super) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    pub(super) fn member(&'a self, name: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Member(name) }
    }

    pub(super) fn index(&'a self, index: usize) -> At<'a> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    pub(super) fn refuse(&self, why: &'static str) -> ConvertError {
        ConvertError::Member { at: self.text(), why }
    }

    fn text(&self) -> String {
        let parent = self.parent.map(At::text).unwrap_or_default();
        match self.step {
            Step::Root => parent,
            Step::Member(name) if parent.is_empty() => name.to_owned(),
            Step::Member(name) => format!("{parent}.{name}"),
            Step::Index(index) => format!("{parent}[{index}]"),
        }
    }

    pub(super) fn object(&'a self, value: Value) -> Result<Members<'a>, ConvertError> {
        match value {
            Value::Object(map) => Ok(Members { at: self, map }),
            _ => Err(self.refuse("must be an object")),
        }
    }

    pub(super) fn text_of(&self, value: Value) -> Result<String, ConvertError> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err(self.refuse("must be a text")),
        }
    }

    pub(super) fn list(&self, value: Value) -> Result<Vec<Value>, ConvertError> {
        match value {
            Value::Array(list) => Ok(list),
            _ => Err(self.refuse("must be a list")),
        }
    }
}

/// The members of an object that have not been dealt with. A `null` is a member that is not there.
#[derive(Debug)]
pub(super) struct Members<'a> {
    pub(super) at: &'a At<'a>,
    map: Map<String, Value>,
}

impl<'a> Members<'a> {
    pub(super) fn root(map: Map<String, Value>) -> Self {
        Self { at: &At::ROOT, map }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn need(&mut self, name: &str) -> Result<Value, ConvertError> {
        self.take(name).ok_or_else(|| self.refuse(name, "is required"))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ConvertError> {
        self.take(name).map(|value| self.at.member(name).text_of(value)).transpose()
    }

    pub(super) fn need_text(&mut self, name: &str) -> Result<String, ConvertError> {
        let value = self.need(name)?;
        self.at.member(name).text_of(value)
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ConvertError> {
        self.take(name).map(|value| self.at.member(name).list(value)).transpose()
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ConvertError> {
        let value = self.take(name);
        value
            .map(|value| value.as_bool().ok_or_else(|| self.refuse(name, "must be true or false")))
            .transpose()
    }

    /// Moves a member that both dialects have, under its name there.
    pub(super) fn carry(&mut self, name: &str, to: &mut Map<String, Value>, there: &str) {
        if let Some(value) = self.take(name) {
            to.insert(there.to_owned(), value);
        }
    }

    /// Members that change no answer and have no counterpart.
    pub(super) fn leave_out(&mut self, names: &[&'static str], left_out: &mut Vec<&'static str>) {
        for name in names {
            if self.take(name).is_some() {
                left_out.push(name);
            }
        }
    }

    /// A member without a counterpart, which may only say what holds there anyway.
    pub(super) fn only(&mut self, name: &str, same: &[Value]) -> Result<(), ConvertError> {
        match self.take(name) {
            Some(value) if !same.contains(&value) => Err(self.refuse(name, NO_PLACE)),
            _ => Ok(()),
        }
    }

    pub(super) fn refuse(&self, name: &str, why: &'static str) -> ConvertError {
        self.at.member(name).refuse(why)
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), ConvertError> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => Err(self.refuse(name, NO_PLACE)),
            None => Ok(()),
        }
    }
}
