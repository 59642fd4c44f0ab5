//! Takes the operator's model providers and their prices from the configuration into the store.

use creel_control::access::Actor;
use creel_control::account::Accounts;
use creel_control::id_gen::IdGen;
use creel_control::ledger::{Credits, PriceSeed};
use creel_control::model::{Models, ProviderApi, SystemModel, SystemProviderSeed};
use creel_wire::price::RateCard;

use super::{ROOT_ACCOUNT, ServeError};
use crate::config::{Config, ModelPrice, SystemProvider};

pub(super) async fn seed(
    models: &Models,
    credits: &Credits,
    accounts: &Accounts,
    ids: &IdGen,
    config: &Config,
) -> Result<(), ServeError> {
    if config.system_providers.is_empty() {
        return Ok(());
    }
    let Some(root) = accounts.find_by_name(ROOT_ACCOUNT).await? else { return Ok(()) };
    let seeds = config.system_providers.iter().map(provider).collect::<Result<Vec<_>, _>>()?;
    let actor = Actor::operator(root.id.clone(), "SeedSystemProviders", ids.request_id());
    for name in models.seed_system_providers(actor, seeds).await? {
        tracing::info!(
            provider.name = name,
            "system provider {name} was edited on this server: what the configuration says of it is not used"
        );
    }
    let prices = config.system_providers.iter().flat_map(prices).collect();
    credits.seed_system_prices(prices).await?;
    Ok(())
}

fn provider(provider: &SystemProvider) -> Result<SystemProviderSeed, ServeError> {
    let api: ProviderApi = provider.api.parse().map_err(|_| ServeError::SystemProviderApi {
        name: provider.name.clone(),
        api: provider.api.clone(),
    })?;
    let models = provider.models.iter().map(|model| SystemModel {
        code: model.code.clone(),
        name: model.name.clone(),
        context_window: model.context_window.map(i64::from),
        max_output_tokens: model.max_output_tokens.map(i64::from),
        smart: None,
    });
    Ok(SystemProviderSeed {
        name: provider.name.clone(),
        api,
        base_url: provider.base_url.clone(),
        api_key: provider.api_key.clone(),
        models: models.collect(),
    })
}

fn prices(provider: &SystemProvider) -> impl Iterator<Item = PriceSeed> + '_ {
    provider.models.iter().filter_map(|model| {
        let ModelPrice { input, cached_input, cache_write, output } = model.price.clone()?;
        let card = RateCard {
            input: input.0,
            cached_input: cached_input.unwrap_or(input).0,
            cache_write: cache_write.unwrap_or(input).0,
            output: output.0,
            multiplier_micros: model.multiplier_micros.0,
        };
        Some(PriceSeed { provider_name: provider.name.clone(), model_code: model.code.clone(), card })
    })
}
