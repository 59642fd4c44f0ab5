//! Skills with the real OpenClaw: what it lists, what it can do, and what a list of skills does not stop.

use std::path::Path;
use std::time::{Duration, Instant};

use creel_wire::guest::{
    DesiredState, DriftPolicy, InvocationOutcome, InvocationRequest, Skill, SkillInventory, SkillState,
};
use creel_wire::secret::Secret;
use nix::unistd::Uid;

use crate::command::{invoke, isolation, outcome, run};
use crate::fixture::Guest;
use crate::server::FakeServer;
use crate::skills::{files, find, inventory, skill, wish};
use crate::{receipt_within, uses};

/// OpenClaw took 77 s to start on a busy machine of two cores.
const PATIENCE: Duration = Duration::from_secs(300);

fn markdown(name: &str, text: &str, requires: &str) -> String {
    let metadata = format!("metadata: {{\"openclaw\": {{{requires}}}}}");
    format!("---\nname: {name}\ndescription: {text}\n{metadata}\n---\n{text}\n")
}

/// A server and a guest with the real OpenClaw, kept in as well as this host can.
/// `uid` is no other test's: guests end all processes of their agent's user.
async fn start(uid: u32, wanted: impl FnOnce(&FakeServer) -> DesiredState) -> (FakeServer, Guest) {
    let root = Uid::effective().is_root();
    let dir = if root { tempfile::tempdir_in("/run") } else { tempfile::tempdir() }.unwrap();
    let isolation = isolation(dir.path(), uid).unwrap_or_else(|| serde_json::json!({ "kind": "none" }));
    let server = FakeServer::start().await;
    server.set_desired(wanted(&server));
    let guest = Guest::start_real(dir, &server, &isolation);
    (server, guest)
}

/// Of all skills that OpenClaw lists, asked as the agent could ask: how many there are, and which a model sees.
async fn visible(server: &FakeServer, id: &str) -> (usize, Vec<String>) {
    let entry = creel_guest::OpenClawPackage::find_default().package_dir.join("openclaw.mjs");
    let filter = "const s=JSON.parse(require('fs').readFileSync(0)).skills;\
                  console.log('#'+s.length+' '+s.filter(x=>x.modelVisible).map(x=>x.name).join(' '))";
    let script = format!("node {} skills list --json 2>/dev/null | node -e \"{filter}\"", entry.display());
    let (_, output, _) = run(server, id, &script, 120_000).await;
    let line = output.lines().find_map(|line| line.strip_prefix('#')).unwrap_or_else(|| panic!("{output}"));
    let (count, names) = line.split_once(' ').unwrap();
    (count.parse().unwrap(), names.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn is(name: &'static str, state: SkillState) -> impl Fn(&SkillInventory) -> bool {
    move |seen| find(seen, name, state).is_some()
}

async fn timed<T>(what: &str, doing: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = doing.await;
    eprintln!("{what}: {:.1} s", begun.elapsed().as_secs_f64());
    done
}

#[tokio::test]
async fn skills_are_what_openclaw_itself_lists() {
    let needs = r#""requires": {"env": ["GREETER_KEY"]}, "primaryEnv": "GREETER_KEY""#;
    let content = |text: &str| {
        files(&[("SKILL.md", &markdown("greeter", text, needs)), ("scripts/run.sh", "#!/bin/sh\necho hi\n")])
    };
    let mut skills: Vec<Skill> = Vec::new();
    let (server, guest) = start(2_138_000_008, |server| {
        let mut greeter = skill(server, "greeter", &content("one"));
        greeter.api_key = Some(Secret::new("greeter-key-of-the-test".to_owned()));
        // The package has one of this name, which would come first.
        let github = skill(server, "github", &files(&[("SKILL.md", &markdown("github", "our own", ""))]));
        let bins = r#""requires": {"bins": ["creel-no-such-program"]}"#;
        let broken = skill(server, "broken", &files(&[("SKILL.md", &markdown("broken", "x", bins))]));
        skills = vec![greeter, github, broken];
        wish(1, &skills.iter().collect::<Vec<_>>(), false, DriftPolicy::Warn)
    })
    .await;
    let [greeter, github, broken] = <[Skill; 3]>::try_from(skills).unwrap();
    timed("start to receipt", receipt_within(&server, PATIENCE, uses(1))).await;
    let seen = inventory(&server, PATIENCE, 1, |seen| {
        is("greeter", SkillState::Installed)(seen)
            && is("github", SkillState::Installed)(seen)
            && is("broken", SkillState::Failed)(seen)
    })
    .await;
    let note = find(&seen, "broken", SkillState::Failed).unwrap().note.clone().unwrap();
    assert_eq!(note, "the agent cannot use it, it lacks programs creel-no-such-program");
    let (all, names) = visible(&server, "inv-list-1").await;
    assert!(names.iter().any(|name| name == "greeter") && names.len() > 10, "{names:?}");

    let off = Skill { enabled: false, ..greeter.clone() };
    server.set_desired(wish(2, &[&off, &github], false, DriftPolicy::Warn));
    timed("disabled", inventory(&server, PATIENCE, 2, is("greeter", SkillState::Disabled))).await;
    receipt_within(&server, PATIENCE, uses(2)).await;
    let (_, names) = visible(&server, "inv-list-2").await;
    assert!(!names.iter().any(|name| name == "greeter"), "{names:?}");

    let newer = Skill { api_key: greeter.api_key.clone(), ..skill(&server, "greeter", &content("two")) };
    server.set_desired(wish(3, &[&newer, &github], false, DriftPolicy::Warn));
    timed("upgraded and enabled", inventory(&server, PATIENCE, 3, is("greeter", SkillState::Installed)))
        .await;
    receipt_within(&server, PATIENCE, uses(3)).await;

    // A tampered copy where the agent may write comes first with OpenClaw; where it may not, nothing is written.
    let shadow = "mkdir -p skills/deep/er && printf -- '---\\nname: greeter\\ndescription: evil\\n---\\n' \
                  > skills/deep/er/SKILL.md; echo x > \"${OPENCLAW_CONFIG_PATH%/*}/skills/greeter/SKILL.md\"; \
                  rm -rf \"${OPENCLAW_CONFIG_PATH%/*}/skills/greeter\"; true";
    run(&server, "inv-shadow", shadow, 60_000).await;
    let seen =
        timed("shadow seen", inventory(&server, PATIENCE, 3, is("greeter", SkillState::Shadowing))).await;
    assert_eq!(find(&seen, "greeter", SkillState::Shadowing).unwrap().place, "workspace/skills/deep/er");
    timed("hidden", inventory(&server, PATIENCE, 3, is("greeter", SkillState::Failed))).await;
    server.set_desired(wish(4, &[&newer, &github], false, DriftPolicy::Restore));
    timed("restored", inventory(&server, PATIENCE, 4, is("greeter", SkillState::Installed))).await;
    assert!(!guest.path("agent/workspace/skills/deep/er").exists());

    // Secure: of all that OpenClaw finds, the model sees what was authorised.
    server.set_desired(wish(5, &[&newer, &github], true, DriftPolicy::Warn));
    timed("secure", receipt_within(&server, PATIENCE, uses(5))).await;
    let own =
        "mkdir -p skills/own && printf -- '---\\nname: own\\ndescription: x\\n---\\n' > skills/own/SKILL.md";
    run(&server, "inv-own", own, 60_000).await;
    timed("foreign seen", inventory(&server, PATIENCE, 5, is("own", SkillState::Foreign))).await;
    let (secured, names) = visible(&server, "inv-list-3").await;
    eprintln!("of {all} skills, and {secured} on the secure agent, a model sees {names:?}");
    assert_eq!(names, ["github", "greeter"]);

    server.set_desired(wish(6, &[&github], true, DriftPolicy::Restore));
    let gone = |seen: &SkillInventory| {
        !seen.skills.iter().any(|one| one.name == "greeter" && one.place == "managed")
            && is("own", SkillState::Foreign)(seen)
    };
    timed("cancelled and cleared", inventory(&server, PATIENCE, 6, gone)).await;
    assert!(!guest.path("agent/workspace/skills/own").exists());
    receipt_within(&server, PATIENCE, uses(6)).await;
    assert_eq!(visible(&server, "inv-list-4").await.1, ["github"]);
    assert!(!guest.log().contains("greeter-key-of-the-test"));
    let _ = broken;
}

/// The model downloads a script and wants it run. A list of skills alone does not keep an agent with a shell from
/// anything; the policy of a secure agent does, as far as this shows.
#[tokio::test]
async fn a_downloaded_script_runs_on_an_open_agent_and_waits_on_a_secure_one() {
    let (server, guest) = start(2_138_000_009, |_| wish(1, &[], false, DriftPolicy::Warn)).await;
    receipt_within(&server, PATIENCE, uses(1)).await;
    let planted = guest.path("agent/workspace/skills/planted");
    let turn = async |id: &str| {
        // OpenClaw once answered a turn at the very moment of a change with an internal error.
        for again in 0..3 {
            let id = format!("{id}-{again}");
            let request = InvocationRequest::Chat { session: id.clone(), message: "please".to_owned() };
            invoke(&server, &id, request, 200_000);
            match timed("turn", outcome(&server, PATIENCE, &id)).await {
                InvocationOutcome::Replied { text } => return text,
                other => eprintln!("{other:?}"),
            }
        }
        panic!("no answer in three turns")
    };
    let open = turn("inv-open").await;
    assert!(open.contains("planted-it"), "{open}");
    assert!(planted.join("SKILL.md").exists());
    inventory(&server, PATIENCE, 1, is("planted", SkillState::Foreign)).await;

    std::fs::remove_dir_all(&planted).unwrap();
    server.set_desired(wish(2, &[], true, DriftPolicy::Restore));
    receipt_within(&server, PATIENCE, uses(2)).await;
    let secure = turn("inv-secure").await;
    assert!(secure.contains("exec denied") && !secure.contains("planted-it"), "{secure}");
    assert!(!planted.exists());

    // What an administrator runs is no tool of the agent, so nothing asks; what it leaves is taken away all the same.
    let script = format!("curl -s {}/script | sh", server.url());
    let (_, output, _) = run(&server, "inv-run", &script, 60_000).await;
    assert!(output.contains("planted-it"), "{output}");
    let seen = inventory(&server, PATIENCE, 2, is("planted", SkillState::Foreign)).await;
    assert!(
        find(&seen, "planted", SkillState::Foreign).unwrap().note.as_ref().unwrap().contains("quarantine")
    );
    assert!(!planted.exists());
    assert!(Path::new(&guest.path("guest/quarantine")).read_dir().unwrap().count() == 1);
}
