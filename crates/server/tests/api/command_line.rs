//! The binary: what stands on standard output, and the exit codes.

use std::path::Path;
use std::process::{Command, Output};

use creel_testkit::{Database, open};

use crate::harness::{KEY_ID, SECRET, TestApp};

/// Runs the binary with an environment of its own.
fn creel(environment: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_creel"));
    command.env_clear().envs(environment.iter().copied()).args(args).output().expect("the binary runs")
}

pub(crate) async fn creel_async(environment: Vec<(&'static str, String)>, args: Vec<String>) -> Output {
    let run = move || {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        creel(&environment, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    tokio::task::spawn_blocking(run).await.expect("the binary runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

pub(crate) fn args(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn client_environment(app: &TestApp) -> Vec<(&'static str, String)> {
    vec![
        ("CREEL_ENDPOINT", app.host().to_owned()),
        ("CREEL_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("CREEL_ACCESS_KEY_SECRET", SECRET.to_owned()),
    ]
}

/// The client commands sign with the machine's clock.
pub(crate) async fn app_at_present() -> (TestApp, creel_testkit::TestStore) {
    use creel_control::clock::{Clock, SystemClock};
    let t = open(Database::Sqlite).await;
    t.clock.advance(SystemClock.now().duration_since(t.clock.now()));
    (TestApp::start(&t).await, t)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_prints_the_answer_and_its_exit_code_says_how_it_went() {
    let (app, _t) = app_at_present().await;
    let environment = client_environment(&app);
    let done =
        creel_async(environment.clone(), args("call 2020-09-30 DescribeRegions --RegionId cn-hangzhou"))
            .await;
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let answer: serde_json::Value = serde_json::from_str(&stdout(&done)).expect("JSON");
    assert_eq!(answer["Regions"][0]["RegionId"], "cn-hangzhou");

    let made = "call 2020-09-30 CreateSimpleOfficeSite --RegionId cn-hangzhou --OfficeSiteName=site";
    let made = creel_async(environment.clone(), args(made)).await;
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));

    let refused = creel_async(environment.clone(), args("call 2020-09-30 CreateSimpleOfficeSite")).await;
    assert_eq!(refused.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_str(&stdout(&refused)).expect("JSON");
    assert_eq!(answer["Code"], "MissingRegionId");
    assert!(stderr(&refused).contains("MissingRegionId"), "{}", stderr(&refused));

    let wrong = creel_async(environment, args("call 2020-09-30 DescribeRegions --Name")).await;
    assert_eq!((wrong.status.code(), stdout(&wrong).as_str()), (Some(2), ""));
    let nobody = creel_async(Vec::new(), args("call 2026-11-24 DescribeAgentMessages")).await;
    assert_eq!(nobody.status.code(), Some(2), "{}", stderr(&nobody));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_keeps_a_key_that_is_good_and_only_the_user_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let (app, _t) = app_at_present().await;
    let home = tempfile::tempdir().expect("a temporary directory");
    let environment = vec![("HOME", home.path().display().to_string())];
    let key = home.path().join("key.json");
    let login = format!("login --endpoint http://{} --credentials {}", app.host(), key.display());
    let write = |secret: &str| {
        let text = serde_json::json!({"AccessKeyId": KEY_ID, "AccessKeySecret": secret}).to_string();
        std::fs::write(&key, text).expect("writes");
    };
    let profile = home.path().join(".config/creel/profile.json");

    write("other");
    let wrong = creel_async(environment.clone(), args(&login)).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("SignatureDoesNotMatch") && !profile.exists(), "{}", stderr(&wrong));

    write(SECRET);
    let done = creel_async(environment.clone(), args(&login)).await;
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert_eq!(std::fs::metadata(&profile).expect("it is there").permissions().mode() & 0o777, 0o600);
    let call = creel_async(environment, args("call 2026-11-24 DescribeAgentMessages")).await;
    assert_eq!(call.status.code(), Some(0), "{}", stderr(&call));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_works_beside_the_running_server() {
    use creel_control::clock::Clock;
    let (app, t) = app_at_present().await;
    let environment = vec![
        ("CREEL_DATA_DIR", app.data_dir.path().display().to_string()),
        ("CREEL_DATABASE", app.database().to_owned()),
    ];
    let admin = |line: &str| creel_async(environment.clone(), args(&format!("admin {line}")));

    let made = admin("account create --name acme").await;
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let account: serde_json::Value = serde_json::from_str(&stdout(&made)).expect("JSON");
    let mut call = app.call(crate::harness::READ);
    call.key_id = account["AccessKeyId"].as_str().expect("an id").to_owned();
    call.secret = account["AccessKeySecret"].as_str().expect("a secret").to_owned();
    app.send(call.acs3()).await.assert_ok();

    let twice = admin("account create --name acme").await;
    assert_eq!((twice.status.code(), stdout(&twice).as_str()), (Some(1), ""));
    assert!(stderr(&twice).contains("an account named acme exists"), "{}", stderr(&twice));
    let listed = stdout(&admin("account list").await);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let listed = admin("account list --output json").await;
    let accounts: serde_json::Value = serde_json::from_str(&stdout(&listed)).expect("JSON");
    assert_eq!(accounts[1]["Name"], "acme");

    let disabled = admin(&format!("key disable --account acme {}", call.key_id)).await;
    assert_eq!(disabled.status.code(), Some(0), "{}", stderr(&disabled));
    t.clock.advance(jiff::SignedDuration::from_secs(1));
    call.nonce = "after-a-second".to_owned();
    call.date = creel_wire::time::TimeFormat::Seconds.write(t.clock.now());
    app.send(call.acs3()).await.assert_refused(400, "InvalidAccessKeyId.Inactive");
    let keys = stdout(&admin("key list --account acme").await);
    assert!(keys.contains("Inactive"), "{keys}");

    let checked = admin("ledger check").await;
    assert_eq!(
        (checked.status.code(), stdout(&checked).as_str()),
        (Some(0), "0 differences\n"),
        "{}",
        stderr(&checked)
    );
    let granted = admin("ledger grant --account acme --credits 1.5").await;
    let pack: serde_json::Value = serde_json::from_str(&stdout(&granted)).expect("JSON");
    assert_eq!(pack["TotalCredits"], "1.500000");
    let unpriced = admin("price set --provider mpt-none --model m --input 1 --output-tokens 1").await;
    assert_eq!(unpriced.status.code(), Some(1), "{}", stderr(&unpriced));
    let nobodys = admin("key enable LTAInobody").await;
    assert_eq!(nobodys.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_gives_users_keys_and_policies() {
    let (app, t) = app_at_present().await;
    let environment = vec![
        ("CREEL_DATA_DIR", app.data_dir.path().display().to_string()),
        ("CREEL_DATABASE", app.database().to_owned()),
    ];
    let admin = async |line: &str| {
        let done = creel_async(environment.clone(), args(&format!("admin {line}"))).await;
        assert_eq!(done.status.code(), Some(0), "{line}: {}", stderr(&done));
        stdout(&done)
    };
    admin("principal create alice").await;
    let key: serde_json::Value =
        serde_json::from_str(&admin("key create --principal alice").await).expect("JSON");
    let document =
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"creel:Describe*","Resource":"*"}]}"#;
    let file = app.data_dir.path().join("policy.json");
    std::fs::write(&file, document).expect("writes");
    let call = |nonce: &str| {
        t.clock.advance(jiff::SignedDuration::from_secs(1));
        let mut call = app.call(crate::harness::READ);
        call.key_id = key["AccessKeyId"].as_str().expect("an id").to_owned();
        call.secret = key["AccessKeySecret"].as_str().expect("a secret").to_owned();
        call.nonce = nonce.to_owned();
        app.send(call.acs3())
    };
    admin(&format!("policy put readers --file {}", file.display())).await;
    call("before").await.assert_refused(403, "NoPermission");
    admin("policy attach readers --principal alice").await;
    call("attached").await.assert_ok();
    let listed = admin("policy list").await;
    assert!(listed.contains("FullAccess") && listed.contains("readers"), "{listed}");
    assert!(admin("policy list --principal alice").await.contains("readers"));
    assert_eq!(admin("policy show readers").await.trim(), document);
    admin("policy detach readers --principal alice").await;
    call("detached").await.assert_refused(403, "NoPermission");
    admin("policy delete readers").await;
    assert!(!admin("policy list").await.contains("readers"));
    admin("principal disable alice").await;
    call("off").await.assert_refused(400, "InvalidAccessKeyId.Inactive");
    assert!(admin("principal list").await.contains("Inactive"));
    admin("principal delete alice").await;
    call("gone").await.assert_refused(404, "InvalidAccessKeyId.NotFound");
}

#[test]
fn a_wrong_configuration_is_named_with_exit_code_2_and_without_secrets() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("creel.toml");
    let file_text = file.display().to_string();
    for (toml, message) in [
        ("data_dirr = 'x'", "data_dirr"),
        ("database = 'oracle://u:canary@h/d'", "database: give sqlite:PATH or postgres://"),
        ("driver = 'docker'", "driver = docker is not built yet; use process"),
        ("driver = 'none'\nobjects = 'gs://canary'", "objects"),
        ("tls_cert = 'x'", "give both or neither"),
        (
            "[[system_provider]]\nname='a'\nbase_url='http://x'\napi='openai-completions'\napi_key='canary'\napi_key_env='X'",
            "give only one of",
        ),
        (
            "[[system_provider]]\nname='a'\nbase_url='http://x'\napi='openai-completions'\napi_key_env='NOT_SET'",
            "NOT_SET",
        ),
        (
            "[[system_provider]]\nname='a'\nbase_url='http://x'\napi='openai-completions'\napi_key=['canary']",
            "line 5",
        ),
        (
            "[[system_provider]]\nname='a'\nbase_url='http://x'\napi='x'\n[[system_provider.model]]\ncode='m'\nname='m'\nprice={input=0.2,output='1'}",
            "decimal",
        ),
    ] {
        std::fs::write(&file, toml).expect("writes");
        let output = creel(&[("CREEL_CONFIG", &file_text)], &["check-config"]);
        assert_eq!(output.status.code(), Some(2), "{toml}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{toml}: {}", stderr(&output));
        assert!(!stderr(&output).contains("canary"), "{toml}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("creel.toml");
    let toml = r#"
region = "from-file"
admin_listen = "127.0.0.1:1"
agent_listen = "127.0.0.1:2"
database = "postgres://creel:canary@db/creel"

[[system_provider]]
name = "wuying-credit"
base_url = "https://example.com/v1"
api = "openai-completions"
api_key = "canary"

[[system_provider.model]]
code = "m"
name = "M"
multiplier = "0.5"
price = { input = "0.2", output = 1 }
"#;
    std::fs::write(&file, toml).expect("writes");
    let file_text = file.display().to_string();
    let environment = [
        ("CREEL_CONFIG", file_text.as_str()),
        ("CREEL_ADMIN_LISTEN", "127.0.0.1:3"),
        ("CREEL_AGENT_LISTEN", "127.0.0.1:4"),
        ("CREEL_ROOT_ACCESS_KEY_ID", "LTAIx"),
        ("CREEL_ROOT_ACCESS_KEY_SECRET", "canary"),
    ];
    let output = creel(&environment, &["check-config", "--agent-listen", "127.0.0.1:5"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!(stdout(&output));
}

/// The documented first line, and an end in order by SIGTERM.
#[test]
fn serve_prints_one_ready_line_and_ends_by_sigterm() {
    use std::io::{BufRead, BufReader, Read};
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_creel"));
    command.env_clear().args(["serve", "--driver", "none", "--admin-listen", "127.0.0.1:0"]);
    command.args(["--agent-listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path());
    let mut server = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut out = BufReader::new(server.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(ready["event"], "ready");
    for listener in ["admin", "agent"] {
        let url = ready[listener].as_str().expect("a URL");
        assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"), "{url}");
    }
    let killed = Command::new("kill").arg(server.id().to_string()).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(server.wait().expect("ends").code(), Some(0));
    let (mut rest, mut log) = (String::new(), String::new());
    out.read_to_string(&mut rest).expect("text");
    server.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
    assert_eq!(rest, "");
    // The log of a program is JSON lines.
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    }
    assert!(Path::new(&folder.path().join("creel.db")).exists());
}
