//! Commands in a real guest: whose they are, what they can reach, when and how they end.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_wire::guest::{
    CommandEnd, CommandResult, Invocation, InvocationOutcome, InvocationRequest, OUTPUT_BYTES_MAX, ToGuest,
    ToServer,
};
use creel_wire::id::InvocationId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde_json::{Value, json};

use super::fixture::{Guest, HARNESS, PATIENCE};
use super::server::FakeServer;

const EXIT_UNCONFINED: i32 = creel_guest::EXIT_UNCONFINED as i32;
/// A user that nobody has.
const UID: u32 = 2_138_000_007;

pub(crate) fn invoke(server: &FakeServer, id: &str, request: InvocationRequest, timeout_ms: u64) {
    server.send(ToGuest::Invoke(Invocation { id: InvocationId::parse(id).unwrap(), request, timeout_ms }));
}

pub(crate) async fn outcome(server: &FakeServer, patience: Duration, id: &str) -> InvocationOutcome {
    server
        .wait(patience, |message| match message {
            ToServer::InvocationResult { invocation_id, outcome } if invocation_id.as_str() == id => {
                Some(outcome.clone())
            }
            _ => None,
        })
        .await
}

/// Runs a script; its end, its output, and how many bytes of that are missing.
pub(crate) async fn run(
    server: &FakeServer,
    id: &str,
    script: &str,
    timeout_ms: u64,
) -> (CommandEnd, String, u64) {
    invoke(server, id, InvocationRequest::Command { script: script.to_owned() }, timeout_ms);
    let patience = Duration::from_millis(timeout_ms) + PATIENCE;
    match outcome(server, patience, id).await {
        InvocationOutcome::Ran(CommandResult { end, output, dropped }) => {
            (end, String::from_utf8(STANDARD.decode(output).unwrap()).unwrap(), dropped)
        }
        other => panic!("{other:?}"),
    }
}

fn exited(code: i32) -> CommandEnd {
    CommandEnd::Exited { code }
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Waits until a file that a command writes has a line.
async fn line_in(path: &Path) -> String {
    let wait = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the command writes what the test waits for")
}

/// The strongest isolation of this host: a user of its own where the test is root, else Landlock; `None` where neither
/// works.
pub(crate) fn isolation(dir: &Path, uid: u32) -> Option<Value> {
    let trial = |args: &[&str]| {
        let tried = Command::new(HARNESS).arg("guest-exec").args(args).args(["--", "/bin/true"]).output();
        tried.unwrap().status.code()
    };
    let landlock = trial(&["--landlock"]) == Some(0);
    if !Uid::effective().is_root() {
        return landlock.then(|| json!({ "kind": "landlock", "private_tmp": false }));
    }
    let mount_point = dir.join("mount");
    std::fs::create_dir(&mount_point).unwrap();
    for path in [dir, &mount_point] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (from, to) = (dir.to_str().unwrap(), mount_point.to_str().unwrap());
    let user = format!("{uid}:{uid}");
    let status = trial(&["--bind-from", from, "--bind-to", to, "--user", &user]);
    (status != Some(EXIT_UNCONFINED)).then(|| {
        json!({
            "kind": "user", "uid": uid, "gid": uid, "name": "creel-agent-7", "mount_point": mount_point,
            "landlock": landlock,
        })
    })
}

#[tokio::test]
async fn a_command_is_the_agents_user_and_reaches_nothing_else() {
    // Not below /tmp where the agent has one of its own, which would hide it.
    let root = Uid::effective().is_root();
    let dir = if root { tempfile::tempdir_in("/run") } else { tempfile::tempdir() }.unwrap();
    // Where nothing isolates there is nothing to promise.
    let Some(isolation) = isolation(dir.path(), UID) else { return };
    let own_user = isolation["kind"] == "user";
    let server = FakeServer::start().await;
    let guest = Guest::start_isolated(dir, &server, &isolation);
    server.next_link(PATIENCE).await;
    let uid = if own_user { UID } else { Uid::effective().as_raw() };
    let script = "id -u; basename $PWD; basename $HOME; id -un >&2; touch mine && ls; exit 3";
    let name = if own_user { "creel-agent-7".to_owned() } else { line(&["id", "-un"]) };
    let expected = format!("{uid}\nworkspace\nhome\n{name}\nmine\n");
    assert_eq!(run(&server, "inv-1", script, 30_000).await, (exited(3), expected, 0));
    assert!(guest.path("agent/workspace/mine").exists());

    let secret = guest.path("guest/identity.key");
    assert!(secret.exists());
    for (id, forbidden) in [
        ("inv-2", format!("cat {}", secret.display())),
        ("inv-3", format!("ls {}", guest.path("guest").display())),
        ("inv-4", format!("echo x > {}", guest.path("agent/config/planted").display())),
        ("inv-5", "echo x > \"$(dirname \"$OPENCLAW_CONFIG_PATH\")/planted\"".to_owned()),
        ("inv-6", format!("kill -0 {}", std::process::id())),
    ] {
        let (end, _, _) = run(&server, id, &forbidden, 30_000).await;
        assert_ne!(end, exited(0), "{forbidden}");
    }
    // Its own script is not its to change, and is gone afterwards.
    let (end, _, _) = run(&server, "inv-7", "[ ! -w \"$0\" ] && [ -r \"$0\" ]", 30_000).await;
    if own_user {
        assert_eq!(end, exited(0));
    }
    assert_eq!(std::fs::read_dir(guest.path("agent/config/commands")).unwrap().count(), 0);
}

/// The one line that a program writes.
fn line(program: &[&str]) -> String {
    let (name, args) = program.split_first().unwrap();
    String::from_utf8(Command::new(name).args(args).output().unwrap().stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn the_first_line_names_the_program() {
    let server = FakeServer::start().await;
    let _guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    let script = "#!/usr/bin/python3\nimport sys\nprint('from', 'python')\nsys.exit(4)\n";
    assert_eq!(run(&server, "inv-1", script, 30_000).await, (exited(4), "from python\n".to_owned(), 0));
    let (end, _, _) = run(&server, "inv-2", "#!/nowhere/at/all\n", 30_000).await;
    let CommandEnd::Failed { message } = end else { panic!("{end:?}") };
    assert!(message.starts_with("it could not be started: executing"), "{message}");
    let (end, _, _) = run(&server, "inv-3", "kill -9 $$", 30_000).await;
    assert_eq!(end, CommandEnd::Killed { signal: 9 });
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_it_started() {
    let server = FakeServer::start().await;
    let guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    // A child in the group, one in a session of its own, and one of that.
    let script = "echo before; sleep 1000 & echo $! > child
        setsid sh -c 'sleep 1001 & echo $! > grandchild; echo $$ > outsider; wait' &
        while [ ! -s grandchild ] || [ ! -s outsider ]; do sleep 0.01; done; sleep 1002";
    let (end, output, _) = run(&server, "inv-1", script, 2_000).await;
    assert_eq!((end, output.as_str()), (CommandEnd::TimedOut, "before\n"));
    for file in ["child", "grandchild", "outsider"] {
        let pid = line_in(&guest.path("agent/workspace").join(file)).await;
        assert!(!is_alive(&pid), "{file} {pid} lives on");
    }
}

#[tokio::test]
async fn of_a_flood_the_end_is_kept() {
    let server = FakeServer::start().await;
    let _guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    let flood = 5_000_000;
    let (end, output, dropped) =
        run(&server, "inv-1", &format!("yes | head -c {flood}; echo the end; exit 7"), 60_000).await;
    assert_eq!((end, output.len()), (exited(7), OUTPUT_BYTES_MAX));
    assert!(output.ends_with("y\nthe end\n"));
    assert_eq!(dropped + OUTPUT_BYTES_MAX as u64, flood + "the end\n".len() as u64);
    // One that never stops is stopped.
    let (end, output, dropped) = run(&server, "inv-2", "yes", 1_000).await;
    assert_eq!((end, output.len()), (CommandEnd::TimedOut, OUTPUT_BYTES_MAX));
    assert!(dropped > 0);
}

#[tokio::test]
async fn what_a_command_leaves_in_the_background_holds_nothing_up() {
    let server = FakeServer::start().await;
    let _guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    let (end, pid, _) = run(&server, "inv-1", "sleep 1000 & echo $!", 600_000).await;
    assert_eq!(end, exited(0));
    assert!(is_alive(&pid), "a service that a command starts goes on");
    kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_command_runs_once_however_often_it_is_asked_for() {
    let server = FakeServer::start().await;
    let guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    let count = |guest: &Guest| std::fs::read_to_string(guest.path("agent/workspace/count")).unwrap();
    let once = "echo once >> count";
    assert_eq!(run(&server, "inv-1", once, 30_000).await, (exited(0), String::new(), 0));
    assert_eq!(run(&server, "inv-1", once, 30_000).await, (exited(0), String::new(), 0), "told again");
    assert_eq!(count(&guest), "once\n");

    let long = "echo long >> count; echo $$ > pid; sleep 1000";
    invoke(&server, "inv-2", InvocationRequest::Command { script: long.to_owned() }, 600_000);
    let pid = line_in(&guest.path("agent/workspace/pid")).await;
    let guest = guest.replace(&server);
    server.next_link(PATIENCE).await;
    assert!(!is_alive(&pid), "a new guest ends what the old one ran");
    for (id, script) in [("inv-2", long), ("inv-1", once)] {
        let (end, _, _) = run(&server, id, script, 30_000).await;
        assert_eq!(end, CommandEnd::Interrupted);
    }
    assert_eq!(count(&guest), "once\nlong\n", "nothing ran twice");
}

#[tokio::test]
async fn the_end_of_a_guest_is_the_end_of_its_commands() {
    let server = FakeServer::start().await;
    let mut guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    let script = "setsid sleep 1000 & echo $! > pid; wait";
    invoke(&server, "inv-1", InvocationRequest::Command { script: script.to_owned() }, 600_000);
    let pid = line_in(&guest.path("agent/workspace/pid")).await;
    guest.signal(Signal::SIGTERM);
    assert!(guest.child.wait().unwrap().success());
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn too_many_at_once_are_refused_and_messages_are_not_in_their_way() {
    let server = FakeServer::start().await;
    let _guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    for n in 0..8 {
        let script = "sleep 1000".to_owned();
        invoke(&server, &format!("inv-{n}"), InvocationRequest::Command { script }, 600_000);
    }
    let script = "echo never".to_owned();
    invoke(&server, "inv-more", InvocationRequest::Command { script }, 1_000);
    let InvocationOutcome::Failed { message } = outcome(&server, PATIENCE, "inv-more").await else {
        panic!()
    };
    assert!(message.contains("too many commands"), "{message}");
    let chat = InvocationRequest::Chat { session: "s".to_owned(), message: "hello".to_owned() };
    invoke(&server, "inv-chat", chat, 1_000);
    let InvocationOutcome::Failed { message } = outcome(&server, PATIENCE, "inv-chat").await else {
        panic!()
    };
    assert_eq!(message, "The agent is not running.");
}

#[tokio::test]
async fn a_request_of_a_later_version_is_declined_and_the_link_lives() {
    let server = FakeServer::start().await;
    let _guest = Guest::start(&server);
    server.next_link(PATIENCE).await;
    let later: InvocationRequest =
        serde_json::from_value(json!({ "kind": "dream", "of": ["sheep"] })).unwrap();
    invoke(&server, "inv-1", later, 1_000);
    let InvocationOutcome::Failed { message } = outcome(&server, PATIENCE, "inv-1").await else { panic!() };
    assert_eq!(message, "This guest is older than the request. Reboot the runtime to renew it.");
    assert_eq!(run(&server, "inv-2", "echo on", 30_000).await, (exited(0), "on\n".to_owned(), 0));
}
