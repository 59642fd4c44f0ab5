//! How a rate card is shown beside a model.

use creel_wire::money::Micros;
use creel_wire::ops::model::list_llm_templates::{DataCreditMultiplier, DataPrices, DataPricesPrices};
use creel_wire::price::{MULTIPLIER_ONE, RateCard};

/// What the four prices are for, in the order in which they are shown.
const UNIT: &str = "credits per 1,000 tokens";

/// The factor and the prices of a card; both `None` for a model without one, which is not billed in credits.
pub(super) fn shown(card: Option<&RateCard>) -> (Option<DataCreditMultiplier>, Option<Vec<DataPrices>>) {
    let Some(card) = card else { return (None, None) };
    let factor = factor(card);
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
    (Some(DataCreditMultiplier { max: Some(factor), min: Some(factor) }), Some(vec![range]))
}

/// The multiplier of a card as the API's number. For display only: nothing is computed from it.
pub(crate) fn factor(card: &RateCard) -> f64 {
    card.multiplier_micros as f64 / MULTIPLIER_ONE as f64
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
        let (factor, prices) = shown(Some(&card));
        assert_eq!(factor, Some(DataCreditMultiplier { max: Some(0.5), min: Some(0.5) }));
        let prices = prices.unwrap().remove(0).prices.unwrap();
        let shown: Vec<_> =
            prices.iter().map(|entry| (entry.price_name.as_deref(), entry.price.as_deref())).collect();
        assert_eq!(shown[0], (Some("Input"), Some("0.200000")));
        assert_eq!(shown[3], (Some("Output"), Some("1.200000")));
        assert_eq!(super::shown(None), (None, None));
    }
}
