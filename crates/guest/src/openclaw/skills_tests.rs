use creel_wire::guest::{DriftPolicy, SkillPin};
use creel_wire::secret::Secret;

use super::*;
use crate::openclaw::config::{RenderContext, Rendered, render};

fn skill(name: &str) -> Skill {
    Skill {
        pin: SkillPin { name: name.to_owned(), content_hash: "0".repeat(64) },
        version: "1.0.0".to_owned(),
        archive_bytes: 10_240,
        enabled: true,
        env: BTreeMap::new(),
        api_key: None,
    }
}

fn config(install: Vec<Skill>, secure: bool) -> SkillsConfig {
    SkillsConfig { install, permitted: Vec::new(), secure, drift: DriftPolicy::Warn }
}

fn rendered(skills: Option<SkillsConfig>) -> (Rendered, Value) {
    let desired = creel_wire::guest::DesiredState {
        generation: 1,
        provider: creel_wire::guest::AgentProvider::OpenClaw,
        models: None,
        skills,
    };
    let context = RenderContext {
        paths: &AgentPaths::new("/run/creel/agent"),
        server_url: "http://127.0.0.1:8081",
        port: 18_901,
        gateway_token: &Secret::new("gateway-canary".to_owned()),
        virtual_key: &Secret::new("virtual-canary".to_owned()),
    };
    let rendered = render(&desired, &context);
    let value = serde_json::from_slice(&rendered.config).unwrap();
    (rendered, value)
}

#[test]
fn a_key_is_a_file_and_a_variable_stands_in_its_own_entry_alone() {
    let mut one = skill("one");
    one.api_key = Some(Secret::new("key-canary".to_owned()));
    one.env.insert("REGION".to_owned(), Secret::new("eu".to_owned()));
    let two = Skill { enabled: false, ..skill("two") };
    let (rendered, config) = rendered(Some(config(vec![one, two], false)));
    let entries = &config["skills"]["entries"];
    assert_eq!(entries["one"]["env"], json!({ "REGION": "eu" }));
    assert_eq!(entries["two"], json!({ "enabled": false }));
    let provider = entries["one"]["apiKey"]["provider"].as_str().unwrap();
    let path = config["secrets"]["providers"][provider]["path"].as_str().unwrap();
    let (_, key) = rendered.secrets.iter().find(|(name, _)| path.ends_with(name.as_str())).unwrap();
    assert_eq!(key.expose(), "key-canary");
    assert!(!config.to_string().contains("canary"));
    assert_eq!(config["skills"]["load"]["extraDirs"], json!(["/run/creel/agent/config/skills"]));
    // What was there before is there still, and nothing else is forbidden.
    assert_eq!(config["skills"]["workshop"]["autonomous"]["mode"], "off");
    for pointer in ["/skills/allowBundled", "/agents/defaults/skills", "/tools", "/security"] {
        assert_eq!(config.pointer(pointer), None, "{pointer}");
    }
}

#[test]
fn a_secure_agent_sees_its_own_list_and_asks_before_commands() {
    let mut wanted = config(vec![skill("one")], true);
    wanted.permitted.push(SkillPin { name: "own".to_owned(), content_hash: "1".repeat(64) });
    let (_, config) = rendered(Some(wanted));
    assert_eq!(config["agents"]["defaults"]["skills"], json!(["one", "own"]));
    assert_eq!(config["agents"]["defaults"]["skipBootstrap"], true);
    assert_eq!(config["skills"]["allowBundled"], json!(["creel-none"]));
    assert_eq!(config["skills"]["install"]["allowUploadedArchives"], false);
    assert_eq!(config["security"]["installPolicy"]["enabled"], true);
    assert_eq!(config["tools"], json!({ "exec": { "mode": "ask" }, "deny": ["skill_workshop"] }));
    let (_, empty) = rendered(Some(super::tests::config(Vec::new(), true)));
    assert_eq!(empty["agents"]["defaults"]["skills"], json!([]), "an empty list, which is not no list");
}

#[test]
fn many_skills_raise_the_limits_that_would_hide_some() {
    let many = (0..PLACE_DEFAULT).map(|n| skill(&format!("s{n}"))).collect();
    let (_, config) = rendered(Some(config(many, false)));
    assert_eq!(config["skills"]["limits"]["maxSkillsLoadedPerSource"], 400);
    let (_, config) = rendered(Some(super::tests::config(vec![skill("one")], false)));
    assert_eq!(config["skills"].get("limits"), None);
}

#[test]
fn the_view_tells_what_matters_and_no_secret() {
    let view_of = |skills: SkillsConfig| rendered(Some(skills)).0.expected.skills;
    let base = view_of(config(vec![skill("one")], false));
    let mut variable = skill("one");
    variable.env.insert("A".to_owned(), Secret::new("value-canary".to_owned()));
    assert!(!view_of(config(vec![variable.clone()], false)).to_string().contains("canary"));
    for other in [
        config(vec![], false),
        config(vec![skill("one")], true),
        config(vec![Skill { enabled: false, ..skill("one") }], false),
        config(vec![variable], false),
    ] {
        assert_ne!(view_of(other), base);
    }
    assert_eq!(
        rendered(None).0.expected.skills,
        view(&json!({})),
        "nothing is expected where nothing is said"
    );
}

#[test]
fn what_openclaw_lists_is_read() {
    let package = package(Path::new("/opt/openclaw"));
    let missing = json!({ "bins": ["gh"], "anyBins": [], "env": ["K", "L"], "config": [], "os": [] });
    let skill = |extra: Value| {
        let mut skill = json!({ "name": "a", "source": "openclaw-extra", "bundled": false, "eligible": true,
            "baseDir": "/run/creel/agent/config/skills/a", "skillKey": "a", "missing": {} });
        for (name, value) in extra.as_object().unwrap() {
            skill[name] = value.clone();
        }
        listed(&json!({ "skills": [skill] }), &package).remove(0)
    };
    let good = skill(json!({}));
    assert!(good.eligible && !good.packaged && good.missing.is_empty());
    let lacking = skill(json!({ "eligible": false, "missing": missing }));
    assert_eq!(lacking.missing, "programs gh; environment variables K, L");
    assert!(skill(json!({ "baseDir": "/opt/openclaw/dist/extensions/x/skills/a" })).packaged);
    assert!(skill(json!({ "bundled": true })).packaged);
    assert!(!skill(json!({ "skillKey": "b" })).eligible, "its settings would be another's");
    assert!(!skill(json!({ "blockedByAgentFilter": true })).eligible);
    // Linked by OpenClaw where the agent can write: believed only under a name that the package has.
    assert!(!skill(json!({ "baseDir": "/run/creel/agent/state/plugin-skills/a" })).packaged);
    assert!(listed(&json!({}), &package).is_empty());
}

#[test]
fn the_names_of_the_package_are_known() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["skills/a", "custodian-skills/b", "dist/extensions/p/skills/c", "dist/extensions/q"] {
        std::fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    let known = package(dir.path());
    assert!(["a", "b", "c"].iter().all(|name| known.has(name)) && !known.has("q"));
    assert!(known.is_at("c", Path::new("/run/creel/agent/state/plugin-skills/c")));
    assert!(!known.is_at("d", Path::new("/run/creel/agent/state/plugin-skills/d")));
}

fn package(dir: &Path) -> Packaged {
    Packaged::new(dir, &AgentPaths::new("/run/creel/agent"))
}
