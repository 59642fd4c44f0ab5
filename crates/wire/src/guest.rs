//! Messages between the server and the guest beside an agent.
//!
//! A guest first exchanges its one-use token for an identity (`POST /guest/v1/enroll`), then keeps one outbound
//! WebSocket (`GET /guest/v1/link`), JSON text frames, one message a frame. The server speaks first with
//! [`ToGuest::Challenge`]; the guest answers with [`ToServer::Hello`], signed by the key it enrolled with.
//! A guest is believed about what it did, never about what it may do: nothing it sends grants it anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{InvocationId, RuntimeId};
use crate::secret::Secret;

/// Raised when a message changes so that an older side would misread it. What an older side does not know at all is
/// not sent to it instead: a guest names what it can do beyond the first version ([`FEATURE_COMMANDS`]), because guests
/// outlive the server's upgrades.
pub const PROTOCOL_VERSION: u32 = 1;

/// A guest that runs [`InvocationRequest::Command`].
pub const FEATURE_COMMANDS: &str = "commands";

/// A guest that installs skills ([`DesiredState::skills`]) and reports them ([`ToServer::Skills`]).
pub const FEATURE_SKILLS: &str = "skills";

/// Bytes of a command's output that are kept, its end.
pub const OUTPUT_BYTES_MAX: usize = 24 * 1024;

/// Largest frame either side accepts, in bytes.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Body of `POST /guest/v1/enroll`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrollRequest {
    pub protocol: u32,
    /// One use, minutes of life, made for one runtime.
    pub token: Secret,
    /// Ed25519 verifying key, base64 of 32 bytes.
    pub public_key: String,
}

/// Answer of `POST /guest/v1/enroll`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrollResponse {
    pub runtime_id: RuntimeId,
    /// The agent's key for the LLM gateway. The server keeps only its hash.
    pub virtual_key: Secret,
}

/// The bytes a guest signs to prove itself on a new link.
pub fn hello_signing_input(nonce: &str, runtime_id: &RuntimeId, boot_id: &str) -> Vec<u8> {
    format!("creel-guest-hello\n{nonce}\n{runtime_id}\n{boot_id}").into_bytes()
}

/// Header by which a guest proves itself when it fetches a skill's content (`GET /guest/v1/skills/<content hash>`):
/// `<runtime id>:<unix seconds>:<base64 of the signature over skill_fetch_signing_input>`.
pub const SKILL_FETCH_HEADER: &str = "x-creel-guest";

/// Seconds that a fetch's time may differ from the server's.
pub const SKILL_FETCH_SKEW_S: i64 = 300;

/// The bytes a guest signs to fetch one skill's content.
pub fn skill_fetch_signing_input(runtime_id: &RuntimeId, content_hash: &str, unix_s: i64) -> Vec<u8> {
    format!("creel-guest-skill\n{runtime_id}\n{content_hash}\n{unix_s}").into_bytes()
}

/// From the server to a guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGuest {
    /// First message on a link.
    Challenge { protocol: u32, nonce: String },
    /// The link is accepted. A link with a smaller epoch is closed: it belongs to an older guest.
    Welcome { epoch: i64 },
    /// The link is refused; the guest waits with backoff (or exits when `fatal`, e.g. its runtime was deleted).
    Refused { reason: String, fatal: bool },
    /// What should be; sent after `Welcome` and at each change. Only the newest matters.
    Desired(Box<DesiredState>),
    /// Do something once; answered by [`ToServer::InvocationResult`] with the same id.
    Invoke(Invocation),
}

/// From a guest to the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToServer {
    /// Answers the challenge. `boot_id` is new at each start of the guest process.
    Hello {
        protocol: u32,
        runtime_id: RuntimeId,
        boot_id: String,
        guest_version: String,
        signature: String,
        /// What this guest can do beyond protocol version 1.
        #[serde(default)]
        features: Vec<String>,
    },
    /// What the guest sees; sent at each change, never periodically.
    Observation(Observation),
    /// How far the desired state is applied.
    Receipt(Receipt),
    /// The skills that the agent has; sent at each change, only by guests with [`FEATURE_SKILLS`].
    Skills(SkillInventory),
    /// The outcome of one invocation.
    InvocationResult { invocation_id: InvocationId, outcome: InvocationOutcome },
}

/// Which program the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AgentProvider {
    OpenClaw,
    HermesAgent,
}

/// The whole wish for one agent. Applying it twice is the same as once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredState {
    /// Grows with every change; receipts name it.
    pub generation: i64,
    pub provider: AgentProvider,
    /// `None` while no model group is effective: the agent runs, and can answer nothing.
    pub models: Option<ModelConfig>,
    /// `None` from a server that knows no skills: the guest then leaves skills alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skills: Option<SkillsConfig>,
}

/// The skills of an agent, and what happens to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillsConfig {
    /// To be installed, by name; names are unique.
    pub install: Vec<Skill>,
    /// Authorised and not installed by itself: where `secure`, the agent may have exactly these beside `install`.
    pub permitted: Vec<SkillPin>,
    /// Only the skills above may be visible; the agent writes none, and bundled ones are off.
    pub secure: bool,
    /// What the guest does about skills that are not as they should be.
    pub drift: DriftPolicy,
}

/// One skill to install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    pub pin: SkillPin,
    /// Semantic version, for people.
    pub version: String,
    /// Bytes of the content as it is fetched, at the most; the guest refuses more.
    pub archive_bytes: u64,
    /// False: it stays in its place and the agent does not see it.
    pub enabled: bool,
    /// Set for this skill alone.
    pub env: BTreeMap<String, Secret>,
    /// For the variable that the skill's front matter names as its primary one.
    pub api_key: Option<Secret>,
}

/// A skill's name and exactly which bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SkillPin {
    /// As in its front matter: `[a-z0-9-]`, at most 64; also the name of its folder.
    pub name: String,
    /// As [`crate::skill_content::content_hash`] gives it.
    pub content_hash: String,
}

/// What a guest does when a skill was changed beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftPolicy {
    /// Reports it.
    Observe,
    /// Reports it, and the server raises it as a risk.
    Warn,
    /// Puts the authorised content back, removes what may not be there, and reports what it did.
    Restore,
}

/// What a guest found in the places where the agent looks for skills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillInventory {
    /// The desired state that it was compared with.
    pub generation: i64,
    /// At most [`SKILLS_SEEN_MAX`]; bundled skills are not listed.
    pub skills: Vec<SkillSeen>,
    /// More were there than are listed.
    pub truncated: bool,
}

/// Skills that an inventory lists at the most.
pub const SKILLS_SEEN_MAX: usize = 500;

/// One skill, as found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillSeen {
    pub name: String,
    /// Where it lies, such as `managed` or `workspace`.
    pub place: String,
    /// `None` where it could not be read within its limits, or is not there.
    pub content_hash: Option<String>,
    pub state: SkillState,
    /// What went wrong or what was done, in words for an operator.
    pub note: Option<String>,
}

/// How a skill stands against the desired state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkillState {
    /// As authorised, and visible to the agent.
    Installed,
    /// As authorised, and turned off.
    Disabled,
    /// Wanted, and not there yet.
    Pending,
    /// Wanted, and cannot be installed; the note says why.
    Failed,
    /// Its bytes are not the authorised ones.
    Modified,
    /// Nobody authorised it: the agent or its user put it there.
    Foreign,
    /// It hides an authorised skill of the same name.
    Shadowing,
}

impl SkillState {
    /// Whether somebody other than the administrator brought it about.
    pub fn is_drift(self) -> bool {
        matches!(self, Self::Modified | Self::Foreign | Self::Shadowing)
    }
}

/// The effective model group of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelConfig {
    pub providers: Vec<ModelProvider>,
    /// `None` leaves the choice to the first model.
    pub default_model: Option<ModelRef>,
}

/// A model by the names that the agent's own configuration uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    pub provider: String,
    pub code: String,
}

/// One provider of the effective group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelProvider {
    /// Unique in the group, such as `bailian`.
    pub name: String,
    pub endpoint: ProviderEndpoint,
    pub models: Vec<Model>,
}

/// How the agent reaches a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProviderEndpoint {
    /// Through our gateway, at the guest's server URL + `/v1`, with the virtual key and the header
    /// `X-Creel-Provider: <name>`.
    Gateway {
        /// What the provider speaks, such as `anthropic-messages`. The gateway takes it as it is; an agent that cannot
        /// speak it may use `openai-completions` instead, which the gateway converts where that is possible.
        #[serde(default = "ProviderEndpoint::default_api")]
        api: String,
    },
    /// Straight to the provider with its real key: only when the operator allows it (`gateway.required = false`).
    Direct { api: String, base_url: String, api_key: Secret },
}

impl ProviderEndpoint {
    /// What agents spoke to the gateway before servers said it.
    fn default_api() -> String {
        "openai-completions".to_owned()
    }
}

/// One model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// As the upstream names it, such as `qwen3.6-plus`.
    pub code: String,
    /// For people.
    pub name: String,
    /// Tokens.
    pub context_window: Option<u64>,
    /// Tokens.
    pub max_output_tokens: Option<u64>,
    /// Lower-case `text`, `image`, `audio`, `video`.
    pub input: Vec<String>,
    pub reasoning: bool,
}

/// State of the agent's process, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AgentStatus {
    Undeployed,
    Deploying,
    Deployed,
    Starting,
    Running,
    Stopping,
    Stopped,
    Unavailable,
}

/// What a guest sees of its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub status: AgentStatus,
    /// The version that runs, such as `2026.9.6`.
    pub version: Option<String>,
    pub pid: Option<u32>,
    /// Starts of the agent process since the guest was installed; grows by one a start.
    pub starts: u64,
    /// False where the host offers no memory limit; the runtime then says so.
    pub memory_limited: bool,
    /// The last failure of the agent's process, in words for an operator; `None` when all is well.
    pub last_error: Option<String>,
}

/// How far a guest has come with the desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The newest generation the guest has received.
    pub desired: i64,
    /// The newest generation that the running agent is known to use.
    pub observed: i64,
    /// Why `observed` is behind, `None` while it is not or while the guest is still working.
    pub error: Option<String>,
}

/// Something to do once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invocation {
    pub id: InvocationId,
    pub request: InvocationRequest,
    /// From receipt to the guest's giving up.
    pub timeout_ms: u64,
}

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InvocationRequest {
    /// One turn with the agent. Calls with the same session share one conversation.
    Chat { session: String, message: String },
    /// A script, run once as the agent's user in its workspace: by the program that its first line names behind `#!`,
    /// else by `/bin/sh`.
    Command { script: String },
    /// A request that this side is too old to know. Never sent.
    #[serde(other)]
    Unknown,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InvocationOutcome {
    /// The agent's answer.
    Replied { text: String },
    /// No answer, and why, in words for the sender.
    Failed { message: String },
    /// What became of a command.
    Ran(CommandResult),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    pub end: CommandEnd,
    /// Base64 of the last [`OUTPUT_BYTES_MAX`] bytes that it wrote, to standard output and standard error.
    pub output: String,
    /// Bytes before those.
    pub dropped: u64,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum CommandEnd {
    Exited {
        code: i32,
    },
    Killed {
        signal: i32,
    },
    /// It was killed with all that it started.
    TimedOut,
    /// The guest ended while it ran, so nobody knows how far it came.
    Interrupted,
    /// It did not run, and why.
    Failed {
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_and_servers_of_both_ages_understand_where_the_gateway_is() {
        /// As guests knew it before servers told the dialect.
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        enum Older {
            Gateway,
        }
        let gateway = |api: &str| ProviderEndpoint::Gateway { api: api.to_owned() };
        let text = serde_json::to_string(&gateway("anthropic-messages")).expect("serialises");
        assert_eq!(serde_json::from_str::<ProviderEndpoint>(&text).ok(), Some(gateway("anthropic-messages")));
        assert_eq!(serde_json::from_str::<Older>(&text).ok(), Some(Older::Gateway));
        let older = serde_json::from_str::<ProviderEndpoint>(r#"{"kind":"gateway"}"#).ok();
        assert_eq!(older, Some(gateway("openai-completions")));
    }
}
