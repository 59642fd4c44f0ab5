//! Messages to agents. A message is a row until its guest has it and again when it has answered, so neither a
//! restart of the server nor a broken link loses one.

use creel_wire::guest::InvocationOutcome;
use creel_wire::id::{AccountId, EndUserId, InvocationId, RuntimeId};

use crate::access::{AccessError, Actor, Scope};
use crate::command::{self, RunEnd, RunFailure};
use crate::id_gen::IdGen;
use crate::page::{Cursor, Page};
use crate::runtime::{RuntimeError, Runtimes, SandboxStatus};
use crate::store::{InvocationFilter, Store, StoreError, Topic};

/// How long an agent has for its answer, in milliseconds: a first turn takes up to half a minute, tools far longer.
pub const ANSWER_MS_MAX: i64 = 10 * 60_000;
/// Characters of an answer that are kept at the most.
const REPLY_CHARS_MAX: usize = 200_000;

/// How far an invocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvocationStatus {
    /// Not at the guest yet.
    Pending,
    /// At the guest.
    Running,
    Succeeded,
    Failed,
}

impl InvocationStatus {
    const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed];

    /// The word that the API and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// The status of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// One message and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    pub id: InvocationId,
    pub account_id: AccountId,
    pub runtime_id: RuntimeId,
    /// Who sent it; `None` for an administrator.
    pub end_user: Option<EndUserId>,
    /// As the sender names the conversation; each end user has its own.
    pub session_key: String,
    pub message: String,
    pub status: InvocationStatus,
    pub reply: Option<String>,
    pub error_message: Option<String>,
    pub created_at_ms: i64,
    pub deadline_ms: i64,
    pub finished_at_ms: Option<i64>,
}

/// Something that a guest is to be sent; its time counts from its receipt.
pub type Waiting = creel_wire::guest::Invocation;

/// Why a message operation failed.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("runtime {id} is {status}, so its agent cannot be reached")]
    NotRunning { id: RuntimeId, status: &'static str },
    #[error("finding the runtime of a message")]
    Runtime(#[source] RuntimeError),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing messages")]
    Store(#[from] StoreError),
}

/// Messages to agents.
#[derive(Debug, Clone)]
pub struct Messages {
    store: Store,
    ids: IdGen,
    runtimes: Runtimes,
}

impl Messages {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen, runtimes: Runtimes) -> Self {
        Self { store, ids, runtimes }
    }

    /// Records a message for an agent whose sandbox runs; its answer is read with [`Messages::list`].
    pub async fn send(
        &self,
        actor: Actor,
        runtime_id: &str,
        session_key: String,
        message: String,
    ) -> Result<InvocationId, MessageError> {
        let view = self.runtimes.get(&actor.scope(), runtime_id).await.map_err(MessageError::Runtime)?;
        let sandbox = view.runtime.sandbox;
        let now_ms = self.store.clock().now_ms();
        let invocation = Invocation {
            id: self.ids.invocation(),
            account_id: actor.account_id.clone(),
            runtime_id: view.runtime.id,
            end_user: actor.end_user.clone(),
            session_key,
            message,
            status: InvocationStatus::Pending,
            reply: None,
            error_message: None,
            created_at_ms: now_ms,
            deadline_ms: now_ms + ANSWER_MS_MAX,
            finished_at_ms: None,
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(id) = actor.replayed(tx).await? {
                        return Ok(id);
                    }
                    if !matches!(sandbox, SandboxStatus::Running | SandboxStatus::Starting) {
                        return Err(MessageError::NotRunning {
                            id: invocation.runtime_id,
                            status: sandbox.as_str(),
                        });
                    }
                    let resources = [invocation.runtime_id.as_str(), invocation.id.as_str()];
                    actor.audit(tx, &resources, now_ms).await?;
                    tx.insert_invocation(&invocation).await?;
                    actor.remember(tx, &invocation.id, now_ms).await?;
                    tx.raise(Topic::Guest).await?;
                    Ok(invocation.id)
                })
            })
            .await
    }

    /// Messages, newest first: by id, of one runtime, or all that the scope has. An end user sees its own.
    pub async fn list(
        &self,
        scope: &Scope,
        ids: &[String],
        runtime_id: Option<&str>,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<Invocation>, MessageError> {
        let runtime_id = match runtime_id {
            None => None,
            Some(id) => {
                let view = self.runtimes.get(scope, id).await.map_err(MessageError::Runtime)?;
                Some(view.runtime.id)
            }
        };
        let entitled = scope.entitled(self.store.clock().now_ms());
        let filter = InvocationFilter {
            account_id: &scope.account_id,
            ids,
            runtime_id: runtime_id.as_ref(),
            entitled: entitled.as_ref(),
        };
        let mut items = self.store.list_invocations(&filter, after.as_ref(), limit + 1).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items
            .last()
            .filter(|_| more)
            .map(|last| Cursor { key: last.created_at_ms, id: last.id.to_string() });
        Ok(Page { items, total: 0, next })
    }

    /// What a guest has to be sent, messages and commands, oldest first. On a new link (`resend`) also what it had when the old one broke:
    /// guests know an invocation they already have by its id.
    pub async fn to_send(&self, runtime_id: &RuntimeId, resend: bool) -> Result<Vec<Waiting>, MessageError> {
        let now_ms = self.store.clock().now_ms();
        Ok(self.store.invocations_to_send(runtime_id, resend, now_ms, 100).await?)
    }

    /// An invocation is on its way to its guest.
    pub async fn mark_sent(&self, id: &InvocationId) -> Result<(), MessageError> {
        let now_ms = self.store.clock().now_ms();
        let id = id.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    tx.set_invocation_sent(&id, now_ms).await?;
                    Ok(tx.set_run_sent(&id, now_ms).await?)
                })
            })
            .await
    }

    /// Fails a command that its guest is too old for.
    pub async fn refuse_command(
        &self,
        runtime_id: &RuntimeId,
        id: &InvocationId,
    ) -> Result<(), MessageError> {
        let end = RunEnd::of(RunFailure::ClientNeedUpgrade);
        self.finish_command(runtime_id, id, end).await
    }

    async fn finish_command(
        &self,
        runtime_id: &RuntimeId,
        id: &InvocationId,
        end: RunEnd,
    ) -> Result<(), MessageError> {
        let now_ms = self.store.clock().now_ms();
        let (id, runtime_id) = (id.clone(), runtime_id.clone());
        self.store
            .write(move |tx| {
                Box::pin(async move { Ok(command::finish(tx, &id, &runtime_id, &end, now_ms).await?) })
            })
            .await
    }

    /// Records an outcome from the guest of this runtime; only the first counts.
    pub async fn finish(
        &self,
        runtime_id: &RuntimeId,
        id: &InvocationId,
        outcome: InvocationOutcome,
    ) -> Result<(), MessageError> {
        let now_ms = self.store.clock().now_ms();
        let (id, runtime_id) = (id.clone(), runtime_id.clone());
        let (reply, error) = match outcome {
            InvocationOutcome::Replied { text } => (Some(truncated(text)), None),
            InvocationOutcome::Failed { message } => (None, Some(truncated(message))),
            InvocationOutcome::Ran(result) => {
                return self.finish_command(&runtime_id, &id, command::end_of(result)).await;
            }
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let (reply, error) = (reply.as_deref(), error.as_deref());
                    tx.finish_invocation(&id, &runtime_id, reply, error, now_ms).await?;
                    // A guest may also refuse a command like a message.
                    let end = RunEnd::failed(RunFailure::ExecutionException, error.unwrap_or_default());
                    Ok(command::finish(tx, &id, &runtime_id, &end, now_ms).await?)
                })
            })
            .await
    }

    /// Fails messages and commands whose time is over.
    pub async fn expire(&self) -> Result<(), MessageError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    tx.expire_invocations(now_ms).await?;
                    Ok(command::expire(tx, now_ms).await?)
                })
            })
            .await
    }
}

fn truncated(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(REPLY_CHARS_MAX) {
        text.truncate(end);
    }
    text
}
