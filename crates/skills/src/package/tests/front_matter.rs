//! What front matter says.

use super::*;
use crate::package::{Manifest, normal_version, read};

fn manifest(front_matter: &str) -> Manifest {
    let package = format!("---\n{front_matter}\n---\n\n# The heading\n\nText.\n");
    read(package.as_bytes()).unwrap_or_else(|cause| panic!("{front_matter}: {cause}")).manifest
}

fn needs(front_matter: &str) -> (Vec<String>, Option<String>, Vec<String>) {
    let Manifest { required_env, api_key_env, required_bins, .. } =
        manifest(&format!("name: a\ndescription: b\n{front_matter}"));
    (required_env, api_key_env, required_bins)
}

fn told(env: &[&str], key: Option<&str>, bins: &[&str]) -> (Vec<String>, Option<String>, Vec<String>) {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    (owned(env), key.map(str::to_owned), owned(bins))
}

#[test]
fn all_of_agentskills_is_read() {
    let told = manifest(
        "name: pdf-processing\ndescription: >-\n  Extracts text,\n  fills forms.\nlicense: Apache-2.0\n\
         compatibility: Requires git\nallowed-tools: Bash(git:*) Read\nmetadata:\n  author: org\n  version: \"1.10\"",
    );
    assert_eq!(
        told,
        Manifest {
            name: "pdf-processing".to_owned(),
            description: "Extracts text, fills forms.".to_owned(),
            version: Some("1.10.0".to_owned()),
            display_name: Some("The heading".to_owned()),
            required_env: Vec::new(),
            api_key_env: None,
            required_bins: Vec::new(),
            license: Some("Apache-2.0".to_owned()),
            change_log: None,
        }
    );
}

#[test]
fn versions_are_read_as_written_and_made_semantic() {
    for (written, version) in [
        ("1.0", Some("1.0.0")),
        ("1.10", Some("1.10.0")),
        ("2", Some("2.0.0")),
        ("v1.2.3", Some("1.2.3")),
        ("1.2.3-beta.1+b5", Some("1.2.3-beta.1+b5")),
        ("1.2-rc1", Some("1.2.0-rc1")),
        ("2026.01.05", Some("2026.1.5")),
        ("", None),
    ] {
        assert_eq!(normal_version(written).unwrap().as_deref(), version, "{written}");
        assert_eq!(
            manifest(&format!("name: a\ndescription: b\nversion: {written}")).version.as_deref(),
            version
        );
        let below = manifest(&format!("name: a\ndescription: b\nmetadata:\n  version: {written}"));
        assert_eq!(below.version.as_deref(), version);
    }
    for bad in ["latest", "1.2.3.4", "1..2", "-1", "1.2.3-", "99999999999999999999", &"1".repeat(70)] {
        assert_eq!(normal_version(bad).unwrap_err().code, "Package.BadVersion", "{bad}");
    }
}

#[test]
fn what_openclaw_skills_need_is_found_in_all_of_their_forms() {
    let expected = told(&["BASE_URL"], Some("MY_KEY"), &["gh", "jq"]);
    for form in [
        "metadata: {\"openclaw\": {\"requires\": {\"env\": [\"MY_KEY\", \"BASE_URL\"], \"bins\": [\"jq\", \"gh\"]}, \
         \"primaryEnv\": \"MY_KEY\",}}",
        "metadata:\n  {\n    \"clawdbot\":\n      {\n        \"requires\": { \"env\": [\"BASE_URL\"], \"bins\": [\"gh\", \
         \"jq\"] },\n        \"primaryEnv\": \"MY_KEY\",\n      },\n  }",
        "metadata:\n  openclaw:\n    primaryEnv: MY_KEY\n    requires:\n      env: BASE_URL\n      bins:\n        - gh\n        - jq",
        "metadata: '{\"clawdis\": {\"primaryEnv\": \"MY_KEY\", \"requires\": {\"env\": [\"BASE_URL\"], \"bins\": [\"jq\", \"gh\"]}}}'",
        "metadata:\n  openclaw:\n    primaryEnv: MY_KEY\n    requires: {bins: [gh, jq]}\n    envVars:\n      - name: BASE_URL\n      \
         - {name: OTHER, required: false}",
    ] {
        assert_eq!(needs(form), expected, "{form}");
    }
    assert_eq!(needs("metadata: {openclaw: {emoji: x}}"), told(&[], None, &[]));
    assert_eq!(needs("metadata: just a text"), told(&[], None, &[]));
}

#[test]
fn what_hermes_skills_need_is_found_in_all_of_their_forms() {
    let expected = told(&["BASE_URL"], Some("TENOR_API_KEY"), &["curl"]);
    let commands = "prerequisites:\n  commands: [curl]";
    for form in [
        format!(
            "required_environment_variables:\n  - name: TENOR_API_KEY\n    prompt: Key\n  - BASE_URL\n  - name: MAYBE\n    \
             optional: true\n{commands}"
        ),
        format!(
            "setup:\n  collect_secrets:\n    - env_var: TENOR_API_KEY\n    - env_var: BASE_URL\n{commands}"
        ),
        format!("{commands}\n  env_vars: [TENOR_API_KEY, BASE_URL]"),
    ] {
        assert_eq!(needs(&form), expected, "{form}");
    }
    // two keys, and none of them is said to be the one
    assert_eq!(needs("prerequisites: {env_vars: [A_KEY, B_TOKEN]}"), told(&["A_KEY", "B_TOKEN"], None, &[]));
    let hermes =
        manifest("name: a\ndescription: b\nversion: 1.0.0\nauthor: x\nmetadata:\n  hermes:\n    tags: [a]");
    assert_eq!(hermes.version.as_deref(), Some("1.0.0"));
}

#[test]
fn chinese_is_text() {
    let told = manifest(
        "name: find-skills\ntitle: 查找技能\ndescription: 帮助用户发现并安装技能。\nchangelog: 修复",
    );
    assert_eq!(told.display_name.as_deref(), Some("查找技能"));
    assert_eq!(told.description, "帮助用户发现并安装技能。");
    assert_eq!(told.change_log.as_deref(), Some("修复"));
    assert!(read(format!("---\nname: a\ndescription: {}\n---\n", "长".repeat(1_024)).as_bytes()).is_ok());
}

#[test]
fn marks_and_line_ends_of_windows_are_nothing() {
    let windows = format!("\u{feff}{}", SKILL.replace('\n', "\r\n"));
    let package = read(windows.as_bytes()).unwrap();
    assert_eq!(package.manifest, read(SKILL.as_bytes()).unwrap().manifest);
    assert_eq!(package.files["SKILL.md"], windows.as_bytes());
    assert!(read(SKILL.replace('\n', "\r").as_bytes()).is_ok());
}

#[test]
fn a_colon_in_a_plain_text_is_read_as_agents_read_it() {
    let told =
        manifest("name: a\ndescription: Use when: somebody asks # for this\nlicense: MIT: see LICENSE");
    assert_eq!(told.description, "Use when: somebody asks # for this");
    assert_eq!(told.license.as_deref(), Some("MIT: see LICENSE"));
}

#[test]
fn a_name_that_agents_do_not_take_is_replaced_where_there_is_one_to_take() {
    let skill = |front: &str| format!("---\n{front}\ndescription: b\n---\n# H\n");
    for (front, folder, name) in [
        ("name: Find Skills", "", "find-skills"),
        ("name: \"my_skill 2.0\"", "", "my-skill-2-0"),
        ("name: 查找技能\nslug: find-skills", "", "find-skills"),
        ("name: 查找技能", "find-skills/", "find-skills"),
        ("name: PDF", "other/", "pdf"),
    ] {
        let text = skill(front);
        let package = read(&zipped(&[(&format!("{folder}SKILL.md"), text.as_bytes())])).unwrap();
        assert_eq!(package.manifest.name, name);
        let written = front.lines().next().unwrap().trim_start_matches("name: ").trim_matches('"');
        assert_eq!(package.manifest.display_name.as_deref(), Some(written));
        // agents go by what is written there
        let kept = std::str::from_utf8(&package.files["SKILL.md"]).unwrap();
        assert_eq!(kept, text.replacen(front.lines().next().unwrap(), &format!("name: {name}"), 1));
        assert_eq!(read(kept.as_bytes()).unwrap().content_hash, package.content_hash);
    }
    let over_lines = skill("name: >-\n  Find\n  Skills");
    assert_eq!(read(over_lines.as_bytes()).unwrap_err().code, "Package.BadName");
}

#[test]
fn the_newest_part_of_a_change_log_is_the_versions() {
    let log = b"# Changes\n\n## 1.1.0\n\n- Faster\n\n## 1.0.0\n\n- First\n";
    let package = zipped(&[("SKILL.md", SKILL.as_bytes()), ("CHANGELOG.md", log)]);
    assert_eq!(read(&package).unwrap().manifest.change_log.as_deref(), Some("- Faster"));
    let long = format!("## 1\n{}", "x".repeat(5_000));
    let package = zipped(&[("SKILL.md", SKILL.as_bytes()), ("CHANGELOG.md", long.as_bytes())]);
    assert_eq!(read(&package).unwrap().manifest.change_log.unwrap().len(), 4_000);
}
