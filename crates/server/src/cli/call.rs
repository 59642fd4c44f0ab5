//! `creel call`: any operation.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use creel_control::clock::SystemClock;
use serde_json::Value;

use super::client::{ApiClient, CallError};
use super::{EXIT_FAILED, UsageError, print_line, profile};

/// Flags of `creel call`.
#[derive(Debug, clap::Args)]
pub(super) struct CallArgs {
    /// Read parameters from a JSON object in this file, - for standard input; keeps secrets off the command line
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// API version, such as 2021-09-01; Creel's own operations have 2026-11-24
    version: String,
    /// Operation, such as ListDesktopAgentRuntime
    action: String,
    /// Parameters: --Name value, lists as --Name.1 value --Name.2 value or as JSON text
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--Name value")]
    params: Vec<String>,
}

/// Prints the answer as JSON. An error of the API is printed to standard output too, with exit code 1.
pub(super) async fn run(args: &CallArgs) -> anyhow::Result<ExitCode> {
    let mut params = match &args.input {
        None => Vec::new(),
        Some(path) => input_params(path)?,
    };
    params.extend(flag_params(&args.params)?);
    let client = ApiClient::new(profile::credentials().map_err(UsageError::from)?, Arc::new(SystemClock))?;
    match client.call(&args.version, &args.action, &params).await {
        Ok(answer) => {
            print_line(&serde_json::to_string_pretty(&answer)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(CallError::Refused { body }) => {
            print_line(&serde_json::to_string_pretty(&body)?)?;
            eprintln!("creel: {}", CallError::Refused { body });
            Ok(ExitCode::from(EXIT_FAILED))
        }
        Err(error) => Err(error.into()),
    }
}

/// `--Name value` and `--Name=value`.
fn flag_params(words: &[String]) -> Result<Vec<(String, String)>, UsageError> {
    let mut params = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--").filter(|name| !name.is_empty()).ok_or_else(|| {
            UsageError(format!(
                "expected --Name, found a value: write --Name value or --Name=value (at word {word:.20?})"
            ))
        })?;
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value = words.next().ok_or_else(|| UsageError(format!("--{name} has no value")))?;
                (name, value.clone())
            }
        };
        params.push((name.to_owned(), value));
    }
    Ok(params)
}

fn input_params(path: &std::path::Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).context("reading parameters from standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(&text) else {
        bail!(UsageError("--input holds no JSON object".to_owned()));
    };
    Ok(fields.into_iter().filter_map(|(name, value)| Some((name, param_text(value)?))).collect())
}

/// Texts as they are, lists and objects as JSON text, which the API takes everywhere; `null` is left out.
fn param_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn parameters_are_pairs_of_words_or_assignments() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            flag_params(&words("--A 1 --B.1=x=y --C --D")).unwrap(),
            [pair("A", "1"), pair("B.1", "x=y"), pair("C", "--D")]
        );
        for wrong in ["A 1", "--A", "-- 1"] {
            assert!(flag_params(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn json_input_becomes_wire_texts() {
        let value = serde_json::json!({"A": "x", "B": 1, "C": true, "D": null, "E": ["a"]});
        let Value::Object(fields) = value else { panic!("an object") };
        let texts: Vec<_> = fields.into_iter().map(|(_, value)| param_text(value)).collect();
        assert_eq!(
            texts,
            [Some("x"), Some("1"), Some("true"), None, Some("[\"a\"]")].map(|t| t.map(str::to_owned))
        );
    }
}
