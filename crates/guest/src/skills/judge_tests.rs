use super::*;

const INSIDE: &str = "/run/agent";
const OURS: &str = "/run/agent/config/skills";

fn hash(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn pin(name: &str, letter: char) -> SkillPin {
    SkillPin { name: name.to_owned(), content_hash: hash(letter) }
}

fn skill(name: &str, letter: char) -> Skill {
    Skill {
        pin: pin(name, letter),
        version: "1.0.0".to_owned(),
        archive_bytes: 1,
        enabled: true,
        env: BTreeMap::new(),
        api_key: None,
    }
}

fn found(path: &str, name: &str, letter: char) -> Found {
    let path = path.split('/').map(str::to_owned).collect();
    Found { path, name: name.to_owned(), hash: Some(hash(letter)), note: None }
}

fn listed(name: &str, dir: &str) -> Listed {
    Listed {
        name: name.to_owned(),
        dir: dir.to_owned(),
        source: "openclaw-extra".to_owned(),
        packaged: false,
        eligible: true,
        disabled: false,
        missing: String::new(),
    }
}

/// One skill `a` to install, `p` permitted.
struct Case {
    config: SkillsConfig,
    placed: BTreeMap<String, Placed>,
    scan: Scan,
    listed: Option<Vec<Listed>>,
}

impl Case {
    fn new(secure: bool, drift: DriftPolicy) -> Self {
        let whole = Placed { standing: Standing::Whole(hash('a')), trouble: None };
        Self {
            config: SkillsConfig {
                install: vec![skill("a", 'a')],
                permitted: vec![pin("p", '1'), pin("p", '2')],
                secure,
                drift,
            },
            placed: BTreeMap::from([("a".to_owned(), whole)]),
            scan: Scan::default(),
            listed: Some(vec![listed("a", &format!("{OURS}/a"))]),
        }
    }

    fn verdict(&self) -> Verdict {
        judge(&Facts {
            generation: 7,
            config: &self.config,
            placed: &self.placed,
            scan: &self.scan,
            listed: self.listed.as_deref(),
            inside: Path::new(INSIDE),
            managed: Path::new(OURS),
        })
    }

    /// State and note of `a` where the guest put it.
    fn own(&self) -> (SkillState, Option<String>) {
        let seen = self.verdict().inventory.skills.remove(0);
        assert_eq!((seen.name.as_str(), seen.place.as_str()), ("a", "managed"));
        (seen.state, seen.note)
    }

    /// State of something that was found, and whether it is taken away.
    fn other(mut self, found: Found) -> (SkillState, bool) {
        self.scan.found.push(found);
        let verdict = self.verdict();
        (verdict.inventory.skills[1].state, !verdict.remove.is_empty())
    }
}

fn case() -> Case {
    Case::new(false, DriftPolicy::Warn)
}

#[test]
fn installed_is_what_the_agent_itself_says() {
    assert_eq!(case().own(), (SkillState::Installed, None));
    let mut unheard = case();
    unheard.listed = None;
    assert_eq!((unheard.own().0, unheard.verdict().settled), (SkillState::Pending, false));
    let mut unlisted = case();
    unlisted.listed = Some(Vec::new());
    assert_eq!(unlisted.own().0, SkillState::Pending);
    let mut lacking = case();
    let one = Listed { eligible: false, missing: "programs gh".to_owned(), ..listed("a", OURS) };
    lacking.listed = Some(vec![one]);
    assert_eq!(
        lacking.own(),
        (SkillState::Failed, Some("the agent cannot use it, it lacks programs gh".to_owned()))
    );
    let mut late = case();
    late.listed = Some(vec![Listed { eligible: false, disabled: true, ..listed("a", OURS) }]);
    assert_eq!(late.own().0, SkillState::Pending, "the configuration is on its way");
    let mut hidden = case();
    hidden.listed = Some(vec![listed("a", "/run/agent/workspace/skills/x")]);
    let (state, note) = hidden.own();
    assert_eq!(state, SkillState::Failed);
    assert!(note.unwrap().contains("/run/agent/workspace/skills/x"));
    // A copy with the very same bytes hides nothing.
    hidden.scan.found.push(found("workspace/skills/x", "a", 'a'));
    assert_eq!(hidden.own().0, SkillState::Installed);
    let mut off = case();
    off.config.install[0].enabled = false;
    assert_eq!(off.own().0, SkillState::Disabled);
}

#[test]
fn what_is_not_in_its_place_says_why() {
    let with = |standing: Standing, trouble: Option<Trouble>| {
        let mut case = case();
        case.placed.insert("a".to_owned(), Placed { standing, trouble });
        case.own()
    };
    let why = || Some("why".to_owned());
    let passing = Some(Trouble::Passing("why".to_owned()));
    let lasting = Some(Trouble::Lasting("why".to_owned()));
    assert_eq!(with(Standing::Missing, passing.clone()), (SkillState::Pending, why()));
    assert_eq!(with(Standing::Missing, lasting), (SkillState::Failed, why()));
    assert_eq!(
        with(Standing::Whole(hash('o')), passing),
        (SkillState::Pending, why()),
        "an older version is there"
    );
    assert_eq!(with(Standing::Changed(Some(hash('x'))), None), (SkillState::Modified, None));
    let mut unplaced = case();
    unplaced.placed.clear();
    assert_eq!(unplaced.own().0, SkillState::Pending);
}

#[test]
fn the_policy_decides_what_may_stay() {
    use DriftPolicy::{Observe, Restore, Warn};
    use SkillState::{Foreign, Installed, Modified, Shadowing};
    for (secure, drift, foreign, shadowing, modified) in [
        (false, Observe, false, false, false),
        (false, Warn, false, false, false),
        (false, Restore, false, true, false),
        (true, Observe, false, true, true),
        (true, Warn, false, true, true),
        (true, Restore, true, true, true),
    ] {
        let other = |found: Found| Case::new(secure, drift).other(found);
        assert_eq!(other(found("workspace/skills/f", "f", 'x')), (Foreign, foreign), "{secure} {drift:?}");
        assert_eq!(
            other(found("workspace/skills/f", "a", 'x')),
            (Shadowing, shadowing),
            "{secure} {drift:?}"
        );
        assert_eq!(other(found("state/skills/p", "p", 'x')), (Modified, modified), "{secure} {drift:?}");
        assert_eq!(other(found("state/skills/p", "p", '2')), (Installed, false));
        assert_eq!(other(found("state/skills/a", "a", 'a')), (Installed, false));
        let unread = Found { hash: None, ..found("workspace/skills/f", "a", 'x') };
        assert_eq!(other(unread), (Shadowing, shadowing), "what cannot be read is not what was authorised");
    }
}

#[test]
fn a_crowd_does_not_hide_what_deceives() {
    let mut case = Case::new(true, DriftPolicy::Restore);
    for n in 0..SKILLS_SEEN_MAX + 10 {
        case.scan.found.push(found(&format!("workspace/skills/{n}"), &format!("s{n}"), 'x'));
    }
    case.scan.found.push(found("workspace/skills/zz", "a", 'x'));
    let verdict = case.verdict();
    assert!(verdict.inventory.truncated);
    assert_eq!(verdict.inventory.skills.len(), SKILLS_SEEN_MAX);
    assert_eq!(verdict.inventory.skills[1].state, SkillState::Shadowing);
    assert_eq!(verdict.remove.len(), SKILLS_SEEN_MAX + 11);
}

#[test]
fn what_the_agent_lists_from_elsewhere_is_told() {
    let mut case = case();
    let package = Listed { packaged: true, ..listed("github", "/opt/openclaw/skills/github") };
    let node = listed("far", "/somewhere/else");
    let hidden_name = listed("b", "/run/agent/workspace/skills/x");
    // Newer than the look, which will find it.
    let newer = listed("n", "/run/agent/workspace/skills/n");
    case.scan.found.push(found("workspace/skills/x", "x", 'x'));
    case.listed.as_mut().unwrap().extend([package, node, hidden_name, newer]);
    let skills = case.verdict().inventory.skills;
    let names: Vec<(&str, &str)> =
        skills.iter().map(|seen| (seen.name.as_str(), seen.place.as_str())).collect();
    assert_eq!(names, [("a", "managed"), ("far", "openclaw-extra"), ("b", "workspace/skills/x")]);
}

#[test]
fn a_name_that_only_openclaw_reads_deceives_nobody() {
    let mut case = Case::new(true, DriftPolicy::Warn);
    case.scan.found.push(found("workspace/skills/harmless", "harmless", 'x'));
    case.listed = Some(vec![listed("a", "/run/agent/workspace/skills/harmless")]);
    let verdict = case.verdict();
    let seen = &verdict.inventory.skills[1];
    assert_eq!((seen.name.as_str(), seen.state, verdict.remove.len()), ("a", SkillState::Shadowing, 1));
}
