//! Chat channels of agents.

pub(crate) mod config_runtime_channel;
pub(crate) mod get_runtime_channel;
pub(crate) mod remove_runtime_channel;

use creel_control::channel::{ChannelCode, ChannelError, NAME_CHARS_MAX, Named};
use creel_control::runtime::provider_from_word;
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::guest::AgentProvider;

pub(crate) fn api_error(error: ChannelError) -> ApiError {
    use ChannelError as E;
    match &error {
        E::Access(error) => super::access_error(error),
        E::Store(error) => super::store_error(error),
        E::Secrets(_) => super::internal(&error),
        E::RuntimeNotFound(_) => ApiError::new(ErrorCode::RUNTIME_NOT_FOUND, "The runtime is not found."),
        E::Config { problem } => ApiError::invalid("Config", format!("The parameter Config {problem}.")),
        E::Name => ApiError::invalid(
            "Name",
            format!("The parameter Name must be 1 to {NAME_CHARS_MAX} characters, not only spaces."),
        ),
        E::BotInUse { holder } => ApiError::new(
            ErrorCode::CHANNEL_BOT_IN_USE,
            format!(
                "The bot serves {holder}, and a bot serves one runtime only. Use another bot, or take the channel away \
                 there with RemoveRuntimeChannel."
            ),
        ),
    }
}

/// The channel that a Code names.
fn code(text: &str) -> Result<ChannelCode, ApiError> {
    text.parse().map_err(|_| {
        let known = ChannelCode::ALL.map(ChannelCode::as_str).join(", ");
        ApiError::invalid("Code", format!("The parameter Code must be one of {known}."))
    })
}

/// The program that an AgentProvider names.
fn agent(text: &str) -> Result<AgentProvider, ApiError> {
    provider_from_word(text).ok_or_else(|| {
        ApiError::invalid("AgentProvider", "The parameter AgentProvider must be OpenClaw or HermesAgent.")
    })
}

/// The runtimes that a request is for.
fn named(runtime_ids: Vec<String>, agent_provider: &str) -> Result<Named, ApiError> {
    Ok(Named { runtime_ids, agent: agent(agent_provider)? })
}
