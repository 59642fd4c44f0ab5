//! What the gateway asks of the rest of the house, answered: who may call what, and who pays.

mod billing;
mod directory;

pub(crate) use billing::LedgerBilling;
pub(crate) use directory::keep_directory;
