//! Tells that quotas and packs near their end: once for each crossing of a warn percentage. The crossing is noted in the
//! transaction of the entries that cross it, so it cannot be lost, and its id keeps it from being noted again. A new cycle
//! or another quota is another crossing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use creel_wire::id::{AccountId, CreditPackId, ResourceGroupId};
use creel_wire::money::Micros;

use super::{Credits, Entry, LedgerError};
use crate::store::{StoreError, Tx};

/// Alerts that are taken up at once.
const CLAIMED_MAX: i64 = 20;
/// For how long others leave an alert that was taken up: longer than any attempt lasts.
const CLAIM_MS: i64 = 60_000;
/// Between two attempts to deliver one: doubles from the first to the last.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LONGEST: Duration = Duration::from_secs(3_600);
/// Older ones are given up: they would be news no more.
const AGE_MAX_MS: i64 = 24 * 3_600_000;

/// Something that reached its warn percentage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The same in every attempt to deliver it.
    pub id: String,
    /// `agent`, `group`, `pack` or `account`.
    pub kind: String,
    pub subject_id: String,
    pub account_id: AccountId,
    pub quota: Micros,
    pub warn_percent: i64,
    /// At the crossing.
    pub used: Micros,
    pub created_at_ms: i64,
    /// This one included.
    pub attempts: i64,
}

/// Notes what the entries of a batch made cross; their sums are in the transaction already.
pub(super) async fn note(tx: &mut Tx, entries: &[Entry], now_ms: i64) -> Result<(), StoreError> {
    let (mut quotas, mut packs, mut accounts) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for entry in entries.iter().filter(|entry| entry.micros > Micros::ZERO) {
        // Calls that began on one day are of the same cycles.
        let subjects: &mut BTreeSet<&str> = quotas.entry(entry.hour.div_euclid(24)).or_default();
        subjects.insert(entry.runtime_id.as_str());
        subjects.extend(entry.resource_group_id.as_ref().map(ResourceGroupId::as_str));
        packs.extend(entry.pack_id.as_ref().map(CreditPackId::as_str));
        if entry.pack_id.is_some() {
            accounts.insert(entry.account_id.as_str());
        }
    }
    for (day, subjects) in quotas {
        let subjects: Vec<&str> = subjects.into_iter().collect();
        tx.note_quotas(&subjects, day * 24, now_ms).await?;
    }
    let (packs, accounts): (Vec<&str>, Vec<&str>) =
        (packs.into_iter().collect(), accounts.into_iter().collect());
    tx.note_packs(&packs, &accounts, now_ms).await
}

impl Credits {
    /// Takes up alerts that are due, oldest first; each is this process's for a minute.
    pub async fn claim_alerts(&self) -> Result<Vec<Alert>, LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move { Ok(tx.claim_alerts(now_ms, now_ms + CLAIM_MS, CLAIMED_MAX).await?) })
            })
            .await
    }

    /// An alert was delivered, or else is tried again later, until it is a day old. Gives whether it is given up.
    pub async fn end_alert(&self, alert: &Alert, delivered: bool) -> Result<bool, LedgerError> {
        let now_ms = self.store.clock().now_ms();
        let doublings = u32::try_from(alert.attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        let pause = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_LONGEST);
        let next_ms = now_ms + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let again = !delivered && next_ms < alert.created_at_ms + AGE_MAX_MS;
        let id = alert.id.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    tx.end_attempt(&id, delivered.then_some(now_ms), again.then_some(next_ms)).await?;
                    Ok(!delivered && !again)
                })
            })
            .await
    }
}
