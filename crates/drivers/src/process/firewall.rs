//! Keeps agents' users from the admin listener with nftables, where the host has it.
//!
//! One table, `inet creel`, with one chain per agent; the chain goes with the agent. The listener checks every
//! caller anyway: this is a second wall, so a host without nftables is warned about and not refused.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::isolation::HostIsolation;

const NFT_DEADLINE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Firewall {
    /// `None` where nothing is to be kept away or nothing can.
    admin_port: Option<u16>,
}

impl Firewall {
    /// Tries nftables once, where agents have users of their own.
    pub(super) async fn detect(isolation: &HostIsolation, admin_port: Option<u16>) -> Self {
        let (HostIsolation::User { .. }, Some(port)) = (isolation, admin_port) else {
            return Self { admin_port: None };
        };
        if let Err(error) = nft("add table inet creel\n").await {
            tracing::warn!(error = %error, "no nftables: agents can reach the admin listener, which checks every caller");
            return Self { admin_port: None };
        }
        Self { admin_port: Some(port) }
    }

    /// Refuses connections of this user to the admin port, on whatever address of this host.
    pub(super) async fn ensure(&self, uid: u32) -> io::Result<()> {
        match self.admin_port {
            Some(port) => nft(&script(uid, port)).await,
            None => Ok(()),
        }
    }

    /// Forgets a user.
    pub(super) async fn remove(&self, uid: u32) -> io::Result<()> {
        if self.admin_port.is_none() {
            return Ok(());
        }
        // Adding it first makes the deletion of a missing chain succeed.
        nft(&format!(
            "add table inet creel\nadd chain inet creel agent_{uid}\ndelete chain inet creel agent_{uid}\n"
        ))
        .await
    }
}

fn script(uid: u32, port: u16) -> String {
    format!(
        "add table inet creel\n\
         add chain inet creel agent_{uid} {{ type filter hook output priority 0; }}\n\
         flush chain inet creel agent_{uid}\n\
         add rule inet creel agent_{uid} meta skuid {uid} tcp dport {port} fib daddr type local reject with tcp reset\n"
    )
}

async fn nft(script: &str) -> io::Result<()> {
    let mut command = Command::new("nft");
    command
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).await?;
    }
    let output = tokio::time::timeout(NFT_DEADLINE, child.wait_with_output())
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_for_one_user_and_one_port() {
        let text = script(2_130_000_001, 8080);
        assert!(text.contains("add chain inet creel agent_2130000001 {"), "{text}");
        assert!(
            text.ends_with(
                "meta skuid 2130000001 tcp dport 8080 fib daddr type local reject with tcp reset\n"
            )
        );
    }
}
