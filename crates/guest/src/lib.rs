//! The guest: the supervisor beside an agent.
//!
//! It enrols once, keeps one outbound link to the server, writes the agent's configuration, starts and restarts the
//! agent, and reports what it sees. It needs the server only for news: what it was told last is on its disk, and an
//! agent that runs is adopted by the next guest, not restarted. [`run`] is the whole of it; [`exec_trampoline`] is
//! the helper program through which it starts the agent.
//!
//! Who may call: the `creel` binary. Depends on `creel-wire` alone.

mod agent_record;
mod backoff;
mod command;
mod error;
mod files;
mod http;
mod identity;
mod invocations;
mod link;
mod openclaw;
mod options;
mod procfs;
mod published;
mod skills;
mod supervisor;
mod trampoline;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use error::{ExitReason, GuestError};
pub use options::{AgentLimits, GuestOptions, Isolation, OpenClawPackage, Timing};
pub use trampoline::{EXIT_FAILED, EXIT_LOCKED, EXIT_UNCONFINED, exec_trampoline};

use command::Commands;
use files::{Ownership, ensure_dir, read_json, write_json};
use http::HttpClient;
use identity::{Enrolled, Identity, ensure_identity};
use link::Link;
use openclaw::process::Installation;
use procfs::ProcessId;
use skills::Keeper;
use supervisor::Supervisor;

/// How long a starting guest waits for one that is just ending.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// How long the link may take to tell the server that the agent has stopped.
const LAST_NEWS_PATIENCE: Duration = Duration::from_millis(300);

/// Written by a running guest for whoever started it.
#[derive(Debug, Serialize)]
struct GuestProcessFile {
    #[serde(flatten)]
    process: ProcessId,
    boot_generation: i64,
}

/// Runs the guest until SIGTERM or SIGINT, or until the server refuses it for good; then stops the agent. Needs a
/// tokio runtime. Errors are failures of this guest's own means; the server's and the agent's are dealt with.
pub async fn run(options: GuestOptions) -> Result<ExitReason, GuestError> {
    let file_error = |action, path: &Path, source| GuestError::File { action, path: path.to_owned(), source };
    let dir = &options.guest_dir;
    ensure_dir(dir, Ownership { owner: None, mode: 0o700 }).map_err(|e| file_error("making", dir, e))?;
    let lock_file = dir.join("guest.lock");
    // Held until this function returns.
    let Some(_lock) = take_lock(&lock_file).await.map_err(|e| file_error("locking", &lock_file, e))? else {
        return Ok(ExitReason::AlreadyRunning);
    };
    let process_file = dir.join("guest.pid");
    ProcessId::own()
        .map(|process| GuestProcessFile { process, boot_generation: options.boot_generation })
        .and_then(|own| write_json(&process_file, &own))
        .map_err(|e| file_error("writing", &process_file, e))?;
    let desired_file = dir.join("desired.json");
    let known = read_json(&desired_file).map_err(|e| file_error("reading", &desired_file, e))?;

    let stop = CancellationToken::new();
    let mut signals = JoinSet::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut stream = signal(kind).map_err(GuestError::Signals)?;
        let stop = stop.clone();
        signals.spawn(async move {
            stream.recv().await;
            stop.cancel();
        });
    }

    let http = HttpClient::new(options.ca_file.as_deref())?;
    let identity = tokio::select! {
        () = stop.cancelled() => return Ok(ExitReason::Stopped),
        enrolled = ensure_identity(&options, &http) => match enrolled? {
            Enrolled::Yes(identity) => identity,
            Enrolled::Refused(reason) => return Ok(ExitReason::EnrollRefused { reason }),
        },
    };
    tracing::info!(runtime.id = %identity.runtime_id, "guest of runtime {} starts", identity.runtime_id);
    let (desired_sender, desired) = watch::channel(known);
    let virtual_key = identity.virtual_key.clone();
    let installation =
        Installation::new(&options).map(Arc::new).map_err(|e| file_error("finding", dir, e))?;
    let (supervisor, published) = Supervisor::new(
        &options,
        installation.clone(),
        virtual_key,
        http.clone(),
        desired.clone(),
        stop.clone(),
    )
    .map_err(|e| file_error("reading what an earlier guest left in", dir, e))?;
    let identity: Arc<Identity> = Arc::from(identity);
    let (keeper, skills) = Keeper::new(
        &options,
        installation.clone(),
        http.clone(),
        identity.clone(),
        desired,
        published.clone(),
    );
    let commands = Commands::new(installation, identity.runtime_id.clone(), dir.join("commands"));
    let link = Link::new(&options, http, identity, commands, desired_sender, published, skills)?;
    Ok(supervise(supervisor, keeper, link, &stop).await)
}

/// Runs all to the end of the supervisor, which is the end of the agent. The link lives until then, so that the
/// server sees the agent stop.
async fn supervise(
    supervisor: Supervisor,
    keeper: Keeper,
    link: Link,
    stop: &CancellationToken,
) -> ExitReason {
    let link = async {
        let reason = link.run().await;
        tracing::error!("the server refused this guest for good: {reason}");
        stop.cancel();
        reason
    };
    let supervisor = supervisor.run();
    let keeper = keeper.run();
    tokio::pin!(link, supervisor, keeper);
    tokio::select! {
        never = &mut keeper => match never {},
        () = &mut supervisor => {
            // The last news; a server that is away learns it from the driver.
            let _ = tokio::time::timeout(LAST_NEWS_PATIENCE, &mut link).await;
            ExitReason::Stopped
        }
        reason = &mut link => {
            supervisor.await;
            ExitReason::Refused { reason }
        }
    }
}

/// The lock, or `None` when another guest keeps it.
async fn take_lock(path: &Path) -> std::io::Result<Option<std::fs::File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
            Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() >= deadline => {
                return Ok(None);
            }
            Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
