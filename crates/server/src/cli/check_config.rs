//! `creel check-config`.

use std::process::ExitCode;

use super::{environment, print_line};
use crate::config::{Config, ServeArgs};

/// Prints the configuration as TOML; every secret shows as `[secret]`.
pub(super) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let config = Config::for_server(args, &environment)?;
    print_line(config.to_masked_toml()?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
