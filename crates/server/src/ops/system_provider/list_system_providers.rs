//! ListSystemProviders: the operator's providers with all that they have, their keys masked.

use creel_control::access::Actor;
use creel_control::ledger::{Price, PriceOf};
use creel_control::model::{Models, SmartModel, SystemProvider};
use creel_wire::error::ApiError;
use creel_wire::money::Micros;
use creel_wire::ops::system_provider::list_system_providers::{
    Input, Output, Providers, ProvidersEndpoints, ProvidersKeys, ProvidersModels,
    ProvidersModelsComingPrices, ProvidersModelsPrice, ProvidersModelsRoutes,
};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::model_group::given;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let wanted = given(input.provider_name);
    let found = app.models.list_system_providers().await.map_err(super::api_error)?;
    let prices = app.credits.list_system_prices().await.map_err(crate::ops::credit::api_error)?;
    let prices = Prices { all: prices, now_ms: app.clock.now_ms() };
    let found =
        found.into_iter().filter(|provider| wanted.as_ref().is_none_or(|name| *name == provider.name));
    Ok(Output { providers: Some(found.map(|provider| shown(&app.models, &prices, provider)).collect()) })
}

fn shown(models: &Models, prices: &Prices, provider: SystemProvider) -> Providers {
    let keys = provider.keys.iter().map(|key| ProvidersKeys {
        key_name: Some(key.name.clone()),
        api_key: Some(models.shown_system_key(&provider, key)),
        base_url: key.base_url.clone(),
        weight: Some(key.weight),
        status: Some(if key.enabled { "Enabled" } else { "Disabled" }.to_owned()),
        created_time: Some(shown_time(key.created_at_ms, TimeFormat::Seconds)),
    });
    let keys = keys.collect();
    let endpoints = provider.endpoints.into_iter().map(|endpoint| ProvidersEndpoints {
        base_url: Some(endpoint.base_url),
        weight: Some(endpoint.weight),
    });
    let routes = |smart: &SmartModel| {
        let routes = smart.routes.iter().map(|route| ProvidersModelsRoutes {
            provider_name: Some(route.provider_name.clone()),
            llm_code: Some(route.model_code.clone()),
            context_tokens_max: route.context_tokens_max,
        });
        routes.collect::<Vec<_>>()
    };
    let models = provider.models.into_iter().map(|model| ProvidersModels {
        price: prices.in_effect(&provider.name, &model.code),
        coming_prices: Some(prices.coming(&provider.name, &model.code)),
        route_order: model.smart.as_ref().map(|smart| smart.order.as_str().to_owned()),
        routes: model.smart.as_ref().map(routes),
        llm_code: Some(model.code),
        name: Some(model.name),
        context_window: model.context_window,
        max_output_tokens: model.max_output_tokens,
    });
    let models = models.collect();
    Providers {
        provider_name: Some(provider.name),
        api: Some(provider.api.as_str().to_owned()),
        edited: Some(provider.edited),
        endpoints: Some(endpoints.collect()),
        keys: Some(keys),
        models: Some(models),
    }
}

/// The answer has two types for the same.
macro_rules! shown {
    ($shown:ident, $price:expr) => {{
        let Price { card, range, effective_from_ms, .. } = $price;
        let credits = |micros: i64| Some(Micros(micros).to_string());
        $shown {
            input: credits(card.input),
            cached_input: credits(card.cached_input),
            cache_write: credits(card.cache_write),
            output: credits(card.output),
            multiplier: credits(card.multiplier_micros),
            multiplier_min: range.and_then(|range| credits(range.min_micros)),
            multiplier_max: range.and_then(|range| range.max_micros).and_then(credits),
            effective_from: Some(*effective_from_ms),
            price_version: Some(card.version()),
        }
    }};
}

/// Prices of the operator's models, oldest first of each.
struct Prices {
    all: Vec<Price>,
    now_ms: i64,
}

impl Prices {
    /// Those of a model.
    fn of<'a>(&'a self, name: &'a str, code: &'a str) -> impl DoubleEndedIterator<Item = &'a Price> {
        let is_of = move |price: &&Price| {
            price.model_code == code && matches!(&price.of, PriceOf::System(system) if system == name)
        };
        self.all.iter().filter(is_of)
    }

    fn in_effect(&self, name: &str, code: &str) -> Option<ProvidersModelsPrice> {
        let price = self.of(name, code).rfind(|price| price.effective_from_ms <= self.now_ms)?;
        Some(shown!(ProvidersModelsPrice, price))
    }

    fn coming(&self, name: &str, code: &str) -> Vec<ProvidersModelsComingPrices> {
        let coming = self.of(name, code).filter(|price| price.effective_from_ms > self.now_ms);
        coming.map(|price| shown!(ProvidersModelsComingPrices, price)).collect()
    }
}
