//! Chat channels of agents: what is wished, sealed. No guest delivers channels yet; what is kept here is what one will
//! be told.
//!
//! One bot serves one runtime: chat programs send a message to one of its connections, so two agents with the same bot
//! would each see half of a talk. The unique index of the table decides.

mod config;

use std::sync::Arc;

use creel_wire::guest::AgentProvider;
use creel_wire::id::{AccountId, RuntimeId};
use creel_wire::secret::Secret;

pub use config::{ChannelCode, ConfigMode};

use crate::access::{AccessError, Actor};
use crate::runtime::Runtime;
use crate::secrets::{Sealer, SecretsError};
use crate::store::{Store, StoreError, Tx};

/// Longest name of a channel, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// A channel of a runtime, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    pub runtime_id: RuntimeId,
    pub account_id: AccountId,
    pub code: ChannelCode,
    pub name: String,
    pub mode: ConfigMode,
    pub config_sealed: String,
    /// `None` where the configuration names no bot.
    pub bot_id: Option<String>,
    pub updated_at_ms: i64,
}

/// A channel as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    pub code: ChannelCode,
    pub name: String,
    pub mode: ConfigMode,
    /// JSON, its secrets masked.
    pub config: String,
}

/// Which runtimes of one program a request names, by `ecd-…` or `jvs-…`.
#[derive(Debug, Clone)]
pub struct Named {
    pub runtime_ids: Vec<String>,
    pub agent: AgentProvider,
}

/// What a channel is to be.
#[derive(Debug)]
pub struct NewChannel {
    pub code: ChannelCode,
    /// Without one its code.
    pub name: Option<String>,
    pub mode: ConfigMode,
    pub config: Secret,
}

/// Why a channel operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("no runtime {0} in this account")]
    RuntimeNotFound(String),
    /// `problem` continues a sentence whose subject is the configuration.
    #[error("a channel's configuration {problem}")]
    Config { problem: String },
    #[error("a channel's name is empty or too long")]
    Name,
    /// `holder` says which runtime has it, for people.
    #[error("the bot serves {holder} already")]
    BotInUse { holder: String },
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("sealing or opening a channel's configuration")]
    Secrets(#[from] SecretsError),
    #[error("reading or writing channels")]
    Store(#[from] StoreError),
}

/// For which row a configuration is sealed.
fn context(runtime_id: &RuntimeId, code: ChannelCode) -> String {
    format!("runtime_channel:{runtime_id}:{}", code.as_str())
}

/// How a runtime is named to people.
fn holder(name: &str, id: &str) -> String {
    format!("{name} ({id})")
}

/// Channels of runtimes.
#[derive(Debug, Clone)]
pub struct Channels {
    store: Store,
    sealer: Arc<Sealer>,
}

impl Channels {
    /// Over a store.
    pub fn new(store: Store, sealer: Arc<Sealer>) -> Self {
        Self { store, sealer }
    }

    /// Configures a channel of runtimes, in place of what it was: of all of them, or of none.
    pub async fn configure(&self, actor: Actor, named: Named, new: NewChannel) -> Result<(), ChannelError> {
        let bot_id = config::check(new.code, new.mode, &new.config)
            .map_err(|problem| ChannelError::Config { problem })?;
        let name = new.name.unwrap_or_else(|| new.code.as_str().to_owned());
        if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX {
            return Err(ChannelError::Name);
        }
        let (account_id, sought, code) = (actor.account_id.clone(), bot_id.clone(), new.code);
        let (sealer, now_ms) = (self.sealer.clone(), self.store.clock().now_ms());
        let written = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let runtimes = take(tx, &actor, &named, now_ms).await?;
                    if let (Some(_), [first, _, ..]) = (&bot_id, runtimes.as_slice()) {
                        return Err(ChannelError::BotInUse {
                            holder: holder(&first.name, first.id.as_str()),
                        });
                    }
                    for runtime in runtimes {
                        let config_sealed = sealer.seal(&context(&runtime.id, code), &new.config)?;
                        let channel = Channel {
                            runtime_id: runtime.id,
                            account_id: runtime.account_id,
                            code,
                            name: name.clone(),
                            mode: new.mode,
                            config_sealed,
                            bot_id: bot_id.clone(),
                            updated_at_ms: now_ms,
                        };
                        tx.put_channel(&channel).await?;
                    }
                    Ok(())
                })
            })
            .await;
        match (written, sought) {
            (Err(ChannelError::Store(StoreError::Unique(_))), Some(bot_id)) => {
                let found = self.store.find_bot_holder(&account_id, code, &bot_id).await?;
                // It may have been set free since; the next try then succeeds.
                let found = found.map(|(name, id)| holder(&name, &id));
                Err(ChannelError::BotInUse { holder: found.unwrap_or_else(|| "another runtime".to_owned()) })
            }
            (other, _) => other,
        }
    }

    /// Takes a channel away from runtimes: from all of them, or from none; one that does not have it stays as it is.
    pub async fn remove(&self, actor: Actor, named: Named, code: ChannelCode) -> Result<(), ChannelError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    for runtime in take(tx, &actor, &named, now_ms).await? {
                        tx.delete_channel(&runtime.id, code).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// The channels that a runtime of this program has, their secrets masked.
    pub async fn list(
        &self,
        account_id: &AccountId,
        runtime: &str,
        agent: AgentProvider,
    ) -> Result<Vec<ChannelView>, ChannelError> {
        let found = self.store.find_runtime_models_by_name(account_id, runtime).await?;
        let found = found.filter(|found| found.agent == agent);
        let found = found.ok_or_else(|| ChannelError::RuntimeNotFound(runtime.to_owned()))?;
        let channels = self.store.list_channels(&found.id).await?;
        let view = |channel: Channel| {
            let config =
                self.sealer.open(&context(&channel.runtime_id, channel.code), &channel.config_sealed)?;
            Ok(ChannelView {
                code: channel.code,
                name: channel.name,
                mode: channel.mode,
                config: config::masked(&config),
            })
        };
        channels.into_iter().map(view).collect()
    }
}

/// Records the request and takes the runtimes that it names, each once, in the order of their ids.
async fn take(tx: &mut Tx, actor: &Actor, named: &Named, now_ms: i64) -> Result<Vec<Runtime>, ChannelError> {
    let resources: Vec<&str> = named.runtime_ids.iter().map(String::as_str).collect();
    actor.audit(tx, &resources, now_ms).await?;
    let mut runtimes = tx.lock_runtimes(&actor.account_id, &named.runtime_ids).await?;
    runtimes.retain(|runtime| runtime.agent_provider == named.agent);
    let is_known = |name: &&String| {
        runtimes.iter().any(|runtime| {
            runtime.id.as_str() == name.as_str()
                || runtime.jvs_id.as_ref().is_some_and(|id| id.as_str() == name.as_str())
        })
    };
    match named.runtime_ids.iter().find(|name| !is_known(name)) {
        Some(name) => Err(ChannelError::RuntimeNotFound(name.clone())),
        None => Ok(runtimes),
    }
}
