//! The process driver: every sandbox is a guest process on this host, with files of its own.
//!
//! `<data-dir>/runtimes/<runtime-id>/guest/` belongs to the guest, `…/agent/` to the agent. Guests live in sessions
//! of their own and outlive the server; a driver finds them again by the process file they write (id and start
//! time), never by name. A guest holds a lock, so that two of one runtime cannot work even if two are started.
//!
//! What isolates agents from each other and from the server is in `docs/adr/0003-guest-and-process-driver.md`.

mod cgroup;
mod firewall;
mod isolation;
mod options;
mod procfs;
mod sandbox;
mod uids;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use creel_control::driver::{Driver, DriverError, RuntimeId, SandboxSpec, SandboxState};
use futures_util::future::BoxFuture;
use tokio::process::Child;

use cgroup::Cgroups;
use firewall::Firewall;
use isolation::HostIsolation;
use sandbox::Sandbox;
use uids::Uids;

/// How the driver is set up.
#[derive(Debug, Clone)]
pub struct ProcessDriverConfig {
    /// The `creel` program, absolute: it implements `guest` and `guest-exec`.
    pub executable: PathBuf,
    /// The server's data directory; sandboxes are below `runtimes/`.
    pub data_dir: PathBuf,
    /// For what the whole host shares until its next boot: claims of user ids, the agents' mount point. Must be
    /// passable for every user.
    pub run_dir: PathBuf,
    /// The `node` program.
    pub node_bin: PathBuf,
    /// The OpenClaw package directory.
    pub openclaw_dir: PathBuf,
    /// Certificates (PEM) that guests and agents trust for the agent listener, where it uses none of the public ones.
    pub ca_file: Option<PathBuf>,
    /// Port of the admin listener, which agents' users are kept from where the host has nftables.
    pub admin_port: Option<u16>,
    /// First of the user ids that agents get when the server is root.
    pub uid_base: u32,
    /// How many there are, which is how many agents this host can have.
    pub uid_count: u32,
    /// Start agents even where nothing isolates them.
    pub insecure: bool,
    /// Environment of the guests, such as `RUST_LOG`; nothing else of the server's reaches them.
    pub guest_env: Vec<(String, String)>,
}

impl ProcessDriverConfig {
    /// Default of `run_dir`.
    pub const RUN_DIR: &str = "/run/creel";
    /// Default of `uid_base`: above what distributions, systemd and containers hand out.
    pub const UID_BASE: u32 = 2_130_000_000;
    /// Default of `uid_count`.
    pub const UID_COUNT: u32 = 10_000;
}

/// See the module.
#[derive(Debug)]
pub struct ProcessDriver {
    host: Host,
    /// One caller at a time works on a sandbox.
    locks: Mutex<HashMap<RuntimeId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What all sandboxes of this driver share.
#[derive(Debug)]
struct Host {
    config: ProcessDriverConfig,
    runtimes_dir: PathBuf,
    isolation: HostIsolation,
    cgroups: Cgroups,
    uids: Uids,
    firewall: Firewall,
    /// Guests that this process started: they are its to reap.
    children: Mutex<Vec<Child>>,
}

impl Host {
    /// Collects the exit status of guests that have ended.
    fn reap(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    fn sandbox(&self, id: &RuntimeId) -> Sandbox<'_> {
        Sandbox::new(self, id)
    }
}

impl ProcessDriver {
    /// Finds out what this host can do and takes up the sandboxes that are there. [`DriverError::Unfit`] where
    /// nothing would isolate an agent and `insecure` is not set.
    pub async fn open(config: ProcessDriverConfig) -> Result<Self, DriverError> {
        let runtimes_dir = config.data_dir.join("runtimes");
        let unfit = |error: std::io::Error| DriverError::Unfit {
            reason: format!("{} is not usable: {error}", runtimes_dir.display()),
        };
        sandbox::ensure_private_dir(&runtimes_dir).map_err(unfit)?;
        let isolation = isolation::probe(&config, &runtimes_dir).await?;
        let cgroups = Cgroups::detect(Path::new("/proc"), Path::new("/sys/fs/cgroup"));
        if !cgroups.limits_memory() {
            tracing::warn!("this host offers no memory limit: agents get a ceiling for their heap only");
        }
        let firewall = Firewall::detect(&isolation, config.admin_port).await;
        let uids = Uids::new(&config.run_dir.join("uids"), config.uid_base, config.uid_count);
        let host =
            Host { runtimes_dir, isolation, cgroups, uids, firewall, config, children: Mutex::default() };
        let driver = Self { host, locks: Mutex::default() };
        // The admin port may be another than the one that running agents are kept from.
        for id in driver.list().await? {
            driver.host.sandbox(&id).renew_firewall().await?;
        }
        Ok(driver)
    }

    async fn alone_with(&self, id: &RuntimeId) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(id.clone()).or_default())
        };
        lock.lock_owned().await
    }
}

impl Driver for ProcessDriver {
    fn ensure_running<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let _alone = self.alone_with(&spec.runtime_id).await;
            self.host.reap();
            self.host.sandbox(&spec.runtime_id).ensure_running(spec).await
        })
    }

    fn ensure_stopped<'a>(&'a self, id: &'a RuntimeId) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let _alone = self.alone_with(id).await;
            let stopped = self.host.sandbox(id).ensure_stopped().await;
            self.host.reap();
            stopped
        })
    }

    fn ensure_absent<'a>(&'a self, id: &'a RuntimeId) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let alone = self.alone_with(id).await;
            self.host.sandbox(id).ensure_absent().await?;
            self.host.reap();
            drop(alone);
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            // Another caller that waits for the lock keeps it alive; it is dropped the next time.
            if locks.get(id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
                locks.remove(id);
            }
            Ok(())
        })
    }

    fn observe<'a>(&'a self, id: &'a RuntimeId) -> BoxFuture<'a, Result<SandboxState, DriverError>> {
        Box::pin(async move {
            self.host.reap();
            self.host.sandbox(id).observe()
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RuntimeId>, DriverError>> {
        Box::pin(async move {
            let mut ids = Vec::new();
            for entry in std::fs::read_dir(&self.host.runtimes_dir).map_err(DriverError::List)? {
                let name = entry.map_err(DriverError::List)?.file_name();
                // Anything else in there is not ours to judge.
                ids.extend(name.to_str().and_then(|name| RuntimeId::parse(name).ok()));
            }
            ids.sort();
            Ok(ids)
        })
    }
}
