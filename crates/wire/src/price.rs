//! Tokens by class and what they cost, in whole micro-credits.
//!
//! The sum over all classes is exact; it is rounded once, at the end, upward to a micro-credit. Prices below zero do
//! not exist and are read as zero; amounts beyond [`Micros`] stand still at its largest value.

use std::ops::Add;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::money::Micros;

/// Tokens that a price is for.
const PRICE_TOKENS: i128 = 1_000;
/// The multiplier 1.
pub const MULTIPLIER_ONE: i64 = 1_000_000;
/// What tokens × price × multiplier must be divided by.
const SCALE: i128 = PRICE_TOKENS * MULTIPLIER_ONE as i128;

/// Tokens of one call by class. The first four are disjoint and are what is billed.
///
/// The ledger's journal has the fields in this order and without their names, so a new one goes to the end, with a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Input tokens read from the upstream's cache.
    pub cached_input: u64,
    /// Input tokens written to the upstream's cache.
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Reasoning tokens: a part of `output`, told beside it and never billed twice.
    pub reasoning: u64,
}

impl Usage {
    /// Input tokens of all classes.
    pub fn input_total(&self) -> u64 {
        self.input.saturating_add(self.cached_input).saturating_add(self.cache_write)
    }

    /// Input and output tokens together.
    pub fn total(&self) -> u64 {
        self.input_total().saturating_add(self.output)
    }

    /// Nothing was used, or nothing is known.
    pub fn is_zero(&self) -> bool {
        self.total() == 0
    }
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage {
            input: self.input.saturating_add(other.input),
            cached_input: self.cached_input.saturating_add(other.cached_input),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }
}

/// Prices of a model: micro-credits for 1,000 tokens of each class.
///
/// The ledger's journal has the fields in this order and without their names, so a new one goes to the end, with a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RateCard {
    /// Price of [`Usage::input`].
    pub input: i64,
    /// Price of [`Usage::cached_input`].
    pub cached_input: i64,
    /// Price of [`Usage::cache_write`].
    pub cache_write: i64,
    /// Price of [`Usage::output`].
    pub output: i64,
    /// Factor on the whole, in millionths: 1,000,000 is 1.
    pub multiplier_micros: i64,
}

impl RateCard {
    /// What `usage` costs. Never negative; more usage never costs less; two calls cost at most one micro-credit
    /// more than the same usage in one.
    pub fn cost(&self, usage: &Usage) -> Micros {
        let scaled = self.sum(usage).saturating_mul(price(self.multiplier_micros));
        let micros = scaled / SCALE + i128::from(scaled % SCALE != 0);
        Micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Names these prices: equal cards have equal versions, and others other ones.
    pub fn version(&self) -> String {
        let Self { input, cached_input, cache_write, output, multiplier_micros } = self;
        let text =
            format!("creel-price-v1 {input} {cached_input} {cache_write} {output} {multiplier_micros}");
        let digest = Sha256::digest(text.as_bytes());
        format!("pv-{}", hex::encode(digest.get(..6).unwrap_or_default()))
    }

    /// How [`RateCard::cost`] comes to its result in micro-credits, to be checked with any other tool.
    pub fn formula(&self, usage: &Usage) -> String {
        let terms = [
            (usage.input, self.input),
            (usage.cached_input, self.cached_input),
            (usage.cache_write, self.cache_write),
            (usage.output, self.output),
        ];
        let terms: Vec<String> = terms.iter().map(|(tokens, price)| format!("{tokens}*{price}")).collect();
        format!("ceil(({})*{}/{SCALE})={}", terms.join("+"), self.multiplier_micros, self.cost(usage).0)
    }

    /// The most that a call can use, as far as its request tells: a token is at least one byte of it, taken to be of
    /// the dearest input class, and `output_tokens_max` are all produced. Pictures behind an address are the
    /// exception (few bytes, many tokens); what they use above the bound is an overrun.
    pub fn bound(&self, body_bytes: u64, output_tokens_max: u64) -> Usage {
        let mut usage = Usage { output: output_tokens_max, ..Usage::default() };
        let dearest = self.input.max(self.cached_input).max(self.cache_write);
        if dearest == self.input {
            usage.input = body_bytes;
        } else if dearest == self.cache_write {
            usage.cache_write = body_bytes;
        } else {
            usage.cached_input = body_bytes;
        }
        usage
    }

    /// The most output tokens that `remaining` pays for besides an input of at most `body_bytes` tokens;
    /// `u64::MAX` where output costs nothing and the input is paid for.
    pub fn affordable_output(&self, remaining: Micros, body_bytes: u64) -> u64 {
        let input = self.sum(&self.bound(body_bytes, 0));
        let multiplier = price(self.multiplier_micros);
        let scaled = i128::from(remaining.0.max(0)) * SCALE;
        let Some(budget) = scaled.checked_div(multiplier) else { return u64::MAX };
        if budget < input {
            return 0;
        }
        let Some(tokens) = (budget - input).checked_div(price(self.output)) else { return u64::MAX };
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// Tokens × price over all classes.
    fn sum(&self, usage: &Usage) -> i128 {
        [
            (usage.input, self.input),
            (usage.cached_input, self.cached_input),
            (usage.cache_write, self.cache_write),
            (usage.output, self.output),
        ]
        .into_iter()
        .map(|(tokens, each)| i128::from(tokens).saturating_mul(price(each)))
        .fold(0, i128::saturating_add)
    }
}

fn price(micros: i64) -> i128 {
    i128::from(micros.max(0))
}

/// The bound of a call whose tokens have no price: see [`RateCard::bound`].
pub fn bound(body_bytes: u64, output_tokens_max: u64) -> Usage {
    Usage { input: body_bytes, output: output_tokens_max, ..Usage::default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CARD: RateCard = RateCard {
        input: 200_000,
        cached_input: 20_000,
        cache_write: 250_000,
        output: 1_200_000,
        multiplier_micros: MULTIPLIER_ONE,
    };

    #[test]
    fn the_documented_example_costs_what_it_says() {
        let usage = Usage { input: 8_349, cached_input: 40_794, output: 573, ..Usage::default() };
        assert_eq!(CARD.cost(&usage).to_string(), "3.173280");
        assert_eq!(
            CARD.formula(&usage),
            "ceil((8349*200000+40794*20000+0*250000+573*1200000)*1000000/1000000000)=3173280"
        );
    }

    #[test]
    fn a_version_names_all_of_a_card() {
        let halved = RateCard { multiplier_micros: 500_000, ..CARD };
        assert_eq!(CARD.version(), CARD.clone().version());
        let others = [halved, RateCard { input: 1, ..CARD }, RateCard { output: 1, ..CARD }];
        assert!(others.iter().all(|other| other.version() != CARD.version()));
        assert_eq!(CARD.version().len(), 15);
    }

    #[test]
    fn rounding_is_upward_and_once() {
        let tiny = RateCard { input: 1, cached_input: 1, cache_write: 1, output: 1, ..CARD };
        assert_eq!(tiny.cost(&Usage::default()), Micros(0));
        let each = Usage { input: 1, cached_input: 1, cache_write: 1, output: 1, reasoning: 1 };
        assert_eq!(tiny.cost(&each), Micros(1));
        assert_eq!(tiny.cost(&Usage { input: 1_000, output: 1, ..Usage::default() }), Micros(2));
        let halved = RateCard { multiplier_micros: 500_000, ..CARD };
        assert_eq!(halved.cost(&Usage { input: 1_000, ..Usage::default() }), Micros(100_000));
    }

    #[test]
    fn extremes_stand_still_instead_of_wrapping() {
        let dear = RateCard { input: i64::MAX, output: i64::MAX, multiplier_micros: i64::MAX, ..CARD };
        assert_eq!(dear.cost(&bound(u64::MAX, u64::MAX)), Micros(i64::MAX));
        assert_eq!(RateCard { input: -5, ..CARD }.cost(&bound(9, 0)), Micros(0));
    }

    #[test]
    fn free_output_is_unlimited_only_if_the_input_is_paid() {
        let free = RateCard { output: 0, ..CARD };
        assert_eq!(free.affordable_output(Micros(1_000_000), 10), u64::MAX);
        assert_eq!(free.affordable_output(Micros(0), 10), 0);
        assert_eq!(RateCard { multiplier_micros: 0, ..CARD }.affordable_output(Micros(0), 10), u64::MAX);
        assert_eq!(CARD.affordable_output(Micros(-1), 0), 0);
    }

    fn any_card() -> impl Strategy<Value = RateCard> {
        let each = 0..10_000_000i64;
        (each.clone(), each.clone(), each.clone(), each, 0..20_000_000i64).prop_map(
            |(input, cached_input, cache_write, output, multiplier_micros)| RateCard {
                input,
                cached_input,
                cache_write,
                output,
                multiplier_micros,
            },
        )
    }

    fn any_usage() -> impl Strategy<Value = Usage> {
        let each = 0..10_000_000u64;
        (each.clone(), each.clone(), each.clone(), each).prop_map(
            |(input, cached_input, cache_write, output)| Usage {
                input,
                cached_input,
                cache_write,
                output,
                reasoning: 0,
            },
        )
    }

    proptest! {
        #[test]
        fn cost_is_monotone_and_additive_within_one_micro(card in any_card(), a in any_usage(), b in any_usage()) {
            let (apart, together) = (card.cost(&a).0 + card.cost(&b).0, card.cost(&(a + b)).0);
            prop_assert!(card.cost(&a).0 >= 0);
            prop_assert!(together >= card.cost(&a).0);
            prop_assert!(apart - together == 0 || apart - together == 1);
        }

        #[test]
        fn the_bound_costs_at_least_as_much_as_any_usage_within_it(card in any_card(), usage in any_usage()) {
            let bound = card.bound(usage.input_total(), usage.output);
            prop_assert!(card.cost(&bound) >= card.cost(&usage));
        }

        #[test]
        fn what_is_affordable_is_paid_for_and_one_more_token_is_not(
            card in any_card(), remaining in 0..10_000_000_000i64, body in 0..1_000_000u64,
        ) {
            let remaining = Micros(remaining);
            let tokens = card.affordable_output(remaining, body);
            if tokens > 0 && tokens < u64::MAX {
                prop_assert!(card.cost(&card.bound(body, tokens)) <= remaining);
            }
            if tokens < u64::MAX {
                prop_assert!(card.cost(&card.bound(body, tokens + 1)) > remaining);
            }
        }
    }
}
