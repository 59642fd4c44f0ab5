//! What shuts a program in: Landlock for what it may open, a mount namespace for what it sees.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};

use super::TrampolineError;

/// The newest kernel interface that was tested; older kernels enforce what they know of it.
const ABI_TESTED: ABI = ABI::V7;

/// Files and directories that every program may read and execute, where they exist.
const SYSTEM_READ: &[&str] = &[
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/proc",
    "/run/systemd/resolve",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/ca-certificates",
];
/// Devices that programs write to; and the shared memory that belongs to their own user.
const DEVICES: &[&str] = &[
    "/dev/full",
    "/dev/null",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/random",
    "/dev/shm",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

fn unconfined(error: &RulesetError) -> TrampolineError {
    TrampolineError::Unconfined(format!("Landlock: {error}"))
}

/// Opens every path while they can still be opened. Landlock of the first version must be there.
pub(super) fn prepare(read: &[PathBuf], write: &[PathBuf]) -> Result<RulesetCreated, TrampolineError> {
    let all = AccessFs::from_all(ABI_TESTED);
    let reading = AccessFs::from_read(ABI_TESTED);
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(|ruleset| ruleset.set_compatibility(CompatLevel::BestEffort).handle_access(all))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI_TESTED)))
        .and_then(Ruleset::create);
    let mut ruleset = created.map_err(|error| unconfined(&error))?;
    let system = SYSTEM_READ.iter().map(Path::new);
    for path in system.chain(read.iter().map(PathBuf::as_path)) {
        ruleset = allow(ruleset, path, reading)?;
    }
    let devices = DEVICES.iter().map(Path::new);
    for path in devices.chain(write.iter().map(PathBuf::as_path)) {
        ruleset = allow(ruleset, path, all)?;
    }
    Ok(ruleset)
}

/// A path that does not exist needs no rule.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, TrampolineError> {
    let Ok(fd) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI_TESTED) };
    ruleset.add_rule(PathBeneath::new(fd, access)).map_err(|error| unconfined(&error))
}

/// Shuts the calling thread in. After this no path outside the rules opens, for it and all it starts.
pub(super) fn enforce(ruleset: RulesetCreated) -> Result<(), TrampolineError> {
    let status = ruleset.restrict_self().map_err(|error| unconfined(&error))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => {
            Err(TrampolineError::Unconfined("this kernel does not enforce Landlock".to_owned()))
        }
    }
}

/// Shows each `from` at its `to`, in a mount namespace of this process's own. Needs CAP_SYS_ADMIN, or a host that
/// lets everybody have a user namespace; what that gives is gone with the execution of the program.
pub(super) fn private_mounts(binds: &[(PathBuf, PathBuf)]) -> Result<(), TrampolineError> {
    let none: Option<&str> = None;
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let own_user = if uid.is_root() { CloneFlags::empty() } else { CloneFlags::CLONE_NEWUSER };
    unshare(CloneFlags::CLONE_NEWNS | own_user)
        .map_err(|errno| TrampolineError::Unconfined(format!("a mount namespace of its own: {errno}")))?;
    if !uid.is_root() {
        let maps = [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{uid} {uid} 1")),
            ("gid_map", format!("{gid} {gid} 1")),
        ];
        for (file, text) in maps {
            std::fs::write(format!("/proc/self/{file}"), text).map_err(|error| {
                TrampolineError::Unconfined(format!("a user namespace of its own: {error}"))
            })?;
        }
    }
    // Mounts made by the host still arrive; ours never leave.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
        .map_err(|errno| TrampolineError::Unconfined(format!("cutting the mounts off: {errno}")))?;
    for (from, to) in binds {
        mount(Some(from), to, none, MsFlags::MS_BIND, none).map_err(|errno| {
            TrampolineError::os(format!("showing {} at {}", from.display(), to.display()), errno)
        })?;
    }
    Ok(())
}
