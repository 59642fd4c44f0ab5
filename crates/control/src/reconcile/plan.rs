//! What to do about one runtime: a pure function of the wish and of what is there.

use crate::driver::SandboxState;
use crate::runtime::{Power, Runtime, SandboxStatus};

/// What a pass sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// False with `--driver none`: runtimes exist without sandboxes.
    pub has_driver: bool,
    pub state: SandboxState,
    /// The guest has an identity, so it needs no token.
    pub guest_enrolled: bool,
    /// A live replica holds its link.
    pub guest_online: bool,
}

/// One step, idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    EnsureRunning { enroll: bool },
    EnsureStopped,
    EnsureAbsent,
    /// Write down what the sandbox is. `started` stamps the time of this boot.
    Record { sandbox: SandboxStatus, started: bool },
    LookAgain { pause_ms: i64 },
}

/// The steps that bring `runtime` nearer to its wish; none when it is there.
pub fn plan(runtime: &Runtime, look: &Look) -> Vec<Step> {
    if runtime.deleted_at_ms.is_some() || runtime.power == Power::Stopped {
        return plan_stopped(runtime, look);
    }
    if !runtime.reason.is_empty() {
        // It waits for something that no pass can bring, such as a host that runs Windows.
        return Vec::new();
    }
    if !look.has_driver {
        return record(runtime, SandboxStatus::Running);
    }
    let current = look.state == SandboxState::Running { boot_generation: runtime.boot_generation };
    if current {
        return if look.guest_online {
            record(runtime, SandboxStatus::Running)
        } else if runtime.sandbox == SandboxStatus::Running {
            // A link that broke comes back by itself; the agent's status says Unavailable meanwhile.
            Vec::new()
        } else {
            let mut steps = record(runtime, SandboxStatus::Starting);
            steps.push(Step::LookAgain { pause_ms: 1_000 });
            steps
        };
    }
    let mut steps = record(runtime, SandboxStatus::Starting);
    // A sandbox that is absent has lost its identity with its files.
    let enroll = !look.guest_enrolled || look.state == SandboxState::Absent;
    steps.push(Step::EnsureRunning { enroll });
    steps.push(Step::LookAgain { pause_ms: 1_000 });
    steps
}

fn plan_stopped(runtime: &Runtime, look: &Look) -> Vec<Step> {
    let deleted = runtime.deleted_at_ms.is_some();
    let mut steps = Vec::new();
    let gone = look.state == SandboxState::Absent;
    let still = gone || look.state == SandboxState::Stopped;
    if look.has_driver && (!still || (deleted && !gone)) {
        if !still {
            steps.extend(record(runtime, SandboxStatus::Stopping));
        }
        steps.push(if deleted { Step::EnsureAbsent } else { Step::EnsureStopped });
        steps.push(Step::Record { sandbox: SandboxStatus::Stopped, started: false });
        return steps;
    }
    record(runtime, SandboxStatus::Stopped)
}

/// Writes a status only where it differs: a pass that finds all well writes nothing.
fn record(runtime: &Runtime, sandbox: SandboxStatus) -> Vec<Step> {
    if runtime.sandbox == sandbox {
        return Vec::new();
    }
    vec![Step::Record { sandbox, started: sandbox == SandboxStatus::Running }]
}
