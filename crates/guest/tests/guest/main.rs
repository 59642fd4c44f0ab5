//! The guest as a program, against a server that is part of the test and a stand-in for OpenClaw.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails in them fails the test"
)]

mod command;
mod fixture;
mod model;
mod real_openclaw;
mod server;
mod skills;

use std::path::Path;
use std::process::Command;

use creel_wire::guest::{
    AgentProvider, AgentStatus, DesiredState, Invocation, InvocationOutcome, InvocationRequest, Model,
    ModelConfig, ModelProvider, Observation, ProviderEndpoint, Receipt, ToGuest, ToServer,
};
use creel_wire::id::InvocationId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use fixture::{Guest, HARNESS, PATIENCE};
use server::{FakeServer, VIRTUAL_KEY};

fn desired(generation: i64, models: &[&str]) -> DesiredState {
    let model = |code: &&str| Model {
        code: (*code).to_owned(),
        name: (*code).to_owned(),
        context_window: None,
        max_output_tokens: None,
        input: Vec::new(),
        reasoning: false,
    };
    let provider = ModelProvider {
        name: "p".to_owned(),
        endpoint: ProviderEndpoint::Gateway { api: "openai-completions".to_owned() },
        models: models.iter().map(model).collect(),
    };
    let models = ModelConfig { providers: vec![provider], default_model: None };
    DesiredState { generation, provider: AgentProvider::OpenClaw, models: Some(models), skills: None }
}

fn chat(id: &str, message: &str) -> ToGuest {
    ToGuest::Invoke(Invocation {
        id: InvocationId::parse(id).unwrap(),
        request: InvocationRequest::Chat { session: "s-1".to_owned(), message: message.to_owned() },
        timeout_ms: 30_000,
    })
}

async fn receipt(server: &FakeServer, wanted: impl Fn(&Receipt) -> bool) -> Receipt {
    receipt_within(server, PATIENCE, wanted).await
}

async fn receipt_within(
    server: &FakeServer,
    patience: std::time::Duration,
    wanted: impl Fn(&Receipt) -> bool,
) -> Receipt {
    server
        .wait(patience, |message| match message {
            ToServer::Receipt(receipt) if wanted(receipt) => Some(receipt.clone()),
            _ => None,
        })
        .await
}

async fn observation(server: &FakeServer, wanted: impl Fn(&Observation) -> bool) -> Observation {
    server
        .wait(PATIENCE, |message| match message {
            ToServer::Observation(seen) if wanted(seen) => Some(seen.clone()),
            _ => None,
        })
        .await
}

async fn outcome(server: &FakeServer) -> InvocationOutcome {
    server
        .wait(PATIENCE, |message| match message {
            ToServer::InvocationResult { outcome, .. } => Some(outcome.clone()),
            _ => None,
        })
        .await
}

fn is(status: AgentStatus) -> impl Fn(&Observation) -> bool {
    move |seen| seen.status == status
}

fn uses(generation: i64) -> impl Fn(&Receipt) -> bool {
    move |receipt| receipt.observed == generation
}

#[tokio::test]
async fn from_enrolment_to_a_reply_and_a_graceful_end() {
    let server = FakeServer::start().await;
    server.set_desired(desired(1, &["a"]));
    let mut guest = Guest::start(&server);
    observation(&server, is(AgentStatus::Starting)).await;
    let seen = observation(&server, is(AgentStatus::Running)).await;
    assert_eq!((seen.version.as_deref(), seen.starts, seen.last_error), (Some("2026.9.6"), 1, None));
    receipt(&server, uses(1)).await;
    assert!(!guest.path("guest/enroll.token").exists(), "a token is used once");

    server.send(chat("inv-1", "hello"));
    let expected = InvocationOutcome::Replied { text: format!("s-1|hello|{VIRTUAL_KEY}") };
    assert_eq!(outcome(&server).await, expected);
    server.send(chat("inv-1", "hello"));
    assert_eq!(outcome(&server).await, expected, "asked again: told again");

    server.set_desired(desired(2, &["a", "b"]));
    receipt(&server, uses(2)).await;
    assert_eq!(guest.starts().len(), 1, "changed while running");

    guest.signal(Signal::SIGTERM);
    observation(&server, is(AgentStatus::Stopped)).await;
    assert!(guest.child.wait().unwrap().success());
    let log = guest.log();
    assert!(!log.contains("canary") && !log.contains(VIRTUAL_KEY), "{log}");
}

#[tokio::test]
async fn a_killed_guest_is_followed_by_one_that_adopts_the_agent() {
    let server = FakeServer::start().await;
    server.set_desired(desired(1, &["a"]));
    let guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    receipt(&server, uses(1)).await;
    let guest = guest.replace(&server);
    server.next_link(PATIENCE).await;
    let seen = observation(&server, is(AgentStatus::Running)).await;
    assert_eq!(seen.starts, 1);
    assert_eq!(guest.starts().len(), 1, "the agent was not restarted");

    // It is not the new guest's child; its end is noticed all the same.
    kill(Pid::from_raw(i32::try_from(seen.pid.unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    let seen = observation(&server, is(AgentStatus::Unavailable)).await;
    assert!(seen.last_error.is_some());
    let seen = observation(&server, is(AgentStatus::Running)).await;
    assert_eq!((seen.starts, guest.starts().len()), (2, 2));
}

#[tokio::test]
async fn an_agent_outlives_its_server_and_restarts_without_it() {
    let server = FakeServer::start().await;
    server.set_desired(desired(1, &["a"]));
    let guest = Guest::start(&server);
    receipt(&server, uses(1)).await;
    server.go_away().await;
    std::fs::write(guest.path("agent/state/crash"), "").unwrap();
    tokio::time::timeout(PATIENCE, async {
        while guest.starts().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("restarted without a server");
    server.come_back();
    server.next_link(PATIENCE).await;
    assert_eq!(observation(&server, is(AgentStatus::Running)).await.starts, 2);
}

#[tokio::test]
async fn what_openclaw_refuses_is_rolled_back() {
    let server = FakeServer::start().await;
    server.set_desired(desired(1, &["a"]));
    let guest = Guest::start(&server);
    receipt(&server, uses(1)).await;
    let accepted = std::fs::read(guest.path("agent/config/openclaw.json")).unwrap();
    server.set_desired(desired(2, &["invalid"]));
    let refused = receipt(&server, |receipt| receipt.error.is_some()).await;
    assert_eq!((refused.desired, refused.observed), (2, 1));
    assert!(refused.error.unwrap().contains("invalid model"));
    assert_eq!(std::fs::read(guest.path("agent/config/openclaw.json")).unwrap(), accepted);
    server.set_desired(desired(3, &["c"]));
    let receipt = receipt(&server, uses(3)).await;
    assert_eq!(receipt.error, None);
    assert_eq!(guest.starts().len(), 1);
}

#[tokio::test]
async fn crashes_back_off_and_status_78_is_not_repeated() {
    let server = FakeServer::start().await;
    let guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    std::fs::create_dir_all(guest.path("agent/state")).unwrap();
    std::fs::write(guest.path("agent/state/exit"), "1").unwrap();
    server.set_desired(desired(1, &["a"]));
    for starts in 1..4 {
        let seen =
            observation(&server, |seen| seen.status == AgentStatus::Unavailable && seen.starts == starts)
                .await;
        assert_eq!(seen.last_error.as_deref(), Some("OpenClaw ended with status 1"));
    }
    std::fs::write(guest.path("agent/state/exit"), "78").unwrap();
    let reason = "because a test said so";
    let blocked =
        observation(&server, |seen| seen.last_error.as_ref().is_some_and(|error| error.ends_with(reason)))
            .await;
    assert_eq!(blocked.status, AgentStatus::Unavailable);
    let refused = receipt(&server, |receipt| receipt.error.is_some()).await;
    assert!(refused.error.unwrap().ends_with(reason));
    // The next thing that happens is the start for a new generation.
    std::fs::remove_file(guest.path("agent/state/exit")).unwrap();
    server.set_desired(desired(2, &["a"]));
    let seen = observation(&server, is(AgentStatus::Running)).await;
    assert_eq!(seen.starts, blocked.starts + 1);
    receipt(&server, uses(2)).await;
}

#[tokio::test]
async fn hermes_is_declined_honestly() {
    let server = FakeServer::start().await;
    server.set_desired(DesiredState { provider: AgentProvider::HermesAgent, ..desired(1, &[]) });
    let _guest = Guest::start(&server);
    let seen = observation(&server, |seen| seen.last_error.is_some()).await;
    assert_eq!(seen.last_error.as_deref(), Some("Hermes Agent is not supported by this guest yet"));
    assert_eq!((seen.status, seen.starts), (AgentStatus::Undeployed, 0));
}

#[tokio::test]
async fn a_message_to_an_agent_that_is_down_fails() {
    let server = FakeServer::start().await;
    let _guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    server.send(chat("inv-2", "hello"));
    let expected = InvocationOutcome::Failed { message: "The agent is not running.".to_owned() };
    assert_eq!(outcome(&server).await, expected);
}

#[tokio::test]
async fn a_final_refusal_stops_agent_and_guest() {
    let server = FakeServer::start().await;
    server.set_desired(desired(1, &["a"]));
    let mut guest = Guest::start(&server);
    let pid = observation(&server, is(AgentStatus::Running)).await.pid.unwrap();
    server.send(ToGuest::Refused { reason: "deleted".to_owned(), fatal: true });
    let ended = tokio::task::spawn_blocking(move || {
        guest.child.wait().unwrap();
        guest
    });
    let guest = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
    assert!(guest.log().contains("Refused"), "{}", guest.log());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn a_refused_token_ends_the_guest() {
    let server = FakeServer::start().await;
    server.refuse_tokens();
    let mut guest = Guest::start(&server);
    let ended = tokio::task::spawn_blocking(move || {
        guest.child.wait().unwrap();
        guest
    });
    let guest = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
    assert!(guest.log().contains("EnrollRefused"), "{}", guest.log());
}

#[tokio::test]
async fn a_link_with_an_older_epoch_is_not_believed_and_a_silent_one_is_left() {
    let server = FakeServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let guest = Guest::start_in(dir, &server, &json!({ "ping_ms": 100 }));
    assert_eq!(server.next_link(PATIENCE).await, server.runtime_id());
    server.go_away().await;
    server.set_epoch(-5);
    server.set_desired(desired(1, &["a"]));
    server.come_back();
    server.next_link(PATIENCE).await;
    server.next_link(PATIENCE).await;
    assert!(guest.starts().is_empty(), "nothing is taken from an older server");
    server.set_epoch(100);
    observation(&server, is(AgentStatus::Running)).await;
    // A server that neither reads nor answers is left within two pings.
    server.fall_silent();
    server.next_link(PATIENCE).await;
}

#[tokio::test]
async fn an_agent_that_was_starting_when_its_guest_was_killed_gives_way() {
    let server = FakeServer::start().await;
    let guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    // What such a guest leaves: a process with the lock, under the trampoline's process file.
    let (lock, pid_file) = (guest.path("guest/agent.lock"), guest.path("guest/agent.pid"));
    let mut stranger = Command::new(HARNESS)
        .args(["guest-exec", "--setsid", "--lock"])
        .arg(lock)
        .arg("--pid-file")
        .arg(&pid_file)
        .args(["--", "sleep", "1000"])
        .spawn()
        .unwrap();
    let left = async {
        while !pid_file.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("the trampoline writes its process file");
    server.set_desired(desired(1, &["a"]));
    observation(&server, is(AgentStatus::Unavailable)).await;
    observation(&server, is(AgentStatus::Running)).await;
    assert!(!stranger.wait().unwrap().success());
    assert_eq!(guest.starts().len(), 1);
}

#[tokio::test]
async fn the_lock_keeps_a_second_guest_out() {
    let server = FakeServer::start().await;
    let guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    let options = guest.path("options.json");
    let second = tokio::task::spawn_blocking(move || {
        Command::new(HARNESS).args(["guest", "--options"]).arg(options).output().unwrap()
    });
    let output = tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("AlreadyRunning"));
}
