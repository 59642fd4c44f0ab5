//! Processes by id and start time. The guest keeps the same pair; neither crate may know the other, so each reads
//! `/proc` for itself.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

/// One process, for its whole life and never another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    /// Clock ticks from the boot of the host: field 22 of `/proc/<pid>/stat`.
    start_time: u64,
}

impl ProcessId {
    /// Whether it still runs. A zombie does not.
    pub(super) fn is_alive(self) -> bool {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        // The name in parentheses may hold anything, so fields are counted from the last closing one.
        let Some((_, rest)) = text.rsplit_once(')') else { return false };
        let mut fields = rest.split_ascii_whitespace();
        let ended = matches!(fields.next(), None | Some("Z" | "X" | "x"));
        !ended && fields.nth(18).and_then(|text| text.parse().ok()) == Some(self.start_time)
    }

    /// Signals it, unless it has ended.
    pub(super) fn signal(self, signal: Signal) {
        if self.is_alive() {
            signal_pid(self.pid, signal);
        }
    }
}

pub(super) fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 1) {
        // It may have ended since: then there is nothing to signal.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Ids of all processes of one user.
pub(super) fn processes_of_user(uid: u32) -> Vec<u32> {
    let marker = format!("\nUid:\t{uid}\t");
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_user = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        status.contains(&marker).then_some(pid)
    };
    entries.filter_map(of_user).collect()
}

/// Processes in one cgroup; none when it is gone.
pub(super) fn processes_of_cgroup(dir: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}
