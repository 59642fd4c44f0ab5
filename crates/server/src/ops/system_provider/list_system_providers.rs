//! ListSystemProviders: the operator's providers with all that they have, their keys masked.

use creel_control::access::Actor;
use creel_control::ledger::PriceList;
use creel_control::model::{Models, SmartModel, SystemProvider};
use creel_wire::error::ApiError;
use creel_wire::money::Micros;
use creel_wire::ops::system_provider::list_system_providers::{
    Input, Output, Providers, ProvidersEndpoints, ProvidersKeys, ProvidersModels, ProvidersModelsPrice,
    ProvidersModelsRoutes,
};
use creel_wire::price::RateCard;
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::model_group::given;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let wanted = given(input.provider_name);
    let found = app.models.list_system_providers().await.map_err(super::api_error)?;
    let prices = app.credits.price_list().await.map_err(crate::ops::credit::api_error)?;
    let found =
        found.into_iter().filter(|provider| wanted.as_ref().is_none_or(|name| *name == provider.name));
    Ok(Output { providers: Some(found.map(|provider| shown(&app.models, &prices, provider)).collect()) })
}

fn shown(models: &Models, prices: &PriceList, provider: SystemProvider) -> Providers {
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
        price: prices.system(&provider.name, &model.code).map(price),
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

fn price(card: RateCard) -> ProvidersModelsPrice {
    let credits = |micros: i64| Some(Micros(micros).to_string());
    ProvidersModelsPrice {
        input: credits(card.input),
        cached_input: credits(card.cached_input),
        cache_write: credits(card.cache_write),
        output: credits(card.output),
        multiplier: credits(card.multiplier_micros),
    }
}
