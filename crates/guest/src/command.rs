//! Commands: scripts that run once as the agent's user, kept in as the agent is.
//!
//! That a command is about to start is on the disk before it starts, so a guest that is asked again after a restart
//! says that it was interrupted instead of running it twice. Every process of a command has its mark in its
//! environment; with group and session, that is how all of them are found. Nobody is kept from anything by
//! this: a command can do what the agent can, and that is what the trampoline allows.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_wire::guest::{CommandEnd, CommandResult, OUTPUT_BYTES_MAX};
use creel_wire::id::{InvocationId, RuntimeId};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::time::{Instant, sleep_until};

use crate::files::{Ownership, ensure_dir};
use crate::openclaw::process::{COMMAND_MARK, Installation};
use crate::procfs::{ProcessId, processes_marked, processes_of_session};
use crate::trampoline::{EXIT_FAILED, EXIT_LOCKED, EXIT_UNCONFINED};

/// What is still read after a command's end: a process that it left behind may keep the output open for ever.
const DRAIN: Duration = Duration::from_millis(300);
/// Commands that are remembered as started; the server asks again only for what it has no outcome of.
const RECORDS_MAX: usize = 1024;
/// Looks for processes that survive being killed, at the most.
const KILL_ROUNDS: usize = 50;
const READ_BYTES: usize = 32 * 1024;

/// Runs commands of one runtime.
#[derive(Debug)]
pub(crate) struct Commands {
    installation: Arc<Installation>,
    runtime_id: RuntimeId,
    records: PathBuf,
}

impl Commands {
    /// Ends what commands of an earlier guest left running.
    pub(crate) fn new(installation: Arc<Installation>, runtime_id: RuntimeId, records: PathBuf) -> Self {
        let commands = Self { installation, runtime_id, records };
        kill_all(|| processes_marked(&commands.mark("")));
        commands
    }

    /// `<runtime>/<invocation>` behind the name of the variable; without an invocation, what all begin with.
    fn mark(&self, id: &str) -> String {
        format!("{COMMAND_MARK}{}/{id}", self.runtime_id)
    }

    /// Runs a script to its end or for as long as `patience`; then all of it is killed.
    pub(crate) async fn run(&self, id: &InvocationId, script: &str, patience: Duration) -> CommandResult {
        match self.begin(id) {
            Ok(true) => {}
            Ok(false) => return ended(CommandEnd::Interrupted),
            Err(error) => return ended(failed("its start could not be recorded", &error)),
        }
        let mark = self.mark(id.as_str());
        let (child, output) = match self.installation.spawn_command(id.as_str(), script, &mark) {
            Ok(started) => started,
            Err(error) => return ended(failed("it could not be started", &error)),
        };
        let result = match Running::new(child, output, mark) {
            Ok(running) => running.watch(patience).await,
            Err(error) => ended(failed("its output could not be read", &error)),
        };
        self.installation.remove_command(id.as_str());
        result
    }

    /// Writes down that a command starts; false when it is written already.
    fn begin(&self, id: &InvocationId) -> io::Result<bool> {
        ensure_dir(&self.records, Ownership { owner: None, mode: 0o700 })?;
        let path = self.records.join(id.as_str());
        match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => file.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        }
        // Ids sort by the time they were made.
        let mut names: Vec<_> =
            std::fs::read_dir(&self.records)?.flatten().map(|entry| entry.path()).collect();
        names.sort();
        for old in names.iter().take(names.len().saturating_sub(RECORDS_MAX)) {
            std::fs::remove_file(old)?;
        }
        Ok(true)
    }
}

fn failed(what: &str, error: &io::Error) -> CommandEnd {
    CommandEnd::Failed { message: format!("{what}: {error}") }
}

fn ended(end: CommandEnd) -> CommandResult {
    CommandResult { end, output: String::new(), dropped: 0 }
}

/// A command's processes. All are killed when this is dropped before [`Running::watch`] has come to an end: the guest
/// is ending then.
struct Running {
    child: Child,
    pipe: pipe::Receiver,
    leader: Option<ProcessId>,
    mark: String,
    output: Output,
    /// Whether its processes may be left alone.
    over: bool,
}

impl Running {
    fn new(child: Child, output: std::io::PipeReader, mark: String) -> io::Result<Self> {
        let leader = child.id().and_then(|pid| ProcessId::of(pid).ok());
        // Built before the pipe is, so that a failure kills what was started.
        let pipe = pipe::Receiver::from_owned_fd(output.into());
        match pipe {
            Ok(pipe) => Ok(Self { child, pipe, leader, mark, output: Output::default(), over: false }),
            Err(error) => {
                kill_command(leader, &mark);
                Err(error)
            }
        }
    }

    async fn watch(mut self, patience: Duration) -> CommandResult {
        let mut until = Instant::now() + patience;
        let mut status: Option<ExitStatus> = None;
        let mut open = true;
        let mut buffer = vec![0; READ_BYTES];
        while open || status.is_none() {
            tokio::select! {
                read = self.pipe.read(&mut buffer), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(count) => self.output.push(buffer.get(..count).unwrap_or_default()),
                },
                ended = self.child.wait(), if status.is_none() => match ended {
                    Ok(ended) => {
                        status = Some(ended);
                        until = Instant::now() + DRAIN;
                    }
                    Err(error) => return self.result(failed("waiting for its end", &error)),
                },
                () = sleep_until(until) => break,
            }
        }
        let Some(status) = status else {
            kill_command(self.leader, &self.mark);
            // Killed, so this takes no time worth limiting.
            let _ = self.child.wait().await;
            while let Ok(count) = self.pipe.try_read(&mut buffer) {
                if count == 0 {
                    break;
                }
                self.output.push(buffer.get(..count).unwrap_or_default());
            }
            return self.result(CommandEnd::TimedOut);
        };
        let end = self.end_of(status);
        self.result(end)
    }

    /// What a status says; a trampoline that could not start the script speaks in its place.
    fn end_of(&self, status: ExitStatus) -> CommandEnd {
        const STATUSES: [u8; 3] = [EXIT_LOCKED, EXIT_UNCONFINED, EXIT_FAILED];
        let refused =
            status.code().is_some_and(|code| STATUSES.iter().any(|known| i32::from(*known) == code));
        if refused && let Some(reason) = self.output.text().strip_prefix("guest-exec: ") {
            return CommandEnd::Failed { message: format!("it could not be started: {}", reason.trim()) };
        }
        match (status.code(), status.signal()) {
            (Some(code), _) => CommandEnd::Exited { code },
            (None, signal) => CommandEnd::Killed { signal: signal.unwrap_or_default() },
        }
    }

    fn result(mut self, end: CommandEnd) -> CommandResult {
        self.over = true;
        let (kept, dropped) = (self.output.kept.make_contiguous(), self.output.dropped);
        CommandResult { end, output: STANDARD.encode(kept), dropped }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            kill_command(self.leader, &self.mark);
        }
    }
}

/// The end of what a command wrote.
#[derive(Debug, Default)]
struct Output {
    kept: VecDeque<u8>,
    dropped: u64,
}

impl Output {
    fn push(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        let excess = self.kept.len().saturating_sub(OUTPUT_BYTES_MAX);
        self.kept.drain(..excess);
        self.dropped = self.dropped.saturating_add(excess as u64);
    }

    fn text(&self) -> String {
        let (front, back) = self.kept.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }
}

/// Kills a command: its group, its session, and whatever has its mark.
fn kill_command(leader: Option<ProcessId>, mark: &str) {
    if let Some(group) = leader.filter(|leader| leader.is_alive()).and_then(ProcessId::nix) {
        // No such group any more: nothing left in it.
        let _ = killpg(group, Signal::SIGKILL);
    }
    kill_all(|| {
        let of_session = leader.into_iter().flat_map(|leader| processes_of_session(leader.pid));
        of_session.chain(processes_marked(mark)).collect()
    });
}

/// Kills processes until no more are found: one that is just being made is seen by the next look.
fn kill_all(find: impl Fn() -> Vec<u32>) {
    for _ in 0..KILL_ROUNDS {
        let found = find();
        if found.is_empty() {
            return;
        }
        for pid in found.into_iter().filter_map(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_output_is_kept() {
        let mut output = Output::default();
        output.push(b"first ");
        assert_eq!((output.text().as_str(), output.dropped), ("first ", 0));
        output.push(&vec![b'x'; OUTPUT_BYTES_MAX]);
        output.push(b"last");
        assert_eq!((output.kept.len(), output.dropped), (OUTPUT_BYTES_MAX, 10));
        assert!(output.text().ends_with("xlast"));
    }
}
