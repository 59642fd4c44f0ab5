//! What a runtime and the gateway are to use: reads only.
//!
//! The effective group of a runtime is that of its resource group, where this has one for the runtime's program, and
//! else its own. `store::model::EFFECTIVE_GROUP` alone decides it, for agents, for the gateway and for lists.

use std::collections::HashMap;
use std::sync::Arc;

use creel_wire::guest::{self, AgentProvider, ModelConfig, ModelRef, ProviderEndpoint};
use creel_wire::id::{AccountId, ModelGroupId, ModelId, ProviderId, ResourceGroupId, RuntimeId};
use creel_wire::secret::Secret;

use super::group::ModelGroup;
use super::kinds::{KeyHolder, ProviderApi, ProviderType, RouteOrder};
use super::llm::Model;
use super::provider::{self, Provider};
use super::{ModelError, Models, SystemProvider, SystemRoute};
use crate::secrets::SecretsError;

/// What `runtime_observed.applied_models` holds once a guest has confirmed this revision of this group.
pub fn applied_marker(group_id: &ModelGroupId, revision: i64) -> String {
    format!("{group_id}@{revision}")
}

/// What a group is effective through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundBy {
    /// The runtime's own binding.
    Runtime,
    /// The binding of its resource group.
    ResourceGroup,
}

/// A provider of an effective group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveProvider {
    pub provider: Provider,
    /// By age.
    pub models: Vec<Model>,
}

/// The models of a runtime, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveModels {
    pub runtime_id: RuntimeId,
    pub agent: AgentProvider,
    pub resource_group_id: Option<ResourceGroupId>,
    /// `None` while no group is effective.
    pub group: Option<ModelGroup>,
    /// Of the group, if there is one.
    pub bound_by: BoundBy,
    /// The group's default, else its first model.
    pub default_model: Option<ModelRef>,
    pub providers: Vec<EffectiveProvider>,
    /// The guest has confirmed the group as it is now.
    pub applied: bool,
}

/// A runtime as far as its models are concerned.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeModels {
    pub(crate) id: RuntimeId,
    pub(crate) account_id: AccountId,
    pub(crate) agent: AgentProvider,
    pub(crate) resource_group_id: Option<ResourceGroupId>,
    /// The effective one.
    pub(crate) group_id: Option<ModelGroupId>,
    pub(crate) bound_by: BoundBy,
    /// Empty before any.
    pub(crate) applied_models: String,
}

/// A sealed key and the row it was sealed for. Opened by [`Models::open_key`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SealedKey {
    pub(crate) context: String,
    pub(crate) sealed: String,
}

/// A model that the gateway routes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryModel {
    pub id: ModelId,
    pub code: String,
    /// For people.
    pub name: String,
    /// Tokens.
    pub context_window: Option<u64>,
    /// Tokens.
    pub max_output_tokens: Option<u64>,
    /// What it stands for, where it is a smart model.
    pub smart: Option<Arc<DirectorySmart>>,
}

/// What a smart model stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySmart {
    pub order: RouteOrder,
    /// In the operator's order; what was offered and is no more is not among them.
    pub routes: Vec<DirectoryRoute>,
}

/// A model of a system provider that a smart model may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRoute {
    pub provider_name: String,
    pub api: ProviderApi,
    pub targets: Arc<[DirectoryTarget]>,
    pub model_code: String,
    /// Tokens of the largest request that goes there, output included.
    pub context_tokens_max: Option<u64>,
    /// Tokens.
    pub max_output_tokens: Option<u64>,
}

/// A provider that the gateway routes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryProvider {
    pub id: ProviderId,
    pub account_id: AccountId,
    /// How agents name it.
    pub name: String,
    pub provider_type: ProviderType,
    /// Where prices come from, for a provider of the operator's.
    pub system_provider_name: Option<String>,
    pub api: ProviderApi,
    /// Where its calls may go; none where all keys are disabled.
    pub targets: Arc<[DirectoryTarget]>,
    /// By age.
    pub models: Vec<DirectoryModel>,
}

/// An address with a key that it takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirectoryTarget {
    /// Name of the key; empty where there can be no others.
    pub key_name: String,
    /// Number of the address, from 1, where there are several.
    pub number: Option<usize>,
    pub base_url: String,
    /// `None` for an upstream that wants no key.
    pub key: Option<SealedKey>,
    /// Share of the calls, relative to the provider's other targets; positive.
    pub weight: u32,
}

/// A group that some live runtime or some resource group is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryGroup {
    pub id: ModelGroupId,
    /// By age.
    pub providers: Vec<DirectoryProvider>,
}

/// A virtual key in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryKey {
    /// SHA-256 as lower-case hex.
    pub key_hash: String,
    pub account_id: AccountId,
    pub runtime_id: RuntimeId,
    pub holder: KeyHolder,
    /// The effective group; `None` while there is none.
    pub group_id: Option<ModelGroupId>,
    pub resource_group_id: Option<ResourceGroupId>,
}

/// Everything the gateway looks up, at about one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    pub groups: Vec<DirectoryGroup>,
    pub keys: Vec<DirectoryKey>,
}

/// What all copies of the operator's providers share.
struct SystemDirectory<'a> {
    providers: HashMap<&'a str, (ProviderApi, Arc<[DirectoryTarget]>)>,
    /// By provider and code.
    smart: HashMap<(&'a str, &'a str), Arc<DirectorySmart>>,
}

impl<'a> SystemDirectory<'a> {
    fn of(system: &'a [SystemProvider]) -> Self {
        let providers: HashMap<_, _> = system
            .iter()
            .map(|provider| (provider.name.as_str(), (provider.api, provider.targets())))
            .collect();
        let tokens = |tokens: Option<i64>| tokens.and_then(|tokens| u64::try_from(tokens).ok());
        let route = |route: &SystemRoute| {
            let found = system.iter().find(|provider| provider.name == route.provider_name)?;
            let model =
                found.models.iter().find(|model| model.code == route.model_code && model.smart.is_none())?;
            let bounds = [tokens(route.context_tokens_max), tokens(model.context_window)];
            let (api, targets) = providers.get(found.name.as_str())?;
            Some(DirectoryRoute {
                provider_name: found.name.clone(),
                api: *api,
                targets: targets.clone(),
                model_code: model.code.clone(),
                context_tokens_max: bounds.into_iter().flatten().min(),
                max_output_tokens: tokens(model.max_output_tokens),
            })
        };
        let mut smart = HashMap::new();
        for (provider, model) in system.iter().flat_map(|p| p.models.iter().map(move |model| (p, model))) {
            if let Some(stands) = &model.smart {
                let routes = stands.routes.iter().filter_map(route).collect();
                let stands = Arc::new(DirectorySmart { order: stands.order, routes });
                smart.insert((provider.name.as_str(), model.code.as_str()), stands);
            }
        }
        Self { providers, smart }
    }
}

/// A provider row for the directory.
#[derive(Debug, Clone)]
pub(crate) struct RoutedProvider {
    pub(crate) group_id: ModelGroupId,
    /// Without targets and models.
    pub(crate) provider: DirectoryProvider,
    pub(crate) base_url: String,
    pub(crate) api_key_sealed: Option<String>,
}

impl Models {
    /// The models of a runtime, named by `ecd-…` or `jvs-…`.
    pub async fn effective_models(
        &self,
        account_id: &AccountId,
        runtime: &str,
    ) -> Result<EffectiveModels, ModelError> {
        let found = self.store.find_runtime_models_by_name(account_id, runtime).await?;
        let runtime = found.ok_or_else(|| ModelError::RuntimeNotFound(runtime.to_owned()))?;
        let (group, providers) = match &runtime.group_id {
            None => (None, Vec::new()),
            Some(group_id) => match self.load(account_id, group_id).await? {
                None => (None, Vec::new()),
                Some((group, providers)) => (Some(group), providers),
            },
        };
        let marker = group.as_ref().map(|group| applied_marker(&group.id, group.revision));
        let default = group.as_ref().and_then(|group| default_model(group, &providers));
        Ok(EffectiveModels {
            runtime_id: runtime.id,
            agent: runtime.agent,
            resource_group_id: runtime.resource_group_id,
            default_model: default,
            applied: marker.is_some_and(|marker| marker == runtime.applied_models),
            group,
            bound_by: runtime.bound_by,
            providers,
        })
    }

    /// What the agent of a runtime is to be configured with, and the [`applied_marker`] of it; `None` while no
    /// group is effective. For the guest link, which knows the runtime by its guest's identity.
    pub async fn desired_models(
        &self,
        runtime_id: &RuntimeId,
    ) -> Result<Option<(ModelConfig, String)>, ModelError> {
        let Some(runtime) = self.store.find_runtime_models(runtime_id).await? else { return Ok(None) };
        let Some(group_id) = &runtime.group_id else { return Ok(None) };
        let Some((group, providers)) = self.load(&runtime.account_id, group_id).await? else {
            return Ok(None);
        };
        let default_model = default_model(&group, &providers);
        let mut config = ModelConfig { providers: Vec::with_capacity(providers.len()), default_model };
        for EffectiveProvider { provider, models } in providers {
            // A provider without models is of no use to an agent, and OpenClaw refuses one.
            if models.is_empty() {
                continue;
            }
            let endpoint = self.endpoint(&provider)?;
            let models = models.iter().map(guest_model).collect();
            config.providers.push(guest::ModelProvider { name: provider.provider_name, endpoint, models });
        }
        Ok(Some((config, applied_marker(&group.id, group.revision))))
    }

    /// Everything the gateway looks up: the groups in use, and the virtual keys in force.
    ///
    /// The parts are read one after the other. A change in between raises `Topic::Directory` after it, so that the
    /// next snapshot is whole; until then a key may name a group that is not in this one, which routes nothing.
    pub async fn directory(&self) -> Result<Directory, ModelError> {
        let keys = self.store.list_directory_keys().await?;
        let providers = self.store.list_directory_providers().await?;
        let mut models: HashMap<ProviderId, Vec<DirectoryModel>> = HashMap::new();
        for model in self.store.list_directory_models().await? {
            let traits = model.traits();
            let entry = DirectoryModel {
                id: model.id,
                code: model.code,
                name: model.name,
                context_window: traits.context_window,
                max_output_tokens: traits.max_output_tokens,
                smart: None,
            };
            models.entry(model.provider_id).or_default().push(entry);
        }
        let system = self.store.list_system_providers().await?;
        let system = SystemDirectory::of(&system);
        let mut groups: Vec<DirectoryGroup> = Vec::new();
        for RoutedProvider { group_id, mut provider, base_url, api_key_sealed } in providers {
            provider.models = models.remove(&provider.id).unwrap_or_default();
            match &provider.system_provider_name {
                Some(name) => match system.providers.get(name.as_str()) {
                    Some((api, targets)) => {
                        (provider.api, provider.targets) = (*api, targets.clone());
                        for model in &mut provider.models {
                            model.smart = system.smart.get(&(name.as_str(), model.code.as_str())).cloned();
                        }
                    }
                    // It is gone, and what stood for it routes nothing.
                    None => continue,
                },
                None => {
                    let context = provider::key_context(&provider.id);
                    let key = api_key_sealed.map(|sealed| SealedKey { context, sealed });
                    provider.targets =
                        [DirectoryTarget { key_name: String::new(), number: None, base_url, key, weight: 1 }]
                            .into();
                }
            }
            match groups.last_mut() {
                Some(group) if group.id == group_id => group.providers.push(provider),
                _ => groups.push(DirectoryGroup { id: group_id, providers: vec![provider] }),
            }
        }
        Ok(Directory { groups, keys })
    }

    /// The clear key of a provider; CPU only. Only the gateway may call this, and keep it only in its memory.
    pub fn open_key(&self, key: &SealedKey) -> Result<Secret, SecretsError> {
        self.sealer.open(&key.context, &key.sealed)
    }

    /// The revision is read before what it stands for: what a guest gets may be newer than its marker says, and is
    /// then sent again, but never older.
    async fn load(
        &self,
        account_id: &AccountId,
        group_id: &ModelGroupId,
    ) -> Result<Option<(ModelGroup, Vec<EffectiveProvider>)>, ModelError> {
        let Some(group) = self.store.find_model_group(account_id, group_id).await? else { return Ok(None) };
        let providers = self.store.list_group_providers(account_id, group_id).await?;
        let mut models: HashMap<ProviderId, Vec<Model>> = HashMap::new();
        for model in self.store.list_group_models(account_id, group_id).await? {
            models.entry(model.provider_id.clone()).or_default().push(model);
        }
        let with_models = |provider: Provider| {
            let models = models.remove(&provider.id).unwrap_or_default();
            EffectiveProvider { provider, models }
        };
        Ok(Some((group, providers.into_iter().map(with_models).collect())))
    }

    fn endpoint(&self, provider: &Provider) -> Result<ProviderEndpoint, ModelError> {
        // The operator's rule holds for what was made before it, too; so does the absence of a key to hand out.
        let sealed = match &provider.api_key_sealed {
            Some(sealed) if !provider.proxied && !self.gateway_required => sealed,
            _ => return Ok(ProviderEndpoint::Gateway { api: provider.api.as_str().to_owned() }),
        };
        Ok(ProviderEndpoint::Direct {
            api: provider.api.as_str().to_owned(),
            base_url: provider.base_url.clone(),
            api_key: self.sealer.open(&provider::key_context(&provider.id), sealed)?,
        })
    }
}

fn default_model(group: &ModelGroup, providers: &[EffectiveProvider]) -> Option<ModelRef> {
    let all =
        || providers.iter().flat_map(|entry| entry.models.iter().map(move |model| (&entry.provider, model)));
    let chosen =
        all().find(|(_, model)| Some(&model.id) == group.default_model_id.as_ref()).or_else(|| all().next());
    chosen.map(|(provider, model)| ModelRef {
        provider: provider.provider_name.clone(),
        code: model.code.clone(),
    })
}

fn guest_model(model: &Model) -> guest::Model {
    let traits = model.traits();
    guest::Model {
        code: model.code.clone(),
        name: model.name.clone(),
        context_window: traits.context_window,
        max_output_tokens: traits.max_output_tokens,
        input: traits.input,
        reasoning: traits.reasoning,
    }
}
