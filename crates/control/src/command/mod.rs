//! Commands: scripts that run in runtimes as the agent's user. A command in one runtime is an invocation, as a message
//! is, and takes the same way to the guest; see [`crate::message`].

mod outcome;

use creel_wire::id::{AccountId, CommandId, InvocationId, JvsId, RuntimeId};

use crate::access::{AccessError, Actor};
use crate::id_gen::IdGen;
use crate::message::InvocationStatus;
use crate::page::{Cursor, Page};
use crate::runtime::{Runtime, RuntimeError, SandboxStatus, check_all_found, text_enum};
use crate::store::{Store, StoreError, Topic, Tx};
pub(crate) use outcome::{RunEnd, end_of, end_open_runs, expire, finish};

/// Bytes of a script at the most; the provider's documented limit.
pub const SCRIPT_BYTES_MAX: usize = 16 * 1024;
/// Seconds that a script may run: the provider's documented default, and our limit.
pub const TIMEOUT_S_DEFAULT: i64 = 300;
pub const TIMEOUT_S_MAX: i64 = 24 * 3600;
/// How long a command may wait for its guest, in milliseconds.
const DELIVERY_MS_MAX: i64 = 300_000;
/// How long after a command's own end its guest may be silent, in milliseconds: a link that broke comes back.
pub(crate) const SILENCE_MS_MAX: i64 = 60_000;
/// A first start may be years away.
const NEVER_MS: i64 = i64::MAX;
/// Runtimes of all commands on one page at the most, with and without what they wrote (up to 32 KiB each).
const RUNS_MAX: i64 = 3_000;
const OUTPUTS_MAX: i64 = 300;

/// How far a command is, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandStatus {
    Pending,
    Running,
    Success,
    Failed,
    /// It failed in some runtimes and not in others.
    PartialFailed,
}
text_enum!(CommandStatus: Pending, Running, Success, Failed, PartialFailed);

/// Why a command failed in a runtime; the API's ErrorCode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunFailure {
    InstanceReleased,
    InstanceNotRunning,
    ClientNotResponse,
    ClientNeedUpgrade,
    DeliveryTimeout,
    ExecutionTimeout,
    ExecutionException,
    ExecutionInterrupted,
    ExitCodeNonzero,
}
text_enum!(RunFailure: InstanceReleased, InstanceNotRunning, ClientNotResponse, ClientNeedUpgrade, DeliveryTimeout,
    ExecutionTimeout, ExecutionException, ExecutionInterrupted, ExitCodeNonzero);

/// A script to run.
#[derive(Debug, Clone)]
pub struct NewCommand {
    /// `RunShellScript`.
    pub kind: String,
    pub content: String,
    pub timeout_s: i64,
    pub end_user_id: Option<String>,
}

/// A command and the sums over its runtimes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub id: CommandId,
    pub kind: String,
    pub content: String,
    pub end_user_id: Option<String>,
    /// `Classic`, or `JvsClaw` where every runtime is a JVS Computer.
    pub scenario: String,
    pub status: CommandStatus,
    pub runtime_count: i64,
    pub succeeded: i64,
    pub created_at_ms: i64,
    /// Empty unless asked for.
    pub runs: Vec<CommandRun>,
}

/// A command in one runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRun {
    pub runtime_id: RuntimeId,
    pub runtime_name: String,
    pub jvs_id: Option<JvsId>,
    pub status: InvocationStatus,
    pub exit_code: Option<i64>,
    /// Base64; `None` unless asked for.
    pub output: Option<String>,
    pub output_dropped: i64,
    pub failure: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    pub created_at_ms: i64,
    pub sent_at_ms: Option<i64>,
    pub finished_at_ms: Option<i64>,
}

/// Which commands to list; an absent filter filters nothing.
#[derive(Debug, Clone, Default)]
pub struct CommandFilter {
    pub id: Option<String>,
    /// `ecd-…` or `jvs-…`; a command that any of them ran or is to run.
    pub runtime_ids: Vec<String>,
    pub end_user_id: Option<String>,
    pub kind: Option<String>,
    pub status: Option<CommandStatus>,
    /// Set where a filter asks for something that no command is.
    pub nothing: bool,
}

/// How much of a command to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Sums,
    Runs,
    Outputs,
}

/// Why a command operation failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("no runtime {0} in this account")]
    NotFound(String),
    #[error("{0}")]
    Bad(#[from] BadCommand),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing commands")]
    Store(#[from] StoreError),
}

/// What is wrong with a command that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCommand {
    #[error("a script has 1 to {SCRIPT_BYTES_MAX} bytes, and no zero among them")]
    Content,
    #[error("a script may take 1 to {TIMEOUT_S_MAX} seconds")]
    Timeout,
}

impl NewCommand {
    /// Whether it can be run at all.
    pub fn check(&self) -> Result<(), BadCommand> {
        if !(1..=SCRIPT_BYTES_MAX).contains(&self.content.len()) || self.content.contains('\0') {
            return Err(BadCommand::Content);
        }
        if !(1..=TIMEOUT_S_MAX).contains(&self.timeout_s) {
            return Err(BadCommand::Timeout);
        }
        Ok(())
    }
}

/// A command's row in one runtime, to be written.
#[derive(Debug)]
pub(crate) struct NewRun {
    pub(crate) id: InvocationId,
    pub(crate) runtime_id: RuntimeId,
    /// Set where it cannot even be sent.
    pub(crate) failure: Option<RunFailure>,
    pub(crate) first_start_step: Option<i64>,
    pub(crate) deadline_ms: i64,
}

/// Commands in runtimes.
#[derive(Debug, Clone)]
pub struct Commands {
    store: Store,
    ids: IdGen,
}

impl Commands {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen) -> Self {
        Self { store, ids }
    }

    /// Records a command for runtimes. Where one does not run, it has failed there at once.
    pub async fn run(
        &self,
        actor: Actor,
        runtime_ids: Vec<String>,
        command: NewCommand,
    ) -> Result<CommandId, CommandError> {
        command.check()?;
        let now_ms = self.store.clock().now_ms();
        let ids = self.ids.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(id) = actor.replayed(tx).await? {
                        return Ok(id);
                    }
                    let runtimes = tx.lock_runtimes(&actor.account_id, &runtime_ids).await?;
                    check_all_found(&runtime_ids, &runtimes).map_err(|error| match error {
                        RuntimeError::NotFound(id) => CommandError::NotFound(id),
                        _ => CommandError::NotFound(String::new()),
                    })?;
                    let id = ids.command();
                    let mut names: Vec<&str> = runtimes.iter().map(|runtime| runtime.id.as_str()).collect();
                    names.push(id.as_str());
                    actor.audit(tx, &names, now_ms).await?;
                    let runtimes: Vec<&Runtime> = runtimes.iter().collect();
                    let run = |runtime: &Runtime| {
                        let runs =
                            matches!(runtime.sandbox, SandboxStatus::Running | SandboxStatus::Starting);
                        NewRun {
                            id: ids.invocation(),
                            runtime_id: runtime.id.clone(),
                            failure: (!runs).then_some(RunFailure::InstanceNotRunning),
                            first_start_step: None,
                            deadline_ms: now_ms + DELIVERY_MS_MAX,
                        }
                    };
                    insert(tx, &id, &actor.account_id, &command, &runtimes, run, now_ms).await?;
                    actor.remember(tx, &id, now_ms).await?;
                    tx.raise(Topic::Guest).await?;
                    Ok(id)
                })
            })
            .await
    }

    /// One page of commands, newest first. A page that would hold too many runtimes is shorter than asked for.
    pub async fn list(
        &self,
        account_id: &AccountId,
        filter: &CommandFilter,
        detail: Detail,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<Command>, CommandError> {
        let mut commands = self.store.list_commands(account_id, filter, after.as_ref(), limit + 1).await?;
        let room = match detail {
            Detail::Sums => i64::MAX,
            Detail::Runs => RUNS_MAX,
            Detail::Outputs => OUTPUTS_MAX,
        };
        let mut kept = 0;
        let mut runs = 0_i64;
        for command in commands.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            runs = runs.saturating_add(command.runtime_count);
            if kept > 0 && runs > room {
                break;
            }
            kept += 1;
        }
        let more = commands.len() > kept;
        commands.truncate(kept);
        if detail != Detail::Sums {
            self.store.attach_runs(&mut commands, detail == Detail::Outputs).await?;
        }
        let next = commands
            .last()
            .filter(|_| more)
            .map(|last| Cursor { key: last.created_at_ms, id: last.id.to_string() });
        Ok(Page { items: commands, total: 0, next })
    }
}

/// Records the commands of a first start for new runtimes, in their order.
pub(crate) async fn insert_first_start(
    tx: &mut Tx,
    ids: &IdGen,
    account_id: &AccountId,
    commands: &[NewCommand],
    runtimes: &[&Runtime],
    now_ms: i64,
) -> Result<(), StoreError> {
    for (step, command) in (0..).zip(commands) {
        let run = |runtime: &Runtime| NewRun {
            id: ids.invocation(),
            runtime_id: runtime.id.clone(),
            failure: None,
            first_start_step: Some(step),
            deadline_ms: NEVER_MS,
        };
        insert(tx, &ids.command(), account_id, command, runtimes, run, now_ms).await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut Tx,
    id: &CommandId,
    account_id: &AccountId,
    command: &NewCommand,
    runtimes: &[&Runtime],
    run: impl Fn(&Runtime) -> NewRun,
    now_ms: i64,
) -> Result<(), StoreError> {
    let jvs = runtimes.iter().all(|runtime| runtime.jvs_id.is_some());
    let scenario = if jvs { "JvsClaw" } else { "Classic" };
    let runs: Vec<NewRun> = runtimes.iter().map(|runtime| run(runtime)).collect();
    tx.insert_command(id, account_id, command, scenario, &runs, now_ms).await
}
