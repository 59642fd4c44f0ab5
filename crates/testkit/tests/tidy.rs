//! House rules that neither rustc nor clippy can see: who may depend on whom, where SQL may stand, how long a file
//! may get. Each rule is a test of its own, and its message says what to do.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic, helpers of tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Lines of a source file, its tests apart.
const FILE_LINES_MAX: usize = 500;

/// Files that may be longer, and why. Keep it short: a file that is here too long should be split by meaning.
const LONG_FILES: &[(&str, &str)] = &[];

/// Which workspace crate may use which other. Everything absent is forbidden.
const EDGES: &[(&str, &[&str])] = &[
    ("creel-wire", &[]),
    ("creel-llm", &["creel-wire"]),
    ("creel-skills", &["creel-wire"]),
    ("creel-control", &["creel-skills", "creel-wire"]),
    ("creel-guest", &["creel-wire"]),
    ("creel-drivers", &["creel-control", "creel-wire"]),
    ("creel", &["creel-control", "creel-llm", "creel-wire", "creel-drivers", "creel-guest", "creel-skills"]),
];

/// Crates that do I/O. `wire` and `llm` take bytes and give bytes, so nothing below them may be one of these.
const IO_CRATES: &[&str] = &[
    "tokio",
    "mio",
    "hyper",
    "hyper-util",
    "reqwest",
    "axum",
    "tower",
    "sqlx",
    "sqlx-core",
    "rustls",
    "kube",
    "async-std",
    "smol",
    "socket2",
    "tungstenite",
    "rusqlite",
    "object_store",
    "tempfile",
];

/// What the product's rules must never name: transport and hosts belong to `server` and `drivers`.
const CONTROL_FORBIDDEN: &[&str] =
    &["axum", "hyper", "hyper-util", "reqwest", "tower", "kube", "http", "nix"];

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("testkit is at crates/testkit")
        .to_path_buf()
});

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    MetadataCommand::new().manifest_path(ROOT.join("Cargo.toml")).exec().expect("cargo metadata answers")
});

/// A text file of the project: its path from the root, with `/`, and its content.
struct Text {
    path: String,
    content: String,
}

impl Text {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Test code by place: integration tests, benches, the test kit itself, and modules split off as `tests.rs`.
    fn is_test_code(&self) -> bool {
        ["/tests/", "/benches/"].iter().any(|dir| self.path.contains(dir))
            || self.path.starts_with("tests/")
            || self.path.starts_with("crates/testkit/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
    }

    fn is_generated(&self) -> bool {
        self.content.lines().take(5).any(|line| line.contains("@generated"))
    }

    /// The numbered lines before the file's own test module.
    fn production_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.content.lines().collect();
        let end = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "))
            .unwrap_or(lines.len());
        lines.into_iter().take(end).enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Every text file that belongs to the project.
static TEXTS: LazyLock<Vec<Text>> = LazyLock::new(|| {
    const SKIPPED: &[&str] =
        &["target", ".git", "node_modules", "demo-data", "dist", "__pycache__", ".pytest_cache"];
    let entries = walkdir::WalkDir::new(&*ROOT).sort_by_file_name().into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        // In a worktree `.git` is a file that says where the repository is.
        !((entry.file_type().is_dir() || name == ".git") && SKIPPED.contains(&name.as_ref()))
    });
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| {
            let content = std::fs::read_to_string(entry.path()).ok()?;
            let path = entry.path().strip_prefix(&*ROOT).ok()?.to_string_lossy().replace('\\', "/");
            Some(Text { path, content })
        })
        .collect()
});

fn rust_sources() -> impl Iterator<Item = &'static Text> {
    TEXTS.iter().filter(|text| text.is_rust())
}

/// Fails with every finding at once, for fixing them one a run is tedious.
#[track_caller]
fn none_found(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}\n  {}", found.join("\n  "));
}

/// Every place in `texts` where a line holds one of `needles`.
fn places<'a>(texts: impl Iterator<Item = &'a Text>, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for text in texts {
        for (index, line) in text.content.lines().enumerate() {
            if let Some(needle) = needles.iter().find(|needle| line.contains(**needle)) {
                found.push(format!("{}:{}: {needle}", text.path, index + 1));
            }
        }
    }
    found
}

fn deny_toml() -> toml::Table {
    let text = std::fs::read_to_string(ROOT.join("deny.toml")).expect("deny.toml is there");
    text.parse().expect("deny.toml is TOML")
}

fn strings(value: &toml::Value, key: Option<&str>) -> BTreeSet<String> {
    let items = value.as_array().expect("an array").iter();
    let text = items.map(|item| key.map_or(item, |key| &item[key]).as_str().expect("a string").to_owned());
    text.collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let mut found = Vec::new();
    let edges: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    for package in METADATA.workspace_packages() {
        let name = package.name.as_str();
        if ["creel-testkit", "xtask"].contains(&name) {
            continue;
        }
        let Some(allowed) = edges.get(name) else {
            found.push(format!("{name} is a new crate: give it a line in EDGES and in ARCHITECTURE.md"));
            continue;
        };
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            let ours = other == "creel" || other == "xtask" || other.starts_with("creel-");
            let shipped = dependency.kind != DependencyKind::Development;
            if ours && shipped && !allowed.contains(&other) {
                found.push(format!("{name} → {other}"));
            }
            if name == "creel-control" && shipped && CONTROL_FORBIDDEN.contains(&other) {
                found.push(format!("{name} → {other}: control knows no transport and no host"));
            }
        }
    }
    none_found(
        "these dependencies go against the arrows of ARCHITECTURE.md; move the code to where the arrow points:",
        &found,
    );
}

#[test]
fn wire_and_llm_do_no_io() {
    let resolve = METADATA.resolve.as_ref().expect("cargo metadata resolves");
    let name_of: BTreeMap<&PackageId, &str> =
        METADATA.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let children: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let shipped = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            (&node.id, shipped.map(|dep| &dep.pkg).collect())
        })
        .collect();

    let mut found = Vec::new();
    for package in METADATA.workspace_packages() {
        if !["creel-wire", "creel-llm"].contains(&package.name.as_str()) {
            continue;
        }
        let (mut seen, mut open) = (BTreeSet::new(), vec![&package.id]);
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if IO_CRATES.contains(&name_of[id]) {
                found.push(format!("{} reaches {}", package.name, name_of[id]));
            }
            open.extend(children.get(id).into_iter().flatten().copied());
        }
    }
    none_found("wire and llm take bytes and give bytes; do the I/O in the crate that calls them:", &found);
}

#[test]
fn no_second_tls_stack_or_other_banned_crate() {
    let banned = strings(&deny_toml()["bans"]["deny"], Some("crate"));
    assert!(banned.len() >= 3, "deny.toml bans less than it did: {banned:?}");
    let found: Vec<String> = METADATA
        .packages
        .iter()
        .filter(|package| banned.contains(package.name.as_str()))
        .map(|package| {
            format!(
                "{} {}: `cargo tree -i {}` says who wants it",
                package.name, package.version, package.name
            )
        })
        .collect();
    none_found("deny.toml bans these crates; turn off the feature that brings them:", &found);
}

/// Whether an SPDX expression can be fulfilled with the allowed licences. `/` is how old manifests write OR.
fn licence_is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    fn either(
        tokens: &mut std::iter::Peekable<std::slice::Iter<'_, String>>,
        allowed: &BTreeSet<String>,
    ) -> bool {
        let mut result = both(tokens, allowed);
        while tokens.next_if(|token| *token == "OR").is_some() {
            result |= both(tokens, allowed);
        }
        result
    }
    fn both(
        tokens: &mut std::iter::Peekable<std::slice::Iter<'_, String>>,
        allowed: &BTreeSet<String>,
    ) -> bool {
        let mut result = one(tokens, allowed);
        while tokens.next_if(|token| *token == "AND").is_some() {
            result &= one(tokens, allowed);
        }
        result
    }
    fn one(
        tokens: &mut std::iter::Peekable<std::slice::Iter<'_, String>>,
        allowed: &BTreeSet<String>,
    ) -> bool {
        let Some(token) = tokens.next() else { return false };
        if token == "(" {
            let result = either(tokens, allowed);
            return tokens.next().is_some_and(|token| token == ")") && result;
        }
        let mut licence = token.clone();
        if tokens.next_if(|token| *token == "WITH").is_some() {
            let exception = tokens.next().map_or("", String::as_str);
            licence = format!("{licence} WITH {exception}");
        }
        allowed.contains(&licence)
    }
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    either(&mut tokens.iter().peekable(), allowed)
}

#[test]
fn licence_expressions_are_understood() {
    let allowed: BTreeSet<String> =
        ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/Apache-2.0",
        "(GPL-2.0 OR MIT) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(licence_is_allowed(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "(MIT", "ISC AND (GPL-2.0 OR Apache-2.0)"] {
        assert!(!licence_is_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = strings(&deny_toml()["licenses"]["allow"], None);
    let found: Vec<String> = METADATA
        .packages
        .iter()
        .filter_map(|package| {
            let licence = package.license.as_deref().unwrap_or("no licence field");
            let bad = !licence_is_allowed(licence, &allowed);
            bad.then(|| format!("{} {}: {licence}", package.name, package.version))
        })
        .collect();
    none_found(
        "these licences are not in deny.toml's list; replace the crate, or argue for the licence:",
        &found,
    );
}

#[test]
fn files_stay_readable() {
    let mut found = Vec::new();
    for text in rust_sources().filter(|text| !text.is_test_code() && !text.is_generated()) {
        let lines = text.production_lines().count();
        let excepted = LONG_FILES.iter().any(|(path, _)| *path == text.path);
        if lines > FILE_LINES_MAX && !excepted {
            found.push(format!("{}: {lines} lines", text.path));
        }
        if lines <= FILE_LINES_MAX && excepted {
            found.push(format!("{}: {lines} lines, take it off LONG_FILES", text.path));
        }
    }
    let rule =
        format!("a source file has at most {FILE_LINES_MAX} lines, tests apart; split these by meaning:");
    none_found(&rule, &found);
}

#[test]
fn sql_stands_in_the_store_alone() {
    const SQL: &[&str] =
        &["sqlx::", "sea_query", "\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM", "\"CREATE TABLE"];
    let mut found = Vec::new();
    let outside = |text: &&Text| !text.path.starts_with("crates/control/src/store") && !text.is_test_code();
    for text in rust_sources().filter(outside) {
        for (number, line) in text.production_lines() {
            let comment = line.trim_start().starts_with("//");
            if !comment && SQL.iter().any(|needle| line.contains(needle)) {
                found.push(format!("{}:{number}: {}", text.path, line.trim()));
            }
        }
    }
    none_found(
        "SQL and its libraries stand in crates/control/src/store alone; add a store function for these:",
        &found,
    );
}

#[test]
fn no_test_is_switched_off() {
    let needles = [concat!("#[", "ignore"), concat!("pytest.mark.", "skip"), concat!("pytest.", "skip(")];
    let code = TEXTS.iter().filter(|text| text.is_rust() || text.path.ends_with(".py"));
    none_found("a test runs or is deleted; fix these:", &places(code, &needles));
}

#[test]
fn nothing_is_left_to_do_in_code() {
    let needles = [concat!("todo", "!("), concat!("unimplemented", "!(")];
    none_found(
        "an operation that is not built does not exist; build or remove:",
        &places(rust_sources(), &needles),
    );
}

#[test]
fn lints_are_expected_with_a_reason_instead_of_allowed() {
    let needles = [concat!("#[", "allow("), concat!("#![", "allow(")];
    let found = places(rust_sources(), &needles);
    none_found("write #[expect(lint, reason = \"…\")], which tells when it is no longer needed:", &found);
}

#[test]
fn no_path_of_somebodys_machine() {
    // A path inside a repository may well be called work/: only absolute ones count.
    let roots = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut found = Vec::new();
    for text in TEXTS.iter() {
        for (index, line) in text.content.lines().enumerate() {
            for root in roots {
                let absolute = line.match_indices(root).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| {
                        c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')' | '/')
                    })
                });
                if absolute {
                    found.push(format!("{}:{}: {root}", text.path, index + 1));
                }
            }
        }
    }
    none_found("nobody else has these folders; take the place from the environment or a parameter:", &found);
}

#[test]
fn no_package_registry_is_named() {
    let needles = [
        concat!("crates", ".io"),
        concat!("py", "pi.org"),
        concat!("python", "hosted.org"),
        concat!("registry.", "npmjs"),
        concat!("npm", "mirror"),
        concat!("deb.", "debian.org"),
    ];
    // cargo writes the registry's name into the lock file by itself.
    let texts = TEXTS.iter().filter(|text| !text.path.ends_with("Cargo.lock"));
    let found = places(texts, &needles);
    none_found("everyone has mirrors of their own; leave registries to the clients' configuration:", &found);
}

#[test]
fn every_decision_record_is_listed() {
    let folder = ROOT.join("docs/adr");
    let index =
        std::fs::read_to_string(folder.join("README.md")).expect("docs/adr/README.md lists the records");
    let found: Vec<String> = std::fs::read_dir(&folder)
        .expect("docs/adr is there")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md" && !index.contains(&format!("({name})")))
        .collect();
    none_found("list these in docs/adr/README.md, as [number title](file):", &found);
}

#[test]
fn every_crate_says_what_it_is() {
    let mut found = Vec::new();
    for package in METADATA.workspace_packages() {
        let source = package.manifest_path.parent().expect("a folder").join("src");
        let roots = ["lib.rs", "main.rs"].map(|name| source.join(name));
        for root in roots.iter().filter(|root| root.exists()) {
            let text = std::fs::read_to_string(root).expect("readable");
            let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
            if head.concat().len() < 60 {
                found.push(format!("{root}: starts with {:?}", text.lines().next().unwrap_or_default()));
            }
        }
    }
    none_found("a crate starts with //! lines: its purpose, its invariants, who may call it:", &found);
}

/// `ListDesktopAgentRuntime` → `list_desktop_agent_runtime`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// `resource/operation` of every operation that `spec/built.toml` declares: `[spec]`, then `Action = "resource"`.
fn declared_operations() -> BTreeSet<String> {
    let text =
        std::fs::read_to_string(ROOT.join("spec/built.toml")).expect("spec/built.toml lists the operations");
    let specs: toml::Table = text.parse().expect("spec/built.toml is TOML");
    let operations = specs.values().flat_map(|spec| spec.as_table().expect("a table of operations"));
    operations
        .map(|(action, resource)| {
            format!("{}/{}", resource.as_str().expect("a resource"), snake_case(action))
        })
        .collect()
}

#[test]
fn every_operation_has_a_handler_and_every_handler_an_operation() {
    let declared = declared_operations();
    assert!(!declared.is_empty(), "spec/built.toml declares nothing");
    let handlers: BTreeSet<String> = rust_sources()
        .filter(|text| !text.is_test_code())
        .filter_map(|text| text.path.strip_prefix("crates/server/src/ops/")?.strip_suffix(".rs"))
        .filter(|path| {
            path.matches('/').count() == 1 && !path.ends_with("/mod.rs") && !path.ends_with("/mod")
        })
        .map(str::to_owned)
        .collect();
    let missing: Vec<String> = declared.difference(&handlers).cloned().collect();
    none_found(
        "spec/built.toml declares these; write crates/server/src/ops/<resource>/<operation>.rs:",
        &missing,
    );
    let stray: Vec<String> = handlers
        .difference(&declared)
        .filter(|path| path.rsplit('/').next().is_some_and(|file| file.contains('_')))
        .cloned()
        .collect();
    none_found("a handler's file is named after an operation of spec/built.toml; rename or declare:", &stray);
}

#[test]
fn every_error_code_is_documented() {
    let text = std::fs::read_to_string(ROOT.join("docs/api.md")).expect("docs/api.md is there");
    let found: Vec<String> = creel_wire::error::ErrorCode::ALL
        .iter()
        .map(|code| format!("| {} | {} | ", code.0, code.1))
        .filter(|row| !text.contains(row.as_str()))
        .collect();
    none_found("docs/api.md has a row for each error code, saying when; add these:", &found);
}
