//! A guest as a program in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::server::FakeServer;

pub(crate) const HARNESS: &str = env!("CARGO_BIN_EXE_creel-guest-harness");
/// Far above what anything here takes: reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A guest in a directory of its own, killed with its agent at the end.
pub(crate) struct Guest {
    dir: tempfile::TempDir,
    pub(crate) child: Child,
}

impl Guest {
    pub(crate) fn start(server: &FakeServer) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), server, &json!({}))
    }

    pub(crate) fn start_in(dir: tempfile::TempDir, server: &FakeServer, timing: &serde_json::Value) -> Self {
        Self::start_with(dir, server, timing, &json!({ "kind": "none" }))
    }

    /// With an agent that is kept in.
    pub(crate) fn start_isolated(
        dir: tempfile::TempDir,
        server: &FakeServer,
        isolation: &serde_json::Value,
    ) -> Self {
        Self::start_with(dir, server, &json!({}), isolation)
    }

    /// With the OpenClaw that setup has put on this machine, in place of the stand-in.
    pub(crate) fn start_real(
        dir: tempfile::TempDir,
        server: &FakeServer,
        isolation: &serde_json::Value,
    ) -> Self {
        let package = creel_guest::OpenClawPackage::find_default();
        assert!(package.node_bin.exists(), "scripts/setup.sh installs OpenClaw");
        let slow = json!({ "start_deadline_ms": 300_000, "health_ms": 5_000, "poll_ms": 200,
                           "skills_scan_ms": 2_000 });
        Self::launch(dir, server, &slow, isolation, &json!(package))
    }

    fn start_with(
        dir: tempfile::TempDir,
        server: &FakeServer,
        timing: &serde_json::Value,
        isolation: &serde_json::Value,
    ) -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/package");
        let package = json!({ "node_bin": "/usr/bin/python3", "package_dir": package });
        Self::launch(dir, server, timing, isolation, &package)
    }

    fn launch(
        dir: tempfile::TempDir,
        server: &FakeServer,
        timing: &serde_json::Value,
        isolation: &serde_json::Value,
        package: &serde_json::Value,
    ) -> Self {
        let mut quick = json!({
            "start_deadline_ms": 30_000, "stop_deadline_ms": 10_000, "backoff_first_ms": 50,
            "backoff_max_ms": 400, "backoff_reset_ms": 60_000, "poll_ms": 20, "apply_deadline_ms": 20_000,
            "health_ms": 200, "reconnect_first_ms": 20, "reconnect_max_ms": 200, "ping_ms": 2_000,
            "skills_scan_ms": 100,
        });
        for (name, value) in timing.as_object().unwrap() {
            quick[name] = value.clone();
        }
        let path = |name: &str| dir.path().join(name);
        if !path("guest").exists() {
            std::fs::create_dir(path("guest")).unwrap();
            std::fs::write(path("guest/enroll.token"), "token-canary").unwrap();
        }
        let options = json!({
            "guest_dir": path("guest"), "agent_dir": path("agent"), "server_url": server.url(),
            "enroll_token_file": path("guest/enroll.token"), "boot_generation": 3,
            "openclaw": package,
            "isolation": isolation, "timing": quick,
        });
        std::fs::write(path("options.json"), options.to_string()).unwrap();
        let log = std::fs::OpenOptions::new().append(true).create(true).open(path("guest.log")).unwrap();
        let child = Command::new(HARNESS)
            .args(["guest", "--options"])
            .arg(path("options.json"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { dir, child }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Ends this guest at once and starts another in the same place.
    pub(crate) fn replace(mut self, server: &FakeServer) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let spare = tempfile::tempdir().unwrap();
        let dir = std::mem::replace(&mut self.dir, spare);
        Self::start_in(dir, server, &json!({}))
    }

    /// Process ids of every start of the agent.
    pub(crate) fn starts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("agent/state/starts")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("guest.log")).unwrap()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let agent = std::fs::read_to_string(self.path("guest/agent.pid")).unwrap_or_default();
        let pid = agent.split([':', ',']).nth(1).and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid.filter(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
