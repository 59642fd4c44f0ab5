//! What has to outlive a guest for the next one to adopt its agent.

use std::io;
use std::path::Path;

use creel_wire::guest::DesiredState;
use creel_wire::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::files::{read_json, write_json};

const FILE: &str = "agent.json";

/// See the module. Written before each start, so that there is no agent without one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AgentRecord {
    pub(crate) starts: u64,
    pub(crate) port: u16,
    pub(crate) token: Secret,
    /// The state that the agent was last configured for.
    pub(crate) target: Option<DesiredState>,
    /// The newest generation that the agent is known to use.
    pub(crate) observed: i64,
}

impl AgentRecord {
    /// The record in a guest's directory, or that of an agent that was never started.
    pub(crate) fn load(guest_dir: &Path) -> io::Result<Self> {
        let never = || Self { starts: 0, port: 0, token: new_token(), target: None, observed: 0 };
        Ok(read_json(&guest_dir.join(FILE))?.unwrap_or_else(never))
    }

    pub(crate) fn save(&self, guest_dir: &Path) -> io::Result<()> {
        write_json(&guest_dir.join(FILE), self)
    }

    /// A port and a token for a start with this state.
    pub(crate) fn begin_start(&mut self, target: DesiredState) -> io::Result<()> {
        self.port = free_port()?;
        self.token = new_token();
        self.starts += 1;
        self.target = Some(target);
        Ok(())
    }
}

fn new_token() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A port that nobody listens on now. OpenClaw takes no port 0, so another may get it first: then it ends, and the
/// next start picks another.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
