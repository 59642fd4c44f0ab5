//! What the reconciler asks of the place where agents live.
//!
//! A driver makes sandboxes: one per runtime, each with a guest inside that supervises the agent. Every method is
//! idempotent, so that a pass that was cut short is simply run again, and none waits for the agent itself: a running
//! sandbox says nothing about its agent, whose state comes from the guest's observations. Only reconcile calls a driver.

use futures_util::future::BoxFuture;

pub use creel_wire::guest::AgentProvider;
pub use creel_wire::id::RuntimeId;
pub use creel_wire::secret::Secret;

/// Makes, stops and removes sandboxes. Used as `Arc<dyn Driver>`.
pub trait Driver: Send + Sync + std::fmt::Debug {
    /// Makes the sandbox run with this specification. A `boot_generation` above that of the running sandbox
    /// restarts it; an equal or lower one leaves it alone, whatever else differs.
    fn ensure_running<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<(), DriverError>>;
    /// Stops the sandbox and keeps its files. Absent is fine.
    fn ensure_stopped<'a>(&'a self, id: &'a RuntimeId) -> BoxFuture<'a, Result<(), DriverError>>;
    /// Stops the sandbox and removes everything it had, its home too.
    fn ensure_absent<'a>(&'a self, id: &'a RuntimeId) -> BoxFuture<'a, Result<(), DriverError>>;
    /// What is there now.
    fn observe<'a>(&'a self, id: &'a RuntimeId) -> BoxFuture<'a, Result<SandboxState, DriverError>>;
    /// Every runtime that has a sandbox, running or not, in the order of their ids.
    fn list(&self) -> BoxFuture<'_, Result<Vec<RuntimeId>, DriverError>>;
}

/// A sandbox as it should be.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    pub runtime_id: RuntimeId,
    /// Grows with each reboot or start that a user asked for.
    pub boot_generation: i64,
    pub provider: AgentProvider,
    pub limits: Limits,
    /// Base URL of the agent listener, without a trailing slash: `http://127.0.0.1:8081`.
    pub server_url: String,
    /// For a guest that has no identity yet; a guest that has one ignores it.
    pub enroll_token: Option<Secret>,
}

/// What an agent may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The agent and all it starts; the guest is not counted.
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
}

/// What a driver sees of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxState {
    /// Nothing of it exists.
    Absent,
    /// Its files exist, nothing runs.
    Stopped,
    /// Its guest runs, started for this boot generation; 0, which is no generation, while only remains of it run:
    /// an agent without its guest, to be adopted or stopped.
    Running { boot_generation: i64 },
}

/// Why a driver could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The host is not fit for it and will not become so by itself: an administrator must act.
    #[error("this host cannot run the sandbox: {reason}")]
    Unfit { reason: String },
    /// The host has no room now.
    #[error("no room for another sandbox: {reason}")]
    Exhausted { reason: String },
    /// Something failed that may go well the next time.
    #[error("{action} of runtime {id}")]
    Failed {
        id: RuntimeId,
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Listing failed.
    #[error("listing sandboxes")]
    List(#[source] std::io::Error),
}

impl DriverError {
    /// Whether the same call may succeed later without anybody changing the host.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Unfit { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unfit_host_is_final() {
        let id = RuntimeId::parse("ecd-1").unwrap();
        let io = || std::io::Error::other("x");
        assert!(!DriverError::Unfit { reason: String::new() }.is_retryable());
        assert!(DriverError::Exhausted { reason: String::new() }.is_retryable());
        assert!(DriverError::Failed { id, action: "starting", source: Box::new(io()) }.is_retryable());
        assert!(DriverError::List(io()).is_retryable());
    }
}
