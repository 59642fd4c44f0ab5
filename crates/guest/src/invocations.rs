//! Things to do once: runs them beside the link, and remembers them so that a repeated order is not done twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use creel_wire::guest::{Invocation, InvocationOutcome, InvocationRequest};
use creel_wire::id::InvocationId;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::command::Commands;
use crate::http::HttpClient;
use crate::openclaw::rpc::OpenClawClient;
use crate::published::Published;

/// Turns that one agent has at once; more are refused.
const RUNNING_MAX: usize = 16;
/// Commands that run at once; more are refused.
const COMMANDS_MAX: usize = 8;
/// Outcomes that are remembered for a server that asks again.
const REMEMBERED_MAX: usize = 64;
/// No turn may take longer, whatever the server says.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Nor may a command.
const COMMAND_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// One invocation and how it went.
pub(crate) type Outcome = (InvocationId, InvocationOutcome);

/// What runs; each kind has its own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Turn,
    Command,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Invocations {
    http: HttpClient,
    published: watch::Receiver<Published>,
    tasks: JoinSet<Outcome>,
    running: Vec<(InvocationId, Kind)>,
    commands: Arc<Commands>,
    done: VecDeque<Outcome>,
}

impl Invocations {
    pub(crate) fn new(http: HttpClient, commands: Commands, published: watch::Receiver<Published>) -> Self {
        let commands = Arc::new(commands);
        Self { http, published, commands, tasks: JoinSet::new(), running: Vec::new(), done: VecDeque::new() }
    }

    /// Starts one, unless it is known. A known one that is done, or one that cannot be started, has its outcome
    /// returned at once; every other comes out of [`Self::next`].
    pub(crate) fn start(&mut self, invocation: Invocation) -> Option<Outcome> {
        if let Some(done) = self.done.iter().find(|(id, _)| *id == invocation.id) {
            return Some(done.clone());
        }
        if self.running.iter().any(|(id, _)| *id == invocation.id) {
            return None;
        }
        let Invocation { id, request, timeout_ms } = invocation;
        let patience = Duration::from_millis(timeout_ms);
        let refused = match request {
            InvocationRequest::Chat { session, message } => {
                self.start_turn(&id, session, message, patience.min(TIMEOUT_MAX))
            }
            InvocationRequest::Command { script } => {
                self.start_command(&id, script, patience.min(COMMAND_TIMEOUT_MAX))
            }
            InvocationRequest::Unknown => {
                Some("This guest is older than the request. Reboot the runtime to renew it.")
            }
        };
        refused.map(|message| (id, InvocationOutcome::Failed { message: message.to_owned() }))
    }

    /// Gives why it cannot be started.
    fn start_turn(
        &mut self,
        id: &InvocationId,
        session: String,
        message: String,
        patience: Duration,
    ) -> Option<&'static str> {
        if self.count(Kind::Turn) >= RUNNING_MAX {
            return Some("The agent has too many messages at once. Try again later.");
        }
        let Some(endpoint) = self.published.borrow().endpoint.clone() else {
            return Some("The agent is not running.");
        };
        let client = OpenClawClient::new(self.http.clone(), endpoint);
        self.running.push((id.clone(), Kind::Turn));
        let id = id.clone();
        self.tasks.spawn(async move { (id, turn(&client, &session, &message, patience).await) });
        None
    }

    /// Gives why it cannot be started.
    fn start_command(
        &mut self,
        id: &InvocationId,
        script: String,
        patience: Duration,
    ) -> Option<&'static str> {
        if self.count(Kind::Command) >= COMMANDS_MAX {
            return Some("The runtime runs too many commands at once. Try again later.");
        }
        let commands = self.commands.clone();
        self.running.push((id.clone(), Kind::Command));
        let id = id.clone();
        self.tasks.spawn(async move {
            let result = commands.run(&id, &script, patience).await;
            (id, InvocationOutcome::Ran(result))
        });
        None
    }

    fn count(&self, kind: Kind) -> usize {
        self.running.iter().filter(|(_, running)| *running == kind).count()
    }

    /// The next outcome; pending while nothing runs. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Outcome {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(outcome)) => {
                    self.running.retain(|(id, _)| *id != outcome.0);
                    if self.done.len() >= REMEMBERED_MAX {
                        self.done.pop_front();
                    }
                    self.done.push_back(outcome.clone());
                    return outcome;
                }
                Some(Err(error)) => tracing::error!(error = %error, "an invocation broke down"),
                None => std::future::pending().await,
            }
        }
    }
}

async fn turn(
    client: &OpenClawClient,
    session: &str,
    message: &str,
    patience: Duration,
) -> InvocationOutcome {
    match client.chat(session, message, patience).await {
        Ok(text) => InvocationOutcome::Replied { text },
        Err(error) => {
            let mut message = error.to_string();
            if let Some(cause) = std::error::Error::source(&error) {
                message.push_str(&format!(": {cause}"));
            }
            InvocationOutcome::Failed { message }
        }
    }
}
