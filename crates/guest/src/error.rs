//! Why a guest ended.

use std::path::PathBuf;

/// Why a guest ended on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It was told to stop; its agent is stopped.
    Stopped,
    /// The server refused it for good; its agent is stopped.
    Refused { reason: String },
    /// The server did not take its enrolment token: it needs another.
    EnrollRefused { reason: String },
    /// Another guest already looks after this directory.
    AlreadyRunning,
}

/// Why a guest could not do its work at all. What happens to the agent or the link is never one of these.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error("{action} {}", .path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The server's address or certificates cannot be used.
    #[error("the server address is not usable: {0}")]
    Server(String),
    /// No identity and no token to get one with.
    #[error("this guest has not enrolled and has no token to do so")]
    NotEnrolled,
    #[error("installing the signal handlers")]
    Signals(#[source] std::io::Error),
}
