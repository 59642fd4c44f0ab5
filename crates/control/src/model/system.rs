//! The operator's providers, from which credit providers take their addresses, keys and models.
//!
//! They live in the store. The configuration seeds them: what it names and the store does not have is made, and is kept
//! equal to it at each start, until somebody edits it here; from then on the configuration has no say.

use std::collections::HashMap;
use std::sync::Arc;

use creel_wire::secret::Secret;

use super::config::check_base_url;
use super::effective::{DirectoryTarget, SealedKey};
use super::kinds::{ProviderApi, RouteOrder};
use super::{ModelError, Models};
use crate::access::Actor;
use crate::store::Topic;

/// Name of the key that the configuration gives.
const SEEDED_KEY: &str = "config";

/// A provider of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemProvider {
    pub name: String,
    pub api: ProviderApi,
    /// Somebody edited it here: the configuration has no say any more.
    pub edited: bool,
    /// In the operator's order; never empty.
    pub endpoints: Vec<SystemEndpoint>,
    /// Oldest first. A provider without any is called without a key.
    pub keys: Vec<SystemKey>,
    /// In the order in which they are offered.
    pub models: Vec<SystemModel>,
}

/// Where a system provider is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemEndpoint {
    /// `http` or `https`, without a slash at its end; unique in the provider.
    pub base_url: String,
    /// Share of the calls, relative to the other addresses; positive.
    pub weight: i64,
}

/// A key of a system provider.
#[derive(Clone, PartialEq, Eq)]
pub struct SystemKey {
    /// Unique in the provider; how logs, headers and the operator name it.
    pub name: String,
    pub(crate) sealed: String,
    /// The only address that takes it; `None` where each does.
    pub base_url: Option<String>,
    /// Share of the calls, relative to the other keys; positive.
    pub weight: i64,
    /// Calls use it.
    pub enabled: bool,
    pub created_at_ms: i64,
}

impl std::fmt::Debug for SystemKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("SystemKey");
        shown.field("name", &self.name).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// A model that a system provider offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemModel {
    /// As the upstream names it; unique in the provider.
    pub code: String,
    /// For people.
    pub name: String,
    /// Tokens.
    pub context_window: Option<i64>,
    /// Tokens.
    pub max_output_tokens: Option<i64>,
    /// What it stands for, where it is a smart model.
    pub smart: Option<SmartModel>,
}

/// What a smart model stands for: models of the operator's providers, one of which each call goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartModel {
    pub order: RouteOrder,
    /// At least one.
    pub routes: Vec<SystemRoute>,
}

/// A model that a smart model may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemRoute {
    pub provider_name: String,
    pub model_code: String,
    /// Tokens of the largest request that goes there; `None` where the model's own context is the only bound.
    pub context_tokens_max: Option<i64>,
}

/// A provider of the operator's, as the configuration has it.
#[derive(Debug, Clone)]
pub struct SystemProviderSeed {
    pub name: String,
    pub api: ProviderApi,
    pub base_url: String,
    pub api_key: Option<Secret>,
    /// In the order in which they are offered; codes are unique.
    pub models: Vec<SystemModel>,
}

/// For which rows the keys of a system provider are sealed.
pub(super) fn key_context(name: &str) -> String {
    format!("system_provider:{name}")
}

impl SystemProvider {
    /// Every address with every key in use that it takes.
    pub(super) fn targets(&self) -> Arc<[DirectoryTarget]> {
        let mut targets = Vec::new();
        for (endpoint, number) in self.endpoints.iter().zip(1..) {
            let target = |key_name: &str, key, weight: i64| DirectoryTarget {
                key_name: key_name.to_owned(),
                number: (self.endpoints.len() > 1).then_some(number),
                base_url: endpoint.base_url.clone(),
                key,
                weight: u32::try_from(endpoint.weight.saturating_mul(weight)).unwrap_or(u32::MAX),
            };
            if self.keys.is_empty() {
                targets.push(target("", None, 1));
                continue;
            }
            let takes = |key: &&SystemKey| {
                key.base_url.as_ref().is_none_or(|base_url| *base_url == endpoint.base_url)
            };
            for key in self.keys.iter().filter(|key| key.enabled).filter(takes) {
                let sealed = SealedKey { context: key_context(&self.name), sealed: key.sealed.clone() };
                targets.push(target(&key.name, Some(sealed), key.weight));
            }
        }
        targets.into()
    }
}

impl Models {
    /// Makes the seeded system providers what the configuration says, with exactly these models; one that it does not
    /// name stays, so that a process without that part of the configuration does no harm, and so does one that
    /// was edited.
    ///
    /// `actor` is the operator, acting on the root account. Writes nothing where nothing changed: every start and
    /// every replica calls this. Gives the names of those that were edited.
    pub async fn seed_system_providers(
        &self,
        actor: Actor,
        seeds: Vec<SystemProviderSeed>,
    ) -> Result<Vec<String>, ModelError> {
        let present = self.store.list_system_providers().await?;
        let present: HashMap<&str, &SystemProvider> =
            present.iter().map(|provider| (provider.name.as_str(), provider)).collect();
        let now_ms = self.store.clock().now_ms();
        let (mut edited, mut changed) = (Vec::new(), Vec::new());
        for mut seed in seeds {
            seed.base_url = check_base_url(&seed.base_url)?;
            match present.get(seed.name.as_str()) {
                Some(before) if before.edited => edited.push(seed.name),
                Some(before) if self.is_seeded(before, &seed) => {}
                _ => changed.push(self.seeded(seed, now_ms)?),
            }
        }
        if changed.is_empty() {
            return Ok(edited);
        }
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let names: Vec<&str> = changed.iter().map(|provider| provider.name.as_str()).collect();
                    actor.audit(tx, &names, now_ms).await?;
                    for provider in &changed {
                        if !tx.put_system_provider(provider, now_ms).await? {
                            continue;
                        }
                        tx.spread_system_api(&provider.name, provider.api).await?;
                    }
                    tx.raise(Topic::Guest).await?;
                    tx.raise(Topic::Directory).await?;
                    Ok(edited)
                })
            })
            .await
    }

    fn seeded(&self, seed: SystemProviderSeed, now_ms: i64) -> Result<SystemProvider, ModelError> {
        let key = |clear: &Secret| {
            let sealed = self.sealer.seal(&key_context(&seed.name), clear)?;
            let name = SEEDED_KEY.to_owned();
            Ok(SystemKey { name, sealed, base_url: None, weight: 1, enabled: true, created_at_ms: now_ms })
        };
        let keys = seed.api_key.iter().map(key).collect::<Result<_, ModelError>>()?;
        Ok(SystemProvider {
            name: seed.name,
            api: seed.api,
            edited: false,
            endpoints: vec![SystemEndpoint { base_url: seed.base_url, weight: 1 }],
            keys,
            models: seed.models,
        })
    }

    fn is_seeded(&self, before: &SystemProvider, seed: &SystemProviderSeed) -> bool {
        let keys: Vec<&str> = before.keys.iter().map(|key| key.sealed.as_str()).collect();
        let key_same = match (keys.as_slice(), &seed.api_key) {
            ([], None) => true,
            // A key that another master key sealed is sealed again.
            ([sealed], Some(key)) => {
                self.sealer.open(&key_context(&seed.name), sealed).is_ok_and(|before| before == *key)
            }
            _ => false,
        };
        let endpoints: Vec<&str> =
            before.endpoints.iter().map(|endpoint| endpoint.base_url.as_str()).collect();
        key_same
            && before.api == seed.api
            && endpoints == [seed.base_url.as_str()]
            && before.models == seed.models
    }
}
