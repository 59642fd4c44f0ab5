//! The YARA engine: rules compiled once, and what a match of each of them means.

use std::collections::HashMap;
use std::time::Duration;

use boreal::MetadataValue;
use boreal::scanner::{ScanError, ScanParams};
use sha2::{Digest, Sha256};

use crate::report::Severity;

/// Rules over commands and source code.
const CODE_RULES: &[(&str, &str)] = &[
    ("shell", include_str!("../../rules/shell.yar")),
    ("code", include_str!("../../rules/code.yar")),
    ("system", include_str!("../../rules/system.yar")),
    ("supply", include_str!("../../rules/supply.yar")),
    ("signals", include_str!("../../rules/signals.yar")),
    ("hosts", include_str!("../../rules/hosts.yar")),
];
/// Rules over what people and models read.
const PROSE_RULES: &[(&str, &str)] = &[
    ("injection", include_str!("../../rules/injection.yar")),
    ("directives", include_str!("../../rules/directives.yar")),
    ("chinese", include_str!("../../rules/chinese.yar")),
    ("lures", include_str!("../../rules/lures.yar")),
    ("hosts", include_str!("../../rules/hosts.yar")),
];
/// Counts as a change of the rules: what Rust code beside them decides.
const ANALYSERS_REVISION: &str = "1";
/// Matches of one string of a rule that are looked at.
const MATCHES_MAX: u32 = 64;
/// For one text and one of the two sets; a file of the greatest size takes a few seconds.
const SCAN_TIME_MAX: Duration = Duration::from_secs(20);

/// Which rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Code,
    Prose,
}

/// What a rule's `meta` says.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Such as `shell.download-and-run`.
    pub(super) id: String,
    /// `None` for a signal: it means nothing alone, see [`super::combine`].
    pub(super) severity: Option<Severity>,
    pub(super) message: String,
    /// A word near the match that says "this is an example of what is bad" makes it weaker, unless this is set.
    pub(super) firm: bool,
}

/// Where a rule matched.
#[derive(Debug)]
pub(super) struct Hit<'a> {
    pub(super) rule: &'a Rule,
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// Why rules could not be compiled.
#[derive(Debug, thiserror::Error)]
#[error("rule {rule}: {reason}")]
pub struct RulesError {
    rule: String,
    reason: String,
}

/// The time for a text was over before the rules had read it.
#[derive(Debug)]
pub(super) struct TimedOut;

#[derive(Debug)]
struct Compiled {
    scanner: boreal::Scanner,
    rules: HashMap<String, Rule>,
}

/// Both sets.
#[derive(Debug)]
pub(super) struct Engine {
    code: Compiled,
    prose: Compiled,
}

impl Engine {
    pub(super) fn new() -> Result<Self, RulesError> {
        Ok(Self { code: Compiled::new(CODE_RULES)?, prose: Compiled::new(PROSE_RULES)? })
    }

    /// Every place of `bytes` where a rule of the set matches.
    pub(super) fn scan(&self, set: Set, path: &str, bytes: &[u8]) -> Result<Vec<Hit<'_>>, TimedOut> {
        match set {
            Set::Code => self.code.scan(path, bytes),
            Set::Prose => self.prose.scan(path, bytes),
        }
    }
}

/// A hash of the rules' text and of [`ANALYSERS_REVISION`], 16 hex digits.
pub(super) fn version() -> String {
    let mut hash = Sha256::new();
    for (_, text) in CODE_RULES.iter().chain(PROSE_RULES) {
        hash.update(text);
    }
    hash.update(super::context::INSTALLERS);
    hash.update(ANALYSERS_REVISION);
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Compiled {
    fn new(sources: &[(&str, &str)]) -> Result<Self, RulesError> {
        let mut compiler = boreal::Compiler::new();
        compiler.define_symbol("path", "");
        for (name, text) in sources {
            compiler
                .add_rules_str_in_namespace(text, name)
                .map_err(|error| RulesError { rule: (*name).to_owned(), reason: error.to_string() })?;
        }
        let mut scanner = compiler.finalize();
        scanner.set_scan_params(
            ScanParams::default()
                .compute_full_matches(true)
                .string_max_nb_matches(MATCHES_MAX)
                .timeout_duration(Some(SCAN_TIME_MAX)),
        );
        let mut rules = HashMap::new();
        for details in scanner.rules().filter(|details| !details.is_private) {
            let rule = Self::rule(&scanner, details.metadatas)
                .map_err(|reason| RulesError { rule: details.name.to_owned(), reason })?;
            rules.insert(format!("{}:{}", details.namespace, details.name), rule);
        }
        Ok(Self { scanner, rules })
    }

    fn rule(scanner: &boreal::Scanner, metadatas: &[boreal::Metadata]) -> Result<Rule, String> {
        let text = |wanted: &str| {
            metadatas.iter().find_map(|meta| match meta.value {
                MetadataValue::Bytes(symbol) if scanner.get_string_symbol(meta.name) == wanted => {
                    String::from_utf8(scanner.get_bytes_symbol(symbol).to_vec()).ok()
                }
                _ => None,
            })
        };
        let severity = match text("severity").ok_or("has no severity")?.as_str() {
            "signal" => None,
            "info" => Some(Severity::Info),
            "low" => Some(Severity::Low),
            "medium" => Some(Severity::Medium),
            "high" => Some(Severity::High),
            "critical" => Some(Severity::Critical),
            other => return Err(format!("severity {other} is none")),
        };
        Ok(Rule {
            id: text("id").ok_or("has no id")?,
            severity,
            message: text("message").unwrap_or_default(),
            firm: text("firm").is_some(),
        })
    }

    fn scan(&self, path: &str, bytes: &[u8]) -> Result<Vec<Hit<'_>>, TimedOut> {
        // A clone shares the compiled rules; it is there for the symbol.
        let mut scanner = self.scanner.clone();
        // The symbol was defined with this type, so it cannot be refused.
        let _ = scanner.define_symbol("path", path.to_owned());
        let result = match scanner.scan_mem(bytes) {
            Ok(result) => result,
            Err((ScanError::Timeout, _)) => return Err(TimedOut),
            Err((_, result)) => result,
        };
        let mut hits = Vec::new();
        for matched in &result.rules {
            let Some(rule) = self.rules.get(&format!("{}:{}", matched.namespace, matched.name)) else {
                continue;
            };
            // Strings named `_…` are there for the condition only.
            let strings = matched.matches.iter().filter(|strings| !strings.name.starts_with('_'));
            hits.extend(strings.flat_map(|strings| {
                strings.matches.iter().map(|at| Hit { rule, offset: at.offset, length: at.length })
            }));
        }
        Ok(hits)
    }
}
