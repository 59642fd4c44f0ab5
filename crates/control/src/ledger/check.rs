//! Re-adds the whole ledger: every sum against its entries, and every entry against its own usage and price.

use std::collections::HashMap;

use creel_wire::id::CallId;

use super::{Credits, Entry, Label, LedgerError};

/// Differences that are told at the most; more would not be read.
const DIFFERENCES_MAX: i64 = 1_000;
/// Entries that are read at once.
const PAGE_ENTRIES: i64 = 5_000;

/// A sum that its entries do not give, or something that may never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `pack`, `month`, `hour`, `overspent pack`, `negative call`, `call settled more than once`, `cost of call`.
    pub what: String,
    /// The pack, the runtime or account with its month or hour, or the call.
    pub subject: String,
    /// Stored minus re-added, in micro-credits.
    pub by: i64,
}

/// What a check looked at and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub entries: i64,
    /// Empty if the ledger is right; at most 1,000.
    pub differences: Vec<Difference>,
}

impl Credits {
    /// Checks the ledger as its rows are at one moment, also while a server writes them.
    pub async fn check(&self) -> Result<Checked, LedgerError> {
        let (entries, mut differences) = self.store.check_sums(DIFFERENCES_MAX).await?;
        let mut after = String::new();
        let mut costs = Costs::default();
        loop {
            let page = self.store.scan_entries(None, &after, PAGE_ENTRIES).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            page.iter().for_each(|entry| costs.add(entry));
        }
        differences.extend(costs.differences());
        differences.truncate(usize::try_from(DIFFERENCES_MAX).unwrap_or(usize::MAX));
        Ok(Checked { entries, differences })
    }
}

/// What calls cost by their usage and price, minus what their entries say. Ids of one call follow each other, so
/// only the newest call is kept open.
#[derive(Debug, Default)]
struct Costs {
    open: HashMap<CallId, i64>,
    wrong: Vec<Difference>,
}

impl Costs {
    fn add(&mut self, entry: &Entry) {
        // What a cut-off call used is not known, so its amount has nothing to be compared with.
        if matches!(entry.label, Label::Unsettled | Label::Released) {
            return;
        }
        if !self.open.contains_key(&entry.call_id) {
            self.close();
        }
        let cost = entry.card.map_or(0, |card| card.cost(&entry.usage).0);
        let said = entry.micros.0.saturating_add(entry.unbilled_micros.0);
        let sum = self.open.entry(entry.call_id.clone()).or_default();
        *sum = sum.saturating_add(said.saturating_sub(cost));
    }

    fn close(&mut self) {
        let wrong = self.open.drain().filter(|(_, by)| *by != 0).map(|(call_id, by)| Difference {
            what: "cost of call".to_owned(),
            subject: call_id.to_string(),
            by,
        });
        self.wrong.extend(wrong);
    }

    fn differences(mut self) -> Vec<Difference> {
        self.close();
        self.wrong
    }
}
