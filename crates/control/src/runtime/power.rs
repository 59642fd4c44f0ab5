//! Which wish for power follows which, and what the API shows of it beside the status.

use super::{Power, Runtime, RuntimeError, SandboxStatus, text_enum};

/// What to do with the power of runtimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerChange {
    Start,
    Stop,
    Reboot,
    Hibernate,
    Wake,
}

/// The API's ManagementFlag and ManagementStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Management {
    NoFlag,
    Hibernating,
    Hibernated,
    WakingUp,
    /// Its new users are promised and not in place yet.
    Assigning,
}
text_enum!(Management: NoFlag, Hibernating, Hibernated, WakingUp, Assigning);

impl Power {
    /// Whether the sandbox is to run.
    pub fn is_on(self) -> bool {
        matches!(self, Power::Running | Power::Waking)
    }
}

impl Runtime {
    /// Where it is on the way into or out of hibernation.
    pub fn management(&self) -> Management {
        match (self.power, self.sandbox) {
            (Power::Hibernated, SandboxStatus::Stopped) => Management::Hibernated,
            (Power::Hibernated, _) => Management::Hibernating,
            (Power::Waking, _) => Management::WakingUp,
            (Power::Running | Power::Stopped, _) => Management::NoFlag,
        }
    }
}

/// The wish that a change leaves, and by how many boots it is a new one. Asking for what is there changes nothing.
pub(super) fn power_after(change: PowerChange, runtime: &Runtime) -> Result<(Power, i64), RuntimeError> {
    let refused = |action| {
        let status = match runtime.management() {
            Management::NoFlag => runtime.sandbox.as_str(),
            flag => flag.as_str(),
        };
        Err(RuntimeError::WrongStatus { id: runtime.id.clone(), status, action })
    };
    let power = runtime.power;
    match (change, power) {
        (PowerChange::Stop, _) => Ok((Power::Stopped, 0)),
        (PowerChange::Start, Power::Stopped) => Ok((Power::Running, 1)),
        (PowerChange::Start | PowerChange::Wake, Power::Hibernated) => Ok((Power::Waking, 1)),
        (PowerChange::Start | PowerChange::Wake, Power::Running | Power::Waking) => Ok((power, 0)),
        (PowerChange::Wake, Power::Stopped) => refused("woken up: start it"),
        (PowerChange::Reboot, Power::Running | Power::Waking) => Ok((power, 1)),
        (PowerChange::Reboot, Power::Stopped | Power::Hibernated) => refused("rebooted: start it"),
        (PowerChange::Hibernate, Power::Hibernated) => Ok((power, 0)),
        (PowerChange::Hibernate, Power::Running | Power::Waking)
            if runtime.sandbox != SandboxStatus::Pending =>
        {
            Ok((Power::Hibernated, 0))
        }
        (PowerChange::Hibernate, _) => refused("hibernated: only what runs can be"),
    }
}
