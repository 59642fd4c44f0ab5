//! Keeps one agent as the desired state wants it, with or without a server.
//!
//! One task owns the agent and everything known about it. It reads the newest desired state from a `watch`, so
//! states that were overtaken are never applied, and publishes what it sees in another. Nothing else starts, stops
//! or configures the agent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use creel_wire::guest::{AgentProvider, AgentStatus, DesiredState, Observation, Receipt};
use creel_wire::secret::Secret;
use nix::sys::signal::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::agent_record::AgentRecord;
use crate::files::{read_json, write_json};
use crate::http::HttpClient;
use crate::openclaw::config::{RenderContext, Rendered, render};
use crate::openclaw::process::{AgentExit, AgentProcess, Installation};
use crate::openclaw::rpc::{Applied, Endpoint, OpenClawClient};
use crate::options::{GuestOptions, Timing};
use crate::published::Published;
use crate::trampoline::EXIT_LOCKED;

/// OpenClaw's exit status for a configuration it does not take (EX_CONFIG).
const EXIT_CONFIG: i32 = 78;
/// Looks that a running agent may leave unanswered before it counts as hanging, and before it is killed.
const SILENT_LOOKS_UNAVAILABLE: u32 = 3;
const SILENT_LOOKS_KILL: u32 = 18;
/// The last desired state that OpenClaw took, in the guest's directory.
const ACCEPTED_FILE: &str = "accepted.json";
const HERMES_UNSUPPORTED: &str = "Hermes Agent is not supported by this guest yet";

struct Agent {
    process: AgentProcess,
    client: OpenClawClient,
    endpoint: Endpoint,
    ready: bool,
    /// Whether what it uses has been compared with `AgentRecord::target`.
    verified: bool,
    started: Instant,
    silent_looks: u32,
}

/// Why waiting ended.
enum Woken {
    Exited(AgentExit),
    Changed,
    Stop,
    Elapsed,
}

/// See the module.
pub(crate) struct Supervisor {
    timing: Timing,
    server_url: String,
    virtual_key: Secret,
    installation: Arc<Installation>,
    http: HttpClient,
    desired: watch::Receiver<Option<DesiredState>>,
    published: watch::Sender<Published>,
    stop: CancellationToken,
    record: AgentRecord,
    guest_dir: PathBuf,
    accepted: Option<DesiredState>,
    agent: Option<Agent>,
    crashes: u32,
    not_before: Option<Instant>,
    /// The newest generation that OpenClaw would not take, and why.
    refused: Option<(i64, String)>,
}

impl Supervisor {
    /// Reads what an earlier guest left. `published` gets its first value here.
    pub(crate) fn new(
        options: &GuestOptions,
        installation: Arc<Installation>,
        virtual_key: Secret,
        http: HttpClient,
        desired: watch::Receiver<Option<DesiredState>>,
        stop: CancellationToken,
    ) -> std::io::Result<(Self, watch::Receiver<Published>)> {
        let version = options.openclaw.version();
        let observation = Observation {
            status: if version.is_some() { AgentStatus::Deployed } else { AgentStatus::Undeployed },
            version,
            pid: None,
            starts: 0,
            memory_limited: options.limits.memory_limited,
            last_error: None,
        };
        let (published, receiver) = watch::channel(Published { observation, receipt: None, endpoint: None });
        let supervisor = Self {
            timing: options.timing.clone(),
            server_url: options.server_url.trim_end_matches('/').to_owned(),
            virtual_key,
            installation,
            http,
            desired,
            published,
            stop,
            record: AgentRecord::load(&options.guest_dir)?,
            guest_dir: options.guest_dir.clone(),
            accepted: read_json(&options.guest_dir.join(ACCEPTED_FILE))?,
            agent: None,
            crashes: 0,
            not_before: None,
            refused: None,
        };
        Ok((supervisor, receiver))
    }

    /// Runs until told to stop; the agent has ended then.
    pub(crate) async fn run(mut self) {
        let starts = self.record.starts;
        self.published.send_modify(|published| published.observation.starts = starts);
        self.adopt().await;
        while !self.stop.is_cancelled() {
            let desired = self.desired.borrow_and_update().clone();
            self.publish_receipt(desired.as_ref());
            match desired {
                None => self.idle(None).await,
                Some(desired) if desired.provider == AgentProvider::HermesAgent => self.decline().await,
                Some(desired) => self.pursue(&desired).await,
            }
        }
        self.stop_agent().await;
    }

    async fn pursue(&mut self, desired: &DesiredState) {
        let Some(agent) = &self.agent else { return self.bring_up(desired).await };
        if !agent.ready {
            return self.await_ready().await;
        }
        let refused = self.refused.as_ref().is_some_and(|(generation, _)| *generation == desired.generation);
        let current = agent.verified && self.record.target.as_ref() == Some(desired);
        if refused || current { self.look_after().await } else { self.apply(desired).await }
    }

    /// An agent that this guest cannot run: say so, and leave nothing running.
    async fn decline(&mut self) {
        self.stop_agent().await;
        self.publish(AgentStatus::Undeployed, Some(HERMES_UNSUPPORTED.to_owned()));
        self.published.send_modify(|published| published.observation.version = None);
        self.idle(None).await;
    }

    // ---- starting ----

    async fn bring_up(&mut self, desired: &DesiredState) {
        let target = match (&self.refused, &self.accepted) {
            (Some((generation, _)), Some(accepted)) if *generation == desired.generation => {
                if accepted.generation == *generation {
                    return self.idle(None).await;
                }
                accepted.clone()
            }
            // Nothing that worked is known: only a new generation can help.
            (Some((generation, _)), None) if *generation == desired.generation => {
                return self.idle(None).await;
            }
            _ => desired.clone(),
        };
        if let Some(pause) = self.not_before.filter(|until| *until > Instant::now()) {
            return self.idle(Some(pause)).await;
        }
        match self.spawn(&target) {
            Ok(()) => self.publish(AgentStatus::Starting, None),
            Err(error) => self.on_crash(format!("OpenClaw could not be started: {error}")),
        }
    }

    fn spawn(&mut self, target: &DesiredState) -> std::io::Result<()> {
        self.installation.ensure_layout()?;
        self.record.begin_start(target.clone())?;
        let rendered = self.render(target);
        self.installation.write_config(&rendered)?;
        // Before the process is there: its adopter must know the port.
        self.record.save(&self.guest_dir)?;
        let process = self.installation.spawn()?;
        tracing::info!(agent.pid = process.id.pid, agent.starts = self.record.starts, "starting OpenClaw");
        self.agent = Some(self.attach(process));
        Ok(())
    }

    fn attach(&self, process: AgentProcess) -> Agent {
        let endpoint = Endpoint { port: self.record.port, token: self.record.token.clone() };
        Agent {
            process,
            client: OpenClawClient::new(self.http.clone(), endpoint.clone()),
            endpoint,
            ready: false,
            verified: false,
            started: Instant::now(),
            silent_looks: 0,
        }
    }

    /// Takes over an agent that an earlier guest started, or makes sure that there is none.
    async fn adopt(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match self.installation.find_running() {
                Ok(Some(process)) if self.record.port != 0 => {
                    tracing::info!(agent.pid = process.id.pid, "adopting a running OpenClaw");
                    self.agent = Some(self.attach(process));
                    return self.publish(AgentStatus::Starting, None);
                }
                // A record is written before each start, so without one nobody can use this process.
                Ok(Some(process)) => self.installation.kill_leftovers(process.id),
                Ok(None) => match self.installation.is_locked() {
                    // Locked without a process of ours: one that is just starting, or a straggler.
                    Ok(true) if Instant::now() < deadline => {}
                    Ok(true) => {
                        return self.on_crash("the agent's lock is held by an unknown process".to_owned());
                    }
                    Ok(false) => return,
                    Err(error) => return self.on_crash(format!("the agent's lock is unusable: {error}")),
                },
                Err(error) => return self.on_crash(format!("the agent's process file is unusable: {error}")),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn await_ready(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let deadline = agent.started + Duration::from_millis(self.timing.start_deadline_ms);
        if agent.client.is_ready().await {
            agent.ready = true;
            // An older configuration runs in place of the one that was refused: say so.
            let wanted = self.desired.borrow().as_ref().map(|desired| desired.generation);
            let refused = self.refused.as_ref().filter(|(generation, _)| Some(*generation) == wanted);
            let error = refused.map(|(_, reason)| reason.clone());
            return self.publish(AgentStatus::Running, error);
        }
        if Instant::now() >= deadline {
            agent.process.signal(Signal::SIGKILL);
            agent.process.wait().await;
            let seconds = self.timing.start_deadline_ms / 1000;
            self.agent_gone();
            return self.on_crash(format!("OpenClaw was not ready within {seconds} s"));
        }
        let pause = Instant::now() + Duration::from_millis(self.timing.poll_ms);
        self.idle(Some(pause)).await;
    }

    // ---- configuring ----

    async fn apply(&mut self, desired: &DesiredState) {
        let rendered = self.render(desired);
        if !self.installation.has_config(&rendered)
            && let Err(error) = self.installation.write_config(&rendered)
        {
            self.refuse(desired, format!("the configuration could not be written: {error}"));
            return;
        }
        let deadline = Instant::now() + Duration::from_millis(self.timing.apply_deadline_ms);
        loop {
            let Some(agent) = &self.agent else { return };
            match agent.client.applied(&rendered.expected).await {
                Ok(Applied::Yes) => return self.on_applied(desired, &rendered),
                Ok(Applied::Invalid(reason)) => return self.roll_back(desired, reason),
                Ok(Applied::NotYet) => {}
                Err(error) => tracing::debug!(error = %error, "OpenClaw did not say what it uses"),
            }
            if Instant::now() >= deadline {
                tracing::warn!("OpenClaw did not take a configuration while running, restarting it");
                return self.stop_agent().await;
            }
            let pause = Instant::now() + Duration::from_millis(self.timing.poll_ms);
            match self.woken(Some(pause)).await {
                Woken::Elapsed => {}
                Woken::Exited(exit) => return self.on_exit(exit),
                Woken::Changed | Woken::Stop => return,
            }
        }
    }

    fn on_applied(&mut self, desired: &DesiredState, rendered: &Rendered) {
        if let Some(agent) = &mut self.agent {
            agent.verified = true;
        }
        self.record.target = Some(desired.clone());
        self.record.observed = desired.generation;
        self.accepted = Some(desired.clone());
        self.persist();
        if let Err(error) = self.installation.remove_stale_secrets(rendered) {
            tracing::warn!(error = %error, "old credentials of the agent were not removed");
        }
        let keeps_refusal = self.refused.as_ref().is_some_and(|(refused, _)| *refused > desired.generation);
        if !keeps_refusal {
            self.refused = None;
            self.publish(AgentStatus::Running, None);
        }
        tracing::info!(generation = desired.generation, "OpenClaw uses generation {}", desired.generation);
        let newest = self.desired.borrow().clone();
        self.publish_receipt(newest.as_ref());
    }

    fn roll_back(&mut self, desired: &DesiredState, reason: String) {
        if let Some(accepted) = self.accepted.clone() {
            let rendered = self.render(&accepted);
            if let Err(error) = self.installation.write_config(&rendered) {
                tracing::error!(error = %error, "the last accepted configuration could not be restored");
            }
        }
        self.refuse(desired, reason);
    }

    fn refuse(&mut self, desired: &DesiredState, reason: String) {
        tracing::warn!(generation = desired.generation, "generation {} is refused", desired.generation);
        self.refused = Some((desired.generation, reason));
        self.publish_receipt(Some(desired));
    }

    fn render(&self, desired: &DesiredState) -> Rendered {
        let context = RenderContext {
            paths: self.installation.inside(),
            server_url: &self.server_url,
            port: self.record.port,
            gateway_token: &self.record.token,
            virtual_key: &self.virtual_key,
        };
        render(desired, &context)
    }

    // ---- looking after ----

    async fn look_after(&mut self) {
        let look = Instant::now() + Duration::from_millis(self.timing.health_ms);
        match self.woken(Some(look)).await {
            Woken::Exited(exit) => return self.on_exit(exit),
            Woken::Changed | Woken::Stop => return,
            Woken::Elapsed => {}
        }
        let Some(agent) = &mut self.agent else { return };
        if agent.client.is_healthy().await {
            let recovered = agent.silent_looks >= SILENT_LOOKS_UNAVAILABLE;
            agent.silent_looks = 0;
            if agent.started.elapsed() >= Duration::from_millis(self.timing.backoff_reset_ms) {
                self.crashes = 0;
            }
            if recovered {
                self.publish(AgentStatus::Running, None);
            }
            return;
        }
        agent.silent_looks += 1;
        if agent.silent_looks >= SILENT_LOOKS_KILL {
            tracing::warn!("OpenClaw hangs, killing it");
            agent.process.signal(Signal::SIGKILL);
        } else if agent.silent_looks == SILENT_LOOKS_UNAVAILABLE {
            self.publish(AgentStatus::Unavailable, Some("OpenClaw runs and does not answer".to_owned()));
        }
    }

    /// Waits for the agent's end, a new desired state, the order to stop, or `until`.
    async fn woken(&mut self, until: Option<Instant>) -> Woken {
        let exit = async {
            match &mut self.agent {
                Some(agent) => agent.process.wait().await,
                None => std::future::pending().await,
            }
        };
        let elapsed = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            exit = exit => Woken::Exited(exit),
            () = self.stop.cancelled() => Woken::Stop,
            changed = self.desired.changed() => {
                if changed.is_err() {
                    // Nobody will ever send one again: only the order to stop can end the wait.
                    self.stop.cancelled().await;
                    return Woken::Stop;
                }
                Woken::Changed
            }
            () = elapsed => Woken::Elapsed,
        }
    }

    /// As [`Self::woken`], for those who only care about the agent's end.
    async fn idle(&mut self, until: Option<Instant>) {
        if let Woken::Exited(exit) = self.woken(until).await {
            self.on_exit(exit);
        }
    }

    // ---- ending ----

    fn on_exit(&mut self, exit: AgentExit) {
        let target = self.record.target.clone();
        self.agent_gone();
        match (exit, target) {
            (AgentExit::Code(EXIT_CONFIG), Some(target)) => {
                let reason = self.installation.start_failure().unwrap_or_default();
                let reason = format!("OpenClaw refuses to start with this configuration: {reason}");
                if self.accepted.as_ref() == Some(&target) {
                    // What worked once works no more, so it is no longer something to fall back to.
                    self.accepted = None;
                }
                self.publish(AgentStatus::Unavailable, Some(reason.clone()));
                self.refuse(&target, reason);
            }
            (AgentExit::Code(code), _) if code == i32::from(EXIT_LOCKED) => {
                // Left by a guest that was killed while starting it. Nobody knows its port.
                if let Ok(Some(stranger)) = self.installation.find_running() {
                    self.installation.kill_leftovers(stranger.id);
                }
                self.on_crash("another OpenClaw of this agent was still starting".to_owned());
            }
            (exit, _) => self.on_crash(format!("OpenClaw {exit}")),
        }
    }

    fn on_crash(&mut self, reason: String) {
        self.crashes = self.crashes.saturating_add(1);
        let pause = self.timing.backoff(self.crashes);
        tracing::warn!(crashes = self.crashes, "{reason}; next start in {pause:?}");
        self.not_before = Some(Instant::now() + pause);
        self.publish(AgentStatus::Unavailable, Some(reason));
    }

    fn agent_gone(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.installation.kill_leftovers(agent.process.id);
            if agent.started.elapsed() >= Duration::from_millis(self.timing.backoff_reset_ms) {
                self.crashes = 0;
            }
        }
    }

    async fn stop_agent(&mut self) {
        if self.agent.is_some() {
            self.publish(AgentStatus::Stopping, None);
        }
        let Some(agent) = &mut self.agent else {
            return self.publish(AgentStatus::Stopped, None);
        };
        agent.process.signal(Signal::SIGTERM);
        let patience = Duration::from_millis(self.timing.stop_deadline_ms);
        if timeout(patience, agent.process.wait()).await.is_err() {
            tracing::warn!("OpenClaw did not end by itself, killing it");
            agent.process.signal(Signal::SIGKILL);
            agent.process.wait().await;
        }
        self.agent_gone();
        self.publish(AgentStatus::Stopped, None);
    }

    // ---- telling ----

    fn publish(&self, status: AgentStatus, last_error: Option<String>) {
        let agent = self.agent.as_ref();
        let pid = agent.map(|agent| agent.process.id.pid);
        let endpoint = agent.filter(|agent| agent.ready).map(|agent| agent.endpoint.clone());
        let starts = self.record.starts;
        self.published.send_modify(|published| {
            published.endpoint = endpoint;
            let observation = &mut published.observation;
            (observation.status, observation.pid, observation.starts) = (status, pid, starts);
            observation.last_error = last_error;
        });
    }

    fn publish_receipt(&self, desired: Option<&DesiredState>) {
        let Some(desired) = desired else { return };
        let refusal = self.refused.as_ref().filter(|(generation, _)| *generation == desired.generation);
        let hermes = desired.provider == AgentProvider::HermesAgent;
        let unsupported = hermes.then(|| HERMES_UNSUPPORTED.to_owned());
        let error = unsupported.or_else(|| refusal.map(|(_, reason)| reason.clone()));
        let receipt = Receipt { desired: desired.generation, observed: self.record.observed, error };
        self.published.send_if_modified(|published| {
            let changed = published.receipt.as_ref() != Some(&receipt);
            published.receipt = Some(receipt);
            changed
        });
    }

    fn persist(&self) {
        let accepted_file = self.guest_dir.join(ACCEPTED_FILE);
        let accepted = self.accepted.as_ref();
        let written = self
            .record
            .save(&self.guest_dir)
            .and_then(|()| accepted.map_or(Ok(()), |state| write_json(&accepted_file, state)));
        if let Err(error) = written {
            tracing::error!(error = %error, "the agent's record could not be written");
        }
    }
}
