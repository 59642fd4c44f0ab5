//! The OpenClaw process: its directories, how it is started, recognised, stopped.
//!
//! The trampoline takes the agent's lock before OpenClaw runs and OpenClaw inherits it, so the lock is held exactly
//! while an agent lives, whoever started it; the process file beside it says which one. A new guest therefore finds
//! a running agent instead of starting a second.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::config::{AgentPaths, Rendered, is_secret_file};
use crate::files::{Ownership, ensure_dir, open_log, write_owned};
use crate::options::{GuestOptions, Isolation};
use crate::procfs::{ProcessId, is_marked, processes_of_cgroup, processes_of_user};
use crate::trampoline::{Confinement, TrampolinePlan};

/// How often an adopted process, which is not our child, is looked at.
const ADOPTED_POLL: Duration = Duration::from_millis(250);
/// An agent's output log is put aside beyond this size.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How much of the output's end is searched for the reason of a failed start.
const OUTPUT_END_BYTES: u64 = 8 * 1024;
/// Where the agent looks for programs, after Node's own directory.
/// In the environment of every process of a command; runtime and invocation stand behind it.
pub(crate) const COMMAND_MARK: &str = "CREEL_COMMAND=";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentExit {
    Code(i32),
    Signal(i32),
    /// It was adopted, so nobody told us.
    Unknown,
}

impl std::fmt::Display for AgentExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with status {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Unknown => f.write_str("ended"),
        }
    }
}

/// A running agent: our child, or one that an earlier guest started.
#[derive(Debug)]
pub(crate) struct AgentProcess {
    pub(crate) id: ProcessId,
    child: Option<Child>,
}

impl AgentProcess {
    /// Waits for its end. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> AgentExit {
        use std::os::unix::process::ExitStatusExt;
        if let Some(child) = &mut self.child {
            let Ok(status) = child.wait().await else { return AgentExit::Unknown };
            let signal = status.signal().map(AgentExit::Signal);
            return status.code().map(AgentExit::Code).or(signal).unwrap_or(AgentExit::Unknown);
        }
        while self.id.is_alive() {
            tokio::time::sleep(ADOPTED_POLL).await;
        }
        AgentExit::Unknown
    }

    /// Sends a signal to this process, never to another that got its number.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.id.nix().filter(|_| self.id.is_alive()) {
            // It may have ended since: then there is nothing to signal.
            let _ = kill(pid, signal);
        }
    }
}

/// One agent's place on this host.
#[derive(Debug)]
pub(crate) struct Installation {
    options: GuestOptions,
    executable: PathBuf,
    /// As the guest sees the agent's directory.
    host: AgentPaths,
    /// As the agent sees it.
    inside: AgentPaths,
    /// Agent and commands may be started at the same time, and both need the layout.
    layout: Mutex<()>,
}

impl Installation {
    pub(crate) fn new(options: &GuestOptions) -> io::Result<Self> {
        let executable = match &options.executable {
            Some(path) => path.clone(),
            None => std::env::current_exe()?,
        };
        let inside = match &options.isolation {
            Isolation::User { mount_point, .. } => mount_point.clone(),
            Isolation::Landlock { .. } | Isolation::None => options.agent_dir.clone(),
        };
        Ok(Self {
            executable,
            host: AgentPaths::new(&options.agent_dir),
            inside: AgentPaths::new(inside),
            options: options.clone(),
            layout: Mutex::default(),
        })
    }

    pub(crate) fn inside(&self) -> &AgentPaths {
        &self.inside
    }

    pub(crate) fn host(&self) -> &AgentPaths {
        &self.host
    }

    /// Where OpenClaw itself is.
    pub(crate) fn package_dir(&self) -> &Path {
        &self.options.openclaw.package_dir
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.options.guest_dir.join("agent.lock")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.options.guest_dir.join("agent.pid")
    }

    fn output_file(&self) -> PathBuf {
        self.options.guest_dir.join("agent.log")
    }

    /// User and group that the agent runs as, when they are not the guest's.
    pub(crate) fn agent_user(&self) -> Option<(u32, u32)> {
        match self.options.isolation {
            Isolation::User { uid, gid, .. } => Some((uid, gid)),
            Isolation::Landlock { .. } | Isolation::None => None,
        }
    }

    /// Makes the directories and what the agent finds in its configuration directory before it starts.
    pub(crate) fn ensure_layout(&self) -> io::Result<()> {
        let _alone = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        let user = self.agent_user();
        let shared = Ownership {
            owner: user.map(|(_, gid)| (0, gid)),
            mode: if user.is_some() { 0o750 } else { 0o700 },
        };
        ensure_dir(self.host.root(), shared)?;
        ensure_dir(&self.host.config_dir(), shared)?;
        ensure_dir(&self.host.commands_dir(), shared)?;
        ensure_dir(&self.host.skills_dir(), shared)?;
        for dir in self.host.owned_by_agent() {
            ensure_dir(&dir, Ownership { owner: user, mode: 0o700 })?;
        }
        if let Some(ca_file) = &self.options.ca_file {
            self.write_config_file("ca.pem", &std::fs::read(ca_file)?)?;
        }
        if let Isolation::Landlock { .. } = self.options.isolation {
            ensure_dir(&shared_locks_dir(), Ownership { owner: None, mode: 0o700 })?;
        }
        if let Isolation::User { uid, gid, name, mount_point, .. } = &self.options.isolation {
            ensure_dir(mount_point, Ownership { owner: None, mode: 0o755 })?;
            let home = self.inside.home();
            let user = format!("{name}:x:{uid}:{gid}:Creel agent:{}:/bin/sh\n", home.display());
            self.write_config_file("passwd", &with_line("/etc/passwd", &user)?)?;
            self.write_config_file("group", &with_line("/etc/group", &format!("{name}:x:{gid}:\n"))?)?;
        }
        Ok(())
    }

    /// For everybody inside: nothing in it is secret.
    fn write_config_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        write_owned(&self.host.config_dir().join(name), bytes, Ownership { owner: None, mode: 0o644 })
    }

    /// Writes the files that the configuration names, then the configuration. Nothing is written that is there.
    pub(crate) fn write_config(&self, rendered: &Rendered) -> io::Result<()> {
        let user = self.agent_user();
        for (name, secret) in &rendered.secrets {
            // OpenClaw refuses a secret that belongs to somebody else, be it root.
            let ownership = Ownership { owner: user, mode: 0o400 };
            write_owned(&self.host.config_dir().join(name), secret.expose().as_bytes(), ownership)?;
        }
        let mode = if user.is_some() { 0o640 } else { 0o600 };
        let ownership = Ownership { owner: user.map(|(_, gid)| (0, gid)), mode };
        write_owned(&self.host.config_file(), &rendered.config, ownership)
    }

    /// Whether the configuration file has exactly these bytes.
    pub(crate) fn has_config(&self, rendered: &Rendered) -> bool {
        std::fs::read(self.host.config_file()).is_ok_and(|bytes| bytes == rendered.config)
    }

    /// Removes the secrets of earlier configurations, once none of them is in use.
    pub(crate) fn remove_stale_secrets(&self, rendered: &Rendered) -> io::Result<()> {
        for entry in std::fs::read_dir(self.host.config_dir())? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| is_secret_file(name)) else { continue };
            if !rendered.secrets.iter().any(|(current, _)| current == name) {
                std::fs::remove_file(self.host.config_dir().join(name))?;
            }
        }
        Ok(())
    }

    /// Starts OpenClaw with the configuration that is there. It holds the lock from before its first instruction.
    pub(crate) fn spawn(&self) -> io::Result<AgentProcess> {
        let output = open_log(&self.output_file(), LOG_BYTES_MAX)?;
        let mut command = Command::new(&self.executable);
        command.arg("guest-exec").args(self.plan().to_args());
        command.env_clear().envs(self.environment());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the agent ended at once"))?;
        Ok(AgentProcess { id: ProcessId::of(pid)?, child: Some(child) })
    }

    /// Starts a script as the agent's user, kept in and limited as the agent is, with the agent's environment and
    /// `mark` in it; gives the reading end of its output. The file that it is in is neither the agent's to change
    /// nor a secret from it.
    pub(crate) fn spawn_command(
        &self,
        name: &str,
        script: &str,
        mark: &str,
    ) -> io::Result<(Child, io::PipeReader)> {
        self.ensure_layout()?;
        let user = self.agent_user();
        let mode = if user.is_some() { 0o550 } else { 0o500 };
        let ownership = Ownership { owner: user.map(|(_, gid)| (0, gid)), mode };
        write_owned(&self.host.commands_dir().join(name), script.as_bytes(), ownership)?;
        let file = self.inside.commands_dir().join(name);
        let named = script.starts_with("#!");
        let mut plan = self.confined(if named { file.as_os_str() } else { "/bin/sh".as_ref() });
        plan.args = if named { Vec::new() } else { vec![file.into()] };
        let (reader, writer) = io::pipe()?;
        let (variable, value) = mark.split_once('=').unwrap_or((mark, ""));
        let mut command = Command::new(&self.executable);
        command.arg("guest-exec").args(plan.to_args());
        command.env_clear().envs(self.environment()).env(variable, value);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        // The writing end closes here with `command`: only what was started holds it.
        Ok((command.spawn()?, reader))
    }

    /// Removes the file of a command that has ended.
    pub(crate) fn remove_command(&self, name: &str) {
        if let Err(error) = std::fs::remove_file(self.host.commands_dir().join(name)) {
            tracing::warn!(error = %error, "the file of a command was not removed");
        }
    }

    fn plan(&self) -> TrampolinePlan {
        let mut plan = self.confined(self.options.openclaw.node_bin.as_os_str());
        plan.lock = Some(self.lock_file());
        plan.pid_file = Some(self.pid_file());
        plan.args = self.arguments();
        plan
    }

    /// A program in the agent's place: its user, its limits, and nothing to see but what is the agent's.
    fn confined(&self, program: &OsStr) -> TrampolinePlan {
        let options = &self.options;
        let mut plan = TrampolinePlan::new(program);
        plan.cgroups.clone_from(&options.limits.cgroups);
        plan.processes_max = options.limits.processes_max.filter(|_| !options.limits.processes_limited);
        plan.user = self.agent_user();
        plan.cwd = Some(self.inside.workspace());
        plan.confinement = match options.isolation {
            Isolation::User { landlock: true, .. } | Isolation::Landlock { .. } => Confinement::Landlock,
            Isolation::User { .. } | Isolation::None => Confinement::None,
        };
        // Node's own directory and the one that npm installed the package with all it needs into.
        let up = |path: &Path, levels: usize| path.ancestors().nth(levels).map(Path::to_owned);
        plan.read = [up(&options.openclaw.node_bin, 2), up(&options.openclaw.package_dir, 1)]
            .into_iter()
            .flatten()
            .chain([self.inside.root().to_owned()])
            .collect();
        plan.write = self.inside.owned_by_agent().into();
        let config = |name: &str| self.host.config_dir().join(name);
        // Last, because the paths before may lie below it.
        let tmp = (self.host.tmp(), PathBuf::from("/tmp"));
        match &options.isolation {
            Isolation::User { mount_point, .. } => {
                let agent_dir = (self.host.root().to_owned(), mount_point.clone());
                let passwd = (config("passwd"), "/etc/passwd".into());
                plan.binds = vec![agent_dir, passwd, (config("group"), "/etc/group".into()), tmp];
                plan.write.push("/tmp".into());
            }
            // Not when the directory itself is below /tmp: its own place would be hidden.
            Isolation::Landlock { private_tmp: true } if !self.host.root().starts_with("/tmp") => {
                plan.binds = vec![tmp];
                plan.write.push("/tmp".into());
            }
            // OpenClaw keeps its locks there whatever TMPDIR says.
            Isolation::Landlock { .. } => plan.write.push(shared_locks_dir()),
            Isolation::None => {}
        }
        plan
    }

    fn arguments(&self) -> Vec<OsString> {
        let limits = &self.options.limits;
        let heap = limits.memory_bytes.filter(|_| !limits.memory_limited).map(|bytes| {
            // A quarter is for what is not heap: code, buffers, the two helper processes.
            let mebibytes = (bytes / 4 * 3) >> 20;
            OsString::from(format!("--max-old-space-size={}", mebibytes.max(256)))
        });
        let entry = self.options.openclaw.package_dir.join("openclaw.mjs");
        heap.into_iter().chain([entry.into(), "gateway".into(), "run".into()]).collect()
    }

    /// All that the agent's environment holds: nothing of ours, nothing of the server's.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let node_dir = self.options.openclaw.node_bin.parent().unwrap_or(Path::new("/usr/bin"));
        let mut path = node_dir.as_os_str().to_owned();
        path.push(":");
        path.push(PATH);
        let name = match &self.options.isolation {
            Isolation::User { name, .. } => name.clone(),
            Isolation::Landlock { .. } | Isolation::None => {
                nix::unistd::User::from_uid(nix::unistd::Uid::effective())
                    .ok()
                    .flatten()
                    .map_or_else(|| "creel-agent".to_owned(), |user| user.name)
            }
        };
        let mut environment: Vec<(&'static str, OsString)> = vec![
            ("HOME", self.inside.home().into()),
            ("LANG", "C.UTF-8".into()),
            ("LOGNAME", name.clone().into()),
            ("PATH", path),
            ("SHELL", "/bin/sh".into()),
            ("TMPDIR", self.inside.tmp().into()),
            ("USER", name.into()),
            ("OPENCLAW_CONFIG_PATH", self.inside.config_file().into()),
            ("OPENCLAW_STATE_DIR", self.inside.state().into()),
            // Without it OpenClaw restores an older configuration at its next start.
            ("OPENCLAW_CONFIG_READONLY", "1".into()),
            ("OPENCLAW_DISABLE_BONJOUR", "1".into()),
            ("OPENCLAW_NO_AUTO_UPDATE", "1".into()),
            // The guest alone decides about restarts.
            ("OPENCLAW_NO_RESPAWN", "1".into()),
            ("OPENCLAW_OFFLINE", "1".into()),
            ("DO_NOT_TRACK", "1".into()),
        ];
        if self.options.ca_file.is_some() {
            environment.push(("NODE_EXTRA_CA_CERTS", self.inside.config_dir().join("ca.pem").into()));
        }
        environment
    }

    /// The agent that holds the lock, if any: started by an earlier guest.
    pub(crate) fn find_running(&self) -> io::Result<Option<AgentProcess>> {
        if !self.is_locked()? {
            return Ok(None);
        }
        let id: Option<ProcessId> = crate::files::read_json(&self.pid_file())?;
        Ok(id.filter(|id| id.is_alive()).map(|id| AgentProcess { id, child: None }))
    }

    /// Whether some process holds the agent's lock.
    pub(crate) fn is_locked(&self) -> io::Result<bool> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.lock_file())?;
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Kills everything that the agent started and left behind, and no command. `ended` led its process group.
    pub(crate) fn kill_leftovers(&self, ended: ProcessId) {
        if let Some(group) = ended.nix() {
            // No such group any more: nothing left in it.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let own = std::process::id();
        let in_cgroups = self.options.limits.cgroups.iter().flat_map(|dir| processes_of_cgroup(dir));
        let of_user = self.agent_user().into_iter().flat_map(|(uid, _)| processes_of_user(uid));
        let others = in_cgroups.chain(of_user).filter(|pid| *pid != own && !is_marked(*pid, COMMAND_MARK));
        for pid in others {
            if let Ok(pid) = i32::try_from(pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }

    /// Why OpenClaw did not start, in the words at the end of its output.
    pub(crate) fn start_failure(&self) -> Option<String> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = std::fs::File::open(self.output_file()).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(OUTPUT_END_BYTES))).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        failure_in(&String::from_utf8_lossy(&bytes))
    }
}

/// What follows OpenClaw's own announcement of the failure, else the last line.
fn failure_in(output: &str) -> Option<String> {
    const ANNOUNCED: &str = "Gateway failed to start: ";
    let text = match output.rsplit_once(ANNOUNCED) {
        Some((_, reason)) => reason.lines().map(str::trim).collect::<Vec<_>>().join(" "),
        None => output.lines().map(str::trim).rfind(|line| !line.is_empty())?.to_owned(),
    };
    Some(super::rpc::clip(text.trim(), 400))
}

/// Where every OpenClaw of one user on one host keeps its locks, which hold nothing else.
fn shared_locks_dir() -> PathBuf {
    PathBuf::from(format!("/tmp/openclaw-state-locks-{}", nix::unistd::Uid::effective()))
}

fn with_line(path: &str, line: &str) -> io::Result<Vec<u8>> {
    let mut bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    if bytes.last().is_some_and(|byte| *byte != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failed_start_is_found() {
        let output = "x Gateway failed to start: Invalid config at f:\nf:62 - bad\nRun doctor.\n";
        assert_eq!(failure_in(output).unwrap(), "Invalid config at f: f:62 - bad Run doctor.");
        assert_eq!(failure_in("one\n two \n\n").unwrap(), "two");
        assert_eq!(failure_in(""), None);
    }

    #[test]
    fn a_line_is_added_to_a_file_that_ends_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        std::fs::write(&path, "root:x").unwrap();
        assert_eq!(with_line(path.to_str().unwrap(), "a\n").unwrap(), b"root:x\na\n");
        assert_eq!(with_line("/nowhere/at/all", "a\n").unwrap(), b"a\n");
    }
}
