//! One sandbox: its directory, its guest, its agent.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::PoisonError;
use std::time::Duration;

use creel_control::driver::{DriverError, RuntimeId, SandboxSpec, SandboxState};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::Host;
use super::isolation::HostIsolation;
use super::options::{Given, guest_options};
use super::procfs::{ProcessId, processes_of_cgroup, processes_of_user, signal_pid};

/// From starting a guest to its process file.
const GUEST_START_DEADLINE: Duration = Duration::from_secs(20);
/// A guest gives its agent 30 s to end; more is for the guest itself.
const GUEST_STOP_DEADLINE: Duration = Duration::from_secs(45);
/// For an agent whose guest is gone.
const AGENT_STOP_DEADLINE: Duration = Duration::from_secs(30);
/// For processes that were killed to disappear.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// A guest's log is put aside beyond this size.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Where programs are looked for by a guest.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a running guest writes about itself.
#[derive(Debug, Deserialize)]
struct GuestProcess {
    #[serde(flatten)]
    process: ProcessId,
    boot_generation: i64,
}

/// What the driver remembers of a sandbox.
#[derive(Debug, Default, Serialize, Deserialize)]
struct SandboxRecord {
    uid: Option<u32>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sandbox<'a> {
    host: &'a Host,
    id: RuntimeId,
    dir: PathBuf,
}

impl<'a> Sandbox<'a> {
    pub(super) fn new(host: &'a Host, id: &RuntimeId) -> Self {
        Self { host, id: id.clone(), dir: host.runtimes_dir.join(id.as_str()) }
    }

    fn guest_dir(&self) -> PathBuf {
        self.dir.join("guest")
    }

    fn failed(
        &self,
        action: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> DriverError {
        DriverError::Failed { id: self.id.clone(), action, source: source.into() }
    }

    /// The last guest, alive or not.
    fn guest(&self) -> Option<GuestProcess> {
        read_json(&self.guest_dir().join("guest.pid"))
    }

    fn agent(&self) -> Option<ProcessId> {
        read_json(&self.guest_dir().join("agent.pid")).filter(|agent: &ProcessId| agent.is_alive())
    }

    fn record(&self) -> SandboxRecord {
        read_json(&self.guest_dir().join("sandbox.json")).unwrap_or_default()
    }

    /// An agent without its guest counts as running for no generation: it has to be adopted or stopped.
    pub(super) fn observe(&self) -> Result<SandboxState, DriverError> {
        if !self.dir.try_exists().map_err(|error| self.failed("looking at the sandbox", error))? {
            return Ok(SandboxState::Absent);
        }
        if let Some(guest) = self.guest().filter(|guest| guest.process.is_alive()) {
            return Ok(SandboxState::Running { boot_generation: guest.boot_generation });
        }
        let orphan = self.agent().is_some();
        Ok(if orphan { SandboxState::Running { boot_generation: 0 } } else { SandboxState::Stopped })
    }

    // ---- starting ----

    pub(super) async fn ensure_running(&self, spec: &SandboxSpec) -> Result<(), DriverError> {
        if let Some(guest) = self.guest() {
            let reboot = guest.boot_generation < spec.boot_generation;
            if guest.process.is_alive() && !reboot {
                return Ok(());
            }
            if reboot {
                // The agent of a guest that has gone is stopped here too; without a reboot it is adopted.
                self.ensure_stopped().await?;
            }
        }
        self.prepare(spec).await?;
        self.start(spec).await
    }

    async fn prepare(&self, spec: &SandboxSpec) -> Result<(), DriverError> {
        let guest_dir = self.guest_dir();
        let failed = |error| self.failed("preparing the files", error);
        ensure_private_dir(&self.dir).and_then(|()| ensure_private_dir(&guest_dir)).map_err(failed)?;
        let uid = match self.host.isolation {
            HostIsolation::User { .. } => Some(self.claim_uid().await?),
            HostIsolation::Landlock { .. } | HostIsolation::None => None,
        };
        let cgroups = self.host.cgroups.ensure(&self.id, &spec.limits);
        let token_file = guest_dir.join("enroll.token");
        if let Some(token) = &spec.enroll_token {
            write_private(&token_file, token.expose().as_bytes()).map_err(failed)?;
            // A token means that the server knows no identity of this sandbox: what is there is worth nothing.
            remove_file(&guest_dir.join("enrolled.json")).map_err(failed)?;
        }
        let given = Given {
            guest_dir: &guest_dir,
            agent_dir: &self.dir.join("agent"),
            token_file: Some(&token_file),
            cgroups: &cgroups,
            isolation: self.host.isolation,
            uid,
        };
        let options = guest_options(&self.host.config, spec, &given).to_string();
        write_private(&guest_dir.join("options.json"), options.as_bytes()).map_err(failed)
    }

    async fn claim_uid(&self) -> Result<u32, DriverError> {
        let failed = |error| self.failed("claiming a user id", error);
        let before = self.record().uid;
        let uid = self.host.uids.claim(&self.dir, before).map_err(failed)?;
        let uid =
            uid.ok_or_else(|| DriverError::Exhausted { reason: "every user id is taken".to_owned() })?;
        if before != Some(uid) {
            let agent_dir = self.dir.join("agent");
            let handed_over = tokio::task::spawn_blocking(move || hand_over(&agent_dir, before, uid));
            handed_over.await.map_err(|error| self.failed("claiming a user id", error))?.map_err(failed)?;
            let record = serde_json::to_vec(&SandboxRecord { uid: Some(uid) })
                .map_err(|error| self.failed("claiming a user id", error))?;
            write_private(&self.guest_dir().join("sandbox.json"), &record).map_err(failed)?;
        }
        self.host.firewall.ensure(uid).await.map_err(failed)?;
        Ok(uid)
    }

    /// Keeps the agent's user from the admin port of today.
    pub(super) async fn renew_firewall(&self) -> Result<(), DriverError> {
        let Some(uid) = self.record().uid else { return Ok(()) };
        self.host.firewall.ensure(uid).await.map_err(|error| self.failed("setting the firewall", error))
    }

    async fn start(&self, spec: &SandboxSpec) -> Result<(), DriverError> {
        let failed = |error| self.failed("starting the guest", error);
        let mut child = self.spawn().map_err(failed)?;
        let pid = child.id();
        let deadline = Instant::now() + GUEST_START_DEADLINE;
        loop {
            let running = self.guest().filter(|guest| guest.process.is_alive());
            // Not only ours: one that an earlier server was just starting will do.
            if running.is_some_and(|guest| guest.boot_generation >= spec.boot_generation) {
                self.host.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
                tracing::info!(runtime.id = %self.id, guest.pid = pid, "guest of runtime {} started", self.id);
                return Ok(());
            }
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Err(failed(io::Error::other(format!(
                    "the guest ended at once ({status}); see guest.log"
                ))));
            }
            if Instant::now() >= deadline {
                child.kill().await.map_err(failed)?;
                return Err(failed(io::ErrorKind::TimedOut.into()));
            }
            sleep(POLL).await;
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let config = &self.host.config;
        let guest_dir = self.guest_dir();
        let log = open_log(&guest_dir.join("guest.log"))?;
        let mut command = Command::new(&config.executable);
        // Through the trampoline: a session of its own, so that a signal to the server's group does not reach it.
        command.args(["guest-exec", "--setsid", "--"]).arg(&config.executable);
        command.args(["guest", "--options"]).arg(guest_dir.join("options.json"));
        command.env_clear().env("PATH", PATH);
        command.envs(config.guest_env.iter().map(|(name, value)| (name, value)));
        command.current_dir(&guest_dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn()
    }

    // ---- stopping ----

    pub(super) async fn ensure_stopped(&self) -> Result<(), DriverError> {
        if let Some(guest) = self.guest().map(|guest| guest.process) {
            guest.signal(Signal::SIGTERM);
            if !gone(GUEST_STOP_DEADLINE, || guest.is_alive()).await {
                tracing::warn!(runtime.id = %self.id, "guest of runtime {} does not end, killing it", self.id);
                guest.signal(Signal::SIGKILL);
                gone(KILL_DEADLINE, || guest.is_alive()).await;
            }
        }
        if let Some(agent) = self.agent() {
            agent.signal(Signal::SIGTERM);
            if !gone(AGENT_STOP_DEADLINE, || agent.is_alive()).await {
                agent.signal(Signal::SIGKILL);
            }
        }
        let uid = self.record().uid;
        let alive = || {
            let rest = self.remains(uid);
            rest.iter().for_each(|pid| signal_pid(*pid, Signal::SIGKILL));
            !rest.is_empty() || self.agent().is_some()
        };
        if !gone(KILL_DEADLINE, alive).await {
            return Err(self.failed("stopping", io::Error::other("processes survive being killed")));
        }
        Ok(())
    }

    /// Processes that the agent started and that are still there.
    fn remains(&self, uid: Option<u32>) -> Vec<u32> {
        let in_cgroups =
            self.host.cgroups.dirs(&self.id).into_iter().flat_map(|dir| processes_of_cgroup(&dir));
        in_cgroups.chain(uid.into_iter().flat_map(processes_of_user)).collect()
    }

    pub(super) async fn ensure_absent(&self) -> Result<(), DriverError> {
        self.ensure_stopped().await?;
        let failed = |error| self.failed("removing", error);
        let uid = self.record().uid;
        if let Some(uid) = uid {
            self.host.firewall.remove(uid).await.map_err(failed)?;
        }
        let dir = self.dir.clone();
        let removed = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        removed.await.map_err(|error| self.failed("removing", error))?.map_err(failed)?;
        self.host.cgroups.remove(&self.id).map_err(failed)?;
        // Last: while a file of it is left, nobody else may get the id.
        uid.map_or(Ok(()), |uid| self.host.uids.release(uid, &self.dir)).map_err(failed)
    }
}

/// Looks until `alive` says no, or for `patience`; whether it did.
async fn gone(patience: Duration, alive: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while alive() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

/// Made if missing, with its parents; only the server's user may enter.
pub(super) fn ensure_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

/// Whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    remove_file(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `None` when it is missing or not readable, which a crash of the host can leave.
fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn open_log(path: &Path) -> io::Result<std::fs::File> {
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Gives the agent's files to its new user; the links in them are not followed.
fn hand_over(dir: &Path, before: Option<u32>, uid: u32) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Some(before) = before else { return Ok(()) };
    let mut pending = vec![dir.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            meta => meta?,
        };
        let new = |id: u32| if id == before { uid } else { id };
        std::os::unix::fs::lchown(&path, Some(new(meta.uid())), Some(new(meta.gid())))?;
        if meta.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
        }
    }
    Ok(())
}
