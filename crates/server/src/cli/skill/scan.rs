//! `creel skill scan`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use creel_control::skill::Analyse;
use creel_skills::package::{Package, PackageError};
use creel_skills::report::{Finding, Report, Unread};
use creel_skills::scan::Scanner;
use creel_skills::verdict::{self, Policy, Verdict};
use serde::Serialize;

use super::super::{EXIT_FAILED, EXIT_USAGE, print_line};
use super::collect::{self, Found};
use super::sarif;
use crate::config::Config;
use crate::skills::Analysers;

pub(super) const AFTER_HELP: &str = "\
Exit codes: 0 every skill passed; 1 at least one did not; 2 something could not be read, or the command line is wrong.";

/// Arguments of `creel skill scan`.
#[derive(Debug, clap::Args)]
pub(super) struct ScanArgs {
    /// A folder with a SKILL.md, an archive, a SKILL.md alone, or a folder with any of these below it
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Configuration file whose [skills] analysers are run, too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One JSON object a line
    Json,
    /// For people
    Text,
    /// One SARIF 2.1.0 log of all
    Sarif,
}

/// What is said of one skill.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Outcome {
    pub(super) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hash: Option<String>,
    score: u8,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    /// Of a package that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    pub(super) findings: Vec<Finding>,
    pub(super) unread: Vec<Unread>,
}

impl Outcome {
    /// Whether there was no package to scan.
    pub(super) fn is_refused(&self) -> bool {
        self.error_code.is_some()
    }
}

pub(super) async fn run(args: ScanArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.map(Config::skills_of).transpose()?.unwrap_or_default();
    let analysers = Analysers::new(&config)?;
    let scanner = Arc::new(Scanner::new()?.with_known_bad(config.known_bad));
    let (mut outcomes, mut passed, mut unreadable) = (Vec::new(), true, false);
    for path in args.paths {
        let found = match collect::find(&path) {
            Ok(found) => found,
            Err(error) => {
                unreadable = true;
                eprintln!("creel: {error:#}");
                continue;
            }
        };
        for skill in found {
            let scanner = scanner.clone();
            let path = skill.path().to_path_buf();
            let outcome = match one(skill, scanner, analysers.as_ref()).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    unreadable = true;
                    eprintln!("creel: {}: {error:#}", path.display());
                    continue;
                }
            };
            passed &= outcome.verdict == Verdict::Passed;
            match args.format {
                Format::Json => print_line(&serde_json::to_string(&outcome)?)?,
                Format::Text => print_line(&text(&outcome))?,
                Format::Sarif => outcomes.push(outcome),
            }
        }
    }
    if args.format == Format::Sarif {
        print_line(&sarif::log(&outcomes).to_string())?;
    }
    Ok(match (unreadable, passed) {
        (true, _) => ExitCode::from(EXIT_USAGE),
        (false, false) => ExitCode::from(EXIT_FAILED),
        (false, true) => ExitCode::SUCCESS,
    })
}

async fn one(skill: Found, scanner: Arc<Scanner>, analysers: Option<&Analysers>) -> anyhow::Result<Outcome> {
    let path = skill.path().display().to_string();
    let scanned =
        tokio::task::spawn_blocking(move || -> anyhow::Result<Result<(Package, Report), PackageError>> {
            Ok(skill.read()?.map(|package| {
                let report = scanner.scan(&package);
                (package, report)
            }))
        });
    match scanned.await?? {
        Err(PackageError { code, message }) => Ok(Outcome {
            path,
            name: None,
            version: None,
            content_hash: None,
            score: 0,
            verdict: Verdict::Rejected,
            reason: message,
            error_code: Some(code),
            findings: Vec::new(),
            unread: Vec::new(),
        }),
        Ok((package, mut report)) => {
            let package = Arc::new(package);
            if let Some(analysers) = analysers {
                let told = analysers.analyse(package.clone()).await;
                report.add(told.findings, told.unread);
            }
            let (verdict, reason) = verdict::judge(&report, &Policy::default());
            Ok(Outcome {
                path,
                name: Some(package.manifest.name.clone()),
                version: package.manifest.version.clone(),
                content_hash: Some(package.content_hash.clone()),
                score: report.score,
                verdict,
                reason,
                error_code: None,
                findings: report.findings,
                unread: report.unread,
            })
        }
    }
}

/// A heading and a line for each finding and each file that was not read.
fn text(outcome: &Outcome) -> String {
    let Outcome { path, score, verdict, reason, .. } = outcome;
    let mut lines = vec![format!("{verdict} {score:>3} {path}: {reason}")];
    lines.extend(outcome.findings.iter().map(|finding| {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        let severity = format!("{:?}", finding.severity).to_uppercase();
        format!("  {severity:<8} {} {}{line}: {}", finding.rule, place(&finding.file), finding.message)
    }));
    lines.extend(
        outcome.unread.iter().map(|unread| format!("  UNREAD   {}: {}", place(&unread.file), unread.reason)),
    );
    lines.join("\n")
}

fn place(file: &str) -> &str {
    if file.is_empty() { "." } else { file }
}

/// A path for SARIF: the skill's, and a file's below it.
pub(super) fn file_path(skill: &str, file: &str) -> String {
    Path::new(skill).join(file).display().to_string()
}
