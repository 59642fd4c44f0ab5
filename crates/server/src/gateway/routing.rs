//! To which of a provider's targets a try goes.
//!
//! By weight among those that are fit, which are, in this order: those that have nothing against them; those that share
//! with the last failure what failed there, its address or its key; those that are avoided; and where there is no other, one
//! that was tried before, if its fault may pass.

use std::sync::Arc;

use super::fault::Fault;
use super::health::{Entry, Out, Standing};
use super::ports::{Target, Upstream};

/// Targets of one provider; more are left out.
pub(crate) const TARGETS_MAX: usize = 64;
const RANKS: usize = 4;
const AVOIDED: u8 = 2;
/// The rank of those that were tried before.
const AGAIN: u8 = 3;
/// Of those that are not fit.
const NONE: u8 = u8::MAX;

/// The tries of a call so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tried {
    /// A bit for each place in the provider's list.
    places: u64,
    /// The last, and how it ended.
    last: Option<(usize, Fault)>,
}

impl Tried {
    pub(crate) fn note(&mut self, place: usize, fault: Fault) {
        self.places |= 1 << place;
        self.last = Some((place, fault));
    }

    fn has(&self, place: usize) -> bool {
        self.places & (1 << place) != 0
    }
}

/// Where a try goes.
#[derive(Debug)]
pub(crate) enum Pick<'a> {
    To(Chosen<'a>),
    /// Nowhere, and when it could.
    Out(Out),
    /// Nowhere: no target is left to try, or there is none at all.
    Nowhere,
}

/// A target for a try, which is to be told how that ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen<'a> {
    /// In the provider's list.
    pub(crate) place: usize,
    pub(crate) target: &'a Arc<Target>,
    pub(crate) entry: Entry,
    /// It was tried before in this call.
    pub(crate) again: bool,
}

impl Upstream {
    /// Why no call for this model can go anywhere now; `None` if one can, as far as is known.
    pub(crate) fn out(&self, model: &str, now_ms: i64) -> Option<Pick<'_>> {
        let mut earliest: Option<Out> = None;
        for (target, _) in self.targets() {
            match target.health.standing(model, now_ms) {
                Standing::Free | Standing::Avoided => return None,
                Standing::Out(out) => earliest = sooner(earliest, out),
            }
        }
        Some(earliest.map_or(Pick::Nowhere, Pick::Out))
    }

    /// Chooses a target; `turn` decides among the fit ones and should be any number each time.
    pub(crate) fn pick(&self, model: &str, now_ms: i64, tried: &Tried, turn: u64) -> Pick<'_> {
        let mut taken = 0u64;
        loop {
            let (mut ranks, mut weights) = ([NONE; TARGETS_MAX], [0u64; RANKS]);
            let mut earliest: Option<Out> = None;
            for (place, ((target, weight), rank)) in self.targets().iter().zip(&mut ranks).enumerate() {
                *rank = match target.health.standing(model, now_ms) {
                    Standing::Out(out) => {
                        earliest = sooner(earliest, out);
                        continue;
                    }
                    _ if taken & (1 << place) != 0 => continue,
                    _ if tried.has(place) => match tried.last {
                        Some((_, fault)) if fault.rule().again => AGAIN,
                        _ => continue,
                    },
                    Standing::Avoided => AVOIDED,
                    Standing::Free => u8::from(self.shares_fault(target, tried)),
                };
                if let Some(sum) = weights.get_mut(usize::from(*rank)) {
                    *sum += u64::from(*weight);
                }
            }
            let best = weights.iter().zip(0u8..).find(|(weight, _)| **weight > 0);
            let Some((weight, rank)) = best else {
                return earliest.map_or(Pick::Nowhere, Pick::Out);
            };
            let fit = self.targets().iter().enumerate().filter(|(place, _)| ranks.get(*place) == Some(&rank));
            let mut left = spread(turn) % weight;
            for (place, (target, weight)) in fit {
                match left.checked_sub(u64::from(*weight)) {
                    Some(rest) => left = rest,
                    None => match target.health.enter(now_ms) {
                        Entry::Taken => {
                            taken |= 1 << place;
                            break;
                        }
                        entry => return Pick::To(Chosen { place, target, entry, again: rank == AGAIN }),
                    },
                }
            }
        }
    }

    /// A target of the same address as the last that failed, or of the same key if that was its fault.
    fn shares_fault(&self, target: &Target, tried: &Tried) -> bool {
        let last = tried.last.and_then(|(place, fault)| Some((self.targets().get(place)?, fault)));
        last.is_some_and(|((last, _), fault)| match fault.is_of_key() {
            true => last.key_name == target.key_name,
            false => last.base_url == target.base_url,
        })
    }
}

fn sooner(one: Option<Out>, other: Out) -> Option<Out> {
    Some(one.filter(|one| one.until_ms <= other.until_ms).unwrap_or(other))
}

/// Any number from a turn's; neighbours have nothing in common (splitmix64).
fn spread(turn: u64) -> u64 {
    let mut z = turn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use creel_control::model::ProviderApi;

    use super::*;
    use crate::gateway::health::{FAILURES_MAX, KEY_REFUSED_MS, OPEN_MS};

    const NOW: i64 = 1_790_000_000_000;

    fn upstream(targets: &[(&str, &str, u32)]) -> Upstream {
        let api = ProviderApi::OpenAiCompletions;
        let targets = targets.iter().map(|(key, base_url, weight)| {
            let target = Target::new("p", api, key, None, base_url, None).expect("an address");
            (Arc::new(target), *weight)
        });
        Upstream::new(api, targets.collect())
    }

    fn health(upstream: &Upstream, place: usize) -> &crate::gateway::health::Health {
        &upstream.targets()[place].0.health
    }

    fn place(pick: Pick<'_>) -> Option<usize> {
        match pick {
            Pick::To(chosen) => Some(chosen.place),
            Pick::Out(_) | Pick::Nowhere => None,
        }
    }

    /// How often each of the places is chosen first.
    fn shares(upstream: &Upstream, tried: &Tried) -> Vec<usize> {
        let mut counts = vec![0; upstream.targets().len()];
        for turn in 0..10_000 {
            counts[place(upstream.pick("m", NOW, tried, turn)).expect("a target")] += 1;
        }
        counts
    }

    fn near(count: usize, expect: usize) -> bool {
        count.abs_diff(expect) < 200
    }

    #[test]
    fn calls_are_shared_by_weight() {
        let upstream = upstream(&[("a", "https://x", 1), ("b", "https://x", 3), ("a", "https://y", 4)]);
        let counts = shares(&upstream, &Tried::default());
        assert!(near(counts[0], 1_250) && near(counts[1], 3_750) && near(counts[2], 5_000), "{counts:?}");
    }

    #[test]
    fn after_a_failure_another_address_comes_first_and_after_a_refused_key_another_key() {
        let upstream = upstream(&[("a", "https://x", 1), ("b", "https://x", 1), ("a", "https://y", 1)]);
        let after = |fault| {
            let mut tried = Tried::default();
            tried.note(0, fault);
            tried
        };
        assert_eq!(shares(&upstream, &after(Fault::Failing)), [0, 0, 10_000]);
        assert_eq!(shares(&upstream, &after(Fault::Key)), [0, 10_000, 0]);
        let mut tried = after(Fault::Key);
        tried.note(1, Fault::Key);
        assert_eq!(place(upstream.pick("m", NOW, &tried, 0)), Some(2), "better the same key than none");
        tried.note(2, Fault::Key);
        assert_eq!(place(upstream.pick("m", NOW, &tried, 0)), None, "a refused key is refused again");
        tried.note(2, Fault::Failing);
        let Pick::To(chosen) = upstream.pick("m", NOW, &tried, 0) else { panic!("none") };
        assert!(chosen.again, "what fails may pass");
    }

    #[test]
    fn what_is_avoided_is_the_last_resort() {
        let upstream = upstream(&[("a", "https://x", 1), ("b", "https://x", 1)]);
        health(&upstream, 0).avoid(KEY_REFUSED_MS, NOW);
        assert_eq!(shares(&upstream, &Tried::default()), [0, 10_000]);
        assert!(upstream.out("m", NOW).is_none());
        let mut tried = Tried::default();
        tried.note(1, Fault::Busy);
        assert_eq!(shares(&upstream, &tried), [10_000, 0]);
    }

    #[test]
    fn where_all_are_out_the_first_that_comes_back_is_told() {
        let upstream = upstream(&[("a", "https://x", 1), ("b", "https://x", 1)]);
        let m: Arc<str> = "m".into();
        health(&upstream, 0).rest(&m, 9_000, NOW);
        assert_eq!(shares(&upstream, &Tried::default()), [0, 10_000]);
        health(&upstream, 1).rest(&m, 7_000, NOW);
        let expect = Out { until_ms: NOW + 7_000, rests: true };
        let Some(Pick::Out(out)) = upstream.out("m", NOW) else { panic!("not out") };
        assert_eq!(out, expect);
        let Pick::Out(out) = upstream.pick("m", NOW, &Tried::default(), 0) else { panic!("picked") };
        assert_eq!(out, expect);
        assert!(upstream.out("n", NOW).is_none(), "another model does not rest");
        assert_eq!(place(upstream.pick("m", NOW + 7_000, &Tried::default(), 0)), Some(1));
    }

    #[test]
    fn an_open_target_gets_one_call_and_the_others_go_elsewhere() {
        let upstream = upstream(&[("a", "https://x", 1_000), ("b", "https://y", 1)]);
        for _ in 0..FAILURES_MAX {
            health(&upstream, 0).failed(Entry::Free, NOW);
        }
        assert_eq!(shares(&upstream, &Tried::default()), [0, 10_000]);
        let later = NOW + OPEN_MS;
        let mut probes = 0;
        for turn in 0..1_000 {
            probes += usize::from(place(upstream.pick("m", later, &Tried::default(), turn)) == Some(0));
        }
        assert_eq!(probes, 1);
    }

    #[test]
    fn without_targets_there_is_nowhere_to_go() {
        let upstream = upstream(&[]);
        assert!(matches!(upstream.out("m", NOW), Some(Pick::Nowhere)));
        assert!(matches!(upstream.pick("m", NOW, &Tried::default(), 0), Pick::Nowhere));
    }
}
