//! Things to do once: runs them beside the link, and remembers them so that a repeated order is not done twice.

use std::collections::VecDeque;
use std::time::Duration;

use creel_wire::guest::{Invocation, InvocationOutcome, InvocationRequest};
use creel_wire::id::InvocationId;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::HttpClient;
use crate::openclaw::rpc::OpenClawClient;
use crate::published::Published;

/// Turns that one agent has at once; more are refused.
const RUNNING_MAX: usize = 16;
/// Outcomes that are remembered for a server that asks again.
const REMEMBERED_MAX: usize = 64;
/// No turn may take longer, whatever the server says.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// One invocation and how it went.
pub(crate) type Outcome = (InvocationId, InvocationOutcome);

/// See the module.
#[derive(Debug)]
pub(crate) struct Invocations {
    http: HttpClient,
    published: watch::Receiver<Published>,
    tasks: JoinSet<Outcome>,
    running: Vec<InvocationId>,
    done: VecDeque<Outcome>,
}

impl Invocations {
    pub(crate) fn new(http: HttpClient, published: watch::Receiver<Published>) -> Self {
        Self { http, published, tasks: JoinSet::new(), running: Vec::new(), done: VecDeque::new() }
    }

    /// Starts one, unless it is known. A known one that is done, or one that cannot be started, has its outcome
    /// returned at once; every other comes out of [`Self::next`].
    pub(crate) fn start(&mut self, invocation: Invocation) -> Option<Outcome> {
        if let Some(done) = self.done.iter().find(|(id, _)| *id == invocation.id) {
            return Some(done.clone());
        }
        if self.running.contains(&invocation.id) {
            return None;
        }
        let failed = |message: &str| {
            Some((invocation.id.clone(), InvocationOutcome::Failed { message: message.to_owned() }))
        };
        if self.running.len() >= RUNNING_MAX {
            return failed("The agent has too many messages at once. Try again later.");
        }
        let Some(endpoint) = self.published.borrow().endpoint.clone() else {
            return failed("The agent is not running.");
        };
        let client = OpenClawClient::new(self.http.clone(), endpoint);
        self.running.push(invocation.id.clone());
        self.tasks.spawn(run(client, invocation));
        None
    }

    /// The next outcome; pending while nothing runs. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Outcome {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(outcome)) => {
                    self.running.retain(|id| *id != outcome.0);
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

async fn run(client: OpenClawClient, invocation: Invocation) -> Outcome {
    let deadline = Duration::from_millis(invocation.timeout_ms).min(TIMEOUT_MAX);
    let InvocationRequest::Chat { session, message } = &invocation.request;
    let outcome = match client.chat(session, message, deadline).await {
        Ok(text) => InvocationOutcome::Replied { text },
        Err(error) => {
            let mut message = error.to_string();
            if let Some(cause) = std::error::Error::source(&error) {
                message.push_str(&format!(": {cause}"));
            }
            InvocationOutcome::Failed { message }
        }
    };
    (invocation.id, outcome)
}
