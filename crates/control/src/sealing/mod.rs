//! Keeps the audit log and the ledger sealed: what is done to their rows behind Creel's back shows.
//!
//! Rows are put into sealed batches by the transaction that writes them, or by [`Sealer`] a few seconds later; [`verify`]
//! finds what was done to them since. Both logs are sealed in the same way, each by roots of its own; only the audit
//! log's rows are removed some day. `docs/audit.md` says who can hide what.

mod head;
mod sealer;
mod verify;

pub(crate) use head::{Heads, HeldHead};
pub use sealer::{Retention, Sealer, SealerConfig};
pub use verify::{Difference, Verified, verify};

use crate::seal::{Break, FileError, Hash, Leaf, leaf_hash};
use crate::store::StoreError;

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Who did what.
    Audit,
    /// The ledger's entries.
    Ledger,
}

impl Log {
    /// Its name in its roots.
    pub fn name(self) -> &'static str {
        match self {
            Log::Audit => "audit",
            Log::Ledger => "ledger",
        }
    }

    /// The lease under which it is sealed.
    pub(crate) fn lease(self) -> &'static str {
        match self {
            Log::Audit => "audit",
            // The ledger's engine has the other one.
            Log::Ledger => "ledger-seal",
        }
    }
}

/// A row as its log is sealed. Nothing in it is parsed: whoever checks a row must be able to read a forged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealRow {
    pub(crate) id: String,
    pub(crate) at_ms: i64,
    /// Every column that counts, each behind its length.
    pub(crate) bytes: Vec<u8>,
    /// What marks the row as written by Creel.
    pub(crate) tag: String,
    /// The sealed batch it is in.
    pub(crate) batch: Option<i64>,
    /// Account and resources under which search finds it; of the audit log's rows alone.
    pub(crate) index: Option<(String, Vec<String>)>,
}

impl SealRow {
    fn hash(&self) -> Hash {
        leaf_hash(&self.bytes)
    }

    fn unsealed(self) -> Unsealed {
        Unsealed { leaf: Leaf(self.id.as_str().into(), self.hash()), at_ms: self.at_ms, index: self.index }
    }
}

/// A row that is to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsealed {
    pub(crate) leaf: Leaf,
    pub(crate) at_ms: i64,
    /// As of [`SealRow`].
    pub(crate) index: Option<(String, Vec<String>)>,
}

/// Why a log could not be sealed or checked.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("reading or writing rows of a sealed log")]
    Store(#[from] StoreError),
    #[error("reading or writing the signed roots")]
    File(#[from] FileError),
    #[error("the database's copy of the signed roots does not follow from the roots file")]
    Forked(#[source] Break),
    #[error("record {0} of the database's copy of the signed roots is not a record")]
    NotARecord(i64),
    #[error("another process seals this log")]
    NotTheSealer,
    #[error("rows that were about to be sealed were changed or sealed by somebody else")]
    Overtaken,
    #[error("a task that works on the roots file was cut off")]
    CutOff,
}
