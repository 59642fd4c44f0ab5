//! Policies: what a principal may do. Pure: a document becomes a [`Policy`], and [`evaluate`] says whether policies allow
//! an action on resources. Nothing is allowed that no statement allows, and a statement that denies wins.

mod document;
mod pattern;
mod system;

#[cfg(test)]
mod tests;

pub use document::{DOCUMENT_BYTES_MAX, DocumentError, STATEMENTS_MAX};
use pattern::Pattern;
pub use system::{SYSTEM_POLICIES, SystemPolicy, end_user_policy, find_system_policy};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// A compiled document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    name: String,
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    /// Its Sid, or else its number from 1.
    label: String,
    effect: Effect,
    actions: Vec<Pattern>,
    /// True for NotAction: every action but these.
    negated: bool,
    resources: Vec<ResourcePattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ResourcePattern {
    product: Pattern,
    region: Pattern,
    account: Pattern,
    path: Pattern,
}

/// Something that a call is about: `acs:<product>:<region>:<account>:<kind>/<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource<'a> {
    pub product: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    /// `<kind>/<id>`; see [`Resource::all`].
    path: String,
}

impl<'a> Resource<'a> {
    /// One resource.
    pub fn one(product: &'a str, region: &'a str, account: &'a str, kind: &str, id: &str) -> Self {
        Self { product, region, account, path: format!("{kind}/{id}") }
    }

    /// All of a kind, for a call that names none: an empty id, which of all patterns only `*` matches.
    pub fn all(product: &'a str, region: &'a str, account: &'a str, kind: &str) -> Self {
        Self::one(product, region, account, kind, "")
    }
}

/// The statement that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRef {
    pub policy: String,
    /// Sid, or the number from 1.
    pub statement: String,
}

/// What policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// By this statement, or because no statement allows it.
    Denied(Option<StatementRef>),
}

/// Whether `policies` allow `action`, such as `ecd:DeleteDesktops`, on every one of `resources`.
pub fn evaluate<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    action: &str,
    resources: &[Resource<'_>],
) -> Decision {
    let action = action.to_ascii_lowercase();
    // The action is the same for all resources, and mostly leaves few statements.
    let statements: Vec<(&Policy, &Statement)> = policies
        .into_iter()
        .flat_map(|policy| policy.statements.iter().map(move |statement| (policy, statement)))
        .filter(|(_, statement)| statement.names_action(&action))
        .collect();
    let with = |effect: Effect| statements.iter().filter(move |(_, statement)| statement.effect == effect);
    let denies =
        |(_, statement): &&(&Policy, &Statement)| resources.iter().any(|it| statement.names_resource(it));
    if let Some((policy, statement)) = with(Effect::Deny).find(denies) {
        let (policy, statement) = (policy.name.clone(), statement.label.clone());
        return Decision::Denied(Some(StatementRef { policy, statement }));
    }
    let allowed = |it: &Resource<'_>| with(Effect::Allow).any(|(_, statement)| statement.names_resource(it));
    // A call about nothing is allowed nothing: the dispatcher names at least all of a kind.
    if !resources.is_empty() && resources.iter().all(allowed) {
        Decision::Allowed
    } else {
        Decision::Denied(None)
    }
}

impl Statement {
    fn names_action(&self, action: &str) -> bool {
        self.actions.iter().any(|pattern| pattern.matches(action)) != self.negated
    }

    fn names_resource(&self, resource: &Resource<'_>) -> bool {
        self.resources.iter().any(|pattern| pattern.matches(resource))
    }
}

impl ResourcePattern {
    fn any() -> Self {
        Self { product: Pattern::Any, region: Pattern::Any, account: Pattern::Any, path: Pattern::Any }
    }

    fn matches(&self, resource: &Resource<'_>) -> bool {
        // The path differs most, so it is compared first.
        self.path.matches(&resource.path)
            && self.product.matches(resource.product)
            && self.region.matches(resource.region)
            && self.account.matches(resource.account)
    }
}
