//! SetSystemPrice: what a model of the operator's costs from now on.

use creel_control::access::Actor;
use creel_control::ledger::{LedgerError, SystemPrice};
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
    let price = SystemPrice { provider_name: input.provider_name, model_code: input.llm_code, card };
    app.credits.set_system_price(actor, price).await.map_err(|error| match error {
        LedgerError::SystemProviderNotFound(name) => super::api_error(ModelError::NoSystemProvider(name)),
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
