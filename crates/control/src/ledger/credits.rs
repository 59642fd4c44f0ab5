//! Packs, quotas and corrections: what administrators and other services change.

use creel_wire::id::{AccountId, CallId, CreditPackId, ResourceGroupId, RuntimeId};
use creel_wire::money::Micros;

use super::apply::Sums;
use super::period::{month_end_ms, month_start_ms};
use super::{
    Entry, Label, LedgerError, Pack, PackSource, Quota, QuotaChange, QuotaKind, UsedUpStrategy, hour_of,
    month_of,
};
use crate::access::Actor;
use crate::id_gen::IdGen;
use crate::store::{Store, StoreError, Tx};

/// At which part of its quota an agent is shown as near its end, until it is set otherwise.
pub(crate) const WARN_PERCENT_DEFAULT: i64 = 80;

/// Monthly packs that are made in one transaction at the most.
const DUE_GRANTS_MAX: i64 = 500;

/// Changes and shows credits.
#[derive(Debug, Clone)]
pub struct Credits {
    pub(super) store: Store,
    ids: IdGen,
}

/// A pack to be made.
#[derive(Debug, Clone)]
pub struct Grant {
    /// `ecd-…` or `jvs-…`; `None`: every runtime of the account may spend it.
    pub runtime_id: Option<String>,
    /// Purchased or Granted; monthly packs are made by [`grant_monthly`].
    pub source: PackSource,
    pub micros: Micros,
    /// `None`: never.
    pub expires_at_ms: Option<i64>,
}

/// Gives a new runtime credits each month, beginning now, within the transaction that makes it.
///
/// The rule: a runtime has one pack for each calendar month (UTC), of the whole amount, also in its first month; what
/// is left of it ends with the month. The pack of a later month is made when its balance is first needed. Engines
/// need not be told: they know nothing of a runtime before its first call.
pub async fn grant_monthly(
    tx: &mut Tx,
    ids: &IdGen,
    account_id: &AccountId,
    runtime_id: &RuntimeId,
    micros: Micros,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.put_monthly_grant(account_id, runtime_id, micros, now_ms).await?;
    let pack = monthly_pack(ids.credit_pack(), account_id, runtime_id, micros, now_ms, now_ms);
    tx.insert_pack(&pack, Some(month_of(now_ms))).await?;
    Ok(())
}

fn monthly_pack(
    id: CreditPackId,
    account_id: &AccountId,
    runtime_id: &RuntimeId,
    micros: Micros,
    granted_at_ms: i64,
    now_ms: i64,
) -> Pack {
    Pack {
        id,
        account_id: account_id.clone(),
        runtime_id: Some(runtime_id.clone()),
        source: PackSource::Monthly,
        total: micros,
        used: Micros::ZERO,
        starts_at_ms: month_start_ms(now_ms).max(granted_at_ms),
        expires_at_ms: Some(month_end_ms(now_ms)),
        created_at_ms: now_ms,
        // The row gets that of the month before.
        used_up_strategy: None,
    }
}

/// Makes the packs of this month that are due and not there: of one runtime, or of all of an account.
pub(super) async fn ensure_monthly(
    store: &Store,
    account_id: &AccountId,
    runtime_id: Option<&RuntimeId>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let month = month_of(now_ms);
    let ids = IdGen::new(store.clock().clone());
    loop {
        let due = store.list_due_grants(account_id, runtime_id, month, DUE_GRANTS_MAX).await?;
        if due.is_empty() {
            return Ok(());
        }
        let packs: Vec<Pack> = due
            .iter()
            .map(|(runtime_id, micros, granted_at_ms)| {
                monthly_pack(ids.credit_pack(), account_id, runtime_id, *micros, *granted_at_ms, now_ms)
            })
            .collect();
        let made: Result<(), StoreError> = store
            .write(move |tx| {
                Box::pin(async move {
                    for pack in &packs {
                        tx.insert_pack(pack, Some(month)).await?;
                    }
                    Ok(())
                })
            })
            .await;
        made?;
    }
}

impl Credits {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen) -> Self {
        Self { store, ids }
    }

    /// Sets what each of these agents (`ecd-…` or `jvs-…`) may spend in a cycle.
    /// If one of them is not the account's, nothing changes.
    pub async fn set_quota(
        &self,
        actor: Actor,
        agent_ids: Vec<String>,
        change: QuotaChange,
    ) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let resources: Vec<&str> = agent_ids.iter().map(String::as_str).collect();
                    actor.audit(tx, &resources, now_ms).await?;
                    for id in &agent_ids {
                        let agent = tx.find_agent(&actor.account_id, id).await?;
                        let agent = agent.ok_or_else(|| LedgerError::RuntimeNotFound(id.clone()))?;
                        let (account_id, subject) = (&actor.account_id, agent.runtime_id.as_str());
                        tx.put_quota(account_id, QuotaKind::Agent, subject, &change, now_ms).await?;
                        tx.note_quotas(&[subject], hour_of(now_ms), now_ms).await?;
                    }
                    Ok(tx.touch_ledger(&actor.account_id, None).await?)
                })
            })
            .await
    }

    /// Sets what the runtimes of a resource group may spend together in a cycle.
    pub async fn set_group_quota(
        &self,
        actor: Actor,
        group_id: ResourceGroupId,
        change: QuotaChange,
    ) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let (account_id, subject) = (&actor.account_id, group_id.as_str());
                    actor.audit(tx, &[subject], now_ms).await?;
                    if !tx.has_resource_group(account_id, &group_id).await? {
                        return Err(LedgerError::GroupNotFound(group_id.to_string()));
                    }
                    tx.put_quota(account_id, QuotaKind::Group, subject, &change, now_ms).await?;
                    tx.note_quotas(&[subject], hour_of(now_ms), now_ms).await?;
                    Ok(tx.touch_ledger(account_id, None).await?)
                })
            })
            .await
    }

    /// Every quota of an account, of agents first, with what is used.
    pub async fn list_quotas(&self, account_id: &AccountId) -> Result<Vec<Quota>, LedgerError> {
        Ok(self.store.list_quotas(account_id, self.store.clock().now_ms()).await?)
    }

    /// Sets at which part of its packs an account is told; 0 is never.
    pub async fn set_warn_percent(&self, actor: Actor, percent: i64) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[actor.account_id.as_str()], now_ms).await?;
                    tx.touch_ledger(&actor.account_id, None).await?;
                    Ok(tx.set_account_warn_percent(&actor.account_id, percent).await?)
                })
            })
            .await
    }

    /// Makes a pack.
    pub async fn grant(&self, actor: Actor, grant: Grant) -> Result<Pack, LedgerError> {
        if grant.micros.0 <= 0 || grant.source == PackSource::Monthly {
            return Err(LedgerError::BadAmount);
        }
        let now_ms = self.store.clock().now_ms();
        let id = self.ids.credit_pack();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[id.as_str()], now_ms).await?;
                    let runtime_id = match grant.runtime_id {
                        None => None,
                        Some(named) => match tx.find_agent(&actor.account_id, &named).await? {
                            Some(agent) => Some(agent.runtime_id),
                            None => return Err(LedgerError::RuntimeNotFound(named)),
                        },
                    };
                    let pack = Pack {
                        id,
                        account_id: actor.account_id.clone(),
                        runtime_id,
                        source: grant.source,
                        total: grant.micros,
                        used: Micros::ZERO,
                        starts_at_ms: now_ms,
                        expires_at_ms: grant.expires_at_ms,
                        created_at_ms: now_ms,
                        used_up_strategy: None,
                    };
                    tx.insert_pack(&pack, None).await?;
                    tx.touch_ledger(&actor.account_id, None).await?;
                    Ok(pack)
                })
            })
            .await
    }

    /// Sets whether priced calls to Managed and Custom providers take credits from packs too (`true`), or only count
    /// against quotas.
    pub async fn set_bills_all(&self, actor: Actor, bills_all: bool) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[actor.account_id.as_str()], now_ms).await?;
                    Ok(tx.touch_ledger(&actor.account_id, Some(bills_all)).await?)
                })
            })
            .await
    }

    /// Sets what happens when these packs of the actor's account are used up; if one of them is not the account's,
    /// nothing changes. A strategy that was carried out before is carried out again.
    pub async fn set_used_up_strategy(
        &self,
        actor: Actor,
        pack_ids: Vec<String>,
        strategy: UsedUpStrategy,
    ) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let resources: Vec<&str> = pack_ids.iter().map(String::as_str).collect();
                    actor.audit(tx, &resources, now_ms).await?;
                    for id in &pack_ids {
                        if tx.set_used_up_strategy(&actor.account_id, id, strategy).await? == 0 {
                            return Err(LedgerError::PackNotFound(id.clone()));
                        }
                    }
                    Ok(tx.touch_ledger(&actor.account_id, None).await?)
                })
            })
            .await
    }

    /// Gives back what a cut-off call counts as spent, by a correcting entry for each of its `unsettled` ones. Gives
    /// the amount. The second time there is nothing left to correct.
    pub async fn release_unsettled(&self, actor: Actor, call_id: CallId) -> Result<Micros, LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[call_id.as_str()], now_ms).await?;
                    let entries = tx.entries_of_call(&actor.account_id, &call_id).await?;
                    let corrections = corrections(&entries, now_ms);
                    if corrections.is_empty() {
                        return Err(LedgerError::NotUnsettled(call_id));
                    }
                    match tx.insert_entries(&corrections, now_ms).await {
                        Err(StoreError::Unique(_)) => return Err(LedgerError::NotUnsettled(call_id)),
                        other => other?,
                    }
                    tx.add_sums(&Sums::of(&corrections)).await?;
                    tx.touch_ledger(&actor.account_id, None).await?;
                    Ok(Micros(-corrections.iter().map(|entry| entry.micros.0).sum::<i64>()))
                })
            })
            .await
    }
}

/// An entry against each unsettled one, in the same month and hour; none if there are some already.
fn corrections(entries: &[Entry], now_ms: i64) -> Vec<Entry> {
    if entries.iter().any(|entry| entry.label == Label::Released) {
        return Vec::new();
    }
    let first = entries.iter().map(|entry| entry.part).max().unwrap_or(-1) + 1;
    let unsettled = entries.iter().filter(|entry| entry.label == Label::Unsettled);
    unsettled
        .zip(first..)
        .map(|(entry, part)| Entry {
            id: format!("{}/{part}", entry.call_id).into(),
            part,
            label: Label::Released,
            usage: Default::default(),
            micros: Micros(-entry.micros.0),
            unbilled_micros: Micros::ZERO,
            created_at_ms: now_ms,
            ..entry.clone()
        })
        .collect()
}
