//! `creel guest-exec`: turns itself into another program after giving up what that program must not have.
//!
//! A child's limits, user and confinement have to be set between fork and exec, where only async-signal-safe code
//! may run and Rust needs `unsafe`. So the parent starts this program instead, single-threaded and ordinary, which
//! prepares itself and then executes the real one under the same process id. [`exec_trampoline`] must therefore be
//! called from `main` before any thread exists: Landlock and the namespaces bind the calling thread only.
//!
//! The order matters: what needs privileges or outside paths comes before what takes them away.

mod confine;
mod plan;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};

pub(crate) use plan::{Confinement, TrampolinePlan};

use crate::procfs::{ProcessId, threads_of_user};

/// Exit status when another process holds the lock: nothing was started.
pub const EXIT_LOCKED: u8 = 121;
/// Exit status when the host cannot confine the program as asked.
pub const EXIT_UNCONFINED: u8 = 122;
/// Exit status of every other failure before the program ran.
pub const EXIT_FAILED: u8 = 123;

/// Why the program was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrampolineError {
    #[error("reading the arguments: {0}")]
    Arguments(String),
    #[error("{} is locked by another process", .0.display())]
    Locked(PathBuf),
    #[error("confining: {0}")]
    Unconfined(String),
    #[error("{action}")]
    Os {
        action: String,
        #[source]
        source: std::io::Error,
    },
}

impl TrampolineError {
    fn os(action: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Os { action: action.into(), source: source.into() }
    }

    fn status(&self) -> u8 {
        match self {
            Self::Locked(_) => EXIT_LOCKED,
            Self::Unconfined(_) => EXIT_UNCONFINED,
            Self::Arguments(_) | Self::Os { .. } => EXIT_FAILED,
        }
    }
}

/// Runs the trampoline with the arguments behind `guest-exec`. Returns only if the program could not be started;
/// the reason is then on standard error. Call it before the process has a second thread.
pub fn exec_trampoline(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let error = match TrampolinePlan::parse(args).and_then(|plan| execute(&plan)) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let mut text = format!("guest-exec: {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text.push('\n');
    // Nothing is left to do about a closed standard error.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(error.status())
}

fn execute(plan: &TrampolinePlan) -> Result<std::convert::Infallible, TrampolineError> {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    if plan.setsid {
        match setsid() {
            // EPERM: already the leader of its group, which a shell's job control makes it.
            Ok(_) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(TrampolineError::os("starting a session", errno)),
        }
    }
    // Kept open, and inherited by the program, whose life is then the lock's.
    let _lock = plan.lock.as_deref().map(take_lock).transpose()?;
    if let Some(path) = &plan.pid_file {
        write_pid_file(path)?;
    }
    limit(plan)?;
    for dir in &plan.cgroups {
        std::fs::write(dir.join("cgroup.procs"), std::process::id().to_string())
            .map_err(|source| TrampolineError::os(format!("joining {}", dir.display()), source))?;
    }
    if !plan.binds.is_empty() {
        confine::private_mounts(&plan.binds)?;
    }
    let ruleset = match plan.confinement {
        Confinement::None => None,
        Confinement::Landlock => Some(confine::prepare(&plan.read, &plan.write)?),
    };
    if let Some((uid, gid)) = plan.user {
        drop_user(uid, gid)?;
    }
    nix::sys::prctl::set_no_new_privs()
        .map_err(|errno| TrampolineError::os("giving up new privileges", errno))?;
    if let Some(dir) = &plan.cwd {
        std::env::set_current_dir(dir)
            .map_err(|source| TrampolineError::os(format!("entering {}", dir.display()), source))?;
    }
    if let Some(ruleset) = ruleset {
        confine::enforce(ruleset)?;
    }
    let error = std::process::Command::new(&plan.program).args(&plan.args).exec();
    Err(TrampolineError::os(format!("executing {}", Path::new(&plan.program).display()), error))
}

fn take_lock(path: &Path) -> Result<File, TrampolineError> {
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    let file = open.map_err(|source| TrampolineError::os(format!("opening {}", path.display()), source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(TrampolineError::Locked(path.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => {
            return Err(TrampolineError::os(format!("locking {}", path.display()), source));
        }
    }
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))
        .map_err(|errno| TrampolineError::os("keeping the lock across exec", errno))?;
    Ok(file)
}

fn write_pid_file(path: &Path) -> Result<(), TrampolineError> {
    let failed = |source| TrampolineError::os(format!("writing {}", path.display()), source);
    let own = ProcessId::own().map_err(failed)?;
    let text = serde_json::to_vec(&own).map_err(|error| failed(error.into()))?;
    crate::files::write_atomic(path, &text, 0o600).map_err(failed)
}

fn limit(plan: &TrampolinePlan) -> Result<(), TrampolineError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|errno| TrampolineError::os("forbidding core files", errno))?;
    let Some(extra) = plan.processes_max else { return Ok(()) };
    // The kernel counts every thread of the user, so what the user already runs comes on top.
    let user = plan.user.map_or_else(|| Uid::current().as_raw(), |(uid, _)| uid);
    let wanted = u64::from(extra).saturating_add(threads_of_user(user));
    let (_, hard) = getrlimit(Resource::RLIMIT_NPROC)
        .map_err(|errno| TrampolineError::os("reading the process limit", errno))?;
    let limit = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NPROC, limit, limit)
        .map_err(|errno| TrampolineError::os("limiting processes", errno))
}

fn drop_user(uid: u32, gid: u32) -> Result<(), TrampolineError> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[]).map_err(|errno| TrampolineError::os("leaving the groups", errno))?;
    setresgid(group, group, group).map_err(|errno| TrampolineError::os("changing the group", errno))?;
    // From root to another user the kernel clears every capability with this.
    setresuid(user, user, user).map_err(|errno| TrampolineError::os("changing the user", errno))
}
