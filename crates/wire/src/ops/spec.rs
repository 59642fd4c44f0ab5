//! How an operation is declared. The declarations themselves are generated from `spec/` (see `docs/adr/0002`).

use super::access::ResourceSpec;

/// One operation: what it is called, whether it changes anything, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpSpec {
    /// API version, such as `2020-09-30`; with the action it names the operation.
    pub version: &'static str,
    /// Action name, such as `CreateDesktops`.
    pub action: &'static str,
    /// True if a call changes state, so that it is audited and its nonce is stored.
    pub mutates: bool,
    /// What a policy calls it, such as `ecd:CreateDesktops`.
    pub permission: &'static str,
    /// What the caller must be allowed it on, each of them; never empty.
    pub resources: &'static [ResourceSpec],
    /// Every top-level parameter, also those that are refused or ignored.
    pub params: &'static [ParamSpec],
}

impl OpSpec {
    /// True if the operation takes a `ClientToken`, so that a repeated call answers as the first did.
    pub fn takes_client_token(&self) -> bool {
        self.params.iter().any(|param| param.name == "ClientToken")
    }
}

/// What a parameter does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamClass {
    /// Changes what the operation does.
    Acts,
    /// Kept and shown again, without an effect of its own.
    Echoed,
    /// `UnsupportedParameter` unless it has its harmless default (`false`, empty, `{}`, `[]`).
    Refused,
    /// Read past; `spec/classes.toml` says by which rule.
    Ignored,
}

/// Type of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    String,
    /// Text that must not be logged.
    Secret,
    Integer,
    Number,
    Boolean,
    Object(&'static [ParamSpec]),
    Strings,
    Integers,
    Objects(&'static [ParamSpec]),
}

/// One parameter, or one field of an object parameter, and its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamSpec {
    /// Name on the wire.
    pub name: &'static str,
    /// Type of the value.
    pub kind: Kind,
    /// Absent (or an empty text or list) is `Missing<Name>`.
    pub required: bool,
    /// What it does here.
    pub class: ParamClass,
    /// Most items of a list.
    pub items_max: Option<usize>,
    /// Smallest number.
    pub min: Option<i64>,
    /// Largest number.
    pub max: Option<i64>,
    /// Shortest text, in characters.
    pub len_min: Option<usize>,
    /// Longest text, in characters; of a list of texts, of each.
    pub len_max: Option<usize>,
    /// The only texts allowed, exact in case; empty if any.
    pub values: &'static [&'static str],
}

impl ParamSpec {
    /// An optional parameter that acts and has no limits of its own.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            required: false,
            class: ParamClass::Acts,
            items_max: None,
            min: None,
            max: None,
            len_min: None,
            len_max: None,
            values: &[],
        }
    }

    /// Must be present.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Kept and shown again only.
    #[must_use]
    pub const fn echoed(mut self) -> Self {
        self.class = ParamClass::Echoed;
        self
    }

    /// Refused unless harmless.
    #[must_use]
    pub const fn refused(mut self) -> Self {
        self.class = ParamClass::Refused;
        self
    }

    /// Read past.
    #[must_use]
    pub const fn ignored(mut self) -> Self {
        self.class = ParamClass::Ignored;
        self
    }

    /// Most items of a list.
    #[must_use]
    pub const fn items_max(mut self, items_max: usize) -> Self {
        self.items_max = Some(items_max);
        self
    }

    /// Smallest number.
    #[must_use]
    pub const fn min(mut self, min: i64) -> Self {
        self.min = Some(min);
        self
    }

    /// Largest number.
    #[must_use]
    pub const fn max(mut self, max: i64) -> Self {
        self.max = Some(max);
        self
    }

    /// Shortest text, in characters.
    #[must_use]
    pub const fn len_min(mut self, len_min: usize) -> Self {
        self.len_min = Some(len_min);
        self
    }

    /// Longest text, in characters.
    #[must_use]
    pub const fn len_max(mut self, len_max: usize) -> Self {
        self.len_max = Some(len_max);
        self
    }

    /// The only texts allowed.
    #[must_use]
    pub const fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }
}
