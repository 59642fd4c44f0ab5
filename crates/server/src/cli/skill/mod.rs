//! `creel skill`: looks at skills on this machine, without a server.

mod collect;
mod sarif;
mod scan;

use std::process::ExitCode;

/// Arguments of `creel skill`.
#[derive(Debug, clap::Args)]
pub(super) struct SkillArgs {
    #[command(subcommand)]
    command: SkillCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SkillCommand {
    /// Scan skills as the server does, and print one line for each
    #[command(after_help = scan::AFTER_HELP)]
    Scan(scan::ScanArgs),
}

pub(super) async fn run(args: SkillArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        SkillCommand::Scan(args) => scan::run(args).await,
    }
}
