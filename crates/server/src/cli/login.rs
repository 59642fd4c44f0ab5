//! `creel login`: checks a key and keeps it for the client commands.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use creel_control::clock::SystemClock;
use creel_wire::secret::Secret;
use serde_json::Value;

use super::client::{ApiClient, CallError, Credentials, text};
use super::{UsageError, profile};

/// Flags of `creel login`.
#[derive(Debug, clap::Args)]
pub(super) struct LoginArgs {
    /// Where the API is
    #[arg(long, env = "CREEL_ENDPOINT", default_value = "http://127.0.0.1:8080")]
    endpoint: String,
    /// Access key id; its secret is read from standard input
    #[arg(long, env = "CREEL_ACCESS_KEY_ID", required_unless_present = "credentials")]
    access_key_id: Option<String>,
    /// Read the key from a file as the server wrote it, such as DIR/root-access-key.json
    #[arg(long, value_name = "FILE", conflicts_with = "access_key_id")]
    credentials: Option<PathBuf>,
}

/// Writes the profile if the server knows the key.
pub(super) async fn run(args: &LoginArgs) -> anyhow::Result<ExitCode> {
    let (access_key_id, access_key_secret) = match (&args.credentials, &args.access_key_id) {
        (Some(path), _) => from_file(path)?,
        (None, Some(id)) => (id.clone(), secret_from_stdin()?),
        (None, None) => return Err(UsageError("give --access-key-id or --credentials".to_owned()).into()),
    };
    let credentials = Credentials { endpoint: args.endpoint.clone(), access_key_id, access_key_secret };
    let client = ApiClient::new(credentials.clone(), Arc::new(SystemClock))?;
    match client.call("2026-11-24", "DescribeAgentMessages", &[]).await {
        Ok(_) => {}
        // Permission is another matter: who may not list messages is logged in all the same.
        Err(CallError::Refused { body }) if !is_about_the_key(&body) => {}
        Err(error) => return Err(error.into()),
    }
    let path = profile::write(&credentials)?;
    eprintln!("creel: wrote {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn is_about_the_key(body: &Value) -> bool {
    let code = text(body, "Code");
    ["InvalidAccessKeyId", "Signature", "IncompleteSignature", "InvalidTimeStamp", "InvalidSignature"]
        .iter()
        .any(|prefix| code.starts_with(prefix))
}

fn from_file(path: &std::path::Path) -> anyhow::Result<(String, Secret)> {
    let file = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let value: Value =
        serde_json::from_slice(&file).map_err(|_| UsageError(format!("{} is not JSON", path.display())))?;
    let (id, secret) = (text(&value, "AccessKeyId"), text(&value, "AccessKeySecret"));
    if id.is_empty() || secret.is_empty() {
        let message = format!("{} holds no AccessKeyId and AccessKeySecret", path.display());
        return Err(UsageError(message).into());
    }
    Ok((id.to_owned(), Secret::new(secret.to_owned())))
}

fn secret_from_stdin() -> anyhow::Result<Secret> {
    if std::io::stdin().is_terminal() {
        eprint!("Access key secret, then Ctrl-D: ");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("reading the secret from standard input")?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(UsageError("no secret came from standard input".to_owned()).into());
    }
    Ok(Secret::new(secret.to_owned()))
}
