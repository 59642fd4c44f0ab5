//! What this host can do to keep an agent in, found out by doing it once with a program that does nothing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use creel_control::driver::DriverError;
use tokio::process::Command;

use super::ProcessDriverConfig;

/// Where an agent with a user of its own sees its directory: the same for all, for each sees only its own.
pub(super) fn mount_point(config: &ProcessDriverConfig) -> PathBuf {
    config.run_dir.join("agent")
}

const PROBE_DEADLINE: Duration = Duration::from_secs(20);

/// How agents are kept in on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostIsolation {
    /// A user and a mount namespace of their own; Landlock too, where the kernel has it.
    User { landlock: bool },
    /// The server's user, shut in by Landlock; with a `/tmp` of its own where the host has user namespaces.
    Landlock { private_tmp: bool },
    /// Nothing: an operator accepted it.
    None,
}

/// Tries the best first. [`DriverError::Unfit`] when nothing works and the operator has not accepted that.
pub(super) async fn probe(
    config: &ProcessDriverConfig,
    runtimes_dir: &Path,
) -> Result<HostIsolation, DriverError> {
    let reason = if nix::unistd::Uid::effective().is_root() {
        match probe_as_root(config, runtimes_dir).await {
            Ok(isolation) => return Ok(isolation),
            Err(reason) => format!(
                "as root, agents need a mount namespace of their own, which needs CAP_SYS_ADMIN ({reason}); \
                 run the server as another user where that is not to be had"
            ),
        }
    } else {
        match run_nothing(config, &["--landlock"]).await {
            Ok(()) => {
                let tmp = runtimes_dir.to_str().ok_or_else(|| DriverError::Unfit {
                    reason: "the data directory's name is not text".to_owned(),
                })?;
                let private =
                    run_nothing(config, &["--bind-from", tmp, "--bind-to", "/tmp", "--landlock"]).await;
                if let Err(reason) = &private {
                    tracing::warn!("no user namespaces: agents have no /tmp ({reason})");
                }
                return Ok(HostIsolation::Landlock { private_tmp: private.is_ok() });
            }
            Err(reason) => format!("without root, agents need a kernel with Landlock ({reason})"),
        }
    };
    if config.insecure {
        tracing::warn!("agents are not isolated: {reason}");
        return Ok(HostIsolation::None);
    }
    Err(DriverError::Unfit { reason: format!("{reason}; or accept agents without isolation (--insecure)") })
}

async fn probe_as_root(config: &ProcessDriverConfig, runtimes_dir: &Path) -> Result<HostIsolation, String> {
    let mount_point = mount_point(config);
    ensure_mount_point(&mount_point).map_err(|error| format!("{}: {error}", mount_point.display()))?;
    let mount_point = mount_point.to_str().ok_or("the run directory's name is not text")?;
    let runtimes_dir = runtimes_dir.to_str().ok_or("the data directory's name is not text")?;
    let user = format!("{0}:{0}", config.uid_base);
    let own = ["--bind-from", runtimes_dir, "--bind-to", mount_point, "--user", &user];
    run_nothing(config, &own).await?;
    let landlock = run_nothing(config, &[&own[..], &["--landlock"]].concat()).await;
    if let Err(reason) = &landlock {
        tracing::warn!("no Landlock: agents are kept in by their users alone ({reason})");
    }
    Ok(HostIsolation::User { landlock: landlock.is_ok() })
}

/// Every user must be able to pass; a directory below `/run` is there and empty after each boot.
fn ensure_mount_point(mount_point: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(mount_point)?;
    for dir in mount_point.ancestors().take(2) {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

async fn run_nothing(config: &ProcessDriverConfig, flags: &[&str]) -> Result<(), String> {
    let mut command = Command::new(&config.executable);
    command.arg("guest-exec").args(flags).args(["--", "/bin/true"]);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(|error| format!("{}: {error}", config.executable.display()))?;
    let output = tokio::time::timeout(PROBE_DEADLINE, child.wait_with_output())
        .await
        .map_err(|_| "a trial took too long".to_owned())?
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
