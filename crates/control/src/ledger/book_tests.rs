//! Any course of reserving, settling and releasing keeps every balance at or above zero, and what was billed agrees
//! with what the balances lost.

use std::collections::HashMap;
use std::sync::Arc;

use creel_wire::id::{AccountId, CallId, CreditPackId, ProviderId, ResourceGroupId, RuntimeId};
use creel_wire::price::{MULTIPLIER_ONE, RateCard, Usage};
use proptest::prelude::*;

use super::book::{AccountLoad, AgentLoad, Book, Denial};
use super::pack::PackLoad;
use super::quota::{Cycle, LimitLoad};
use super::record::{Reserve, Settle};
use super::{CallStart, Label, Refusal, UsageSource, hour_of, month_of};

pub(super) const NOW_MS: i64 = 1_767_323_045_000;
/// A micro-credit for each output token.
const UNIT: RateCard =
    RateCard { input: 0, cached_input: 0, cache_write: 0, output: 1_000, multiplier_micros: MULTIPLIER_ONE };

fn output(tokens: u64) -> Usage {
    Usage { output: tokens, ..Usage::default() }
}

pub(super) fn call(number: usize, kind: u8, bound: u64) -> CallStart {
    CallStart {
        call_id: CallId::parse(&format!("call-{number}")).unwrap(),
        account_id: AccountId::parse("11").unwrap(),
        runtime_id: RuntimeId::parse("ecd-1").unwrap(),
        provider_id: ProviderId::parse("mpt-1").unwrap(),
        provider_name: "p".into(),
        model_code: "m".into(),
        card: (kind != 2).then_some(UNIT),
        billed: kind == 0,
        bound: output(bound),
        limits: Default::default(),
    }
}

fn packs(totals: &[i64], postpaid: bool) -> Vec<PackLoad> {
    let pack = |(number, total): (usize, &i64)| PackLoad {
        id: CreditPackId::parse(&format!("crp-{number}")).unwrap(),
        monthly: number == 1,
        postpaid: postpaid && number == 0,
        total: *total,
        used: 0,
        starts_at_ms: 0,
        expires_at_ms: i64::MAX - i64::try_from(number).unwrap(),
    };
    totals.iter().enumerate().map(pack).collect()
}

pub(super) fn book(totals: &[i64], quota: Option<i64>) -> Book {
    book_of(packs(totals, false), quota)
}

/// A month's quota of which nothing is spent.
fn limit(quota: Option<i64>, now_ms: i64) -> LimitLoad {
    LimitLoad { quota, cycle: Cycle::Month, start: Cycle::Month.start(hour_of(now_ms)), used: 0 }
}

fn book_of(packs: Vec<PackLoad>, quota: Option<i64>) -> Book {
    let mut book = Book::default();
    let start = call(0, 0, 0);
    let account = AccountLoad { bills_all: false, packs };
    let agent = AgentLoad { limit: limit(quota, NOW_MS), ..AgentLoad::default() };
    book.load(&start.account_id, &start.runtime_id, account, agent);
    book
}

/// The balances of another process that takes the ledger over: what was settled is rows, what is open goes on.
fn taken_over(book: &Book, totals: &[i64], quota: Option<i64>, sums: &Sums) -> Book {
    let mut packs = packs(totals, false);
    for pack in &mut packs {
        pack.used = sums.of_packs.get(&pack.id).copied().unwrap_or(0);
    }
    let (packs, used_up): (Vec<_>, Vec<_>) = packs.into_iter().partition(|pack| pack.used < pack.total);
    let mut next = Book::default();
    let start = call(0, 0, 0);
    let limit = LimitLoad { used: sums.billed, ..limit(quota, NOW_MS) };
    let agent = AgentLoad { limit, ..AgentLoad::default() };
    next.load(&start.account_id, &start.runtime_id, AccountLoad { bills_all: false, packs }, agent);
    used_up.into_iter().for_each(|pack| next.know_pack(pack));
    book.open().for_each(|reserve| next.restore(reserve.clone(), NOW_MS));
    next
}

#[derive(Debug, Clone)]
enum Step {
    Reserve { kind: u8, bound: u64 },
    Settle { which: usize, tokens: u64 },
    Release { which: usize },
    Unknown { which: usize },
    Apply,
    TakeOver,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 0..200u64).prop_map(|(kind, bound)| Step::Reserve { kind, bound }),
        3 => (any::<usize>(), 0..300u64).prop_map(|(which, tokens)| Step::Settle { which, tokens }),
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => any::<usize>().prop_map(|which| Step::Unknown { which }),
        1 => Just(Step::Apply),
        1 => Just(Step::TakeOver),
    ]
}

#[derive(Default)]
struct Sums {
    billed: i64,
    of_packs: HashMap<CreditPackId, i64>,
}

impl Sums {
    fn add(&mut self, settle: &Settle) {
        for part in &settle.parts {
            assert!(part.micros >= 0 && part.unbilled >= 0);
            assert!((part.label == Label::Overrun) == (part.unbilled > 0));
            self.billed += part.micros;
            if let Some(pack) = &part.pack {
                *self.of_packs.entry(pack.clone()).or_default() += part.micros;
            }
        }
    }
}

proptest! {
    #[test]
    fn no_course_of_calls_spends_more_than_there_is(
        totals in prop::collection::vec(0..600i64, 0..4),
        quota in prop::option::of(0..900i64),
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let mut book = book(&totals, quota);
        let (mut open, mut settled, mut sums) = (Vec::new(), Vec::<(Arc<Reserve>, Settle)>::new(), Sums::default());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Reserve { kind, bound } => {
                    let start = call(number, kind, bound);
                    let left = book.remaining(&start, NOW_MS).unwrap();
                    match book.reserve(&start, "", NOW_MS, i64::MAX) {
                        Ok(reserve) => {
                            let cost = if kind == 2 { 0 } else { i64::try_from(bound).unwrap() };
                            prop_assert_eq!(reserve.held, left.unwrap_or(i64::MAX).min(cost));
                            open.push(start.call_id);
                        }
                        Err(denial) => {
                            prop_assert!(left == Some(0) && denial != Denial::Load
                                && denial != Denial::Refuse(Refusal::NoPrice));
                        }
                    }
                }
                Step::Settle { which, tokens } if !open.is_empty() => {
                    let call_id = open.swap_remove(which % open.len());
                    let ended = book.settle(&call_id, output(tokens), UsageSource::Upstream, NOW_MS).unwrap();
                    let cost = ended.0.start.card.map_or(0, |_| i64::try_from(tokens).unwrap());
                    let said: i64 = ended.1.parts.iter().map(|part| part.micros + part.unbilled).sum();
                    prop_assert_eq!(said, cost);
                    prop_assert!(book.settle(&call_id, output(1), UsageSource::Upstream, NOW_MS).is_none());
                    sums.add(&ended.1);
                    settled.push(ended);
                }
                Step::Unknown { which } if !open.is_empty() => {
                    let call_id = open.swap_remove(which % open.len());
                    let ended = book.settle_unknown(&call_id, NOW_MS).unwrap();
                    prop_assert_eq!(ended.1.parts.iter().map(|part| part.micros).sum::<i64>(), ended.0.held);
                    sums.add(&ended.1);
                    settled.push(ended);
                }
                Step::Release { which } if !open.is_empty() => {
                    let call_id = open.swap_remove(which % open.len());
                    prop_assert!(book.release(&call_id).is_some() && book.release(&call_id).is_none());
                }
                Step::Apply => {
                    for (reserve, settle) in settled.drain(..) {
                        book.applied(&reserve, &settle);
                    }
                }
                Step::TakeOver => {
                    settled.clear();
                    book = taken_over(&book, &totals, quota, &sums);
                }
                _ => {}
            }
            prop_assert!(quota.is_none_or(|quota| sums.billed <= quota));
            for (number, total) in totals.iter().enumerate() {
                let id = CreditPackId::parse(&format!("crp-{number}")).unwrap();
                prop_assert!(sums.of_packs.get(&id).copied().unwrap_or(0) <= *total);
            }
        }
        // With nothing under way, what remains is what was not billed.
        for call_id in open {
            book.release(&call_id);
        }
        let paid: i64 = sums.of_packs.values().sum();
        let of_packs = totals.iter().sum::<i64>() - paid;
        let expect = quota.map_or(of_packs, |quota| of_packs.min(quota - sums.billed));
        prop_assert_eq!(book.remaining(&call(0, 0, 1), NOW_MS).unwrap(), Some(expect));
    }
}

proptest! {
    #[test]
    fn postpaid_calls_are_billed_whole_and_packs_never_more_than_they_have(
        totals in prop::collection::vec(0..300i64, 1..4),
        calls in prop::collection::vec((0..200u64, 0..300u64), 1..40),
    ) {
        let mut book = book_of(packs(&totals, true), None);
        let mut sums = Sums::default();
        let mut postpaid = 0;
        for (number, (bound, used)) in calls.iter().enumerate() {
            let start = call(number, 0, *bound);
            prop_assert_eq!(book.remaining(&start, NOW_MS), Ok(None));
            let reserve = book.reserve(&start, "", NOW_MS, i64::MAX).unwrap();
            prop_assert_eq!(reserve.held, i64::try_from(*bound).unwrap());
            let (reserve, settle) =
                book.settle(&start.call_id, output(*used), UsageSource::Upstream, NOW_MS).unwrap();
            sums.add(&settle);
            let unpaid = |part: &&super::record::Part| part.pack.is_none() && part.micros > 0;
            prop_assert!(settle.parts.iter().filter(unpaid).all(|part| part.postpaid));
            postpaid += settle.parts.iter().filter(unpaid).map(|part| part.micros).sum::<i64>();
            book.applied(&reserve, &settle);
        }
        let cost: i64 = calls.iter().map(|(_, used)| i64::try_from(*used).unwrap()).sum();
        let of_packs = totals.iter().sum::<i64>().min(cost);
        prop_assert_eq!((sums.billed, postpaid), (cost, cost - of_packs));
    }
}

#[test]
fn a_pack_that_ended_while_a_call_ran_still_pays_for_it() {
    let mut book = book(&[100], None);
    let start = call(1, 0, 60);
    let held = book.reserve(&start, "", NOW_MS, i64::MAX).unwrap();
    // Read anew, the pack is not there any more: it has ended.
    book.outdate(&start.account_id);
    let agent = AgentLoad { limit: limit(None, NOW_MS), ..AgentLoad::default() };
    book.load(&start.account_id, &start.runtime_id, AccountLoad::default(), agent);
    assert_eq!(book.reserve(&call(2, 0, 1), "", NOW_MS, i64::MAX), Err(Denial::Refuse(Refusal::PacksSpent)));
    let (reserve, settle) = book.settle(&start.call_id, output(70), UsageSource::Upstream, NOW_MS).unwrap();
    assert_eq!((held.held, &reserve.packs), (60, &held.packs));
    let parts: Vec<_> =
        settle.parts.iter().map(|part| (part.pack.is_some(), part.micros, part.unbilled)).collect();
    assert_eq!(parts, [(true, 60, 0), (false, 0, 10)]);
    book.applied(&reserve, &settle);
}

#[test]
fn a_call_counts_in_the_month_in_which_it_began() {
    let mut book = book(&[], Some(100));
    let start = call(1, 1, 60);
    book.reserve(&start, "", NOW_MS, i64::MAX).unwrap();
    let next_ms = NOW_MS + 31 * 24 * 3_600_000;
    assert_eq!(book.reserve(&call(2, 1, 60), "", next_ms, i64::MAX), Err(Denial::Load));
    let agent = AgentLoad { limit: limit(Some(100), next_ms), ..AgentLoad::default() };
    book.load(&start.account_id, &start.runtime_id, AccountLoad::default(), agent);
    let (reserve, settle) = book.settle(&start.call_id, output(60), UsageSource::Upstream, next_ms).unwrap();
    assert_eq!(reserve.month, month_of(NOW_MS));
    assert_eq!(book.remaining(&call(2, 1, 1), next_ms), Ok(Some(100)));
    book.applied(&reserve, &settle);
    assert_eq!(book.remaining(&call(2, 1, 1), next_ms), Ok(Some(100)));
}

/// A call as the naive model of quotas keeps it: everything is re-added for every question.
#[derive(Debug, Clone)]
struct Naive {
    start: CallStart,
    agent: usize,
    hour: i64,
    held: i64,
    billed: i64,
    is_row: bool,
}

#[derive(Debug, Clone)]
enum QuotaStep {
    Reserve { agent: usize, bound: u64 },
    Settle { which: usize, tokens: u64 },
    Release { which: usize },
    Apply,
    Advance { hours: i64 },
    Outdate,
}

fn any_quota_step() -> impl Strategy<Value = QuotaStep> {
    prop_oneof![
        5 => (0..2usize, 0..200u64).prop_map(|(agent, bound)| QuotaStep::Reserve { agent, bound }),
        4 => (any::<usize>(), 0..300u64).prop_map(|(which, tokens)| QuotaStep::Settle { which, tokens }),
        1 => any::<usize>().prop_map(|which| QuotaStep::Release { which }),
        2 => Just(QuotaStep::Apply),
        2 => (1..200i64).prop_map(|hours| QuotaStep::Advance { hours }),
        1 => Just(QuotaStep::Outdate),
    ]
}

fn any_cycle() -> impl Strategy<Value = Cycle> {
    prop_oneof![Just(Cycle::Day), Just(Cycle::Week), Just(Cycle::Month)]
}

/// What calls that the filter selects took of a cycle: what is billed and, with `all`, what is held and not in rows.
fn taken(calls: &[Naive], cycle: Cycle, hour: i64, all: bool, of: impl Fn(&Naive) -> bool) -> i64 {
    let (first, end) = cycle.span(hour);
    let of_cycle = calls.iter().filter(|call| (first..end).contains(&call.hour) && of(call));
    of_cycle
        .map(|call| {
            if all {
                call.held + call.billed
            } else if call.is_row {
                call.billed
            } else {
                0
            }
        })
        .sum()
}

proptest! {
    #[test]
    fn quotas_of_agents_and_their_group_hold_in_every_cycle(
        quotas in [prop::option::of(0..700i64), prop::option::of(0..700i64), prop::option::of(0..900i64)],
        cycles in [any_cycle(), any_cycle(), any_cycle()],
        steps in prop::collection::vec(any_quota_step(), 1..100),
    ) {
        let group_id = ResourceGroupId::parse("rg-1").unwrap();
        let mut book = Book::default();
        let mut now_ms = NOW_MS;
        let (mut calls, mut waiting) = (Vec::<Naive>::new(), Vec::<(usize, Arc<Reserve>, Settle)>::new());
        for (number, step) in steps.into_iter().enumerate() {
            let hour = hour_of(now_ms);
            let open: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].held >= 0 && calls[*at].billed < 0).collect();
            match step {
                QuotaStep::Reserve { agent, bound } => {
                    let runtime_id = RuntimeId::parse(&format!("ecd-{agent}")).unwrap();
                    let start = CallStart { runtime_id, ..call(number, 1, bound) };
                    // What is open is held and not billed: it counts as 0 for `billed` below.
                    let seen: Vec<Naive> =
                        calls.iter().map(|call| Naive { billed: call.billed.max(0), ..call.clone() }).collect();
                    if !book.is_loaded(&start.account_id, &start.runtime_id, now_ms) {
                        prop_assert_eq!(book.reserve(&start, "", now_ms, i64::MAX), Err(Denial::Load));
                        let load = |which: usize, of: &dyn Fn(&Naive) -> bool| LimitLoad {
                            quota: quotas[which],
                            cycle: cycles[which],
                            start: cycles[which].start(hour),
                            used: taken(&seen, cycles[which], hour, false, of),
                        };
                        let loads = AgentLoad {
                            limit: load(agent, &|call| call.agent == agent),
                            group: Some((group_id.clone(), load(2, &|_| true))),
                            packs: Vec::new(),
                        };
                        book.load(&start.account_id, &start.runtime_id, AccountLoad::default(), loads);
                    }
                    let free_of_agent = quotas[agent]
                        .map(|quota| quota - taken(&seen, cycles[agent], hour, true, |call| call.agent == agent));
                    let free_of_group = quotas[2].map(|quota| quota - taken(&seen, cycles[2], hour, true, |_| true));
                    let free = free_of_agent.into_iter().chain(free_of_group).min();
                    match book.reserve(&start, "", now_ms, i64::MAX) {
                        Ok(reserve) => {
                            prop_assert_eq!(reserve.held, free.unwrap_or(i64::MAX).min(i64::try_from(bound).unwrap()));
                            prop_assert!(free.is_none_or(|free| free > 0));
                            calls.push(Naive { start, agent, hour, held: reserve.held, billed: -1, is_row: false });
                        }
                        Err(denial) => {
                            let spent = if free_of_agent.is_some_and(|free| free <= 0) {
                                Refusal::QuotaSpent
                            } else {
                                Refusal::GroupQuotaSpent
                            };
                            prop_assert!(free.is_some_and(|free| free <= 0));
                            prop_assert_eq!(denial, Denial::Refuse(spent));
                        }
                    }
                }
                QuotaStep::Settle { which, tokens } if !open.is_empty() => {
                    let at = open[which % open.len()];
                    let call_id = calls[at].start.call_id.clone();
                    let (reserve, settle) =
                        book.settle(&call_id, output(tokens), UsageSource::Upstream, now_ms).unwrap();
                    calls[at].billed = settle.parts.iter().map(|part| part.micros).sum();
                    prop_assert!(calls[at].billed <= i64::try_from(tokens).unwrap());
                    prop_assert!(calls[at].billed >= calls[at].held.min(i64::try_from(tokens).unwrap()));
                    calls[at].held = 0;
                    waiting.push((at, reserve, settle));
                }
                QuotaStep::Release { which } if !open.is_empty() => {
                    let at = open[which % open.len()];
                    book.release(&calls[at].start.call_id);
                    (calls[at].held, calls[at].billed) = (0, 0);
                }
                QuotaStep::Apply => {
                    for (at, reserve, settle) in waiting.drain(..) {
                        book.applied(&reserve, &settle);
                        calls[at].is_row = true;
                    }
                }
                QuotaStep::Advance { hours } => now_ms += hours * 3_600_000,
                QuotaStep::Outdate => book.outdate(&call(0, 1, 0).account_id),
                _ => {}
            }
            for call in &calls {
                let billed: Vec<Naive> =
                    calls.iter().map(|call| Naive { billed: call.billed.max(0), held: 0, ..call.clone() }).collect();
                for (which, of) in [(call.agent, Some(call.agent)), (2, None)] {
                    let sum = taken(&billed, cycles[which], call.hour, true, |other| of.is_none_or(|of| other.agent == of));
                    prop_assert!(quotas[which].is_none_or(|quota| sum <= quota), "{sum} of {:?}", quotas[which]);
                }
            }
        }
    }
}
