//! Scans folders that are skills and prints a JSON line for each: its verdict, score, worst finding and rules.
//!
//! `cargo run --release -p creel-skills --example scan_corpus -- [--findings | --summary] FOLDER…`
//!
//! `-` takes folders from standard input, one a line. `--findings` adds all findings, `--summary` prints only how many
//! had which verdict, with the 95 % interval of those that would be blocked (Wilson).
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for whoever works on the rules")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use creel_skills::package::{Manifest, Package, from_files};
use creel_skills::report::Severity;
use creel_skills::scan::Scanner;
use creel_wire::skill_content::{Files, content_hash};

fn main() {
    let scanner = Scanner::new().unwrap();
    let mut folders: Vec<String> = std::env::args().skip(1).collect();
    let findings = folders.iter().any(|argument| argument == "--findings");
    let summary = folders.iter().any(|argument| argument == "--summary");
    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    folders.retain(|argument| !argument.starts_with("--"));
    if folders.iter().any(|folder| folder == "-") {
        folders = std::io::stdin().lines().map_while(Result::ok).collect();
    }
    for folder in folders {
        let mut files = Files::new();
        collect(Path::new(&folder), Path::new(&folder), &mut files);
        let package = package(files, Path::new(&folder));
        let start = Instant::now();
        let report = scanner.scan(&package);
        let micros = start.elapsed().as_micros();
        let worst = report.worst();
        let verdict = match worst {
            Some(Severity::High | Severity::Critical) => "blocked",
            _ if !report.is_complete() => "incomplete",
            Some(Severity::Medium) => "review",
            _ => "passed",
        };
        *verdicts.entry(verdict).or_default() += 1;
        if summary {
            continue;
        }
        let mut rules: BTreeMap<&str, Severity> = BTreeMap::new();
        for finding in &report.findings {
            let rule = rules.entry(finding.rule.as_str()).or_insert(finding.severity);
            *rule = (*rule).max(finding.severity);
        }
        let mut line = serde_json::json!({
            "folder": folder, "verdict": verdict, "score": report.score, "worst": worst, "rules": rules,
            "unread": report.unread, "micros": micros, "bytes": report.bytes_total,
        });
        if findings {
            let all = serde_json::to_value(&report.findings).unwrap();
            line.as_object_mut().unwrap().insert("findings".to_owned(), all);
        }
        println!("{line}");
    }
    if summary {
        let packages: u32 = verdicts.values().sum();
        let [low, high] = wilson(verdicts.get("blocked").copied().unwrap_or_default(), packages);
        println!(
            "{}",
            serde_json::json!({"packages": packages, "verdicts": verdicts, "blocked_percent_low": low, "blocked_percent_high": high})
        );
    }
}

/// The 95 % interval of a share, in percent.
fn wilson(hits: u32, of: u32) -> [f64; 2] {
    if of == 0 {
        return [0.0, 100.0];
    }
    let (hits, of, z) = (f64::from(hits), f64::from(of), 1.96_f64);
    let share = hits / of;
    let middle = share + z * z / (2.0 * of);
    let spread = z * (share * (1.0 - share) / of + z * z / (4.0 * of * of)).sqrt();
    let percent = |x: f64| (x / (1.0 + z * z / of) * 1000.0).round() / 10.0;
    [percent(middle - spread), percent(middle + spread)]
}

fn collect(root: &Path, folder: &Path, files: &mut Files) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map_while(Result::ok).map(|entry| entry.path()) {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), bytes);
        }
    }
}

/// What breaks the rules for packages has rules of its own to be refused by; here it is scanned all the same.
fn package(files: Files, folder: &Path) -> Package {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    from_files(files.clone(), name.as_deref()).unwrap_or_else(|_| Package {
        content_hash: content_hash(&files),
        manifest: Manifest {
            name: name.unwrap_or_default(),
            description: String::new(),
            version: None,
            display_name: None,
            required_env: Vec::new(),
            api_key_env: None,
            required_bins: Vec::new(),
            license: None,
            change_log: None,
        },
        files,
    })
}
