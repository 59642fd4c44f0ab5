//! The closed sets of words that model groups, providers and models are described with.

use std::str::FromStr;

use creel_wire::guest::AgentProvider;
use creel_wire::words;

/// A text that is none of the words of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of {0}")]
pub struct UnknownWord(pub &'static str);

fn find<T: Copy>(
    all: &[T],
    name: fn(T) -> &'static str,
    text: &str,
    words: &'static str,
) -> Result<T, UnknownWord> {
    all.iter().copied().find(|word| name(*word) == text).ok_or(UnknownWord(words))
}

/// Which program a model group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupAgent {
    OpenClaw,
    HermesAgent,
    /// Any of them.
    Common,
}

impl GroupAgent {
    /// The word in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupAgent::OpenClaw => "OpenClaw",
            GroupAgent::HermesAgent => "HermesAgent",
            GroupAgent::Common => "Common",
        }
    }

    /// True if a runtime with this program may use the group.
    pub fn fits(self, agent: AgentProvider) -> bool {
        matches!(
            (self, agent),
            (GroupAgent::Common, _)
                | (GroupAgent::OpenClaw, AgentProvider::OpenClaw)
                | (GroupAgent::HermesAgent, AgentProvider::HermesAgent)
        )
    }
}

impl FromStr for GroupAgent {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let all = [GroupAgent::OpenClaw, GroupAgent::HermesAgent, GroupAgent::Common];
        find(&all, Self::as_str, words::agent_provider(text).unwrap_or(text), "OpenClaw, HermesAgent, Common")
    }
}

/// The product line a model group belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AgentPlatform {
    Enterprise,
    EnterpriseJvs,
    Common,
}

impl AgentPlatform {
    /// The word in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            AgentPlatform::Enterprise => "ENTERPRISE",
            AgentPlatform::EnterpriseJvs => "ENTERPRISE_JVS",
            AgentPlatform::Common => "COMMON",
        }
    }
}

impl FromStr for AgentPlatform {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let all = [AgentPlatform::Enterprise, AgentPlatform::EnterpriseJvs, AgentPlatform::Common];
        let word = words::agent_platform(text).unwrap_or(text);
        find(&all, Self::as_str, word, "ENTERPRISE, ENTERPRISE_JVS, COMMON")
    }
}

/// Who may refer to a model group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefScope {
    /// Every user; only for common groups.
    AllUser,
    /// Chosen users and user groups; only for common groups.
    UserMixed,
    /// Runtimes and resource groups; every other group.
    ResourceMixed,
}

impl RefScope {
    /// The word in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            RefScope::AllUser => "ALL_USER",
            RefScope::UserMixed => "USER_MIXED",
            RefScope::ResourceMixed => "RESOURCE_MIXED",
        }
    }
}

impl FromStr for RefScope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let all = [RefScope::AllUser, RefScope::UserMixed, RefScope::ResourceMixed];
        find(&all, Self::as_str, text, "ALL_USER, USER_MIXED, RESOURCE_MIXED")
    }
}

/// Who made a model group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupSource {
    User,
    System,
}

impl GroupSource {
    /// The word in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupSource::User => "User",
            GroupSource::System => "System",
        }
    }
}

impl FromStr for GroupSource {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        find(&[GroupSource::User, GroupSource::System], Self::as_str, text, "User, System")
    }
}

/// Where a provider's address and key come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderType {
    /// From the operator's system provider; always billed in credits and always through the gateway.
    WuyingCredit,
    /// A well-known provider with the caller's key.
    Managed,
    /// Any compatible endpoint; its name begins with `provider-`.
    Custom,
}

impl ProviderType {
    /// The word in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            ProviderType::WuyingCredit => "WuyingCredit",
            ProviderType::Managed => "Managed",
            ProviderType::Custom => "Custom",
        }
    }
}

impl FromStr for ProviderType {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let all = [ProviderType::WuyingCredit, ProviderType::Managed, ProviderType::Custom];
        find(&all, Self::as_str, text, "WuyingCredit, Managed, Custom")
    }
}

/// In which order the routes of a smart model are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteOrder {
    /// As the operator declared them.
    Declared,
    /// The cheapest for the request first.
    Price,
}

impl RouteOrder {
    /// Every order's word.
    pub const WORDS: &'static str = "declared, price";

    /// The word in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            RouteOrder::Declared => "declared",
            RouteOrder::Price => "price",
        }
    }
}

impl FromStr for RouteOrder {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        find(&[RouteOrder::Declared, RouteOrder::Price], Self::as_str, text, Self::WORDS)
    }
}

/// The dialect a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderApi {
    /// Chat completions and embeddings.
    OpenAiCompletions,
    /// Responses and embeddings.
    OpenAiResponses,
    /// Messages.
    AnthropicMessages,
}

impl ProviderApi {
    /// Every dialect, in the order in which messages name them.
    pub const ALL: [ProviderApi; 3] =
        [ProviderApi::OpenAiCompletions, ProviderApi::OpenAiResponses, ProviderApi::AnthropicMessages];
    /// Their words, for messages.
    pub const WORDS: &'static str = "openai-completions, openai-responses, anthropic-messages";

    /// The word in configurations and in the store; OpenClaw has the same.
    pub fn as_str(self) -> &'static str {
        match self {
            ProviderApi::OpenAiCompletions => "openai-completions",
            ProviderApi::OpenAiResponses => "openai-responses",
            ProviderApi::AnthropicMessages => "anthropic-messages",
        }
    }
}

impl FromStr for ProviderApi {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        find(&ProviderApi::ALL, Self::as_str, text, ProviderApi::WORDS)
    }
}

/// Who holds a virtual key; decides how refusals are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyHolder {
    /// The agent itself.
    Agent,
    /// A person's own client.
    Person,
}

impl KeyHolder {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyHolder::Agent => "Agent",
            KeyHolder::Person => "Person",
        }
    }
}

impl FromStr for KeyHolder {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        find(&[KeyHolder::Agent, KeyHolder::Person], Self::as_str, text, "Agent, Person")
    }
}
