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
    EnsureRunning {
        enroll: bool,
    },
    EnsureStopped,
    EnsureAbsent,
    /// Write down what the sandbox is. `started` stamps the time of this boot.
    Record {
        sandbox: SandboxStatus,
        started: bool,
    },
    LookAgain {
        pause_ms: i64,
    },
}

/// The steps that bring `runtime` nearer to its wish; none when it is there.
pub fn plan(runtime: &Runtime, look: &Look) -> Vec<Step> {
    if runtime.deleted_at_ms.is_some() || !runtime.power.is_on() {
        return plan_stopped(runtime, look);
    }
    if !runtime.reason.is_empty() {
        // It waits for something that no pass can bring, such as a host that runs Windows.
        return record(runtime, SandboxStatus::Pending);
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

/// Writes a status only where it differs: a pass that finds all well writes nothing. That a woken runtime runs is
/// written in any case, for that is what ends its waking.
fn record(runtime: &Runtime, sandbox: SandboxStatus) -> Vec<Step> {
    let wakes = runtime.power == Power::Waking && sandbox == SandboxStatus::Running;
    if runtime.sandbox == sandbox && !wakes {
        return Vec::new();
    }
    vec![Step::Record { sandbox, started: sandbox == SandboxStatus::Running }]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::{Management, RuntimeAttributes};

    fn runtime(power: Power, deleted: bool, sandbox: SandboxStatus, boot_generation: i64) -> Runtime {
        Runtime {
            id: "ecd-1".parse().unwrap(),
            account_id: "1000".parse().unwrap(),
            region_id: String::new(),
            jvs_id: None,
            name: String::new(),
            host_name: String::new(),
            office_site_id: "cn-hangzhou+dir-1".parse().unwrap(),
            image_id: String::new(),
            bundle_id: None,
            desktop_type: String::new(),
            os_type: String::new(),
            agent_provider: creel_wire::guest::AgentProvider::OpenClaw,
            agent_platform: String::new(),
            charge_type: String::new(),
            resource_group_id: None,
            model_group_id: None,
            attributes: RuntimeAttributes::default(),
            power,
            boot_generation,
            generation: 1,
            sandbox,
            reason: String::new(),
            created_at_ms: 0,
            started_at_ms: None,
            deleted_at_ms: deleted.then_some(1),
        }
    }

    /// A world that does what it is told, with a guest that links as soon as its sandbox runs.
    fn apply(steps: &[Step], runtime: &mut Runtime, look: &mut Look) {
        for step in steps {
            match step {
                Step::EnsureRunning { enroll } => {
                    assert!(*enroll || look.guest_enrolled, "a guest without identity needs a token");
                    look.state = SandboxState::Running { boot_generation: runtime.boot_generation };
                    look.guest_enrolled = true;
                    look.guest_online = true;
                }
                Step::EnsureStopped => (look.state, look.guest_online) = (SandboxState::Stopped, false),
                Step::EnsureAbsent => (look.state, look.guest_online) = (SandboxState::Absent, false),
                Step::Record { sandbox, .. } => {
                    runtime.sandbox = *sandbox;
                    if (runtime.power, *sandbox) == (Power::Waking, SandboxStatus::Running) {
                        runtime.power = Power::Running;
                    }
                }
                Step::LookAgain { .. } => {}
            }
        }
    }

    fn states() -> impl Strategy<Value = SandboxState> {
        prop_oneof![
            Just(SandboxState::Absent),
            Just(SandboxState::Stopped),
            (0i64..4).prop_map(|boot_generation| SandboxState::Running { boot_generation }),
        ]
    }

    fn statuses() -> impl Strategy<Value = SandboxStatus> {
        use SandboxStatus as S;
        prop_oneof![
            Just(S::Pending),
            Just(S::Starting),
            Just(S::Running),
            Just(S::Stopping),
            Just(S::Stopped)
        ]
    }

    fn powers() -> impl Strategy<Value = Power> {
        prop_oneof![Just(Power::Running), Just(Power::Stopped), Just(Power::Hibernated), Just(Power::Waking)]
    }

    proptest! {
        #[test]
        fn a_few_passes_reach_the_wish_and_then_nothing_is_left_to_do(
            power in powers(), waits in any::<bool>(), deleted in any::<bool>(), status in statuses(), boot in 1i64..4,
            state in states(), enrolled in any::<bool>(), online in any::<bool>(), has_driver in any::<bool>(),
        ) {
            let mut runtime = runtime(power, deleted, status, boot);
            if waits {
                runtime.reason = "no host".to_owned();
            }
            let state = if has_driver { state } else { SandboxState::Absent };
            let mut look = Look { has_driver, state, guest_enrolled: enrolled, guest_online: online };
            if matches!(look.state, SandboxState::Running { .. }) && !look.guest_online {
                // Its guest will link on its own; without that no pass can make the runtime Running.
                look.guest_online = true;
            }
            for _ in 0..4 {
                let steps = plan(&runtime, &look);
                apply(&steps, &mut runtime, &mut look);
            }
            prop_assert_eq!(plan(&runtime, &look), Vec::new());
            let on = power.is_on() && !deleted;
            let wanted = on && !waits;
            prop_assert_eq!(runtime.sandbox == SandboxStatus::Running, wanted);
            prop_assert_eq!(runtime.sandbox == SandboxStatus::Pending, on && waits);
            prop_assert_eq!(runtime.sandbox == SandboxStatus::Stopped, !on);
            let shown = match power {
                Power::Hibernated => Management::Hibernated,
                Power::Waking if !wanted => Management::WakingUp,
                _ => Management::NoFlag,
            };
            prop_assert_eq!(runtime.management(), shown);
            if has_driver && wanted {
                prop_assert_eq!(look.state, SandboxState::Running { boot_generation: boot });
            }
            if deleted {
                prop_assert_eq!(look.state, SandboxState::Absent);
            }
        }
    }

    #[test]
    fn what_waits_for_another_host_is_left_alone() {
        let mut waiting = runtime(Power::Running, false, SandboxStatus::Pending, 1);
        waiting.reason = "no host".to_owned();
        let look = Look {
            has_driver: true,
            state: SandboxState::Absent,
            guest_enrolled: false,
            guest_online: false,
        };
        assert_eq!(plan(&waiting, &look), Vec::new());
    }

    #[test]
    fn a_broken_link_restarts_nothing() {
        let running = runtime(Power::Running, false, SandboxStatus::Running, 3);
        let look = Look {
            has_driver: true,
            state: SandboxState::Running { boot_generation: 3 },
            guest_enrolled: true,
            guest_online: false,
        };
        assert_eq!(plan(&running, &look), Vec::new());
    }
}
