//! `creel guest`: what a driver starts beside an agent.

use std::path::PathBuf;
use std::process::ExitCode;

use creel_guest::{ExitReason, GuestOptions};

use super::{EXIT_FAILED, logging};

/// Flags of `creel guest`.
#[derive(Debug, clap::Args)]
pub(super) struct GuestArgs {
    /// JSON file with everything the guest needs, as a driver wrote it
    #[arg(long, value_name = "FILE")]
    options: PathBuf,
    /// What is logged, such as info or info,creel_guest=debug
    #[arg(long, env = "CREEL_LOG", default_value = "info")]
    log: String,
}

/// Runs until it is told to stop or the server refuses it for good.
pub(super) async fn run(args: &GuestArgs) -> anyhow::Result<ExitCode> {
    logging::start(&args.log)?;
    let options = GuestOptions::from_file(&args.options)?;
    match creel_guest::run(options).await? {
        ExitReason::Stopped => Ok(ExitCode::SUCCESS),
        ExitReason::AlreadyRunning => {
            tracing::info!("another guest looks after this agent already");
            Ok(ExitCode::SUCCESS)
        }
        ExitReason::Refused { reason } | ExitReason::EnrollRefused { reason } => {
            tracing::error!("the server refused this guest: {reason}");
            Ok(ExitCode::from(EXIT_FAILED))
        }
    }
}
