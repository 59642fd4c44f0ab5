//! Providers of a group.

use creel_wire::id::{AccountId, ModelGroupId, ProviderId};
use creel_wire::secret::Secret;
use serde_json::json;

use super::config::{ProviderConfig, mask_key};
use super::group::ModelGroup;
use super::kinds::{AgentPlatform, GroupAgent, ProviderApi, ProviderType};
use super::{
    Field, ModelError, Models, PROVIDER_NAME_BYTES_MAX, PROVIDERS_MAX, check_description, check_name,
};
use crate::access::Actor;
use crate::page::{Page, PageNumber};
use crate::store::{StoreError, Topic, Tx};

/// The only name a provider of the operator's credits may have; also the name of the system provider.
pub(super) const CREDIT_PROVIDER: &str = "wuying-credit";
/// How the names of custom providers begin.
const CUSTOM_PREFIX: &str = "provider-";

/// A provider of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    pub id: ProviderId,
    pub account_id: AccountId,
    pub group_id: ModelGroupId,
    /// Unique in the group; how agents name it.
    pub provider_name: String,
    /// For people.
    pub name: String,
    pub description: String,
    pub provider_type: ProviderType,
    /// Its configuration without the key.
    pub config_json: String,
    /// The system provider's where `system_provider_name` is set.
    pub api: ProviderApi,
    /// Empty where `system_provider_name` is set.
    pub base_url: String,
    pub api_key_sealed: Option<String>,
    /// Agents reach it through the gateway.
    pub proxied: bool,
    /// Where address, key and prices come from instead.
    pub system_provider_name: Option<String>,
    pub created_at_ms: i64,
}

/// What a new provider is to be.
#[derive(Debug)]
pub struct NewProvider {
    pub group_id: ModelGroupId,
    /// Must be the group's.
    pub agent: GroupAgent,
    pub provider_name: String,
    /// Without one the provider's name is shown.
    pub name: Option<String>,
    pub description: String,
    /// `None` follows from the provider's name.
    pub provider_type: Option<ProviderType>,
    /// JSON with the key in it.
    pub config: Option<Secret>,
    /// `None` is true.
    pub proxied: Option<bool>,
}

/// Which providers to list. An empty list and `None` do not restrict.
#[derive(Debug, Clone)]
pub struct ProviderFilter {
    /// Of groups for this program.
    pub agent: GroupAgent,
    pub platform: Option<AgentPlatform>,
    pub group_id: Option<String>,
    pub provider_name: Option<String>,
    pub ids: Vec<String>,
}

/// A provider as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderView {
    pub provider: Provider,
    /// JSON with the key masked.
    pub config: String,
}

/// For which row a provider's key is sealed.
pub(super) fn key_context(id: &ProviderId) -> String {
    format!("model_provider:{id}")
}

pub(super) fn check_provider_name(name: &str) -> Result<(), ModelError> {
    check_word(name, Field::ProviderName)
}

/// A name that can stand in a path, in a header and on a command line.
pub(super) fn check_word(name: &str, field: Field) -> Result<(), ModelError> {
    let first_ok = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest_ok = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if first_ok && rest_ok && name.len() <= PROVIDER_NAME_BYTES_MAX {
        return Ok(());
    }
    let problem = format!(
        "must be 1 to {PROVIDER_NAME_BYTES_MAX} letters, digits, '-', '_' or '.', the first a letter or digit"
    );
    Err(ModelError::invalid(field, problem))
}

/// The type of a new provider, after checking that its name fits.
fn provider_type(wanted: Option<ProviderType>, name: &str) -> Result<ProviderType, ModelError> {
    let custom = name.strip_prefix(CUSTOM_PREFIX);
    let by_name = match custom {
        Some(_) => ProviderType::Custom,
        None if name == CREDIT_PROVIDER => ProviderType::WuyingCredit,
        None => ProviderType::Managed,
    };
    let problem = match wanted.unwrap_or(by_name) {
        ProviderType::Custom if custom.is_some_and(str::is_empty) => {
            format!("must have something behind {CUSTOM_PREFIX}")
        }
        wanted if wanted == by_name => return Ok(wanted),
        ProviderType::WuyingCredit => format!("must be {CREDIT_PROVIDER} for the ProviderType WuyingCredit"),
        ProviderType::Custom => format!("must begin with {CUSTOM_PREFIX} for the ProviderType Custom"),
        ProviderType::Managed => {
            format!(
                "must not be {CREDIT_PROVIDER} nor begin with {CUSTOM_PREFIX} for the ProviderType Managed"
            )
        }
    };
    Err(ModelError::invalid(Field::ProviderName, problem))
}

impl Models {
    /// Adds a provider without models to a group.
    pub async fn create_provider(&self, actor: Actor, new: NewProvider) -> Result<ProviderId, ModelError> {
        let agent = new.agent;
        let provider = self.new_provider(&actor.account_id, new)?;
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(id) = actor.replayed(tx).await? {
                        return Ok(id);
                    }
                    let now_ms = provider.created_at_ms;
                    actor.audit(tx, &[provider.group_id.as_str(), provider.id.as_str()], now_ms).await?;
                    let id = provider.id.clone();
                    insert_provider(tx, provider, agent).await?;
                    actor.remember(tx, &id, now_ms).await?;
                    Ok(id)
                })
            })
            .await
    }

    /// A provider, its key masked.
    pub async fn get_provider(
        &self,
        account_id: &AccountId,
        id: &ProviderId,
    ) -> Result<ProviderView, ModelError> {
        let provider = self.store.find_model_provider(account_id, id).await?;
        let provider = provider.ok_or_else(|| ModelError::no_provider(id))?;
        let config = self.shown_config(&provider)?;
        Ok(ProviderView { provider, config })
    }

    /// One page of providers, oldest first, their keys masked; and how many match in all.
    pub async fn list_providers(
        &self,
        account_id: &AccountId,
        filter: &ProviderFilter,
        page: PageNumber,
    ) -> Result<Page<ProviderView>, ModelError> {
        let found = self.store.list_model_providers(account_id, filter, page).await?;
        let views = found.items.into_iter().map(|provider| {
            let config = self.shown_config(&provider)?;
            Ok(ProviderView { provider, config })
        });
        Ok(Page { items: views.collect::<Result<_, ModelError>>()?, total: found.total, next: None })
    }

    /// The operator's address is not shown: callers have no use for it, and it may lie in the operator's network.
    fn shown_config(&self, provider: &Provider) -> Result<String, ModelError> {
        let Some(sealed) = &provider.api_key_sealed else {
            return Ok(json!({ "api": provider.api.as_str() }).to_string());
        };
        let key = self.sealer.open(&key_context(&provider.id), sealed)?;
        let (api, base_url) = (provider.api.as_str(), &provider.base_url);
        Ok(json!({ "api": api, "apiKey": mask_key(&key), "baseUrl": base_url }).to_string())
    }

    fn new_provider(&self, account_id: &AccountId, new: NewProvider) -> Result<Provider, ModelError> {
        check_provider_name(&new.provider_name)?;
        new.name.as_deref().map_or(Ok(()), check_name)?;
        check_description(&new.description)?;
        let provider_type = provider_type(new.provider_type, &new.provider_name)?;
        let proxied = new.proxied.unwrap_or(true);
        let mut provider = Provider {
            id: self.ids.provider(),
            account_id: account_id.clone(),
            group_id: new.group_id,
            name: new.name.unwrap_or_else(|| new.provider_name.clone()),
            provider_name: new.provider_name,
            description: new.description,
            provider_type,
            config_json: "{}".to_owned(),
            api: ProviderApi::OpenAiCompletions,
            base_url: String::new(),
            api_key_sealed: None,
            proxied,
            system_provider_name: None,
            created_at_ms: self.store.clock().now_ms(),
        };
        if provider_type == ProviderType::WuyingCredit {
            // `{}` is what some clients send for an object that was left out.
            if new.config.is_some_and(|config| !matches!(config.expose().trim(), "" | "{}")) {
                let problem = "must be left out for the ProviderType WuyingCredit: the operator's is used";
                return Err(ModelError::invalid(Field::Config, problem));
            }
            if !proxied {
                let problem = "must be true for the ProviderType WuyingCredit";
                return Err(ModelError::invalid(Field::Proxied, problem));
            }
            provider.system_provider_name = Some(CREDIT_PROVIDER.to_owned());
            return Ok(provider);
        }
        if !proxied && self.gateway_required {
            return Err(ModelError::GatewayRequired);
        }
        let Some(config) = new.config.filter(|config| !config.expose().trim().is_empty()) else {
            let problem = "is required for the ProviderType Managed and Custom";
            return Err(ModelError::invalid(Field::Config, problem));
        };
        let config = ProviderConfig::parse(&config)?;
        provider.api_key_sealed = Some(self.sealer.seal(&key_context(&provider.id), &config.api_key)?);
        provider.config_json = config.to_json();
        provider.api = config.api;
        provider.base_url = config.base_url;
        Ok(provider)
    }
}

/// A provider and its group, held against other changes until the end of the transaction.
pub(super) async fn lock_provider(
    tx: &mut Tx,
    account_id: &AccountId,
    id: &ProviderId,
) -> Result<(Provider, ModelGroup), ModelError> {
    let absent = || ModelError::no_provider(id);
    let found = tx.find_model_provider(account_id, id).await?.ok_or_else(absent)?;
    let group = tx.lock_model_group(account_id, &found.group_id).await?.ok_or_else(absent)?;
    // Read again: it may have changed while this waited for the group.
    let provider = tx.find_model_provider(account_id, id).await?.ok_or_else(absent)?;
    Ok((provider, group))
}

async fn insert_provider(tx: &mut Tx, mut provider: Provider, agent: GroupAgent) -> Result<(), ModelError> {
    let group = tx.lock_model_group(&provider.account_id, &provider.group_id).await?;
    let group = group.ok_or_else(|| ModelError::no_group(&provider.group_id))?;
    if group.agent != agent {
        let problem = format!("must be {}, as the model group has it", group.agent.as_str());
        return Err(ModelError::invalid(Field::AgentProvider, problem));
    }
    if let Some(name) = &provider.system_provider_name {
        let api = tx.find_system_api(name).await?;
        provider.api = api.ok_or_else(|| ModelError::NoSystemProvider(name.clone()))?;
    }
    if tx.count_model_providers(&provider.group_id).await? >= PROVIDERS_MAX {
        return Err(ModelError::TooManyProviders);
    }
    match tx.insert_model_provider(&provider).await {
        Err(StoreError::Unique(_)) => return Err(ModelError::ProviderNameTaken(provider.provider_name)),
        other => other?,
    }
    tx.update_model_group(&group).await?;
    tx.raise(Topic::Guest).await?;
    tx.raise(Topic::Directory).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_provider_and_its_name_belong_together() {
        use ProviderType::{Custom, Managed, WuyingCredit};
        for (wanted, name, found) in [
            (None, "bailian", Some(Managed)),
            (None, "provider-mine", Some(Custom)),
            (None, "wuying-credit", Some(WuyingCredit)),
            (Some(Managed), "moonshot", Some(Managed)),
            (Some(Managed), "wuying-credit", None),
            (Some(Managed), "provider-x", None),
            (Some(Custom), "mine", None),
            (Some(Custom), "provider-", None),
            (Some(Custom), "wuying-credit", None),
            (Some(WuyingCredit), "bailian", None),
        ] {
            assert_eq!(provider_type(wanted, name).ok(), found, "{wanted:?} {name}");
        }
    }

    #[test]
    fn a_provider_name_can_stand_in_a_path_and_a_header() {
        for name in ["bailian", "provider-x", "a.b_c-1"] {
            assert!(check_provider_name(name).is_ok(), "{name}");
        }
        for name in ["", "a/b", "-a", "a b", "\u{767e}\u{70bc}", &"a".repeat(65)] {
            assert!(check_provider_name(name).is_err(), "{name}");
        }
    }
}
