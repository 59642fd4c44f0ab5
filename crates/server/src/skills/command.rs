//! A command that reads a private copy of a skill and writes SARIF.
//!
//! This is the one place that writes a skill's files to the server's disk: below a folder that nobody else may enter,
//! by paths that were safe when the package was read, none of them executable; it is removed afterwards. The command
//! gets none of this process's environment but PATH, HOME, LANG and what the configuration names, and all that it
//! started in its process group ends with it. It runs with the server's rights: it is the operator's own program.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use creel_skills::analyse::{Analysis, sarif};
use creel_skills::package::Package;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process;

use crate::config::{AnalyserConfig, OnFailure, SARIF_PLACE, SKILL_PLACE};

/// Bytes of a log at the most.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of standard error that an error tells, from its end.
const STDERR_BYTES: usize = 400;
/// Variables that every command gets.
const VARIABLES: [&str; 3] = ["PATH", "HOME", "LANG"];
/// Where the log is, where the command writes it to a file.
const LOG_FILE: &str = "log.sarif";

/// Why a command said nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("writing the private copy of the skill")]
    Copy(#[source] std::io::Error),
    #[error("starting {program}")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("it took longer than {0} seconds")]
    Timeout(u32),
    #[error("its output has more than {LOG_BYTES_MAX} bytes")]
    TooLong,
    #[error("reading its output")]
    Output(#[source] std::io::Error),
    #[error("it ended with {status}, and standard error says {stderr:?}")]
    Log {
        status: std::process::ExitStatus,
        stderr: String,
        #[source]
        source: sarif::SarifError,
    },
}

#[derive(Debug)]
pub(super) struct Command {
    config: AnalyserConfig,
    environment: Vec<(String, OsString)>,
}

impl Command {
    pub(super) fn new(config: AnalyserConfig) -> Self {
        let names = VARIABLES.into_iter().chain(config.environment.iter().map(String::as_str));
        let environment = names.filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?))).collect();
        Self { config, environment }
    }

    pub(super) fn identity(&self) -> (&str, OnFailure) {
        (&self.config.name, self.config.on_failure)
    }

    /// What it says. Its exit code says nothing: many have one for findings.
    pub(super) async fn analyse(&self, package: Arc<Package>) -> Result<Analysis, CommandError> {
        let copied = tokio::task::spawn_blocking(move || copy(&package)).await;
        let (folder, root) =
            copied.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(CommandError::Copy)?;
        let limit = Duration::from_secs(u64::from(self.config.timeout_s));
        let told = tokio::time::timeout(limit, self.run(folder.path(), &root)).await;
        // whatever cannot be removed is in a folder that nobody else may enter
        let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
        told.unwrap_or(Err(CommandError::Timeout(self.config.timeout_s)))
    }

    async fn run(&self, folder: &Path, root: &Path) -> Result<Analysis, CommandError> {
        let log_file = folder.join(LOG_FILE);
        let (skill, log_path) = (root.to_string_lossy(), log_file.to_string_lossy());
        let mut words = self.config.command.iter();
        let program = words.next().cloned().unwrap_or_default();
        let arguments = words.map(|word| word.replace(SKILL_PLACE, &skill).replace(SARIF_PLACE, &log_path));
        let mut child = process::Command::new(&program)
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CommandError::Start { program, source })?;
        // ends what it started, whichever way this ends
        let _group = Group(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = tokio::join!(whole(stdout), tail(stderr));
        let stdout = stdout?;
        let status = child.wait().await.map_err(CommandError::Output)?;
        let is_file = self.config.command.iter().any(|word| word.contains(SARIF_PLACE));
        let log = if is_file { read_file(log_file).await? } else { stdout };
        sarif::analysis(&self.config.name, &skill, &log).map_err(|source| CommandError::Log {
            status,
            stderr,
            source,
        })
    }
}

/// A process group that is killed.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // no such group any more: nothing left in it
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// The skill below a folder of its own, called as the skill is; both go with the first.
fn copy(package: &Package) -> std::io::Result<(TempDir, PathBuf)> {
    let folder = tempfile::Builder::new()
        .prefix("creel-skill-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let root = folder.path().join(&package.manifest.name);
    let mut make = DirBuilder::new();
    make.recursive(true).mode(0o700);
    make.create(&root)?;
    for (path, bytes) in &package.files {
        let file = root.join(path);
        if let Some(parent) = file.parent() {
            make.create(parent)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?.write_all(bytes)?;
    }
    Ok((folder, root))
}

async fn whole(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(LOG_BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(CommandError::Output)?;
    }
    within(bytes)
}

fn within(bytes: Vec<u8>) -> Result<Vec<u8>, CommandError> {
    if bytes.len() as u64 > LOG_BYTES_MAX { Err(CommandError::TooLong) } else { Ok(bytes) }
}

/// The end of what a pipe says; all of it is read, so that nobody waits for it.
async fn tail(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    if let Some(mut pipe) = pipe {
        while let Ok(read) = pipe.read(&mut chunk).await
            && read > 0
        {
            kept.extend_from_slice(chunk.get(..read).unwrap_or_default());
            let excess = kept.len().saturating_sub(STDERR_BYTES);
            kept.drain(..excess);
        }
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

async fn read_file(path: PathBuf) -> Result<Vec<u8>, CommandError> {
    let read = move || {
        let mut bytes = Vec::new();
        File::open(path)?.take(LOG_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let read = tokio::task::spawn_blocking(read).await;
    within(read.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(CommandError::Output)?)
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
