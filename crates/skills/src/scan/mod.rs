//! Reads every file of a package and says what it found, and what it could not read.
//!
//! Static: nothing of a package is run, and nothing outside of it is asked. A [`Scanner`] compiles its rules once and
//! is shared; a scan is synchronous and takes milliseconds to seconds, so it belongs on a blocking thread. Every byte
//! is read by the rules, also what is decoded from it, within the limits below; what is beyond one of them, encrypted
//! or compiled is in [`Report::unread`], so that whoever decides can hold it.
//!
//! A finding is a rule that matched, seen in its surroundings: a text that warns of a command says less than a script
//! that runs it, an installer that everybody knows less than an address without a name. Some rules are signals that
//! mean nothing alone; [`combine`] makes findings of those that stand together.

mod binary;
mod combine;
mod context;
mod decode;
mod engine;
mod hidden;
mod kind;
mod nested;
mod pass;
mod secrets;
mod supply;
mod texts;
mod views;
mod whole;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

pub use engine::RulesError;

use crate::package::Package;
use crate::report::{FINDINGS_MAX, Report, score};

/// What analysers are called in [`Finding::analyser`].
const ANALYSER: &str = "rules";

/// Compiled rules and analysers.
#[derive(Debug)]
pub struct Scanner {
    engine: engine::Engine,
    decoder: decode::Decoder,
    secrets: secrets::Secrets,
    context: context::Context,
    supply: supply::Supply,
    /// SHA-256 in lower-case hex, of files and of contents.
    known_bad: BTreeSet<String>,
    version: String,
}

/// Why there is no scanner: a rule or a pattern in this program is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ScannerError {
    #[error("compiling the rules")]
    Rules(#[source] RulesError),
    #[error("compiling the patterns of the analysers")]
    Patterns(#[source] regex::Error),
}

impl From<regex::Error> for ScannerError {
    fn from(error: regex::Error) -> Self {
        Self::Patterns(error)
    }
}

impl Scanner {
    /// Compiles the rules: some 100 ms.
    ///
    /// # Errors
    /// Only if this program's own rules are wrong.
    pub fn new() -> Result<Self, ScannerError> {
        Ok(Self {
            engine: engine::Engine::new().map_err(ScannerError::Rules)?,
            decoder: decode::Decoder::new()?,
            secrets: secrets::Secrets::new()?,
            context: context::Context::new()?,
            supply: supply::Supply::new()?,
            known_bad: BTreeSet::new(),
            version: engine::version(),
        })
    }

    /// With SHA-256 hashes (hex) of files, or of whole contents as [`Package::content_hash`] has them, that are known
    /// to be malicious. The list is part of [`Scanner::rules_version`].
    #[must_use]
    pub fn with_known_bad(mut self, hashes: impl IntoIterator<Item = String>) -> Self {
        self.known_bad = hashes.into_iter().map(|hash| hash.trim().to_lowercase()).collect();
        self.version = version(&self.known_bad);
        self
    }

    /// Names what this scanner looks for, as in [`Report::rules_version`]: another name, another scan.
    #[must_use]
    pub fn rules_version(&self) -> &str {
        &self.version
    }

    /// Reads all of `package`.
    #[must_use]
    pub fn scan(&self, package: &Package) -> Report {
        pass::run(self, package)
    }
}

/// A scanner that is made when the first package comes: its rules take 25 MB and a quarter of a second, and a server
/// whose skills are all scanned needs none.
#[derive(Debug, Default)]
pub struct LazyScanner {
    known_bad: BTreeSet<String>,
    made: Mutex<Option<Arc<Scanner>>>,
}

impl LazyScanner {
    /// With hashes as [`Scanner::with_known_bad`] takes them.
    pub fn new(known_bad: impl IntoIterator<Item = String>) -> Self {
        let known_bad = known_bad.into_iter().map(|hash| hash.trim().to_lowercase()).collect();
        Self { known_bad, made: Mutex::default() }
    }

    /// As [`Scanner::rules_version`] will be.
    #[must_use]
    pub fn rules_version(&self) -> String {
        version(&self.known_bad)
    }

    /// The scanner; the first caller compiles it, and others wait meanwhile.
    ///
    /// # Errors
    /// As [`Scanner::new`]; the next caller tries again.
    pub fn get(&self) -> Result<Arc<Scanner>, ScannerError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scanner) = &*made {
            return Ok(scanner.clone());
        }
        let scanner = Arc::new(Scanner::new()?.with_known_bad(self.known_bad.iter().cloned()));
        *made = Some(scanner.clone());
        Ok(scanner)
    }
}

/// Of the rules with a list of hashes.
fn version(known_bad: &BTreeSet<String>) -> String {
    let rules = engine::version();
    if known_bad.is_empty() {
        return rules;
    }
    let mut hash = Sha256::new();
    hash.update(rules);
    for bad in known_bad {
        hash.update(bad);
    }
    hex(&hash.finalize()).chars().take(16).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
