//! Real commands: shell scripts that look at what they are given.

use std::collections::BTreeMap;

use super::*;

fn package() -> Arc<Package> {
    let skill = "---\nname: pdf-forms\ndescription: Fills in forms.\n---\n";
    let files = [("SKILL.md", skill), ("scripts/run.sh", "#!/bin/sh\necho hello\n"), (".env", "A=1\n")];
    let files: BTreeMap<_, _> =
        files.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect();
    Arc::new(creel_skills::package::from_files(files, None).unwrap())
}

/// A command that runs this script, with the skill's folder as $1 and the log's file as $2.
fn script(text: &str, extra: &str) -> Command {
    let command =
        format!("name = 'test'\ncommand = ['/bin/sh', '-c', '''{text}''', 'sh', '{{skill}}']\n{extra}");
    Command::new(toml::from_str(&command).unwrap())
}

const LOG: &str = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": [
    {"ruleId": "R1", "level": "error", "message": {"text": "WHAT"},
     "locations": [{"physicalLocation": {"artifactLocation": {"uri": "WHERE"}}}]}]}]}"#;

/// A script whose finding's message is what `command` prints.
fn saying(command: &str) -> String {
    let log = LOG.replace('\n', " ").replace("WHAT", "%s").replace("WHERE", "file://%s/scripts/run.sh");
    format!("printf '{log}' \"$({command})\" \"$1\"").replace("'''", "''")
}

async fn message(command: &str, extra: &str) -> String {
    let told = script(&saying(command), extra).analyse(package()).await.unwrap();
    assert!(told.unread.is_empty());
    assert_eq!(told.findings.len(), 1);
    assert_eq!(told.findings[0].file, "scripts/run.sh");
    told.findings[0].message.clone()
}

#[tokio::test]
async fn a_command_reads_a_private_copy_and_its_log_becomes_findings() {
    let listed = message("cd \"$1\" && find . -type f | sort | tr '\\n' ' '; basename \"$1\"", "").await;
    assert_eq!(listed, "./.env ./SKILL.md ./scripts/run.sh pdf-forms");
    let modes = "stat -c %a \"$(dirname \"$1\")\" \"$1\" \"$1/scripts\" \"$1/scripts/run.sh\" | tr '\\n' ' '";
    assert_eq!(message(modes, "").await, "700 700 700 600");
    // exit codes say nothing
    let failing = format!("{}; exit 1", saying("echo x"));
    assert_eq!(script(&failing, "").analyse(package()).await.unwrap().findings.len(), 1);
}

#[tokio::test]
async fn a_log_may_be_a_file() {
    let log = LOG.replace('\n', " ");
    let text = format!("echo noise; printf '%s' '{log}' > \"$2\"");
    let command =
        format!("name = 'test'\ncommand = ['/bin/sh', '-c', '''{text}''', 'sh', '{{skill}}', '{{sarif}}']");
    let told = Command::new(toml::from_str(&command).unwrap()).analyse(package()).await.unwrap();
    assert_eq!(told.findings[0].rule, "test.R1");
}

#[tokio::test]
async fn a_command_gets_of_the_environment_what_is_named_alone() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo sets it for tests");
    let names =
        "env | cut -d= -f1 | grep -v -e '^_$' -e '^PWD$' -e '^SHLVL$' -e '^OLDPWD$' | sort | tr '\\n' ' '";
    let expected = |more: &[&str]| {
        let set = VARIABLES.into_iter().filter(|name| std::env::var_os(name).is_some());
        let mut names: Vec<_> = set.chain(more.iter().copied()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(message(names, "").await, expected(&[]));
    let named = "environment = ['CARGO_MANIFEST_DIR', 'CREEL_NOT_SET']";
    assert_eq!(message(names, named).await, expected(&["CARGO_MANIFEST_DIR"]));
}

#[tokio::test]
async fn a_command_that_takes_too_long_ends_with_all_that_it_started() {
    let mark = tempfile::tempdir().unwrap();
    let (pid, place) = (mark.path().join("pid"), mark.path().join("place"));
    let text = format!("echo \"$1\" > {}; sleep 600 & echo $! > {}; wait", place.display(), pid.display());
    let error = script(&text, "timeout_s = 1").analyse(package()).await.unwrap_err();
    assert!(matches!(error, CommandError::Timeout(1)), "{error}");
    let pid = std::fs::read_to_string(pid).unwrap();
    let place = std::fs::read_to_string(place).unwrap();
    assert!(!Path::new(place.trim()).exists(), "{place}");
    let process = Pid::from_raw(pid.trim().parse().unwrap());
    // a killed process is there until somebody has waited for it
    let gone = async {
        let status = || std::fs::read_to_string(format!("/proc/{process}/status"));
        while status().is_ok_and(|status| !status.contains("State:\tZ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the child of the command is killed");
}

#[tokio::test]
async fn what_says_nothing_of_use_is_a_failure() {
    let error = async |text: &str| script(text, "").analyse(package()).await.unwrap_err();
    let told = error("echo broken >&2; exit 3").await;
    let CommandError::Log { status, stderr, .. } = &told else { panic!("{told}") };
    assert_eq!((status.code(), stderr.as_str()), (Some(3), "broken"));
    assert!(matches!(error("echo '{\"version\": \"2.1.0\", \"runs\": []}'").await, CommandError::Log { .. }));
    assert!(matches!(error("yes").await, CommandError::TooLong));
    let absent = "name = 'test'\ncommand = ['/nonexistent/scanner', '{skill}']";
    let error = Command::new(toml::from_str(absent).unwrap()).analyse(package()).await.unwrap_err();
    assert!(matches!(error, CommandError::Start { .. }), "{error}");
    let no_file = "name = 'test'\ncommand = ['/bin/true', '{skill}', '{sarif}']";
    let error = Command::new(toml::from_str(no_file).unwrap()).analyse(package()).await.unwrap_err();
    assert!(matches!(error, CommandError::Output(_)), "{error}");
}
