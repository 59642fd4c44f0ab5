//! The ledger's entries.

pub(crate) mod describe_ledger_entries;
