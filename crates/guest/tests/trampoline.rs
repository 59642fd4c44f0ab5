//! What a program can still do after the trampoline, tried with ordinary programs.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails in them fails the test")]

use std::path::Path;
use std::process::{Command, Output};

use creel_guest::{EXIT_FAILED, EXIT_LOCKED, EXIT_UNCONFINED};

fn guest_exec(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_creel-guest-harness")).arg("guest-exec").args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn landlock_shuts_in_or_the_program_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let (own, foreign) = (dir.path().join("own"), dir.path().join("foreign"));
    for path in [&own, &foreign] {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("file"), "content").unwrap();
    }
    let run = |script: &str| {
        let shell =
            ["--landlock", "--read", text(&foreign), "--write", text(&own), "--", "/bin/sh", "-c", script];
        guest_exec(&shell)
    };
    let first = run("exit 0");
    if first.status.code() == Some(i32::from(EXIT_UNCONFINED)) {
        // A kernel without Landlock: refusing is the whole promise.
        return;
    }
    assert!(first.status.success(), "{first:?}");
    let (own, foreign, secret) = (text(&own), text(&foreign), dir.path().join("secret"));
    std::fs::write(&secret, "secret").unwrap();
    assert!(
        run(&format!("cat {foreign}/file && echo x > {own}/new && ls /usr && : > /dev/null"))
            .status
            .success()
    );
    for forbidden in [
        format!("cat {}", secret.display()),
        format!("echo x > {foreign}/file"),
        format!("mv {own}/file {}", dir.path().display()),
        format!("kill -0 {}", std::process::id()),
    ] {
        assert!(!run(&forbidden).status.success(), "{forbidden}");
    }
}

#[test]
fn the_program_is_a_session_leader_with_its_process_file_and_no_new_privileges() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let script = format!(
        "cat {}; cut -d' ' -f6 /proc/$$/stat; echo $$; grep NoNewPrivs /proc/$$/status",
        text(&pid_file)
    );
    let output = guest_exec(&["--setsid", "--pid-file", text(&pid_file), "--", "/bin/sh", "-c", &script]);
    let output = String::from_utf8(output.stdout).unwrap();
    let (file, rest) = output.split_once('}').unwrap();
    let lines: Vec<&str> = rest.lines().collect();
    let [session, pid, privileges] = lines.as_slice() else { unreachable!("{lines:?}") };
    assert_eq!(session, pid);
    assert!(file.starts_with(&format!("{{\"pid\":{pid},")), "{file}");
    assert!(privileges.ends_with('1'));
}

#[test]
fn every_failure_has_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("lock");
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let status = |args: &[&str]| guest_exec(args).status.code();
    assert_eq!(status(&["--lock", text(&lock), "--", "/bin/true"]), Some(i32::from(EXIT_LOCKED)));
    assert_eq!(status(&["--what"]), Some(i32::from(EXIT_FAILED)));
    assert_eq!(status(&["--", "/nowhere/at/all"]), Some(i32::from(EXIT_FAILED)));
    drop(held);
    assert_eq!(status(&["--lock", text(&lock), "--", "/bin/true"]), Some(0));
}
