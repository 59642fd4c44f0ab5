//! Models: which an agent may use, from whom, and with which key.
//!
//! A group holds providers, a provider holds models, and a runtime or a resource group is bound to one group. Every change of a group,
//! its providers or its models is one new revision of the group in the same transaction; runtimes are not written,
//! they follow by comparison ([`applied_marker`]). A provider's key is sealed when it is given and opened only for
//! the gateway, for a direct provider's guest, and to show its last characters.

mod binding;
pub mod config;
mod effective;
mod endpoints;
mod group;
mod kinds;
mod llm;
mod provider;
mod provider_change;
mod remove;
mod resource_binding;
mod system;
mod system_edit;

use std::sync::Arc;

use creel_wire::id::{ModelGroupId, ProviderId};

use crate::access::AccessError;
use crate::id_gen::IdGen;
use crate::secrets::{Sealer, SecretsError};
use crate::store::{Store, StoreError};
pub use binding::{BindOutcome, BoundRuntime};
pub use effective::{
    BoundBy, Directory, DirectoryGroup, DirectoryKey, DirectoryModel, DirectoryProvider, DirectoryRoute,
    DirectorySmart, DirectoryTarget, EffectiveModels, EffectiveProvider, SealedKey, applied_marker,
};
pub(crate) use effective::{RoutedProvider, RuntimeModels};
pub use endpoints::{EndpointApi, KnownEndpoint, KnownProvider, known_providers};
pub use group::{GroupChange, GroupFilter, GroupView, ModelGroup, NewGroup};
pub use kinds::{
    AgentPlatform, GroupAgent, GroupSource, KeyHolder, ProviderApi, ProviderType, RefScope, RouteOrder,
    UnknownWord,
};
pub use llm::{CreatedModels, Model, ModelFilter, ModelView, NewModel, NewModels, SkippedModel};
pub use provider::{NewProvider, Provider, ProviderFilter, ProviderView};
pub use provider_change::{ProviderChange, ProviderConfigChange};
pub use resource_binding::{UnbindOutcome, UnboundResourceGroup};
pub use system::{
    SmartModel, SystemEndpoint, SystemKey, SystemModel, SystemProvider, SystemProviderSeed, SystemRoute,
};
pub use system_edit::{
    NewSystemKey, ROUTES_MAX, SYSTEM_ENDPOINTS_MAX, SYSTEM_KEYS_MAX, SYSTEM_MODELS_MAX, SYSTEM_PROVIDERS_MAX,
    SystemKeyChange, SystemProviderChange, WEIGHT_MAX,
};

/// Groups an account may have.
pub const GROUPS_MAX: i64 = 1_000;
/// Providers a group may have.
pub const PROVIDERS_MAX: i64 = 50;
/// Models a provider may have.
pub const MODELS_MAX: i64 = 200;
/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// Longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 2_000;
/// Longest name of a provider as agents use it, in bytes.
pub const PROVIDER_NAME_BYTES_MAX: usize = 64;
/// Longest code of a model, in bytes.
pub const CODE_BYTES_MAX: usize = 128;

/// Which part of a request is wrong; the border names its parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    Name,
    Description,
    AgentProvider,
    AgentPlatform,
    RefScope,
    Config,
    ProviderName,
    ProviderType,
    Proxied,
    GroupId,
    Models,
    Endpoints,
    Weight,
    KeyName,
    ApiKey,
    BaseUrl,
    Code,
    Routes,
}

/// Why a model operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// `problem` continues a sentence whose subject is the parameter.
    #[error("a model group, provider or model {problem}")]
    Invalid { field: Field, problem: String },
    #[error("no model group {0} in this account")]
    GroupNotFound(String),
    #[error("no model provider {0} in this account")]
    ProviderNotFound(String),
    #[error("no model {0} in this account")]
    ModelNotFound(String),
    #[error("runtimes or resource groups use model group {0}")]
    GroupInUse(String),
    #[error("no runtime {0} in this account")]
    RuntimeNotFound(String),
    #[error("no resource group {0} in this account")]
    ResourceGroupNotFound(String),
    #[error("the group has a provider named {0}")]
    ProviderNameTaken(String),
    #[error("agents must use the gateway, as the operator requires")]
    GatewayRequired,
    #[error("the operator has no system provider named {0}")]
    NoSystemProvider(String),
    #[error("the operator has a system provider or a key of it named {0}")]
    SystemNameTaken(String),
    #[error("model groups use system provider {0}")]
    SystemProviderInUse(String),
    #[error("the system provider has no key named {0}")]
    SystemKeyNotFound(String),
    #[error("the system provider offers no model {0}")]
    SystemModelNotFound(String),
    #[error("it is the last key in use of a system provider that model groups use")]
    LastSystemKey,
    #[error("a key is for an address that would go")]
    EndpointInUse,
    #[error("there would be more {0} than a server takes")]
    TooManySystemParts(&'static str),
    #[error("the account has {GROUPS_MAX} model groups, the most it may have")]
    TooManyGroups,
    #[error("the group has {PROVIDERS_MAX} providers, the most it may have")]
    TooManyProviders,
    #[error("the provider would have more than {MODELS_MAX} models, the most it may have")]
    TooManyModels,
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("sealing or opening a provider's key")]
    Secrets(#[from] SecretsError),
    #[error("reading or writing models")]
    Store(#[from] StoreError),
}

impl From<config::ConfigError> for ModelError {
    fn from(problem: config::ConfigError) -> Self {
        ModelError::invalid(Field::Config, problem.0)
    }
}

impl ModelError {
    fn invalid(field: Field, problem: impl Into<String>) -> Self {
        ModelError::Invalid { field, problem: problem.into() }
    }

    fn no_group(id: &ModelGroupId) -> Self {
        ModelError::GroupNotFound(id.to_string())
    }

    fn no_provider(id: &ProviderId) -> Self {
        ModelError::ProviderNotFound(id.to_string())
    }
}

/// Model groups, providers, models, and which runtimes and resource groups use them.
#[derive(Debug, Clone)]
pub struct Models {
    store: Store,
    sealer: Arc<Sealer>,
    ids: IdGen,
    gateway_required: bool,
}

impl Models {
    /// Over a store. With `gateway_required` no agent is given a provider's own address and key.
    pub fn new(store: Store, sealer: Arc<Sealer>, ids: IdGen, gateway_required: bool) -> Self {
        Self { store, sealer, ids, gateway_required }
    }
}

fn check_name(name: &str) -> Result<(), ModelError> {
    let chars = name.chars().count();
    if name.trim().is_empty() || chars > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let problem = format!("must be 1 to {NAME_CHARS_MAX} characters, not only spaces");
        return Err(ModelError::invalid(Field::Name, problem));
    }
    Ok(())
}

fn check_description(description: &str) -> Result<(), ModelError> {
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        let problem = format!("must be at most {DESCRIPTION_CHARS_MAX} characters");
        return Err(ModelError::invalid(Field::Description, problem));
    }
    Ok(())
}
