//! The log of a process: standard error, JSON unless it is a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::ConfigError;

/// Starts logging by a filter such as `info,creel=debug`.
///
/// # Errors
/// If the filter is not understood.
pub(super) fn start(filter: &str) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| ConfigError::value("log", format!("not understood: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started =
        if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
    started.map_err(|_| ConfigError::value("log", "logging was started twice"))
}
