//! The process driver against a guest that is a shell script: what it starts, finds again, stops and removes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what fails in them fails the test")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use creel_control::driver::{
    AgentProvider, Driver, DriverError, Limits, RuntimeId, SandboxSpec, SandboxState, Secret,
};
use creel_drivers::process::{ProcessDriver, ProcessDriverConfig};

/// `guest-exec` becomes what stands behind `--`; `guest` writes its process file and waits for SIGTERM.
const FAKE_CREEL: &str = r#"#!/bin/sh
case "$1" in
guest-exec)
  while [ "$1" != "--" ]; do shift; done
  shift; exec "$@" ;;
guest)
  options=$3; dir=$(dirname "$options")
  [ -e "$dir/fail" ] && exit 3
  cp "$options" "$dir/seen-options"; [ -e "$dir/enroll.token" ] && cp "$dir/enroll.token" "$dir/seen-token"
  tr '\0' '\n' < /proc/$$/environ > "$dir/seen-env"
  boot=$(sed 's/.*"boot_generation":\([0-9]*\).*/\1/' "$options")
  start=$(sed 's/.*) //' /proc/$$/stat | cut -d' ' -f20)
  trap 'exit 0' TERM
  [ -e "$dir/stubborn" ] && trap '' TERM
  printf '{"pid":%d,"start_time":%d,"boot_generation":%d}' $$ "$start" "$boot" > "$dir/guest.pid.new"
  mv "$dir/guest.pid.new" "$dir/guest.pid"
  while :; do sleep 0.05; done ;;
esac
"#;

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let exe = dir.path().join("creel");
        std::fs::write(&exe, FAKE_CREEL).unwrap();
        std::fs::set_permissions(&exe, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn config(&self) -> ProcessDriverConfig {
        ProcessDriverConfig {
            executable: self.dir.path().join("creel"),
            data_dir: self.dir.path().join("data"),
            run_dir: self.dir.path().join("run"),
            node_bin: "/usr/bin/node".into(),
            openclaw_dir: "/opt/openclaw".into(),
            ca_file: None,
            admin_port: None,
            uid_base: 2_139_000_000,
            uid_count: 2,
            insecure: false,
            guest_env: vec![("RUST_LOG".to_owned(), "info".to_owned())],
        }
    }

    async fn driver(&self) -> ProcessDriver {
        ProcessDriver::open(self.config()).await.unwrap()
    }

    fn guest_dir(&self, id: &RuntimeId) -> PathBuf {
        self.dir.path().join("data/runtimes").join(id.as_str()).join("guest")
    }

    fn guest_pid(&self, id: &RuntimeId) -> i32 {
        let text = read(&self.guest_dir(id).join("guest.pid"));
        text.split([':', ',']).nth(1).unwrap().parse().unwrap()
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Ids are unique among the tests, for the host's control groups are shared.
fn spec(name: &str, boot_generation: i64, token: Option<&str>) -> SandboxSpec {
    SandboxSpec {
        runtime_id: RuntimeId::parse(&format!("ecd-drivertest-{}-{name}", std::process::id())).unwrap(),
        boot_generation,
        provider: AgentProvider::OpenClaw,
        limits: Limits { memory_bytes: 1 << 30, cpu_millis: 1000, pids: 100 },
        server_url: "http://127.0.0.1:1".to_owned(),
        enroll_token: token.map(|text| Secret::new(text.to_owned())),
    }
}

fn running(boot_generation: i64) -> SandboxState {
    SandboxState::Running { boot_generation }
}

#[tokio::test]
async fn a_sandbox_lives_from_start_to_removal() {
    let fixture = Fixture::new();
    let driver = fixture.driver().await;
    let spec = spec("life", 1, Some("token-canary"));
    let id = &spec.runtime_id;
    assert_eq!(driver.observe(id).await.unwrap(), SandboxState::Absent);
    driver.ensure_absent(id).await.unwrap();

    driver.ensure_running(&spec).await.unwrap();
    let pid = fixture.guest_pid(id);
    driver.ensure_running(&spec).await.unwrap();
    assert_eq!(fixture.guest_pid(id), pid, "nothing is started twice");
    assert_eq!(driver.observe(id).await.unwrap(), running(1));
    assert_eq!(driver.list().await.unwrap(), std::slice::from_ref(id));

    driver.ensure_stopped(id).await.unwrap();
    driver.ensure_stopped(id).await.unwrap();
    assert_eq!(driver.observe(id).await.unwrap(), SandboxState::Stopped);
    driver.ensure_running(&spec).await.unwrap();
    assert_eq!(driver.observe(id).await.unwrap(), running(1));

    driver.ensure_absent(id).await.unwrap();
    driver.ensure_absent(id).await.unwrap();
    assert_eq!(driver.observe(id).await.unwrap(), SandboxState::Absent);
    assert!(driver.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_token_is_in_a_private_file_and_nowhere_else() {
    let fixture = Fixture::new();
    let driver = fixture.driver().await;
    let spec = spec("token", 1, Some("token-canary"));
    driver.ensure_running(&spec).await.unwrap();
    let dir = fixture.guest_dir(&spec.runtime_id);
    assert_eq!(read(&dir.join("seen-token")), "token-canary");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.join("enroll.token")), 0o600);
    assert_eq!((mode(&dir), mode(dir.parent().unwrap())), (0o700, 0o700));
    let environment = read(&dir.join("seen-env"));
    let arguments = read(&PathBuf::from(format!("/proc/{}/cmdline", fixture.guest_pid(&spec.runtime_id))));
    for text in [&read(&dir.join("seen-options")), &environment, &arguments] {
        assert!(!text.contains("canary"), "{text}");
    }
    let mut names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    names.retain(|name| !matches!(*name, "PWD" | "OLDPWD" | "_" | "SHLVL"));
    names.sort_unstable();
    assert_eq!(names, ["PATH", "RUST_LOG"], "nothing else of the server's environment");
    driver.ensure_absent(&spec.runtime_id).await.unwrap();
}

#[tokio::test]
async fn a_higher_boot_generation_restarts_and_a_new_driver_does_not() {
    let fixture = Fixture::new();
    let first = spec("boot", 1, None);
    let id = &first.runtime_id;
    let driver = fixture.driver().await;
    driver.ensure_running(&first).await.unwrap();
    let pid = fixture.guest_pid(id);
    drop(driver);

    let driver = fixture.driver().await;
    assert_eq!(driver.observe(id).await.unwrap(), running(1));
    driver.ensure_running(&first).await.unwrap();
    assert_eq!(fixture.guest_pid(id), pid);
    driver.ensure_running(&spec("boot", 2, None)).await.unwrap();
    assert_ne!(fixture.guest_pid(id), pid);
    assert_eq!(driver.observe(id).await.unwrap(), running(2));
    driver.ensure_absent(id).await.unwrap();
}

#[tokio::test]
async fn a_killed_guest_is_noticed_reaped_and_started_again() {
    let fixture = Fixture::new();
    let driver = fixture.driver().await;
    let spec = spec("kill", 1, None);
    let id = &spec.runtime_id;
    driver.ensure_running(&spec).await.unwrap();
    let pid = fixture.guest_pid(id);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let looked = async {
        while driver.observe(id).await.unwrap() != SandboxState::Stopped {
            tokio::task::yield_now().await;
        }
        while Path::new(&format!("/proc/{pid}")).exists() {
            driver.observe(id).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), looked).await.expect("the guest is reaped");
    driver.ensure_running(&spec).await.unwrap();
    assert_ne!(fixture.guest_pid(id), pid);
    driver.ensure_absent(id).await.unwrap();
}

#[tokio::test]
async fn an_agent_without_its_guest_is_seen_and_stopped() {
    let fixture = Fixture::new();
    let driver = fixture.driver().await;
    let spec = spec("orphan", 1, None);
    let id = &spec.runtime_id;
    driver.ensure_running(&spec).await.unwrap();
    driver.ensure_stopped(id).await.unwrap();
    let mut agent = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let stat = read(&PathBuf::from(format!("/proc/{}/stat", agent.id())));
    let start = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
    let text = format!(r#"{{"pid":{},"start_time":{start}}}"#, agent.id());
    std::fs::write(fixture.guest_dir(id).join("agent.pid"), text).unwrap();
    assert_eq!(driver.observe(id).await.unwrap(), running(0));
    driver.ensure_stopped(id).await.unwrap();
    assert_eq!(driver.observe(id).await.unwrap(), SandboxState::Stopped);
    assert!(!agent.wait().unwrap().success());
    driver.ensure_absent(id).await.unwrap();
}

#[tokio::test]
async fn failures_are_typed() {
    let fixture = Fixture::new();
    let driver = fixture.driver().await;
    let spec_a = spec("fail", 1, None);
    std::fs::create_dir_all(fixture.guest_dir(&spec_a.runtime_id)).unwrap();
    std::fs::write(fixture.guest_dir(&spec_a.runtime_id).join("fail"), "").unwrap();
    let error = driver.ensure_running(&spec_a).await.unwrap_err();
    assert!(matches!(error, DriverError::Failed { .. }) && error.is_retryable(), "{error:?}");
    driver.ensure_absent(&spec_a.runtime_id).await.unwrap();

    let broken = ProcessDriverConfig { executable: "/bin/false".into(), ..fixture.config() };
    let error = ProcessDriver::open(broken.clone()).await.unwrap_err();
    assert!(matches!(error, DriverError::Unfit { .. }) && !error.is_retryable(), "{error:?}");
    ProcessDriver::open(ProcessDriverConfig { insecure: true, ..broken }).await.unwrap();

    std::fs::remove_dir_all(fixture.dir.path().join("data/runtimes")).unwrap();
    assert!(matches!(driver.list().await.unwrap_err(), DriverError::List(_)));
}

#[tokio::test]
async fn user_ids_are_never_shared() {
    if !nix::unistd::Uid::effective().is_root() {
        // Without root every agent has the server's user.
        return;
    }
    let fixture = Fixture::new();
    let driver = fixture.driver().await;
    let specs = [spec("uid1", 1, None), spec("uid2", 1, None), spec("uid3", 1, None)];
    driver.ensure_running(&specs[0]).await.unwrap();
    driver.ensure_running(&specs[1]).await.unwrap();
    let error = driver.ensure_running(&specs[2]).await.unwrap_err();
    assert!(matches!(error, DriverError::Exhausted { .. }), "{error:?}");
    let uid = |n: usize| read(&fixture.guest_dir(&specs[n].runtime_id).join("sandbox.json"));
    assert_ne!(uid(0), uid(1));
    for spec in &specs {
        driver.ensure_absent(&spec.runtime_id).await.unwrap();
    }
}
