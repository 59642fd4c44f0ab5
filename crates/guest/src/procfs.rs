//! Processes by id and start time, as `/proc` tells them.
//!
//! A process id alone is reused; with the start time it names one process until the next boot of the host.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One process, for its whole life and never another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// Clock ticks from the boot of the host: field 22 of `/proc/<pid>/stat`.
    pub(crate) start_time: u64,
}

impl ProcessId {
    /// This very process.
    pub(crate) fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// The process that has this id now.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let stat = read_stat(pid)?;
        Ok(Self { pid, start_time: stat.start_time })
    }

    /// Whether it still runs. A zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        read_stat(self.pid).is_ok_and(|stat| stat.start_time == self.start_time && !stat.dead)
    }

    /// The id as the signal calls take it.
    pub(crate) fn nix(self) -> Option<nix::unistd::Pid> {
        i32::try_from(self.pid).ok().filter(|pid| *pid > 1).map(nix::unistd::Pid::from_raw)
    }
}

struct Stat {
    dead: bool,
    session: u32,
    start_time: u64,
}

fn read_stat(pid: u32) -> io::Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable process status"))
}

/// The name in parentheses may hold anything, so fields are counted from the last closing one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start_time = fields.nth(15)?.parse().ok()?;
    Some(Stat { dead: matches!(state, "Z" | "X" | "x"), session, start_time })
}

/// Ids of all living processes of one session.
pub(crate) fn processes_of_session(session: u32) -> Vec<u32> {
    let alive = |pid: &u32| read_stat(*pid).is_ok_and(|stat| stat.session == session && !stat.dead);
    each_process().filter(alive).collect()
}

/// Ids of all processes that started with a variable in their environment whose text begins like this.
pub(crate) fn processes_marked(mark: &str) -> Vec<u32> {
    each_process().filter(|pid| is_marked(*pid, mark)).collect()
}

/// Whether a process started with a variable in its environment whose text begins like this.
pub(crate) fn is_marked(pid: u32, mark: &str) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
}

fn each_process() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Ids of all processes of one user.
pub(crate) fn processes_of_user(uid: u32) -> Vec<u32> {
    each_status(uid).map(|(pid, _)| pid).collect()
}

/// Threads of all processes of one user, as the kernel counts them against RLIMIT_NPROC.
pub(crate) fn threads_of_user(uid: u32) -> u64 {
    each_status(uid).map(|(_, threads)| threads).sum()
}

fn each_status(uid: u32) -> impl Iterator<Item = (u32, u64)> {
    each_process().filter_map(move |pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let (real_uid, threads) = parse_status(&status)?;
        (real_uid == uid).then_some((pid, threads))
    })
}

fn parse_status(text: &str) -> Option<(u32, u64)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let uid = field("Uid:")?.split_ascii_whitespace().next()?.parse().ok()?;
    Some((uid, field("Threads:")?.trim().parse().ok()?))
}

/// Processes in one cgroup; none when it is gone.
pub(crate) fn processes_of_cgroup(dir: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "42 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.session, stat.start_time, stat.dead), (3, 777, false));
        assert!(parse_stat("42 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 7").unwrap().dead);
        assert!(parse_stat("42 (x").is_none());
    }

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start_time: own.start_time + 1, ..own }.is_alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        child.wait().unwrap();
        assert!(!id.is_alive());
    }

    #[test]
    fn own_threads_are_counted() {
        assert!(threads_of_user(nix::unistd::Uid::current().as_raw()) >= 1);
    }
}
