//! Balances in memory: what may be spent, what is held, what is settled but not in rows yet. Pure and synchronous;
//! the engine puts a lock around it.
//!
//! Free is total − used − pending − held, and nothing here lets it fall below zero.

mod open;

use std::sync::Arc;

use creel_wire::id::{AccountId, CallId, CreditPackId, ResourceGroupId, RuntimeId};
use creel_wire::price::Usage;
use hashbrown::HashMap;

use super::pack::{Pack, PackLoad, take};
use super::quota::{Flight, Limit, LimitLoad};
use super::record::{Part, Reserve, Settle};
use super::{CallStart, Label, Refusal, UsageSource, hour_of, month_of};
use crate::call_limit::Traffic;

/// The most that one call can cost where nothing else limits it: a thousand million credits. More is overrun.
const CALL_MICROS_MAX: i64 = 1_000_000_000_000_000;

/// Why a call is not admitted yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// Its balances must be read from the store first.
    Load,
    Refuse(Refusal),
}

/// An account's balances as the store has them.
#[derive(Debug, Default)]
pub(crate) struct AccountLoad {
    pub(crate) bills_all: bool,
    pub(crate) packs: Vec<PackLoad>,
}

/// A runtime's balances as the store has them.
#[derive(Debug, Default)]
pub(crate) struct AgentLoad {
    pub(crate) limit: LimitLoad,
    /// The resource group that it is in, and that group's quota.
    pub(crate) group: Option<(ResourceGroupId, LimitLoad)>,
    pub(crate) packs: Vec<PackLoad>,
}

#[derive(Debug)]
struct Account {
    bills_all: bool,
    packs: Vec<CreditPackId>,
    fresh: bool,
}

#[derive(Debug)]
struct Agent {
    account_id: AccountId,
    limit: Limit,
    /// The resource group that it is in.
    group: Option<ResourceGroupId>,
    packs: Vec<CreditPackId>,
    fresh: bool,
}

/// A resource group with a quota of its runtimes together.
#[derive(Debug)]
struct Group {
    account_id: AccountId,
    limit: Limit,
    fresh: bool,
}

/// All balances in use, and the calls that are under way.
#[derive(Debug, Default)]
pub(crate) struct Book {
    accounts: HashMap<AccountId, Account>,
    agents: HashMap<RuntimeId, Agent>,
    groups: HashMap<ResourceGroupId, Group>,
    packs: HashMap<CreditPackId, Pack>,
    open: HashMap<CallId, Arc<Reserve>>,
    traffic: Traffic,
}

impl Book {
    /// Whether this runtime's balances are in memory and not known to be outdated.
    pub(crate) fn is_loaded(&self, account_id: &AccountId, runtime_id: &RuntimeId, now_ms: i64) -> bool {
        let hour = hour_of(now_ms);
        let group_is_loaded = |id: &ResourceGroupId| {
            self.groups.get(id).is_some_and(|group| group.fresh && group.limit.is_current(hour))
        };
        self.accounts.get(account_id).is_some_and(|account| account.fresh)
            && self.agents.get(runtime_id).is_some_and(|agent| {
                agent.fresh
                    && agent.limit.is_current(hour)
                    && agent.group.as_ref().is_none_or(group_is_loaded)
            })
    }

    /// Takes over what the store has. Only between two batches: what is pending here must not be in `used` there.
    pub(crate) fn load(
        &mut self,
        account_id: &AccountId,
        runtime_id: &RuntimeId,
        account: AccountLoad,
        agent: AgentLoad,
    ) {
        let account_packs = self.load_packs(account.packs);
        let agent_packs = self.load_packs(agent.packs);
        let bills_all = account.bills_all;
        let before = self
            .accounts
            .insert(account_id.clone(), Account { bills_all, packs: account_packs.clone(), fresh: true });
        self.forget(before.map(|account| account.packs).unwrap_or_default(), &account_packs);
        let before = self.agents.remove(runtime_id);
        let (mut limit, packs) = before.map(|agent| (agent.limit, agent.packs)).unwrap_or_default();
        self.forget(packs, &agent_packs);
        limit.load(agent.limit);
        let group = agent.group.map(|(id, load)| {
            let before = self.groups.remove(&id);
            let mut limit = before.map(|group| group.limit).unwrap_or_default();
            limit.load(load);
            self.groups.insert(id.clone(), Group { account_id: account_id.clone(), limit, fresh: true });
            id
        });
        let agent = Agent { account_id: account_id.clone(), limit, group, packs: agent_packs, fresh: true };
        self.agents.insert(runtime_id.clone(), agent);
    }

    fn load_packs(&mut self, loads: Vec<PackLoad>) -> Vec<CreditPackId> {
        loads
            .into_iter()
            .map(|load| {
                let id = load.id.clone();
                let flight = self.packs.get(&id).map(|pack| pack.flight).unwrap_or_default();
                self.packs.insert(id.clone(), Pack { load, flight, listed: true });
                id
            })
            .collect()
    }

    /// Packs that are no longer listed stay only while something of them is in flight.
    fn forget(&mut self, before: Vec<CreditPackId>, now: &[CreditPackId]) {
        for id in before.into_iter().filter(|id| !now.contains(id)) {
            if let Some(pack) = self.packs.get_mut(&id) {
                pack.listed = false;
            }
            self.drop_if_done(&id);
        }
    }

    fn drop_if_done(&mut self, id: &CreditPackId) {
        let done = |pack: &Pack| !pack.listed && pack.flight.held == 0 && pack.flight.pending == 0;
        if self.packs.get(id).is_some_and(done) {
            self.packs.remove(id);
        }
    }

    /// The next call of this account reads its balances anew.
    pub(crate) fn outdate(&mut self, account_id: &AccountId) {
        if let Some(account) = self.accounts.get_mut(account_id) {
            account.fresh = false;
        }
        for agent in self.agents.values_mut().filter(|agent| agent.account_id == *account_id) {
            agent.fresh = false;
        }
        for group in self.groups.values_mut().filter(|group| group.account_id == *account_id) {
            group.fresh = false;
        }
    }

    /// The quotas that a call counts against: its runtime's, and that of the group in which it began.
    fn limits(
        &self,
        runtime_id: &RuntimeId,
        group: Option<&ResourceGroupId>,
    ) -> impl Iterator<Item = &Limit> {
        let agent = self.agents.get(runtime_id).map(|agent| &agent.limit);
        let group = group.and_then(|id| self.groups.get(id)).map(|group| &group.limit);
        agent.into_iter().chain(group)
    }

    /// Changes what is in flight of both.
    fn change_flights(&mut self, reserve: &Reserve, change: impl Fn(&mut Flight)) {
        let hour = hour_of(reserve.at_ms);
        if let Some(agent) = self.agents.get_mut(&reserve.start.runtime_id) {
            change(agent.limit.flight(hour));
        }
        if let Some(group) = reserve.group.as_ref().and_then(|id| self.groups.get_mut(id)) {
            change(group.limit.flight(hour));
        }
    }

    /// Admits a call of the gateway `holder` and holds what its bound costs, or what remains where that is less.
    pub(crate) fn reserve(
        &mut self,
        start: &CallStart,
        holder: &str,
        now_ms: i64,
        deadline_ms: i64,
    ) -> Result<Arc<Reserve>, Denial> {
        if !self.is_loaded(&start.account_id, &start.runtime_id, now_ms) {
            return Err(Denial::Load);
        }
        if start.billed && start.card.is_none() {
            return Err(Denial::Refuse(Refusal::NoPrice));
        }
        let group = self.agents.get(&start.runtime_id).and_then(|agent| agent.group.clone());
        let quota_free = self.quota_free(start, hour_of(now_ms))?;
        let bound = start.card.map_or(0, |card| card.cost(&start.bound).0.min(CALL_MICROS_MAX));
        let mut held = bound.min(quota_free.unwrap_or(i64::MAX));
        let mut packs = Vec::new();
        let uses_packs = self.uses_packs(start);
        let postpaid = uses_packs && self.is_postpaid(start, now_ms);
        if uses_packs {
            let order = self.spendable(start, now_ms);
            if order.is_empty() && !postpaid {
                return Err(Denial::Refuse(Refusal::PacksSpent));
            }
            packs = take(&order, held);
            if !postpaid {
                held = packs.iter().map(|(_, micros)| micros).sum();
            }
        }
        self.traffic
            .check(&start.limits, now_ms)
            .map_err(|excess| Denial::Refuse(Refusal::Limited(excess)))?;
        let reserve = Arc::new(Reserve {
            start: start.clone(),
            holder: holder.to_owned(),
            month: month_of(now_ms),
            group,
            uses_packs,
            postpaid,
            packs,
            held,
            at_ms: now_ms,
            deadline_ms,
        });
        self.hold(reserve.clone(), now_ms);
        Ok(reserve)
    }

    fn hold(&mut self, reserve: Arc<Reserve>, now_ms: i64) {
        self.traffic.begin(&reserve.start.limits, now_ms);
        for (id, micros) in &reserve.packs {
            if let Some(pack) = self.packs.get_mut(id) {
                pack.flight.held += micros;
            }
        }
        self.change_flights(&reserve, |flight| flight.held = flight.held.saturating_add(reserve.held));
        self.open.insert(reserve.start.call_id.clone(), reserve);
    }

    /// What the quotas leave, or the refusal where one leaves nothing. A call without a price costs nothing, so only
    /// what is spent, not what is held, stands in its way.
    fn quota_free(&self, start: &CallStart, hour: i64) -> Result<Option<i64>, Denial> {
        let Some(agent) = self.agents.get(&start.runtime_id) else { return Err(Denial::Load) };
        let group = agent.group.as_ref().and_then(|id| self.groups.get(id)).map(|group| &group.limit);
        let mut least = None;
        for (limit, refusal) in [(Some(&agent.limit), Refusal::QuotaSpent), (group, Refusal::GroupQuotaSpent)]
        {
            let Some((limit, free)) = limit.and_then(|limit| Some((limit, limit.free(hour)?))) else {
                continue;
            };
            let ignored = if start.card.is_none() { limit.held(hour) } else { 0 };
            if free.saturating_add(ignored) <= 0 {
                return Err(Denial::Refuse(refusal));
            }
            least = Some(least.map_or(free, |least: i64| least.min(free)));
        }
        Ok(least)
    }

    fn uses_packs(&self, start: &CallStart) -> bool {
        let bills_all = self.accounts.get(&start.account_id).is_some_and(|account| account.bills_all);
        start.billed || (bills_all && start.card.is_some())
    }

    /// The packs of the account and of the runtime that are valid now.
    fn valid_packs(&self, start: &CallStart, now_ms: i64) -> impl Iterator<Item = &Pack> {
        let account = self.accounts.get(&start.account_id).map(|account| account.packs.as_slice());
        let agent = self.agents.get(&start.runtime_id).map(|agent| agent.packs.as_slice());
        let ids = account.unwrap_or_default().iter().chain(agent.unwrap_or_default());
        ids.filter_map(|id| self.packs.get(id)).filter(move |pack| pack.valid(now_ms))
    }

    /// Whether calls go on when the packs are used up.
    fn is_postpaid(&self, start: &CallStart, now_ms: i64) -> bool {
        self.valid_packs(start, now_ms).any(|pack| pack.load.postpaid)
    }

    /// The packs that this call may spend, in order, with what is free of each.
    fn spendable(&self, start: &CallStart, now_ms: i64) -> Vec<(CreditPackId, i64)> {
        let mut packs: Vec<&Pack> = self.valid_packs(start, now_ms).filter(|pack| pack.free() > 0).collect();
        packs.sort_by(|a, b| a.order().cmp(&b.order()));
        packs.into_iter().map(|pack| (pack.load.id.clone(), pack.free())).collect()
    }

    /// What such a call may still cost: the smaller of quota and packs; `None` where nothing limits it.
    pub(crate) fn remaining(&self, start: &CallStart, now_ms: i64) -> Result<Option<i64>, Denial> {
        if !self.is_loaded(&start.account_id, &start.runtime_id, now_ms) {
            return Err(Denial::Load);
        }
        let group = self.agents.get(&start.runtime_id).and_then(|agent| agent.group.as_ref());
        let limits = self.limits(&start.runtime_id, group);
        let quota = limits.filter_map(|limit| limit.free(hour_of(now_ms))).min().map(|free| free.max(0));
        let limited = self.uses_packs(start) && !self.is_postpaid(start, now_ms);
        let packs = limited.then(|| {
            self.spendable(start, now_ms).iter().fold(0i64, |sum, (_, free)| sum.saturating_add(*free))
        });
        Ok(match (quota, packs) {
            (Some(quota), Some(packs)) => Some(quota.min(packs)),
            (quota, packs) => quota.or(packs),
        })
    }

    /// Ends a call with its usage: what it costs is pending, the rest of what was held is free again.
    /// `None` if the call is not under way.
    pub(crate) fn settle(
        &mut self,
        call_id: &CallId,
        usage: Usage,
        source: UsageSource,
        now_ms: i64,
    ) -> Option<(Arc<Reserve>, Settle)> {
        let reserve = self.close(call_id)?;
        self.traffic.spend(&reserve.start.limits, usage.total(), now_ms);
        let cost = reserve.start.card.map_or(0, |card| card.cost(&usage).0);
        let label = match (reserve.start.card, source) {
            (None, _) => Label::Free,
            (Some(_), UsageSource::Upstream) => Label::Exact,
            (Some(_), UsageSource::Estimated) => Label::Estimated,
        };
        let parts = self.parts(&reserve, cost, label, now_ms);
        self.add_pending(&reserve, &parts);
        self.drop_done(&reserve);
        Some((reserve, Settle { call_id: call_id.clone(), usage, parts, at_ms: now_ms }))
    }

    /// Ends a call of which nothing is known: all that was held counts as spent.
    pub(crate) fn settle_unknown(&mut self, call_id: &CallId, now_ms: i64) -> Option<(Arc<Reserve>, Settle)> {
        let reserve = self.close(call_id)?;
        let settle = self.unknown(&reserve, now_ms);
        self.add_pending(&reserve, &settle.parts);
        self.drop_done(&reserve);
        Some((reserve, settle))
    }

    /// Ends a call that used nothing. `None` if it is not under way.
    pub(crate) fn release(&mut self, call_id: &CallId) -> Option<Arc<Reserve>> {
        let reserve = self.close(call_id)?;
        self.drop_done(&reserve);
        Some(reserve)
    }

    fn drop_done(&mut self, reserve: &Reserve) {
        reserve.packs.iter().for_each(|(id, _)| self.drop_if_done(id));
    }

    /// Takes a call off the list and frees what it held.
    fn close(&mut self, call_id: &CallId) -> Option<Arc<Reserve>> {
        let reserve = self.open.remove(call_id)?;
        self.traffic.end(&reserve.start.limits);
        for (id, micros) in &reserve.packs {
            if let Some(pack) = self.packs.get_mut(id) {
                pack.flight.held -= micros;
            }
        }
        self.change_flights(&reserve, |flight| flight.held = flight.held.saturating_sub(reserve.held));
        Some(reserve)
    }

    /// Splits what a closed call cost over the packs it held and, beyond that, over what is free now.
    fn parts(&self, reserve: &Reserve, cost: i64, label: Label, now_ms: i64) -> Vec<Part> {
        let limits = self.limits(&reserve.start.runtime_id, reserve.group.as_ref());
        let quota_free = limits.filter_map(|limit| limit.free(hour_of(reserve.at_ms))).min();
        let limit = quota_free.unwrap_or(i64::MAX).max(reserve.held).min(CALL_MICROS_MAX);
        let mut billed = cost.min(limit);
        let mut parts = Vec::new();
        if reserve.uses_packs {
            let mut takes = take(&reserve.packs, billed);
            let taken: i64 = takes.iter().map(|(_, micros)| micros).sum();
            if taken < billed {
                let free = self.spendable(&reserve.start, now_ms).into_iter().map(|(id, free)| {
                    let own =
                        takes.iter().find(|(taken_of, _)| *taken_of == id).map_or(0, |(_, micros)| *micros);
                    (id, (free - own).max(0))
                });
                let more = take(&free.collect::<Vec<_>>(), billed - taken);
                for (id, micros) in more {
                    match takes.iter_mut().find(|(taken_of, _)| *taken_of == id) {
                        Some((_, sum)) => *sum += micros,
                        None => takes.push((id, micros)),
                    }
                }
            }
            let paid: i64 = takes.iter().map(|(_, micros)| micros).sum();
            parts.extend(
                takes.into_iter().map(|(id, micros)| Part { pack: Some(id), ..Part::of(micros, label) }),
            );
            if reserve.postpaid && billed > paid {
                parts.push(Part { postpaid: true, ..Part::of(billed - paid, label) });
            } else {
                billed = paid;
            }
        } else if billed > 0 {
            parts.push(Part::of(billed, label));
        }
        if cost > billed {
            parts.push(Part { unbilled: cost - billed, ..Part::of(0, Label::Overrun) });
        }
        if parts.is_empty() {
            parts.push(Part::of(0, label));
        }
        parts
    }

    fn add_pending(&mut self, reserve: &Reserve, parts: &[Part]) {
        let mut sum = 0i64;
        for part in parts {
            sum = sum.saturating_add(part.micros);
            if let Some(pack) = part.pack.as_ref().and_then(|id| self.packs.get_mut(id)) {
                pack.flight.pending += part.micros;
            }
        }
        self.change_flights(reserve, |flight| flight.pending = flight.pending.saturating_add(sum));
    }

    /// What was pending of a settled call is in rows now.
    pub(crate) fn applied(&mut self, reserve: &Reserve, settle: &Settle) {
        let mut sum = 0i64;
        for part in &settle.parts {
            sum = sum.saturating_add(part.micros);
            let Some(id) = &part.pack else { continue };
            if let Some(pack) = self.packs.get_mut(id) {
                pack.flight.pending -= part.micros;
                pack.load.used += part.micros;
            }
            self.drop_if_done(id);
        }
        let hour = hour_of(reserve.at_ms);
        if let Some(agent) = self.agents.get_mut(&reserve.start.runtime_id) {
            agent.limit.applied(hour, sum);
        }
        if let Some(group) = reserve.group.as_ref().and_then(|id| self.groups.get_mut(id)) {
            group.limit.applied(hour, sum);
        }
    }
}
