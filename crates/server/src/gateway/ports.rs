//! What the gateway needs of the rest of the house: who may call what ([`Directory`]) and who pays ([`Billing`]).
//!
//! Both are looked at on every call, so both answer from memory.

mod upstream;

use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use creel_control::call_limit::Limits;
use creel_control::capture::Terms;
use creel_llm::price::RateCard;
use creel_llm::usage::Usage;
use creel_wire::id::{AccountId, ProviderId, RuntimeId};
use creel_wire::money::Micros;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};

pub use creel_control::ledger::{CallStart, Refusal, UsageSource};
pub(crate) use upstream::X_API_KEY;
pub use upstream::{BadBaseUrl, NoKey, Target, Upstream, UpstreamKey, Way};

/// SHA-256 of a virtual key: all that the store and this process keep of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key as callers give it.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// A hash that was stored as bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A hash that was stored as 64 hexadecimal digits; `None` for any other text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// Who holds a virtual key; decides how refusals are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The agent itself: a refusal is a text of the assistant, which the agent shows to its person.
    Agent,
    /// A person's program: a refusal is an HTTP error.
    Person,
}

/// What one virtual key opens.
#[derive(Debug)]
pub struct AgentAccess {
    /// Whose runtime it is.
    pub account: AccountId,
    /// The runtime that is billed and whose quota counts.
    pub runtime: RuntimeId,
    /// Who holds the key.
    pub key_kind: KeyKind,
    /// How much it may ask for.
    pub limits: Limits,
    /// How the content of its calls is kept; `None`: it is not.
    pub capture: Option<Terms>,
    /// The effective model group, the resource group's before the runtime's own; `None` where none is bound.
    pub group: Option<Arc<Group>>,
}

/// A model of a provider.
#[derive(Debug, Clone)]
pub struct Model {
    /// The name that agents use and that upstreams know.
    pub code: Arc<str>,
    /// For people.
    pub name: Arc<str>,
    /// Most tokens of input and output together, if known.
    pub context_tokens_max: Option<u64>,
    /// Most output tokens that the model gives, if known.
    pub output_tokens_max: Option<u64>,
    /// What its tokens cost; without one a billed call is refused.
    pub card: Option<RateCard>,
    /// What it stands for, where it is a smart model: then nothing is asked of it itself.
    pub smart: Option<Arc<Smart>>,
}

/// What a smart model stands for.
#[derive(Debug)]
pub struct Smart {
    /// In which order those that fit a request are tried.
    pub order: Order,
    /// In the operator's order.
    pub tiers: Vec<Tier>,
}

/// In which order tiers are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As the operator declared them.
    Declared,
    /// The cheapest for the request first.
    Price,
}

/// A model that a smart model may stand for.
#[derive(Debug)]
pub struct Tier {
    /// Tokens of the largest request that goes there; `None` for any.
    pub context_tokens_max: Option<u64>,
    /// That model, which is not smart.
    pub route: Route,
}

/// A provider with its upstream.
#[derive(Debug)]
pub struct Provider {
    /// For ledger entries.
    pub id: ProviderId,
    /// Unique in its group; the first part of `provider/code`.
    pub name: Arc<str>,
    /// Where its requests go.
    pub upstream: Upstream,
    /// Calls are paid in credits.
    pub billed: bool,
    /// In the order in which they are listed.
    pub models: Vec<Arc<Model>>,
}

/// Providers and models that an agent may use, with an index over both names of each model.
#[derive(Debug)]
pub struct Group {
    providers: Vec<Arc<Provider>>,
    /// Under `code` and under `provider/code`: places in `providers` and in its models.
    index: HashMap<String, Vec<(usize, usize)>>,
}

/// The way of one call.
#[derive(Debug, Clone)]
pub struct Route {
    /// Whose upstream it goes to.
    pub provider: Arc<Provider>,
    /// The model there.
    pub model: Arc<Model>,
}

/// What a name of a model means in a group.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// This model.
    Found(Route),
    /// None that the group has.
    NotInGroup,
    /// More than one provider has a model of this code.
    Ambiguous,
}

impl Group {
    /// A group of these providers, in this order.
    pub fn new(providers: Vec<Arc<Provider>>) -> Self {
        let mut index: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (at_provider, provider) in providers.iter().enumerate() {
            for (at_model, model) in provider.models.iter().enumerate() {
                let place = (at_provider, at_model);
                index.entry(model.code.to_string()).or_default().push(place);
                index.entry(format!("{}/{}", provider.name, model.code)).or_default().push(place);
            }
        }
        Self { providers, index }
    }

    /// Finds a model by `provider/code` or by `code`; within one provider where `provider_name` is given.
    pub fn resolve(&self, model: &str, provider_name: Option<&str>) -> Resolution {
        let places = self.index.get(model).map(Vec::as_slice).unwrap_or_default();
        let mut routes = places.iter().filter_map(|(at_provider, at_model)| {
            let provider = self.providers.get(*at_provider)?;
            let wanted = provider_name.is_none_or(|name| name == &*provider.name);
            wanted.then_some((provider, provider.models.get(*at_model)?))
        });
        match (routes.next(), routes.next()) {
            (Some((provider, model)), None) => {
                Resolution::Found(Route { provider: provider.clone(), model: model.clone() })
            }
            (None, _) => Resolution::NotInGroup,
            (Some(_), Some(_)) => Resolution::Ambiguous,
        }
    }

    /// The models, each with the name under which it can be called, in its shortest unambiguous form.
    pub fn models(&self) -> impl Iterator<Item = (String, Route)> {
        self.providers.iter().flat_map(move |provider| {
            provider.models.iter().map(move |model| {
                let alone = self.index.get(&*model.code).is_some_and(|places| places.len() == 1);
                let name =
                    if alone { model.code.to_string() } else { format!("{}/{}", provider.name, model.code) };
                (name, Route { provider: provider.clone(), model: model.clone() })
            })
        })
    }
}

/// All virtual keys of all accounts at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What each key opens. Revoked keys are not in it.
    pub by_key: HashMap<KeyHash, Arc<AgentAccess>>,
}

/// The snapshot in force. Readers never wait for a new one.
#[derive(Debug, Default)]
pub struct Directory(ArcSwapOption<Snapshot>);

impl Directory {
    /// A directory that has not been loaded: every call is told to come again.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a new snapshot in force, for every call that begins from now on.
    pub fn replace(&self, snapshot: Snapshot) {
        self.0.store(Some(Arc::new(snapshot)));
    }

    /// The directory has been loaded.
    pub fn is_loaded(&self) -> bool {
        self.0.load().is_some()
    }

    /// What a key opens; `None` for one that is unknown or revoked.
    pub fn lookup(&self, key: &KeyHash) -> Option<Arc<AgentAccess>> {
        self.0.load().as_ref()?.by_key.get(key).cloned()
    }
}

/// The ledger, as the gateway sees it. Every `Held` ends in exactly one of `settle` and `release`; those that a
/// crash leaves are settled by the ledger's sweeper.
pub trait Billing: Send + Sync + 'static {
    /// A reservation.
    type Held: Send + 'static;
    /// Why a settlement was not recorded; logged with its sources.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Holds the cost of the bound, or what remains where that is less; refuses where nothing remains.
    fn reserve(&self, start: &CallStart) -> impl Future<Output = Result<Self::Held, Refusal>> + Send;

    /// How much that is.
    fn held(held: &Self::Held) -> Micros;

    /// Books what was used and returns its cost. Returns once the entry is as durable as the ledger promises.
    fn settle(
        &self,
        held: Self::Held,
        usage: Usage,
        source: UsageSource,
    ) -> impl Future<Output = Result<Micros, Self::Error>> + Send;

    /// Gives back a reservation of a call that used nothing.
    fn release(&self, held: Self::Held) -> impl Future<Output = ()> + Send;
}
