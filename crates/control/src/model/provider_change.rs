//! Changing a provider: what is given changes, the rest stays.

use creel_wire::id::ProviderId;
use creel_wire::secret::Secret;

use super::config::{check_api, check_base_url, check_key, keyless_json};
use super::kinds::ProviderType;
use super::provider::{Provider, key_context, lock_provider};
use super::{Field, ModelError, Models, check_description, check_name};
use crate::access::Actor;
use crate::secrets::Sealer;
use crate::store::Topic;

/// What to change of how a provider is reached; `None` leaves as it is.
#[derive(Debug, Default)]
pub struct ProviderConfigChange {
    pub api: Option<String>,
    pub base_url: Option<String>,
    pub api_key: Option<Secret>,
}

/// What to change; `None` leaves as it is.
#[derive(Debug, Default)]
pub struct ProviderChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub config: ProviderConfigChange,
    pub proxied: Option<bool>,
}

impl Models {
    /// Changes what is given. A new key is in use as soon as the gateway has read the change.
    pub async fn update_provider(
        &self,
        actor: Actor,
        id: ProviderId,
        change: ProviderChange,
    ) -> Result<(), ModelError> {
        change.name.as_deref().map_or(Ok(()), check_name)?;
        change.description.as_deref().map_or(Ok(()), check_description)?;
        let (sealer, gateway_required) = (self.sealer.clone(), self.gateway_required);
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[id.as_str()], now_ms).await?;
                    let (before, group) = lock_provider(tx, &actor.account_id, &id).await?;
                    let after = changed(&before, change, gateway_required, &sealer)?;
                    if after != before {
                        tx.update_model_provider(&after).await?;
                        tx.update_model_group(&group).await?;
                        tx.raise(Topic::Guest).await?;
                        tx.raise(Topic::Directory).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

fn changed(
    before: &Provider,
    change: ProviderChange,
    gateway_required: bool,
    sealer: &Sealer,
) -> Result<Provider, ModelError> {
    let mut after = before.clone();
    after.name = change.name.unwrap_or(after.name);
    after.description = change.description.unwrap_or(after.description);
    after.proxied = change.proxied.unwrap_or(after.proxied);
    let config = change.config;
    if before.provider_type == ProviderType::WuyingCredit {
        if config.api.is_some() || config.base_url.is_some() || config.api_key.is_some() {
            let problem = "must be left out for the ProviderType WuyingCredit: the operator's is used";
            return Err(ModelError::invalid(Field::Config, problem));
        }
        if !after.proxied {
            let problem = "must be true for the ProviderType WuyingCredit";
            return Err(ModelError::invalid(Field::Proxied, problem));
        }
        return Ok(after);
    }
    if change.proxied == Some(false) && gateway_required {
        return Err(ModelError::GatewayRequired);
    }
    if let Some(api) = &config.api {
        after.api = check_api(api)?;
    }
    if let Some(url) = &config.base_url {
        after.base_url = check_base_url(url)?;
    }
    after.config_json = keyless_json(after.api, &after.base_url);
    if let Some(key) = &config.api_key {
        check_key(key)?;
        let context = key_context(&before.id);
        let same = match &before.api_key_sealed {
            // One that does not open was sealed by another master key: a new key mends that.
            Some(sealed) => sealer.open(&context, sealed).is_ok_and(|opened| opened == *key),
            None => false,
        };
        if !same {
            after.api_key_sealed = Some(sealer.seal(&context, key)?);
        }
    }
    Ok(after)
}
