//! How a rate card is shown beside a model.

use creel_control::ledger::{MultiplierRange, PriceList, PriceOf};
use creel_wire::id::{AccountId, ProviderId};
use creel_wire::money::Micros;
use creel_wire::ops::model::list_llm_templates::{DataCreditMultiplier, DataPrices, DataPricesPrices};
use creel_wire::price::{MULTIPLIER_ONE, RateCard};

/// What the four prices are for, in the order in which they are shown.
const UNIT: &str = "credits per 1,000 tokens";

/// The price of a model, and the range of its multiplier.
pub(crate) fn of(
    prices: &PriceList,
    system_name: Option<&str>,
    (account_id, provider_id): (&AccountId, &ProviderId),
    code: &str,
) -> Option<(RateCard, MultiplierRange)> {
    let of = match system_name {
        Some(system) => PriceOf::System(system.to_owned()),
        None => PriceOf::Own(account_id.clone(), provider_id.clone()),
    };
    let price = prices.find(&of, code)?;
    let multiplier = price.card.multiplier_micros;
    let fixed = MultiplierRange { min_micros: multiplier, max_micros: Some(multiplier) };
    Some((price.card, price.range.unwrap_or(fixed)))
}

/// The factor and the prices of a card; both `None` for a model without one, which is not billed in credits.
pub(super) fn shown(
    priced: Option<&(RateCard, MultiplierRange)>,
) -> (Option<DataCreditMultiplier>, Option<Vec<DataPrices>>) {
    let Some((card, multiplier)) = priced else { return (None, None) };
    let (min, max) = factors(*multiplier);
    let price = |name: &str, micros: i64| DataPricesPrices {
        price: Some(Micros(micros).to_string()),
        price_name: Some(name.to_owned()),
        price_unit: Some(UNIT.to_owned()),
    };
    let prices = vec![
        price("Input", card.input),
        price("CachedInput", card.cached_input),
        price("CacheWrite", card.cache_write),
        price("Output", card.output),
    ];
    // One range: prices do not depend on the length of a request.
    let range = DataPrices { prices: Some(prices), range_name: Some("All".to_owned()) };
    (Some(DataCreditMultiplier { max, min: Some(min) }), Some(vec![range]))
}

/// The range of a multiplier as the API's numbers; no maximum is no upper limit. For display only: nothing is computed
/// from them.
pub(crate) fn factors(range: MultiplierRange) -> (f64, Option<f64>) {
    let factor = |micros: i64| micros as f64 / MULTIPLIER_ONE as f64;
    (factor(range.min_micros), range.max_micros.map(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_shown_in_credits_and_a_model_without_one_has_no_factor() {
        let card = RateCard {
            input: 200_000,
            cached_input: 20_000,
            cache_write: 200_000,
            output: 1_200_000,
            multiplier_micros: 500_000,
        };
        let range = MultiplierRange { min_micros: 250_000, max_micros: None };
        let (factor, prices) = shown(Some(&(card, range)));
        assert_eq!(factor, Some(DataCreditMultiplier { max: None, min: Some(0.25) }));
        let prices = prices.unwrap().remove(0).prices.unwrap();
        let shown: Vec<_> =
            prices.iter().map(|entry| (entry.price_name.as_deref(), entry.price.as_deref())).collect();
        assert_eq!(shown[0], (Some("Input"), Some("0.200000")));
        assert_eq!(shown[3], (Some("Output"), Some("1.200000")));
        assert_eq!(super::shown(None), (None, None));
    }
}
