//! Why a configuration is refused. Every text names the key or flag and what would be right, never a secret.

use std::path::PathBuf;

/// Why the configuration, or the data directory that it names, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("reading {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("writing {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration file {}: {message}", path.display())]
    File { path: PathBuf, message: String },
    #[error("{name}: {message}")]
    Value { name: String, message: String },
    #[error("{key} = {value} is not built yet; use {instead}")]
    NotBuilt { key: &'static str, value: String, instead: &'static str },
    #[error("another `creel serve` uses {}", path.display())]
    Locked { path: PathBuf },
    #[error("there is no master key: neither CREEL_MASTER_KEY nor {} (`creel serve` makes it at its first start)", path.display())]
    NoMasterKey { path: PathBuf },
    #[error("the master key (CREEL_MASTER_KEY or {})", path.display())]
    MasterKey {
        path: PathBuf,
        #[source]
        source: creel_control::secrets::SecretsError,
    },
    #[error("there is no key of the audit log at {} (`creel serve` makes it at its start): is --data-dir right?", path.display())]
    NoAuditKey { path: PathBuf },
    #[error("the key of the audit log in {}", path.display())]
    AuditKey {
        path: PathBuf,
        #[source]
        source: creel_control::seal::KeyError,
    },
}

impl ConfigError {
    /// A value that is not right, by the name under which the operator gave it.
    pub(crate) fn value(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Value { name: name.into(), message: message.into() }
    }
}
