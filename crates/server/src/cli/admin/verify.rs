//! Comparing a sealed log with its signed roots.

use std::process::ExitCode;

use creel_control::seal::{PublicKey, RootsFile};
use creel_control::sealing::{self, Difference, Log};
use serde_json::json;

use super::{Admin, UsageError};
use crate::cli::{EXIT_FAILED, Output, print_line};

/// The last line is `0 differences` alone if nobody tampered, which scripts look for.
pub(super) async fn verify(admin: &Admin, log: Log, public_key: Option<&str>) -> anyhow::Result<ExitCode> {
    let public = match public_key {
        Some(text) => PublicKey::from_base64(text).map_err(|error| UsageError(error.to_string()))?,
        None => admin.audit_key.public(),
    };
    let (roots, rows_are, counted) = match log {
        Log::Audit => (admin.config.audit_roots(), "events", "Events"),
        Log::Ledger => (admin.config.ledger_roots(), "entries", "Entries"),
    };
    let file = RootsFile::new(roots);
    let as_json = admin.output == Output::Json;
    // Checking goes on when nobody reads: the number of differences and the exit code still tell.
    let mut report = |difference: Difference| {
        let text = difference.to_string();
        let line = if as_json { json!({"Difference": text}).to_string() } else { text };
        let _ = print_line(&line);
    };
    let tag_key = Some(admin.audit_key.tag_key());
    let seen = sealing::verify(log, &admin.store, &file, public, tag_key, &mut report).await?;
    let (batch, digest) = seen.head.unwrap_or_default();
    if as_json {
        let head = json!({"Batch": batch, "Digest": digest});
        let (batches, rows, unsealed) = (seen.batches, seen.rows, seen.unsealed);
        let summary = json!({"Batches": batches, counted: rows, "Unsealed": unsealed, "Head": head, "Differences": seen.differences});
        print_line(&summary.to_string())?;
    } else {
        eprintln!(
            "creel: checked {} {rows_are} in {} batches of {}",
            seen.rows,
            seen.batches,
            file.path().display()
        );
        eprintln!("creel: {} {rows_are} wait to be sealed; the last root is {batch} {digest}", seen.unsealed);
        print_line(&format!("{} differences", seen.differences))?;
    }
    Ok(if seen.differences == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}
