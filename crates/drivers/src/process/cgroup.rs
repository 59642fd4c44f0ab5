//! Limits by control groups: the version 1 hierarchies where they hold the controllers, else the unified tree.
//!
//! One group per sandbox and hierarchy, below the server's own group in version 1 (so that limits on the server hold
//! for its agents) and below `/creel` in version 2 (where a group with processes may have no children). Where no
//! group can be made, the sandbox runs without and says so.

use std::io;
use std::path::{Path, PathBuf};

use creel_control::driver::{Limits, RuntimeId};

/// One period of the processor quota, in microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// What this host's hierarchies can limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cgroups {
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    cpu: Option<PathBuf>,
    unified: bool,
}

/// The groups of one sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SandboxCgroups {
    pub(super) dirs: Vec<PathBuf>,
    pub(super) memory_limited: bool,
    pub(super) processes_limited: bool,
}

impl Cgroups {
    /// Looks where groups can be made; tries it.
    pub(super) fn detect(proc: &Path, root: &Path) -> Self {
        let own = std::fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
        let v1 = |controller: &str| {
            usable(&root.join(controller).join(own_group(&own, controller)?).join("creel"))
        };
        let version1 = Self { memory: v1("memory"), pids: v1("pids"), cpu: v1("cpu"), unified: false };
        if version1 != Self::default() {
            return version1;
        }
        let available = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let wanted: Vec<&str> =
            available.split_whitespace().filter(|name| matches!(*name, "memory" | "pids" | "cpu")).collect();
        let enable: String = wanted.iter().map(|name| format!("+{name} ")).collect();
        let base = root.join("creel");
        let enabled = !wanted.is_empty()
            && std::fs::write(root.join("cgroup.subtree_control"), &enable).is_ok()
            && std::fs::create_dir_all(&base).is_ok()
            && std::fs::write(base.join("cgroup.subtree_control"), &enable).is_ok();
        if !enabled {
            return Self::default();
        }
        let dir = |name: &str| wanted.contains(&name).then(|| base.clone());
        Self { memory: dir("memory"), pids: dir("pids"), cpu: dir("cpu"), unified: true }
    }

    pub(super) fn limits_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// The groups of one sandbox, made and limited. A hierarchy that fails is left out.
    pub(super) fn ensure(&self, id: &RuntimeId, limits: &Limits) -> SandboxCgroups {
        let mut made = SandboxCgroups::default();
        let mut join = |dir: Option<PathBuf>, what: &str| match dir {
            Some(dir) => {
                if !made.dirs.contains(&dir) {
                    made.dirs.push(dir);
                }
                true
            }
            None => {
                tracing::warn!(runtime.id = %id, "the {what} of runtime {id} cannot be limited");
                false
            }
        };
        let memory_limited = join(self.limit_memory(id, limits), "memory");
        let processes_limited = join(self.limit_pids(id, limits), "number of processes");
        join(self.limit_cpu(id, limits), "processor time");
        (made.memory_limited, made.processes_limited) = (memory_limited, processes_limited);
        made
    }

    fn limit_memory(&self, id: &RuntimeId, limits: &Limits) -> Option<PathBuf> {
        let file = if self.unified { "memory.max" } else { "memory.limit_in_bytes" };
        set(self.memory.as_deref()?, id, &[(file, limits.memory_bytes.to_string())])
    }

    fn limit_pids(&self, id: &RuntimeId, limits: &Limits) -> Option<PathBuf> {
        set(self.pids.as_deref()?, id, &[("pids.max", limits.pids.to_string())])
    }

    fn limit_cpu(&self, id: &RuntimeId, limits: &Limits) -> Option<PathBuf> {
        let quota = u64::from(limits.cpu_millis) * CPU_PERIOD_US / 1000;
        let values = if self.unified {
            vec![("cpu.max", format!("{quota} {CPU_PERIOD_US}"))]
        } else {
            vec![("cpu.cfs_period_us", CPU_PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota.to_string())]
        };
        set(self.cpu.as_deref()?, id, &values)
    }

    /// The directories that a sandbox has or had.
    pub(super) fn dirs(&self, id: &RuntimeId) -> Vec<PathBuf> {
        let bases = [&self.memory, &self.pids, &self.cpu];
        let mut dirs: Vec<PathBuf> = bases.into_iter().flatten().map(|base| base.join(id.as_str())).collect();
        dirs.dedup();
        dirs
    }

    /// Removes the groups of a sandbox without processes. The kernel refuses while a dying one is still in it.
    pub(super) fn remove(&self, id: &RuntimeId) -> io::Result<()> {
        for dir in self.dirs(id) {
            match std::fs::remove_dir(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The server's own group in one hierarchy, relative to its root.
fn own_group(own: &str, controller: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        controllers.split(',').any(|name| name == controller).then(|| parts.next()).flatten()
    })?;
    Some(PathBuf::from(path.trim_start_matches('/')))
}

fn usable(base: &Path) -> Option<PathBuf> {
    // Without the hierarchy's own files the parent is an ordinary directory, and nothing would be limited.
    let real = base.parent().is_some_and(|parent| parent.join("cgroup.procs").exists());
    (real && std::fs::create_dir_all(base).is_ok()).then(|| base.to_owned())
}

fn set(base: &Path, id: &RuntimeId, values: &[(&str, String)]) -> Option<PathBuf> {
    let dir = base.join(id.as_str());
    std::fs::create_dir_all(&dir).ok()?;
    for (file, value) in values {
        std::fs::write(dir.join(file), value).ok()?;
    }
    Some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { memory_bytes: 1 << 30, cpu_millis: 2500, pids: 99 };

    fn id() -> RuntimeId {
        RuntimeId::parse("ecd-1").unwrap()
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn version_1_limits_below_the_servers_own_group() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, root) = (dir.path().join("proc"), dir.path().join("cgroup"));
        std::fs::create_dir_all(proc.join("self")).unwrap();
        std::fs::write(proc.join("self/cgroup"), "4:memory:/a/b\n3:cpu,cpuacct:/\n1:name=x:/\n").unwrap();
        for own in ["memory/a/b", "cpu"] {
            std::fs::create_dir_all(root.join(own)).unwrap();
            std::fs::write(root.join(own).join("cgroup.procs"), "").unwrap();
        }
        let cgroups = Cgroups::detect(&proc, &root);
        let made = cgroups.ensure(&id(), &LIMITS);
        assert!(made.memory_limited && !made.processes_limited);
        assert_eq!(made.dirs, [root.join("memory/a/b/creel/ecd-1"), root.join("cpu/creel/ecd-1")]);
        assert_eq!(read(&made.dirs[0].join("memory.limit_in_bytes")), "1073741824");
        assert_eq!(read(&made.dirs[1].join("cpu.cfs_quota_us")), "250000");
    }

    #[test]
    fn version_2_has_one_group() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu memory pids\n").unwrap();
        let cgroups = Cgroups::detect(dir.path(), dir.path());
        let made = cgroups.ensure(&id(), &LIMITS);
        assert_eq!(made.dirs, [dir.path().join("creel/ecd-1")]);
        assert!(made.memory_limited && made.processes_limited);
        assert_eq!(read(&made.dirs[0].join("memory.max")), "1073741824");
        assert_eq!(read(&made.dirs[0].join("pids.max")), "99");
        assert_eq!(read(&made.dirs[0].join("cpu.max")), "250000 100000");
        assert_eq!(read(&dir.path().join("creel/cgroup.subtree_control")), "+cpu +memory +pids ");
    }

    #[test]
    fn nothing_is_limited_without_hierarchies() {
        let dir = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::detect(dir.path(), dir.path());
        assert_eq!(cgroups, Cgroups::default());
        assert_eq!(cgroups.ensure(&id(), &LIMITS), SandboxCgroups::default());
        cgroups.remove(&id()).unwrap();
    }
}
