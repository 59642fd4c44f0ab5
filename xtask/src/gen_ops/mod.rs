//! Generates the operation types of creel-wire from `spec/`.
//!
//! `spec/README.md` says what each file there is. The output is committed: a reader finds plain Rust, a build needs
//! no generator, and a change of the specification shows as a diff. `check` fails when the two differ.

mod access;
mod emit;
mod model;
mod names;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// Where the output goes, from the root.
const OPS_DIR: &str = "crates/wire/src/ops";
/// Files there that people write.
const HAND_WRITTEN: [&str; 4] = ["spec.rs", "access.rs", "fields.rs", "fields_tests.rs"];

/// Writes the generated files and removes stale ones.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let dir = root.join(OPS_DIR);
    let files = generate(root)?;
    for stale in committed(&dir)?.keys().filter(|path| !files.contains_key(*path)) {
        std::fs::remove_file(dir.join(stale)).with_context(|| format!("removing {}", stale.display()))?;
    }
    for (path, text) in &files {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        if std::fs::read_to_string(&path).ok().as_ref() != Some(text) {
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Fails if the committed files are not what [`write`] would write.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let wanted = generate(root)?;
    let found = committed(&root.join(OPS_DIR))?;
    let all = wanted.keys().chain(found.keys());
    let differing: Vec<String> = all
        .filter(|path| wanted.get(*path) != found.get(*path))
        .map(|path| path.display().to_string())
        .collect();
    if !differing.is_empty() {
        bail!(
            "{OPS_DIR} is not what spec/ says; run `cargo run -p xtask -- gen-ops`. Differs: {}",
            differing.join(", ")
        );
    }
    Ok(())
}

/// Every generated file, formatted, by its path below [`OPS_DIR`].
fn generate(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let operations = model::load(&root.join("spec"))?;
    let mut files = emit::files(&operations)?;
    for (path, text) in &mut files {
        *text = rustfmt(root, text).with_context(|| format!("formatting {}", path.display()))?;
    }
    Ok(files)
}

/// The generated files that are there now.
fn committed(dir: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(current) = pending.pop() {
        for entry in std::fs::read_dir(&current).with_context(|| format!("listing {}", current.display()))? {
            let path = entry?.path();
            let relative = path.strip_prefix(dir)?.to_path_buf();
            if path.is_dir() {
                pending.push(path);
            } else if !HAND_WRITTEN.iter().any(|name| relative == Path::new(name)) {
                let text =
                    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                files.insert(relative, text);
            }
        }
    }
    Ok(files)
}

fn rustfmt(root: &Path, text: &str) -> anyhow::Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt")?;
    // dropped before waiting, so that rustfmt sees the end of its input; it reads all before it writes any
    child.stdin.take().context("standard input of rustfmt")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refused:\n{text}");
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_operation_types_are_what_the_specification_says() {
        super::check(&crate::root()).expect("run `cargo run -p xtask -- gen-ops`");
    }
}
