//! Editing the operator's providers while servers run; they follow within a second.
//!
//! For the operator only: the border checks that whoever asks is one. Each edit is one transaction with its audit
//! row, whose resources are the provider and what of it was edited; a key is in neither.

use creel_wire::secret::Secret;

use super::config::{ConfigError, check_base_url, check_key, mask_key};
use super::kinds::ProviderApi;
use super::provider::{check_provider_name, check_word};
use super::system::{SystemEndpoint, SystemKey, SystemModel, key_context};
use super::{CODE_BYTES_MAX, Field, ModelError, Models, SystemProvider, check_name};
use crate::access::Actor;
use crate::store::{StoreError, Topic, Tx};

/// System providers there may be.
pub const SYSTEM_PROVIDERS_MAX: usize = 1_000;
/// Addresses of one of them.
pub const SYSTEM_ENDPOINTS_MAX: usize = 8;
/// Keys of one of them, those that are not in use included.
pub const SYSTEM_KEYS_MAX: i64 = 8;
/// Models of one of them.
pub const SYSTEM_MODELS_MAX: usize = 1_000;
/// Routes of a smart model.
pub const ROUTES_MAX: usize = 16;
/// Largest weight of an address or a key.
pub const WEIGHT_MAX: i64 = 1_000;

/// What to change of a system provider; `None` leaves as it is.
#[derive(Debug, Default)]
pub struct SystemProviderChange {
    pub api: Option<ProviderApi>,
    /// All of them, in order.
    pub endpoints: Option<Vec<SystemEndpoint>>,
}

/// A key to add to a system provider; it is in use at once.
#[derive(Debug)]
pub struct NewSystemKey {
    pub name: String,
    pub key: Secret,
    /// The only address that takes it, one of the provider's; `None` where each does.
    pub base_url: Option<String>,
    pub weight: i64,
}

/// What to change of a key; `None` leaves as it is.
#[derive(Debug, Default)]
pub struct SystemKeyChange {
    pub weight: Option<i64>,
    pub enabled: Option<bool>,
}

/// What is wrong, with the field of this service.
fn checked<T>(result: Result<T, ConfigError>, field: Field) -> Result<T, ModelError> {
    result.map_err(|ConfigError(problem)| ModelError::invalid(field, problem))
}

fn check_weight(weight: i64) -> Result<(), ModelError> {
    if (1..=WEIGHT_MAX).contains(&weight) {
        return Ok(());
    }
    Err(ModelError::invalid(Field::Weight, format!("must be 1 to {WEIGHT_MAX}")))
}

fn check_endpoints(endpoints: &mut [SystemEndpoint]) -> Result<(), ModelError> {
    if endpoints.is_empty() || endpoints.len() > SYSTEM_ENDPOINTS_MAX {
        return Err(ModelError::invalid(
            Field::Endpoints,
            format!("must be 1 to {SYSTEM_ENDPOINTS_MAX} addresses"),
        ));
    }
    let mut seen = std::collections::HashSet::new();
    for endpoint in endpoints {
        check_weight(endpoint.weight)?;
        endpoint.base_url = checked(check_base_url(&endpoint.base_url), Field::Endpoints)?;
        if !seen.insert(endpoint.base_url.clone()) {
            return Err(ModelError::invalid(Field::Endpoints, "must not have the same address twice"));
        }
    }
    Ok(())
}

fn check_model(model: &SystemModel) -> Result<(), ModelError> {
    let code_ok = !model.code.is_empty() && model.code.bytes().all(|byte| byte.is_ascii_graphic());
    if !code_ok || model.code.len() > CODE_BYTES_MAX {
        let problem = format!("must be 1 to {CODE_BYTES_MAX} printable characters without spaces");
        return Err(ModelError::invalid(Field::Code, problem));
    }
    check_name(&model.name)?;
    let routes = model.smart.iter().flat_map(|smart| &smart.routes);
    if model.smart.as_ref().is_some_and(|smart| !(1..=ROUTES_MAX).contains(&smart.routes.len())) {
        return Err(ModelError::invalid(Field::Routes, format!("must be 1 to {ROUTES_MAX} models")));
    }
    let bounds = routes.map(|route| route.context_tokens_max);
    if [model.context_window, model.max_output_tokens]
        .into_iter()
        .chain(bounds)
        .flatten()
        .any(|tokens| tokens < 1)
    {
        return Err(ModelError::invalid(Field::Models, "must have positive numbers of tokens, or none"));
    }
    Ok(())
}

impl Models {
    /// The operator's providers by name.
    pub async fn list_system_providers(&self) -> Result<Vec<SystemProvider>, ModelError> {
        Ok(self.store.list_system_providers().await?)
    }

    /// A key as it may be shown: its last characters; of one that another master key sealed nothing.
    pub fn shown_system_key(&self, provider: &SystemProvider, key: &SystemKey) -> String {
        let opened = self.sealer.open(&key_context(&provider.name), &key.sealed);
        opened.map(|clear| mask_key(&clear)).unwrap_or_default()
    }

    /// Adds a provider without keys and models.
    pub async fn create_system_provider(
        &self,
        actor: Actor,
        name: String,
        api: ProviderApi,
        mut endpoints: Vec<SystemEndpoint>,
    ) -> Result<(), ModelError> {
        check_provider_name(&name)?;
        check_endpoints(&mut endpoints)?;
        if self.store.list_system_providers().await?.len() >= SYSTEM_PROVIDERS_MAX {
            return Err(ModelError::TooManySystemParts("system providers"));
        }
        let provider =
            SystemProvider { name, api, edited: true, endpoints, keys: Vec::new(), models: Vec::new() };
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if actor.replayed::<()>(tx).await?.is_some() {
                        return Ok(());
                    }
                    actor.audit(tx, &[&provider.name], now_ms).await?;
                    let taken = tx.find_system_api(&provider.name).await?.is_some();
                    // The second look is for an equal request at the same time.
                    if taken || !tx.put_system_provider(&provider, now_ms).await? {
                        return Err(ModelError::SystemNameTaken(provider.name));
                    }
                    tx.spread_system_api(&provider.name, provider.api).await?;
                    tx.raise(Topic::Guest).await?;
                    tx.raise(Topic::Directory).await?;
                    Ok(actor.remember(tx, &(), now_ms).await?)
                })
            })
            .await
    }

    /// Changes what is given.
    pub async fn update_system_provider(
        &self,
        actor: Actor,
        name: String,
        mut change: SystemProviderChange,
    ) -> Result<(), ModelError> {
        if let Some(endpoints) = &mut change.endpoints {
            check_endpoints(endpoints)?;
        }
        self.edit(actor, name, Edit::Change(change)).await
    }

    /// Forgets a provider that no group has, with its keys and models.
    pub async fn delete_system_provider(&self, actor: Actor, name: String) -> Result<(), ModelError> {
        self.edit(actor, name, Edit::Delete).await
    }

    /// Adds a key, which calls use from now on beside those that are in use.
    pub async fn create_system_key(
        &self,
        actor: Actor,
        provider: String,
        new: NewSystemKey,
    ) -> Result<(), ModelError> {
        check_word(&new.name, Field::KeyName)?;
        check_weight(new.weight)?;
        checked(check_key(&new.key), Field::ApiKey)?;
        let key = SystemKey {
            sealed: self.sealer.seal(&key_context(&provider), &new.key)?,
            name: new.name,
            base_url: checked(new.base_url.as_deref().map(check_base_url).transpose(), Field::BaseUrl)?,
            weight: new.weight,
            enabled: true,
            created_at_ms: self.store.clock().now_ms(),
        };
        self.edit(actor, provider, Edit::AddKey(key)).await
    }

    /// Changes what is given. The last key in use cannot be disabled while groups use the provider.
    pub async fn update_system_key(
        &self,
        actor: Actor,
        provider: String,
        key: String,
        change: SystemKeyChange,
    ) -> Result<(), ModelError> {
        change.weight.map_or(Ok(()), check_weight)?;
        self.edit(actor, provider, Edit::ChangeKey(key, change)).await
    }

    /// Forgets a key. The last key in use cannot go while groups use the provider.
    pub async fn delete_system_key(
        &self,
        actor: Actor,
        provider: String,
        key: String,
    ) -> Result<(), ModelError> {
        self.edit(actor, provider, Edit::DeleteKey(key)).await
    }

    /// Offers a model, or changes how one is offered. Models that groups have already stay as they are.
    pub async fn put_system_model(
        &self,
        actor: Actor,
        provider: String,
        model: SystemModel,
    ) -> Result<(), ModelError> {
        check_model(&model)?;
        self.edit(actor, provider, Edit::PutModel(model)).await
    }

    /// Offers a model no more. Groups that have it keep it.
    pub async fn delete_system_model(
        &self,
        actor: Actor,
        provider: String,
        code: String,
    ) -> Result<(), ModelError> {
        self.edit(actor, provider, Edit::DeleteModel(code)).await
    }

    async fn edit(&self, actor: Actor, name: String, edit: Edit) -> Result<(), ModelError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if actor.replayed::<()>(tx).await?.is_some() {
                        return Ok(());
                    }
                    let resources: Vec<&str> =
                        [Some(name.as_str()), edit.part()].into_iter().flatten().collect();
                    actor.audit(tx, &resources, now_ms).await?;
                    if !tx.edit_system_provider(&name, now_ms).await? {
                        return Err(ModelError::NoSystemProvider(name));
                    }
                    edit.apply(tx, &name).await?;
                    tx.raise(Topic::Directory).await?;
                    Ok(actor.remember(tx, &(), now_ms).await?)
                })
            })
            .await
    }
}

/// One edit of a provider that exists.
#[derive(Debug)]
enum Edit {
    Change(SystemProviderChange),
    Delete,
    AddKey(SystemKey),
    ChangeKey(String, SystemKeyChange),
    DeleteKey(String),
    PutModel(SystemModel),
    DeleteModel(String),
}

impl Edit {
    /// Which part of the provider it is about.
    fn part(&self) -> Option<&str> {
        match self {
            Self::Change(_) | Self::Delete => None,
            Self::AddKey(SystemKey { name, .. }) | Self::ChangeKey(name, _) | Self::DeleteKey(name) => {
                Some(name)
            }
            Self::PutModel(SystemModel { code, .. }) | Self::DeleteModel(code) => Some(code),
        }
    }

    async fn apply(self, tx: &mut Tx, provider: &str) -> Result<(), ModelError> {
        match self {
            Self::Change(change) => apply_change(tx, provider, change).await,
            Self::Delete if tx.uses_system_provider(provider).await? => {
                Err(ModelError::SystemProviderInUse(provider.to_owned()))
            }
            Self::Delete => Ok(tx.delete_system_provider(provider).await?),
            Self::AddKey(_) if tx.count_system_keys(provider).await?.0 >= SYSTEM_KEYS_MAX => {
                Err(ModelError::TooManySystemParts("keys"))
            }
            Self::AddKey(key) => match tx.insert_system_key(provider, &key).await {
                Err(StoreError::Unique(_)) => Err(ModelError::SystemNameTaken(key.name)),
                Err(StoreError::ForeignKey(_)) => {
                    Err(ModelError::invalid(Field::BaseUrl, "must be one of the provider's addresses"))
                }
                other => Ok(other?),
            },
            Self::ChangeKey(key, change) => {
                if !tx.update_system_key(provider, &key, change.weight, change.enabled).await? {
                    return Err(ModelError::SystemKeyNotFound(key));
                }
                if change.enabled == Some(false) { keeps_a_key(tx, provider).await } else { Ok(()) }
            }
            Self::DeleteKey(key) => match tx.delete_system_key(provider, &key).await? {
                true => keeps_a_key(tx, provider).await,
                false => Err(ModelError::SystemKeyNotFound(key)),
            },
            Self::PutModel(model) => {
                tx.put_system_model(provider, &model).await?;
                for route in model.smart.iter().flat_map(|smart| &smart.routes) {
                    let offered = tx.list_system_models(&route.provider_name).await?;
                    if !offered
                        .iter()
                        .any(|offered| offered.code == route.model_code && offered.smart.is_none())
                    {
                        let problem =
                            "must lead to models that the operator's providers offer and that are not smart";
                        return Err(ModelError::invalid(Field::Routes, problem));
                    }
                }
                let count = tx.list_system_models(provider).await?.len();
                if count > SYSTEM_MODELS_MAX { Err(ModelError::TooManySystemParts("models")) } else { Ok(()) }
            }
            Self::DeleteModel(code) => match tx.delete_system_model(provider, &code).await? {
                true => Ok(()),
                false => Err(ModelError::SystemModelNotFound(code)),
            },
        }
    }
}

async fn apply_change(tx: &mut Tx, provider: &str, change: SystemProviderChange) -> Result<(), ModelError> {
    if let Some(api) = change.api {
        tx.set_system_api(provider, api).await?;
        tx.spread_system_api(provider, api).await?;
        tx.raise(Topic::Guest).await?;
    }
    match change.endpoints {
        None => Ok(()),
        Some(endpoints) => match tx.set_system_endpoints(provider, &endpoints).await {
            Err(StoreError::ForeignKey(_)) => Err(ModelError::EndpointInUse),
            other => Ok(other?),
        },
    }
}

/// Refuses to leave a provider that groups use without a key in use.
async fn keeps_a_key(tx: &mut Tx, provider: &str) -> Result<(), ModelError> {
    let (_, enabled) = tx.count_system_keys(provider).await?;
    if enabled == 0 && tx.uses_system_provider(provider).await? {
        return Err(ModelError::LastSystemKey);
    }
    Ok(())
}
