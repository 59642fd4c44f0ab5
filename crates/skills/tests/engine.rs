//! The engine against another one: each regular expression of the rules, alone, must match the corpus as the `regex`
//! crate does. `boreal` 1.4.0 is known to miss matches of some alternations; rules are written around that, and this
//! test tells when one is not.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may panic, helpers of tests too")]

use std::path::{Path, PathBuf};

use regex::bytes::{Regex, RegexBuilder};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A string of a rule: where it stands, and as YARA and as the `regex` crate write it.
struct Pattern {
    place: String,
    yara: String,
    regex: Regex,
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

fn patterns() -> Vec<Pattern> {
    let mut rules = Vec::new();
    files(&Path::new(ROOT).join("rules"), &mut rules);
    let mut patterns = Vec::new();
    for file in rules.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "yar"))
    {
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        for (number, line) in text.lines().enumerate() {
            let Some((name, pattern)) = line.trim().split_once(" = /") else { continue };
            let (pattern, flags) = pattern.rsplit_once('/').expect("a pattern ends in a slash");
            let place = format!("{}:{}: {name}", file.display(), number + 1);
            let regex = RegexBuilder::new(&pattern.replace("\\/", "/"))
                .unicode(false)
                .case_insensitive(flags.contains('i'))
                .dot_matches_new_line(flags.contains('s'))
                .size_limit(1 << 26)
                .build()
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            patterns.push(Pattern { place, yara: format!("/{pattern}/{flags}"), regex });
        }
    }
    patterns
}

#[test]
fn every_pattern_matches_what_another_engine_finds() {
    let patterns = patterns();
    assert!(patterns.len() > 400, "{}", patterns.len());
    let mut compiler = boreal::Compiler::new();
    for (index, pattern) in patterns.iter().enumerate() {
        let rule = format!("rule r{index} {{ strings: $a = {} condition: $a }}", pattern.yara);
        compiler.add_rules_str(rule).unwrap_or_else(|error| panic!("{}: {error}", pattern.place));
    }
    let scanner = compiler.finalize();
    let mut texts = Vec::new();
    files(&Path::new(ROOT).join("corpus"), &mut texts);
    let mut wrong = Vec::new();
    let mut matched = 0;
    for path in texts {
        let bytes = std::fs::read(&path).expect("readable");
        let found = scanner.scan_mem(&bytes).expect("in time");
        let found: Vec<&str> = found.rules.iter().map(|rule| rule.name).collect();
        for (index, pattern) in patterns.iter().enumerate() {
            let ours = found.contains(&format!("r{index}").as_str());
            matched += usize::from(ours);
            if ours != pattern.regex.is_match(&bytes) {
                wrong.push(format!(
                    "{} {} in {}",
                    pattern.place,
                    if ours { "matches" } else { "does not match" },
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(matched > 200, "{matched}");
}
