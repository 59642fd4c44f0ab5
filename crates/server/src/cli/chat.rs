//! `creel chat`: one turn with an agent.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use creel_control::clock::SystemClock;
use serde_json::Value;

use super::client::{ApiClient, text};
use super::{Output, UsageError, print_line, profile};

const VERSION: &str = "2026-11-24";
/// How long an answer is waited for.
const ANSWER_DEADLINE: Duration = Duration::from_secs(600);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Flags of `creel chat`.
#[derive(Debug, clap::Args)]
pub(super) struct ChatArgs {
    /// The agent's runtime, ecd-…
    runtime_id: String,
    /// What to tell it
    message: String,
    /// The conversation to go on with [default: main]
    #[arg(long)]
    session: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Prints the agent's reply; waits for it ten minutes at the most.
pub(super) async fn run(args: &ChatArgs) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(profile::credentials().map_err(UsageError::from)?, Arc::new(SystemClock))?;
    let param = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut params = vec![param("RuntimeId", &args.runtime_id), param("Message", &args.message)];
    params.extend(args.session.as_deref().map(|session| param("SessionKey", session)));
    let sent = client.call(VERSION, "SendAgentMessage", &params).await?;
    let invocation_id = text(&sent, "InvocationId").to_owned();
    let answer = tokio::time::timeout(ANSWER_DEADLINE, wait(&client, &invocation_id)).await;
    let answer = answer.with_context(|| {
        format!(
            "no answer within {} s; DescribeAgentMessages may show it later as {invocation_id}",
            ANSWER_DEADLINE.as_secs()
        )
    })??;
    if args.output == Output::Json {
        print_line(&serde_json::to_string_pretty(&answer)?)?;
    }
    if text(&answer, "Status") != "Succeeded" {
        bail!("the agent did not answer: {}", text(&answer, "ErrorMessage"));
    }
    if args.output == Output::Text {
        print_line(text(&answer, "Reply"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The message once it has succeeded or failed.
async fn wait(client: &ApiClient, invocation_id: &str) -> anyhow::Result<Value> {
    let params = [("InvocationIds.1".to_owned(), invocation_id.to_owned())];
    loop {
        let answer = client.call(VERSION, "DescribeAgentMessages", &params).await?;
        let message = answer.get("Messages").and_then(|messages| messages.get(0));
        match message {
            None => bail!("the server does not know the message {invocation_id} any more"),
            Some(message) if matches!(text(message, "Status"), "Succeeded" | "Failed") => {
                return Ok(message.clone());
            }
            Some(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
