//! The options file that a guest is started with: what `creel guest --options` reads.

use std::path::Path;

use creel_control::driver::SandboxSpec;
use serde_json::{Value, json};

use super::ProcessDriverConfig;
use super::cgroup::SandboxCgroups;
use super::isolation::{HostIsolation, mount_point};

/// What one sandbox is given beside its specification.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub(super) guest_dir: &'a Path,
    pub(super) agent_dir: &'a Path,
    pub(super) token_file: Option<&'a Path>,
    pub(super) cgroups: &'a SandboxCgroups,
    pub(super) isolation: HostIsolation,
    /// The agent's user and group id, where it has one of its own.
    pub(super) uid: Option<u32>,
}

/// The file's content. It holds no secret.
pub(super) fn guest_options(config: &ProcessDriverConfig, spec: &SandboxSpec, given: &Given<'_>) -> Value {
    let isolation = match (given.isolation, given.uid) {
        (HostIsolation::User { landlock }, Some(uid)) => json!({
            "kind": "user",
            "uid": uid,
            "gid": uid,
            "name": format!("creel-agent-{}", uid.saturating_sub(config.uid_base)),
            "mount_point": mount_point(config),
            "landlock": landlock,
        }),
        (HostIsolation::Landlock { private_tmp }, _) => {
            json!({ "kind": "landlock", "private_tmp": private_tmp })
        }
        // Every sandbox of such a host has been given a user.
        (HostIsolation::User { .. }, None) => json!({ "kind": "landlock", "private_tmp": false }),
        (HostIsolation::None, _) => json!({ "kind": "none" }),
    };
    json!({
        "guest_dir": given.guest_dir,
        "agent_dir": given.agent_dir,
        "server_url": spec.server_url,
        "ca_file": config.ca_file,
        "enroll_token_file": given.token_file,
        "boot_generation": spec.boot_generation,
        "executable": config.executable,
        "openclaw": { "node_bin": config.node_bin, "package_dir": config.openclaw_dir },
        "limits": {
            "memory_bytes": spec.limits.memory_bytes,
            "processes_max": spec.limits.pids,
            "cgroups": given.cgroups.dirs,
            "memory_limited": given.cgroups.memory_limited,
            "processes_limited": given.cgroups.processes_limited,
        },
        "isolation": isolation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use creel_control::driver::{AgentProvider, Limits, RuntimeId};

    /// The same file is read in a test of the guest: the two crates meet nowhere else.
    #[test]
    fn the_guest_reads_what_is_written() {
        let config = ProcessDriverConfig {
            executable: "/usr/bin/creel".into(),
            data_dir: "/data".into(),
            run_dir: "/run/creel".into(),
            node_bin: "/cache/node".into(),
            openclaw_dir: "/cache/openclaw".into(),
            ca_file: Some("/data/ca.pem".into()),
            admin_port: None,
            uid_base: 7000,
            uid_count: 10,
            insecure: false,
            guest_env: Vec::new(),
        };
        let spec = SandboxSpec {
            runtime_id: RuntimeId::parse("ecd-1").unwrap(),
            boot_generation: 4,
            provider: AgentProvider::OpenClaw,
            limits: Limits { memory_bytes: 1 << 30, cpu_millis: 1000, pids: 512 },
            server_url: "https://creel.example:8081".to_owned(),
            enroll_token: None,
        };
        let cgroups = SandboxCgroups {
            dirs: vec!["/sys/fs/cgroup/creel/ecd-1".into()],
            memory_limited: true,
            processes_limited: true,
        };
        let given = Given {
            guest_dir: Path::new("/data/runtimes/ecd-1/guest"),
            agent_dir: Path::new("/data/runtimes/ecd-1/agent"),
            token_file: Some(Path::new("/data/runtimes/ecd-1/guest/enroll.token")),
            cgroups: &cgroups,
            isolation: HostIsolation::User { landlock: true },
            uid: Some(7003),
        };
        let written = serde_json::to_string_pretty(&guest_options(&config, &spec, &given)).unwrap();
        assert_eq!(written + "\n", include_str!("../../../guest/tests/testdata/driver_options.json"));
    }
}
