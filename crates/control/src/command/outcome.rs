//! What becomes of a command in a runtime: from its guest, from its runtime's end, or from nothing coming at all.

use creel_wire::guest::{CommandEnd, CommandResult, OUTPUT_BYTES_MAX};
use creel_wire::id::{InvocationId, RuntimeId};

use super::RunFailure;
use crate::message::InvocationStatus;
use crate::store::{StoreError, Topic, Tx};

/// Characters of an error text that are kept.
const MESSAGE_CHARS_MAX: usize = 1_000;
/// Commands of which one pass fails those that nothing came of.
const EXPIRE_MAX: i64 = 500;

/// How a command ended in a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunEnd {
    /// `None` for a success.
    pub(crate) failure: Option<RunFailure>,
    pub(crate) message: Option<String>,
    pub(crate) exit_code: Option<i64>,
    /// Base64.
    pub(crate) output: Option<String>,
    pub(crate) dropped: i64,
}

impl RunEnd {
    /// A failure without output.
    pub(crate) fn failed(failure: RunFailure, message: impl Into<String>) -> Self {
        let message = message.into().chars().take(MESSAGE_CHARS_MAX).collect();
        Self { failure: Some(failure), message: Some(message), exit_code: None, output: None, dropped: 0 }
    }

    pub(crate) fn of(failure: RunFailure) -> Self {
        Self::failed(failure, failure.text())
    }

    pub(crate) fn status(&self) -> InvocationStatus {
        if self.failure.is_some() { InvocationStatus::Failed } else { InvocationStatus::Succeeded }
    }
}

impl RunFailure {
    /// What it means and what to do, for people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::InstanceReleased => "The runtime was deleted.",
            Self::InstanceNotRunning => "The runtime does not run. Start it and run the command again.",
            Self::ClientNotResponse => "The guest of the runtime did not say what became of the command.",
            Self::ClientNeedUpgrade => {
                "The guest of the runtime is too old to run commands. Reboot the runtime to renew it."
            }
            Self::DeliveryTimeout => "The guest of the runtime could not be reached in time.",
            Self::ExecutionTimeout => "The command took longer than its Timeout and was killed.",
            Self::ExecutionException => "The command could not be run.",
            Self::ExecutionInterrupted => "The runtime or its guest ended while the command ran.",
            Self::ExitCodeNonzero => "The command ended with an exit code other than 0.",
        }
    }
}

/// What a guest's report means. It is believed about its own command, within limits.
pub(crate) fn end_of(result: CommandResult) -> RunEnd {
    // Base64 of the bytes that a guest keeps.
    const OUTPUT_CHARS_MAX: usize = OUTPUT_BYTES_MAX.div_ceil(3) * 4;
    let mut end = match result.end {
        CommandEnd::Exited { code: 0 } => {
            RunEnd { failure: None, message: None, exit_code: Some(0), output: None, dropped: 0 }
        }
        CommandEnd::Exited { code } => {
            RunEnd { exit_code: Some(i64::from(code)), ..RunEnd::of(RunFailure::ExitCodeNonzero) }
        }
        CommandEnd::Killed { signal } => RunEnd::failed(
            RunFailure::ExecutionException,
            format!("The command was killed by signal {signal}."),
        ),
        CommandEnd::TimedOut => RunEnd::of(RunFailure::ExecutionTimeout),
        CommandEnd::Interrupted => RunEnd::of(RunFailure::ExecutionInterrupted),
        CommandEnd::Failed { message } => {
            RunEnd::failed(RunFailure::ExecutionException, format!("The command could not be run: {message}"))
        }
    };
    end.output = Some(result.output).filter(|output| output.len() <= OUTPUT_CHARS_MAX);
    end.dropped = i64::try_from(result.dropped).unwrap_or(i64::MAX);
    end
}

/// Ends what a runtime that stops or goes was to run. Commands of its first start wait on where it only stops.
pub(crate) async fn end_open_runs(
    tx: &mut Tx,
    runtime_id: &RuntimeId,
    deleted: bool,
    now_ms: i64,
) -> Result<(), StoreError> {
    for (id, status) in tx.open_runs(runtime_id, deleted).await? {
        let failure = match status {
            _ if deleted => RunFailure::InstanceReleased,
            InvocationStatus::Running => RunFailure::ExecutionInterrupted,
            _ => RunFailure::InstanceNotRunning,
        };
        tx.finish_run(&id, runtime_id, &RunEnd::of(failure), now_ms).await?;
    }
    Ok(())
}

/// Fails commands of which nothing came in time.
pub(crate) async fn expire(tx: &mut Tx, now_ms: i64) -> Result<(), StoreError> {
    for (id, runtime_id, status) in tx.due_runs(now_ms, EXPIRE_MAX).await? {
        let failure = match status {
            InvocationStatus::Running => RunFailure::ClientNotResponse,
            _ => RunFailure::DeliveryTimeout,
        };
        finish(tx, &id, &runtime_id, &RunEnd::of(failure), now_ms).await?;
    }
    Ok(())
}

/// Records an end, the first only; the next command of a first start may go now.
pub(crate) async fn finish(
    tx: &mut Tx,
    id: &InvocationId,
    runtime_id: &RuntimeId,
    end: &RunEnd,
    now_ms: i64,
) -> Result<(), StoreError> {
    if tx.finish_run(id, runtime_id, end, now_ms).await? {
        tx.raise(Topic::Guest).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_report_becomes_the_apis_words() {
        let of = |end: CommandEnd| {
            let end = end_of(CommandResult { end, output: "eA==".to_owned(), dropped: 3 });
            assert_eq!((end.output.as_deref(), end.dropped), (Some("eA=="), 3));
            (end.failure, end.exit_code)
        };
        assert_eq!(of(CommandEnd::Exited { code: 0 }), (None, Some(0)));
        assert_eq!(of(CommandEnd::Exited { code: 7 }), (Some(RunFailure::ExitCodeNonzero), Some(7)));
        assert_eq!(of(CommandEnd::Killed { signal: 9 }), (Some(RunFailure::ExecutionException), None));
        assert_eq!(of(CommandEnd::TimedOut), (Some(RunFailure::ExecutionTimeout), None));
        assert_eq!(of(CommandEnd::Interrupted), (Some(RunFailure::ExecutionInterrupted), None));
        let failed = CommandEnd::Failed { message: "no".to_owned() };
        assert_eq!(of(failed), (Some(RunFailure::ExecutionException), None));
        let huge = CommandResult { end: CommandEnd::TimedOut, output: "x".repeat(40_000), dropped: 0 };
        assert_eq!(end_of(huge).output, None, "more than a guest keeps is not kept here");
    }
}
