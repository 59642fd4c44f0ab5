//! Reports: what a month cost by resource group, tag or user, and what models used, to compare with an invoice.

use creel_wire::id::AccountId;
use creel_wire::money::Micros;
use creel_wire::price::Usage;

use super::{Credits, LedgerError};

/// By what a report adds up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportBy {
    /// The group that the runtime was in when the call began.
    ResourceGroup,
    /// The value of this tag, as the runtime has it now.
    Tag(String),
    /// The user of the runtime when the call was entered, if it had exactly one.
    User,
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// The group, tag value or user; `None`: calls of none.
    pub key: Option<String>,
    /// Of a group that is there still.
    pub name: Option<String>,
    pub calls: i64,
    pub usage: Usage,
    /// Exact; corrections are in it.
    pub micros: Micros,
    /// What calls cost beyond what there was to spend.
    pub unbilled: Micros,
}

/// A month of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub rows: Vec<ReportRow>,
    /// What the rows add up to, which is what the ledger says of the month.
    pub total: Micros,
}

/// What a model used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelUsage {
    pub model_code: String,
    /// Calls whose usage is known.
    pub calls: i64,
    /// Those of them whose usage is an estimate.
    pub estimated: i64,
    /// Calls that were cut off.
    pub unknown: i64,
    /// Of the calls whose usage is known.
    pub usage: Usage,
}

impl Credits {
    /// Adds up a month (such as 202601) of an account. Entries that belong to nothing are a row of their own, so that
    /// the rows give the ledger's total.
    ///
    /// # Errors
    /// `SumsDiffer` if they do not: `creel admin ledger check` tells more.
    pub async fn report(
        &self,
        account_id: &AccountId,
        month: i64,
        by: &ReportBy,
    ) -> Result<Report, LedgerError> {
        let (rows, total) = self.store.report(account_id, month, by).await?;
        let sum = rows.iter().fold(0i64, |sum, row| sum.saturating_add(row.micros.0));
        if sum != total.0 {
            return Err(LedgerError::SumsDiffer { by: Micros(sum.saturating_sub(total.0)) });
        }
        Ok(Report { rows, total })
    }

    /// What models of a provider (by id, or by name) used from one hour to before another, of one account or of all; by
    /// the hour in which calls began.
    pub async fn usage_by_model(
        &self,
        account_id: Option<&AccountId>,
        provider: &str,
        hours: (i64, i64),
    ) -> Result<Vec<ModelUsage>, LedgerError> {
        Ok(self.store.used_by_model(account_id, provider, hours).await?)
    }
}
