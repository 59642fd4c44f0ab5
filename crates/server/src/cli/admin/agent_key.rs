//! `creel admin agent-key`.

use std::process::ExitCode;

use creel_control::virtual_key;
use creel_wire::id::RuntimeId;

use super::Admin;
use crate::cli::print_line;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent's runtime, ecd-…
    runtime_id: RuntimeId,
}

/// Prints the key alone; it cannot be read again. Its calls count for the runtime.
pub(super) async fn run(admin: &Admin, args: &Args) -> anyhow::Result<ExitCode> {
    let key = virtual_key::create_for_person(&admin.store, &admin.ids, &args.runtime_id).await?;
    print_line(key.expose())?;
    Ok(ExitCode::SUCCESS)
}
