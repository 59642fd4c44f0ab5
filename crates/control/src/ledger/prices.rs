//! Prices of models: the operator's by provider name, an account's own by provider id.

use std::collections::HashMap;

use creel_wire::id::{AccountId, ProviderId};
use creel_wire::price::RateCard;

use super::{Credits, LedgerError};
use crate::access::Actor;

/// The price of an account's own model from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    pub account_id: AccountId,
    pub provider_id: ProviderId,
    pub model_code: String,
    pub effective_from_ms: i64,
    pub card: RateCard,
}

/// The price of one of the operator's models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPrice {
    pub provider_name: String,
    pub model_code: String,
    pub card: RateCard,
}

/// All prices in effect at one moment.
#[derive(Debug, Default)]
pub struct PriceList {
    system: HashMap<String, HashMap<String, RateCard>>,
    own: HashMap<(AccountId, ProviderId), HashMap<String, RateCard>>,
}

impl PriceList {
    /// The price of a model of the operator's provider.
    pub fn system(&self, provider_name: &str, model_code: &str) -> Option<RateCard> {
        self.system.get(provider_name)?.get(model_code).copied()
    }

    /// The price of a model of an account's own provider.
    pub fn own(
        &self,
        account_id: &AccountId,
        provider_id: &ProviderId,
        model_code: &str,
    ) -> Option<RateCard> {
        self.own.get(&(account_id.clone(), provider_id.clone()))?.get(model_code).copied()
    }
}

impl Credits {
    /// All prices in effect now.
    pub async fn price_list(&self) -> Result<PriceList, LedgerError> {
        let mut list = PriceList::default();
        for price in self.store.list_system_prices().await? {
            list.system.entry(price.provider_name).or_default().insert(price.model_code, price.card);
        }
        for price in self.store.list_prices_in_effect(self.store.clock().now_ms()).await? {
            let models = list.own.entry((price.account_id, price.provider_id)).or_default();
            models.insert(price.model_code, price.card);
        }
        Ok(list)
    }

    /// Every price of an account's own models, also past and coming ones.
    pub async fn list_prices(&self, account_id: &AccountId) -> Result<Vec<Price>, LedgerError> {
        Ok(self.store.list_prices(account_id).await?)
    }

    /// The prices of the operator's models.
    pub async fn list_system_prices(&self) -> Result<Vec<SystemPrice>, LedgerError> {
        Ok(self.store.list_system_prices().await?)
    }

    /// Sets the price of a model of the actor's account; the model need not exist yet, its provider must.
    pub async fn set_price(&self, actor: Actor, price: Price) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[price.provider_id.as_str()], now_ms).await?;
                    if price.account_id != actor.account_id
                        || !tx.has_provider(&price.account_id, &price.provider_id).await?
                    {
                        return Err(LedgerError::ProviderNotFound(price.provider_id));
                    }
                    Ok(tx.put_price(&price).await?)
                })
            })
            .await
    }

    /// Prices a model of one of the operator's providers, which counts as an edit of that: the configuration has no say any
    /// more.
    pub async fn set_system_price(&self, actor: Actor, price: SystemPrice) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&price.provider_name, &price.model_code], now_ms).await?;
                    if !tx.edit_system_provider(&price.provider_name, now_ms).await? {
                        return Err(LedgerError::SystemProviderNotFound(price.provider_name));
                    }
                    Ok(tx.put_system_price(&price, now_ms).await?)
                })
            })
            .await
    }

    /// Makes the operator's prices exactly these: at each start, from the configuration. Those of providers that were
    /// edited here stay. Writes only changes.
    pub async fn seed_system_prices(&self, prices: Vec<SystemPrice>) -> Result<(), LedgerError> {
        let by_name = |price: &SystemPrice| (price.provider_name.clone(), price.model_code.clone());
        let mut wanted = prices;
        wanted.sort_by_key(by_name);
        wanted.dedup_by_key(|price| by_name(price));
        let mut present = self.store.list_system_prices().await?;
        let providers = self.store.list_system_providers().await?;
        let is_edited =
            |name: &str| providers.iter().any(|provider| provider.edited && provider.name == name);
        wanted.retain(|price| !is_edited(&price.provider_name));
        present.retain(|price| !is_edited(&price.provider_name));
        present.sort_by_key(by_name);
        if present == wanted {
            return Ok(());
        }
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| Box::pin(async move { Ok(tx.put_system_prices(&wanted, now_ms).await?) }))
            .await
    }
}
