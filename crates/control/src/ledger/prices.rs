//! Prices of models: the operator's by provider name, an account's own by provider id.

use std::collections::HashMap;
use std::time::Duration;

use creel_wire::id::{AccountId, ProviderId};
use creel_wire::money::Micros;
use creel_wire::price::{RateCard, Usage};

use super::{Credits, Entry, Label, LedgerError};
use crate::access::Actor;

/// How far back a price that begins now may lie: what clocks of two machines may differ by, in milliseconds.
const CLOCKS_DIFFER_MS: i64 = 60_000;
/// Entries that are read at once.
const PAGE_ENTRIES: i64 = 5_000;

/// The price of an account's own model from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    pub account_id: AccountId,
    pub provider_id: ProviderId,
    pub model_code: String,
    pub effective_from_ms: i64,
    pub card: RateCard,
    /// `None`: the multiplier is fixed.
    pub range: Option<MultiplierRange>,
}

/// What a multiplier stays in, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiplierRange {
    pub min_micros: i64,
    /// `None`: there is no upper limit.
    pub max_micros: Option<i64>,
}

impl MultiplierRange {
    /// Whether a multiplier is within.
    pub fn has(self, multiplier_micros: i64) -> bool {
        self.min_micros <= multiplier_micros && self.max_micros.is_none_or(|max| multiplier_micros <= max)
    }
}

/// What a price would have made of calls that were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preview {
    /// Calls whose usage is known.
    pub calls: i64,
    pub usage: Usage,
    /// By the prices that they had, also where no pack or quota paid all of it.
    pub before: Micros,
    /// By the price that is looked at.
    pub after: Micros,
    /// Calls that were cut off, of which nobody knows the usage; left out.
    pub unknown: i64,
}

/// The price of one of the operator's models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPrice {
    pub provider_name: String,
    pub model_code: String,
    pub card: RateCard,
}

/// A price of a tenant's own provider, and where its multiplier may go.
type OwnPrice = (RateCard, Option<MultiplierRange>);

/// All prices in effect at one moment.
#[derive(Debug, Default)]
pub struct PriceList {
    system: HashMap<String, HashMap<String, RateCard>>,
    own: HashMap<(AccountId, ProviderId), HashMap<String, OwnPrice>>,
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
        self.own_entry(account_id, provider_id, model_code).map(|(card, _)| *card)
    }

    /// The range that its multiplier stays in; `None` where it is fixed.
    pub fn own_range(
        &self,
        account_id: &AccountId,
        provider_id: &ProviderId,
        model_code: &str,
    ) -> Option<MultiplierRange> {
        self.own_entry(account_id, provider_id, model_code).and_then(|(_, range)| *range)
    }

    fn own_entry(
        &self,
        account_id: &AccountId,
        provider_id: &ProviderId,
        model_code: &str,
    ) -> Option<&(RateCard, Option<MultiplierRange>)> {
        self.own.get(&(account_id.clone(), provider_id.clone()))?.get(model_code)
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
            models.insert(price.model_code, (price.card, price.range));
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

    /// In how long the next price comes into effect by itself.
    pub async fn next_price_in(&self) -> Result<Option<Duration>, LedgerError> {
        let now_ms = self.store.clock().now_ms();
        let next_ms = self.store.next_price_ms(now_ms).await?;
        Ok(next_ms.map(|next_ms| Duration::from_millis(next_ms.saturating_sub(now_ms).unsigned_abs())))
    }

    /// What a month's calls of a model would have cost by another price. `provider` is an id, or the name of one of the
    /// operator's.
    pub async fn preview_price(
        &self,
        account_id: &AccountId,
        provider: &str,
        model_code: &str,
        month: i64,
        card: &RateCard,
    ) -> Result<Preview, LedgerError> {
        let mut preview = Preview::default();
        let mut after = String::new();
        loop {
            let page = self.store.scan_month(account_id, month, &after, PAGE_ENTRIES).await?;
            let Some(last) = page.last() else { return Ok(preview) };
            last.id.clone_into(&mut after);
            let is_meant = |entry: &&Entry| {
                let of_provider = entry.provider_id.as_str() == provider || entry.provider_name == provider;
                entry.part == 0 && of_provider && entry.model_code == model_code
            };
            for entry in page.iter().filter(is_meant) {
                if entry.label == Label::Unsettled {
                    preview.unknown += 1;
                    continue;
                }
                let cost = |card: &RateCard| card.cost(&entry.usage).0;
                preview.calls += 1;
                preview.usage = preview.usage + entry.usage;
                preview.before.0 = preview.before.0.saturating_add(entry.card.as_ref().map_or(0, cost));
                preview.after.0 = preview.after.0.saturating_add(cost(card));
            }
        }
    }

    /// Sets the price of a model of the actor's account; the model need not exist yet, its provider must. A price
    /// begins now or later: what calls cost that were made is not changed.
    pub async fn set_price(&self, actor: Actor, price: Price) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        if price.effective_from_ms < now_ms - CLOCKS_DIFFER_MS {
            return Err(LedgerError::PriceInThePast);
        }
        if price.range.is_some_and(|range| !range.has(price.card.multiplier_micros)) {
            return Err(LedgerError::MultiplierOutOfRange);
        }
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
