//! What is going on within each limited scope: the calls that run, and what the last minute brought.

use std::collections::VecDeque;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::{CallLimit, LimitScope};

const WINDOW_SECONDS: i64 = 60;
/// Scopes in memory before those with nothing going on are looked for.
const METERS_MIN: usize = 1_024;
/// What a call is told to wait for another to end, in seconds: nobody knows when one does.
const CONCURRENCY_WAIT_SECONDS: i64 = 1;

/// Which figure stands in the way of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitKind {
    RequestsPerMinute,
    TokensPerMinute,
    ConcurrentCalls,
}

/// A call is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excess {
    pub kind: LimitKind,
    /// Until there may be room, in seconds; from 1 to 60.
    pub wait_seconds: i64,
}

/// The traffic of all scopes that are limited. Scopes without limits cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    meters: HashMap<LimitScope, Meter>,
    /// Above so many, idle ones are dropped.
    meters_max: usize,
}

/// One scope. A window is counted by whole seconds, so nothing leaves it before its 60 seconds are over.
#[derive(Debug, Default)]
struct Meter {
    running: i64,
    seconds: VecDeque<Second>,
    requests: i64,
    tokens: i64,
}

#[derive(Debug, Clone, Copy)]
struct Second {
    at: i64,
    requests: i64,
    tokens: i64,
}

impl Meter {
    /// Leaves out what is not within the last minute. A clock that was set back leaves seconds that are yet to come;
    /// they would stand in the way until then, and go too.
    fn turn(&mut self, now: i64) {
        let (requests, tokens) = (&mut self.requests, &mut self.tokens);
        let mut keep = |second: &Second| {
            let within = second.at > now - WINDOW_SECONDS && second.at <= now;
            if !within {
                *requests -= second.requests;
                *tokens -= second.tokens;
            }
            within
        };
        while self.seconds.front().is_some_and(|second| !keep(second)) {
            self.seconds.pop_front();
        }
        while self.seconds.back().is_some_and(|second| second.at > now && !keep(second)) {
            self.seconds.pop_back();
        }
    }

    fn count(&mut self, now: i64, requests: i64, tokens: i64) {
        self.turn(now);
        if self.seconds.back().is_none_or(|second| second.at != now) {
            self.seconds.push_back(Second { at: now, requests: 0, tokens: 0 });
        }
        if let Some(second) = self.seconds.back_mut() {
            second.requests += requests;
            second.tokens = second.tokens.saturating_add(tokens);
        }
        self.requests += requests;
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn check(&self, limit: &CallLimit, now: i64) -> Result<(), Excess> {
        let figures = &limit.figures;
        if figures.concurrent_calls.is_some_and(|most| self.running >= most) {
            return Err(Excess { kind: LimitKind::ConcurrentCalls, wait_seconds: CONCURRENCY_WAIT_SECONDS });
        }
        let windows = [
            (figures.requests_per_minute, self.requests, LimitKind::RequestsPerMinute),
            (figures.tokens_per_minute, self.tokens, LimitKind::TokensPerMinute),
        ];
        for (most, so_far, kind) in windows {
            if let Some(most) = most.filter(|most| so_far >= *most) {
                return Err(Excess { kind, wait_seconds: self.wait(kind, so_far - most, now) });
            }
        }
        Ok(())
    }

    /// When enough has left the window for one more call.
    fn wait(&self, kind: LimitKind, excess: i64, now: i64) -> i64 {
        let mut left = 0i64;
        for second in &self.seconds {
            left = left.saturating_add(match kind {
                LimitKind::TokensPerMinute => second.tokens,
                LimitKind::RequestsPerMinute | LimitKind::ConcurrentCalls => second.requests,
            });
            if left > excess {
                return (second.at + WINDOW_SECONDS - now).clamp(1, WINDOW_SECONDS);
            }
        }
        WINDOW_SECONDS
    }

    fn is_idle(&mut self, now: i64) -> bool {
        self.turn(now);
        self.running == 0 && self.seconds.is_empty()
    }
}

impl Traffic {
    /// Whether all limits admit one more call; changes nothing else. The longest wait is told.
    pub(crate) fn check(&mut self, limits: &[CallLimit], now_ms: i64) -> Result<(), Excess> {
        let now = now_ms.div_euclid(1_000);
        let mut worst: Option<Excess> = None;
        for limit in limits {
            let Some(meter) = self.meters.get_mut(&limit.scope) else { continue };
            meter.turn(now);
            if let Err(excess) = meter.check(limit, now) {
                worst = worst.filter(|worst| worst.wait_seconds >= excess.wait_seconds).or(Some(excess));
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, limits: &[CallLimit], now_ms: i64) {
        let now = now_ms.div_euclid(1_000);
        for limit in limits {
            let meter = self.meters.entry(limit.scope.clone()).or_default();
            meter.running += 1;
            meter.count(now, 1, 0);
        }
        if self.meters.len() > self.meters_max.max(METERS_MIN) {
            self.meters.retain(|_, meter| !meter.is_idle(now));
            self.meters_max = 2 * self.meters.len();
        }
    }

    /// A call that began has ended.
    pub(crate) fn end(&mut self, limits: &[CallLimit]) {
        for limit in limits {
            // None where this process was started anew since.
            if let Some(meter) = self.meters.get_mut(&limit.scope) {
                meter.running = (meter.running - 1).max(0);
            }
        }
    }

    /// A call that began has used so many tokens.
    pub(crate) fn spend(&mut self, limits: &[CallLimit], tokens: u64, now_ms: i64) {
        let now = now_ms.div_euclid(1_000);
        for limit in limits {
            if let Some(meter) = self.meters.get_mut(&limit.scope) {
                meter.count(now, 0, i64::try_from(tokens).unwrap_or(i64::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use creel_wire::id::{AccountId, RuntimeId};
    use proptest::prelude::*;

    use super::super::Figures;
    use super::*;

    fn account(figures: Figures) -> CallLimit {
        CallLimit { scope: LimitScope::Account(AccountId::parse("11").unwrap()), figures }
    }

    fn runtime(id: u32, figures: Figures) -> CallLimit {
        CallLimit { scope: LimitScope::Runtime(RuntimeId::parse(&format!("ecd-{id}")).unwrap()), figures }
    }

    #[test]
    fn each_figure_stops_and_says_how_long() {
        let limits = [account(Figures { requests_per_minute: Some(2), ..Figures::default() })];
        let mut traffic = Traffic::default();
        for at_ms in [1_000, 11_500] {
            assert_eq!(traffic.check(&limits, at_ms), Ok(()));
            traffic.begin(&limits, at_ms);
        }
        let excess = |kind, wait_seconds| Err(Excess { kind, wait_seconds });
        assert_eq!(traffic.check(&limits, 12_000), excess(LimitKind::RequestsPerMinute, 49));
        assert_eq!(traffic.check(&limits, 60_999), excess(LimitKind::RequestsPerMinute, 1));
        assert_eq!(traffic.check(&limits, 61_000), Ok(()));

        let limits = [runtime(1, Figures { tokens_per_minute: Some(100), ..Figures::default() })];
        traffic.begin(&limits, 1_000);
        assert_eq!(traffic.check(&limits, 1_000), Ok(()), "nobody knows yet");
        traffic.end(&limits);
        traffic.spend(&limits, 150, 5_000);
        assert_eq!(traffic.check(&limits, 6_000), excess(LimitKind::TokensPerMinute, 59));
        assert_eq!(traffic.check(&limits, 65_000), Ok(()));

        let limits = [runtime(2, Figures { concurrent_calls: Some(1), ..Figures::default() })];
        traffic.begin(&limits, 1_000);
        assert_eq!(traffic.check(&limits, 1_000), excess(LimitKind::ConcurrentCalls, 1));
        traffic.end(&limits);
        assert_eq!(traffic.check(&limits, 1_000), Ok(()));
    }

    #[test]
    fn every_scope_must_admit() {
        let one = |most| Figures { requests_per_minute: Some(most), ..Figures::default() };
        let (all, first, second) = (account(one(2)), runtime(1, one(1)), runtime(2, one(5)));
        let mut traffic = Traffic::default();
        traffic.begin(&[all.clone(), first.clone()], 0);
        assert!(traffic.check(&[all.clone(), first.clone()], 0).is_err(), "the runtime's");
        assert!(traffic.check(&[all.clone(), second.clone()], 0).is_ok());
        traffic.begin(&[all.clone(), second.clone()], 0);
        assert!(traffic.check(&[all, second], 0).is_err(), "the account's");
    }

    #[test]
    fn a_clock_set_back_stops_nobody() {
        let limits = [account(Figures { requests_per_minute: Some(1), ..Figures::default() })];
        let mut traffic = Traffic::default();
        traffic.begin(&limits, 3_600_000);
        assert!(traffic.check(&limits, 3_600_000).is_err());
        assert_eq!(traffic.check(&limits, 1_000), Ok(()));
    }

    #[test]
    fn idle_scopes_are_forgotten() {
        let mut traffic = Traffic::default();
        let figures = Figures { requests_per_minute: Some(1), ..Figures::default() };
        for id in 0..10_000 {
            let limits = [runtime(id, figures)];
            let now_ms = i64::from(id) * 1_000;
            traffic.begin(&limits, now_ms);
            traffic.end(&limits);
            traffic.spend(&limits, 1, now_ms);
        }
        assert!(traffic.meters.len() < 3 * METERS_MIN, "{}", traffic.meters.len());
    }

    proptest! {
        /// Against all calls remembered one by one: no minute ever has more than the limit, and a call is refused only
        /// where the last minute, to the second, is full or as many run as may.
        #[test]
        fn a_naive_memory_agrees(
            most in 1i64..6,
            running_most in 1i64..4,
            tokens_most in 1i64..200,
            steps in proptest::collection::vec((0i64..20_000, 0u64..60, any::<bool>()), 1..80),
        ) {
            let figures = Figures {
                requests_per_minute: Some(most),
                tokens_per_minute: Some(tokens_most),
                concurrent_calls: Some(running_most),
                output_tokens_max: None,
            };
            let limits = [account(figures)];
            let mut traffic = Traffic::default();
            let (mut now_ms, mut running) = (0i64, 0i64);
            let (mut begun, mut spent): (Vec<i64>, Vec<(i64, i64)>) = (vec![], vec![]);
            for (pause_ms, tokens, ends) in steps {
                now_ms += pause_ms;
                let second = now_ms / 1_000;
                if ends && running > 0 {
                    traffic.end(&limits);
                    traffic.spend(&limits, tokens, now_ms);
                    running -= 1;
                    spent.push((second, i64::try_from(tokens).unwrap()));
                    continue;
                }
                let requests = begun.iter().filter(|at| **at > second - 60).count();
                let tokens: i64 = spent.iter().filter(|(at, _)| *at > second - 60).map(|(_, it)| it).sum();
                let full = i64::try_from(requests).unwrap() >= most || tokens >= tokens_most || running >= running_most;
                let checked = traffic.check(&limits, now_ms);
                prop_assert_eq!(checked.is_err(), full);
                if let Err(Excess { kind, wait_seconds }) = checked {
                    prop_assert!((1..=60).contains(&wait_seconds));
                    if kind != LimitKind::ConcurrentCalls {
                        let later = second + wait_seconds;
                        let left = begun.iter().filter(|at| **at > later - 60).count();
                        let tokens: i64 = spent.iter().filter(|(at, _)| *at > later - 60).map(|(_, it)| it).sum();
                        let stands = match kind {
                            LimitKind::RequestsPerMinute => i64::try_from(left).unwrap() >= most,
                            _ => tokens >= tokens_most,
                        };
                        prop_assert!(!stands, "{} s are enough", wait_seconds);
                    }
                } else {
                    traffic.begin(&limits, now_ms);
                    running += 1;
                    begun.push(second);
                }
            }
        }
    }
}
