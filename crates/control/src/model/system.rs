//! The operator's providers, from which credit providers take their address, key and models.

use creel_wire::secret::Secret;

use super::config::check_base_url;
use super::kinds::ProviderApi;
use super::{ModelError, Models};
use crate::access::Actor;
use crate::store::Topic;

/// A provider of the operator's, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemProvider {
    pub name: String,
    pub api: ProviderApi,
    pub base_url: String,
    /// `None` for an upstream that wants no key.
    pub api_key_sealed: Option<String>,
}

/// A model that a system provider offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SystemModel {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) context_window: Option<i64>,
    pub(crate) max_output_tokens: Option<i64>,
}

/// A provider of the operator's, as the configuration has it.
#[derive(Debug, Clone)]
pub struct SystemProviderSeed {
    pub name: String,
    pub api: ProviderApi,
    pub base_url: String,
    pub api_key: Option<Secret>,
    /// In the order in which they are offered; codes are unique.
    pub models: Vec<SystemModelSeed>,
}

/// A model of a [`SystemProviderSeed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemModelSeed {
    pub code: String,
    pub name: String,
    /// Tokens.
    pub context_window: Option<i64>,
    /// Tokens.
    pub max_output_tokens: Option<i64>,
}

/// For which row a system provider's key is sealed.
pub(super) fn key_context(name: &str) -> String {
    format!("system_provider:{name}")
}

impl SystemModelSeed {
    fn model(&self) -> SystemModel {
        SystemModel {
            code: self.code.clone(),
            name: self.name.clone(),
            context_window: self.context_window,
            max_output_tokens: self.max_output_tokens,
        }
    }
}

impl Models {
    /// Makes the named system providers what the configuration says, with exactly these models; one that the
    /// configuration does not name stays, so that a process without that part of the configuration does no harm.
    ///
    /// `actor` is the operator, acting on the root account. Writes nothing where nothing changed: every start and
    /// every replica calls this.
    pub async fn seed_system_providers(
        &self,
        actor: Actor,
        seeds: Vec<SystemProviderSeed>,
    ) -> Result<(), ModelError> {
        let mut changed = Vec::new();
        for mut seed in seeds {
            seed.base_url = check_base_url(&seed.base_url)?;
            if !self.is_seeded(&seed).await? {
                let context = key_context(&seed.name);
                let sealed = seed.api_key.as_ref().map(|key| self.sealer.seal(&context, key)).transpose()?;
                let models: Vec<SystemModel> = seed.models.iter().map(SystemModelSeed::model).collect();
                let provider = SystemProvider {
                    name: seed.name,
                    api: seed.api,
                    base_url: seed.base_url,
                    api_key_sealed: sealed,
                };
                changed.push((provider, models));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let names: Vec<&str> =
                        changed.iter().map(|(provider, _)| provider.name.as_str()).collect();
                    actor.audit(tx, &names, now_ms).await?;
                    for (provider, models) in &changed {
                        tx.put_system_provider(provider, models, now_ms).await?;
                        tx.spread_system_api(provider).await?;
                    }
                    tx.raise(Topic::Guest).await?;
                    tx.raise(Topic::Directory).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn is_seeded(&self, seed: &SystemProviderSeed) -> Result<bool, ModelError> {
        let Some(row) = self.store.find_system_provider(&seed.name).await? else { return Ok(false) };
        let key_same = match (&row.api_key_sealed, &seed.api_key) {
            (None, None) => true,
            // A key that another master key sealed is sealed again.
            (Some(sealed), Some(key)) => {
                self.sealer.open(&key_context(&seed.name), sealed).is_ok_and(|before| before == *key)
            }
            _ => false,
        };
        if !key_same || row.api != seed.api || row.base_url != seed.base_url {
            return Ok(false);
        }
        let models = self.store.list_system_models(&seed.name).await?;
        Ok(models.into_iter().eq(seed.models.iter().map(SystemModelSeed::model)))
    }
}
