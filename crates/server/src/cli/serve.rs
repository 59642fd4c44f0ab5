//! `creel serve`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use creel_control::clock::SystemClock;
use tokio::signal::unix::{SignalKind, signal};

use super::{EXIT_FAILED, environment, logging, print_line};
use crate::config::{Config, ServeArgs};
use crate::serve::Server;

/// Runs a server until it is told to end.
pub(super) async fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let config = Config::for_server(args, &environment)?;
    logging::start(&config.log)?;
    // Watched from before the start, so that a signal during it ends the process in order as well.
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    let server = Server::start(config, Arc::new(SystemClock)).await?;
    print_line(&server.ready_line())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("told to end by SIGTERM"),
        _ = interrupt.recv() => tracing::info!("told to end by SIGINT"),
    }
    match server.shutdown().await {
        0 => Ok(ExitCode::SUCCESS),
        left => {
            tracing::warn!(left, "{left} tasks had not ended when the time for it was over");
            Ok(ExitCode::from(EXIT_FAILED))
        }
    }
}
