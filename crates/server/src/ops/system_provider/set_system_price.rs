//! SetSystemPrice: what a model of the operator's costs from now or from a later moment on.

use creel_control::access::Actor;
use creel_control::ledger::{LedgerError, MultiplierRange, Price, PriceOf};
use creel_control::model::ModelError;
use creel_wire::error::ApiError;
use creel_wire::money::{MICROS_PER_CREDIT, Micros};
use creel_wire::ops::system_provider::set_system_price::{Input, Output};
use creel_wire::price::RateCard;

use crate::app::App;
use crate::ops::model_group::given;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let (price, output) = (amount("Input", &input.input)?, amount("Output", &input.output)?);
    let or = |parameter: &str, text: Option<String>, default: i64| {
        given(text).map_or(Ok(default), |text| amount(parameter, &text))
    };
    let card = RateCard {
        input: price,
        cached_input: or("CachedInput", input.cached_input, price)?,
        cache_write: or("CacheWrite", input.cache_write, price)?,
        output,
        multiplier_micros: or("Multiplier", input.multiplier, MICROS_PER_CREDIT)?,
    };
    let factor =
        |parameter: &str, text: Option<String>| given(text).map(|text| amount(parameter, &text)).transpose();
    let max_micros = factor("MultiplierMax", input.multiplier_max)?;
    let range = match factor("MultiplierMin", input.multiplier_min)? {
        Some(min_micros) => Some(MultiplierRange { min_micros, max_micros }),
        None if max_micros.is_some() => {
            return Err(ApiError::invalid(
                "MultiplierMin",
                "MultiplierMax goes with MultiplierMin: give both.",
            ));
        }
        None => None,
    };
    let price = Price {
        of: PriceOf::System(input.provider_name),
        model_code: input.llm_code,
        effective_from_ms: input.effective_from.unwrap_or_else(|| app.clock.now_ms()),
        card,
        range,
    };
    app.credits.set_price(actor, price).await.map_err(|error| match error {
        LedgerError::SystemProviderNotFound(name) => super::api_error(ModelError::NoSystemProvider(name)),
        LedgerError::PriceInThePast => {
            ApiError::invalid("EffectiveFrom", "EffectiveFrom must not be in the past.")
        }
        LedgerError::MultiplierOutOfRange => {
            ApiError::invalid("Multiplier", "Multiplier must be from MultiplierMin to MultiplierMax.")
        }
        other => crate::ops::credit::api_error(other),
    })?;
    Ok(Output {})
}

/// Credits, or a factor, in millionths.
fn amount(parameter: &str, text: &str) -> Result<i64, ApiError> {
    let invalid =
        |problem: String| ApiError::invalid(parameter, format!("The parameter {parameter} {problem}."));
    let amount: Micros = text
        .parse()
        .map_err(|_| invalid("must be a decimal number with at most six places, such as 0.2".to_owned()))?;
    if amount < Micros::ZERO {
        return Err(invalid("must not be negative".to_owned()));
    }
    Ok(amount.0)
}
