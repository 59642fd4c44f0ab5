//! The arguments of `guest-exec`, written and read in one place.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::TrampolineError;

/// Whether the program is shut in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confinement {
    /// Not at all.
    None,
    /// Only the named paths, no signals and no abstract sockets to the outside; refused where the kernel cannot.
    Landlock,
}

/// What to become, and what to give up before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrampolinePlan {
    pub(crate) setsid: bool,
    /// Taken before anything else and held for the program's whole life.
    pub(crate) lock: Option<PathBuf>,
    /// Receives the process id and start time once the lock is held.
    pub(crate) pid_file: Option<PathBuf>,
    /// Directories whose `cgroup.procs` the process enters.
    pub(crate) cgroups: Vec<PathBuf>,
    /// Processes and threads above what the user runs already, where no cgroup can count.
    pub(crate) processes_max: Option<u32>,
    /// Paths shown at another place in a mount namespace of the program's own.
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) confinement: Confinement,
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
}

impl TrampolinePlan {
    /// Becomes `program` in a session of its own, nothing else changed.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            setsid: true,
            lock: None,
            pid_file: None,
            cgroups: Vec::new(),
            processes_max: None,
            binds: Vec::new(),
            user: None,
            confinement: Confinement::None,
            read: Vec::new(),
            write: Vec::new(),
            cwd: None,
            program: program.as_ref().to_owned(),
            args: Vec::new(),
        }
    }

    /// The arguments that [`Self::parse`] reads back.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        let mut flag = |name: &str, value: &OsStr| {
            args.push(OsString::from(name));
            args.push(value.to_owned());
        };
        if let Some(path) = &self.lock {
            flag("--lock", path.as_os_str());
        }
        if let Some(path) = &self.pid_file {
            flag("--pid-file", path.as_os_str());
        }
        for dir in &self.cgroups {
            flag("--cgroup", dir.as_os_str());
        }
        if let Some(count) = self.processes_max {
            flag("--processes-max", OsStr::new(&count.to_string()));
        }
        for (from, to) in &self.binds {
            flag("--bind-from", from.as_os_str());
            flag("--bind-to", to.as_os_str());
        }
        if let Some((uid, gid)) = self.user {
            flag("--user", OsStr::new(&format!("{uid}:{gid}")));
        }
        for path in &self.read {
            flag("--read", path.as_os_str());
        }
        for path in &self.write {
            flag("--write", path.as_os_str());
        }
        if let Some(dir) = &self.cwd {
            flag("--cwd", dir.as_os_str());
        }
        if self.setsid {
            args.push("--setsid".into());
        }
        if self.confinement == Confinement::Landlock {
            args.push("--landlock".into());
        }
        args.push("--".into());
        args.push(self.program.clone());
        args.extend(self.args.iter().cloned());
        args
    }

    /// Reads the arguments behind `guest-exec`.
    pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, TrampolineError> {
        let bad = |what: &str| TrampolineError::Arguments(what.to_owned());
        let mut args = args.into_iter();
        let mut plan = Self { setsid: false, ..Self::new("") };
        let mut bind_from: Option<PathBuf> = None;
        loop {
            let name = args.next().ok_or_else(|| bad("no program"))?;
            let name = name.to_str().ok_or_else(|| bad("a flag is not text"))?;
            match name {
                "--" => break,
                "--setsid" => {
                    plan.setsid = true;
                    continue;
                }
                "--landlock" => {
                    plan.confinement = Confinement::Landlock;
                    continue;
                }
                _ => {}
            }
            let value = args.next().ok_or_else(|| bad("a flag without a value"))?;
            let path = || PathBuf::from(&value);
            match name {
                "--lock" => plan.lock = Some(path()),
                "--pid-file" => plan.pid_file = Some(path()),
                "--cgroup" => plan.cgroups.push(path()),
                "--processes-max" => {
                    let count = value.to_str().and_then(|text| text.parse().ok());
                    plan.processes_max = Some(count.ok_or_else(|| bad("--processes-max is not a number"))?);
                }
                "--bind-from" => bind_from = Some(path()),
                "--bind-to" => {
                    let from = bind_from.take().ok_or_else(|| bad("--bind-to without --bind-from"))?;
                    plan.binds.push((from, path()));
                }
                "--user" => {
                    let ids = value.to_str().and_then(|text| text.split_once(':'));
                    let ids = ids.and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
                    plan.user = Some(ids.ok_or_else(|| bad("--user is not uid:gid"))?);
                }
                "--read" => plan.read.push(path()),
                "--write" => plan.write.push(path()),
                "--cwd" => plan.cwd = Some(path()),
                _ => return Err(bad("an unknown flag")),
            }
        }
        plan.program = args.next().ok_or_else(|| bad("no program"))?;
        plan.args = args.collect();
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_round_trip() {
        let plan = TrampolinePlan {
            lock: Some("/g/agent.lock".into()),
            pid_file: Some("/g/agent.pid".into()),
            cgroups: vec!["/sys/fs/cgroup/memory/creel/x".into()],
            processes_max: Some(512),
            binds: vec![("/data/a".into(), "/run/creel/agent".into())],
            user: Some((2_130_000_000, 2_130_000_000)),
            confinement: Confinement::Landlock,
            read: vec!["/usr".into()],
            write: vec!["/run/creel/agent/home".into()],
            cwd: Some("/run/creel/agent/workspace".into()),
            args: vec!["--setsid".into(), "--".into(), "x y".into()],
            ..TrampolinePlan::new("/usr/bin/node")
        };
        assert_eq!(TrampolinePlan::parse(plan.to_args()).unwrap(), plan);
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &["--setsid"][..],
            &["--"],
            &["--user", "root", "--", "x"],
            &["--bind-to", "/x", "--", "x"],
            &["--processes-max", "-1", "--", "x"],
            &["--what", "x", "--", "x"],
            &["--lock"],
        ] {
            assert!(TrampolinePlan::parse(args.iter().map(OsString::from)).is_err(), "{args:?}");
        }
    }
}
