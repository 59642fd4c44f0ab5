//! Prices of models: the operator's by provider name, an account's own by provider id. What is entered is a version with a
//! beginning, and stays.

use std::collections::{BTreeMap, HashMap, HashSet};
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

/// Whose model a price is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PriceOf {
    /// The operator's, by the name of its provider.
    System(String),
    /// An account's own.
    Own(AccountId, ProviderId),
}

/// The price of a model from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    pub of: PriceOf,
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

/// The price of one of the operator's models, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceSeed {
    pub provider_name: String,
    pub model_code: String,
    pub card: RateCard,
}

/// All prices in effect at one moment.
#[derive(Debug, Default)]
pub struct PriceList(HashMap<PriceOf, HashMap<String, Price>>);

impl PriceList {
    /// The price of a model.
    pub fn find(&self, of: &PriceOf, model_code: &str) -> Option<&Price> {
        self.0.get(of)?.get(model_code)
    }
}

impl Credits {
    /// All prices in effect now.
    pub async fn price_list(&self) -> Result<PriceList, LedgerError> {
        let mut list = PriceList::default();
        for price in self.store.list_prices_in_effect(self.store.clock().now_ms()).await? {
            list.0.entry(price.of.clone()).or_default().insert(price.model_code.clone(), price);
        }
        Ok(list)
    }

    /// Every price of an account's own models, also past and coming ones; oldest first of each model.
    pub async fn list_prices(&self, account_id: &AccountId) -> Result<Vec<Price>, LedgerError> {
        Ok(self.store.list_prices(Some(account_id)).await?)
    }

    /// The same of the operator's models.
    pub async fn list_system_prices(&self) -> Result<Vec<Price>, LedgerError> {
        Ok(self.store.list_prices(None).await?)
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
        let mut after = (i64::MIN, String::new());
        loop {
            let page = self.store.scan_month(account_id, month, (after.0, &after.1), PAGE_ENTRIES).await?;
            let Some(last) = page.last() else { return Ok(preview) };
            after = (last.created_at_ms, last.id.to_string());
            let is_meant = |entry: &&Entry| {
                let of_provider = entry.provider_id.as_str() == provider || &*entry.provider_name == provider;
                entry.part == 0 && of_provider && &*entry.model_code == model_code
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

    /// Sets the price of a model of the actor's account, or of the operator's, which counts as an edit of its provider: the
    /// configuration has no say any more. The model need not exist yet, its provider must. A price begins now or later:
    /// what calls cost that were made is not changed.
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
                    match &price.of {
                        PriceOf::System(name) => {
                            actor.audit(tx, &[name, &price.model_code], now_ms).await?;
                            if !tx.edit_system_provider(name, now_ms).await? {
                                return Err(LedgerError::SystemProviderNotFound(name.clone()));
                            }
                        }
                        PriceOf::Own(account_id, provider_id) => {
                            actor.audit(tx, &[provider_id.as_str()], now_ms).await?;
                            let is_own = *account_id == actor.account_id;
                            if !is_own || !tx.has_provider(account_id, provider_id).await? {
                                return Err(LedgerError::ProviderNotFound(provider_id.clone()));
                            }
                        }
                    }
                    Ok(tx.put_price(&price).await?)
                })
            })
            .await
    }

    /// Makes the operator's prices from now on exactly these: at each start, from the configuration. Those of providers
    /// that were edited here stay. What has another price gets a version of it that begins now; what has none any more
    /// is forgotten. Writes only changes.
    pub async fn seed_system_prices(&self, seeds: Vec<PriceSeed>) -> Result<(), LedgerError> {
        let now_ms = self.store.clock().now_ms();
        let providers = self.store.list_system_providers().await?;
        let edited: HashSet<&str> = providers.iter().filter(|p| p.edited).map(|p| p.name.as_str()).collect();
        let changes = changes(seeds, self.store.list_prices(None).await?, &edited, now_ms);
        if changes.is_empty() {
            return Ok(());
        }
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    for ((name, code), change) in &changes {
                        if tx.hold_system_provider(name).await? {
                            continue;
                        }
                        match change {
                            SeedChange::Forget => tx.delete_system_prices(name, code, i64::MIN).await?,
                            SeedChange::Begin(card) => {
                                tx.delete_system_prices(name, code, now_ms).await?;
                                let of = PriceOf::System(name.clone());
                                let (model_code, effective_from_ms, card) = (code.clone(), now_ms, *card);
                                tx.put_price(&Price { of, model_code, effective_from_ms, card, range: None })
                                    .await?;
                            }
                        }
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// What the configuration changes about a price of the operator's.
#[derive(Debug, Clone, Copy)]
enum SeedChange {
    Begin(RateCard),
    Forget,
}

/// By provider and model, in this order, so that two processes that start at once do not wait for each other.
fn changes(
    seeds: Vec<PriceSeed>,
    present: Vec<Price>,
    edited: &HashSet<&str>,
    now_ms: i64,
) -> BTreeMap<(String, String), SeedChange> {
    let mut changes: BTreeMap<_, _> = seeds
        .into_iter()
        .filter(|seed| !edited.contains(seed.provider_name.as_str()))
        .map(|seed| ((seed.provider_name, seed.model_code), SeedChange::Begin(seed.card)))
        .collect();
    let mut newest: BTreeMap<(String, String), Price> = BTreeMap::new();
    for price in present {
        let PriceOf::System(name) = &price.of else { continue };
        if !edited.contains(name.as_str()) {
            newest.insert((name.clone(), price.model_code.clone()), price);
        }
    }
    for (key, price) in newest {
        match changes.get(&key) {
            None => {
                changes.insert(key, SeedChange::Forget);
            }
            Some(SeedChange::Begin(card))
                if *card == price.card && price.range.is_none() && price.effective_from_ms <= now_ms =>
            {
                changes.remove(&key);
            }
            Some(_) => {}
        }
    }
    changes
}
