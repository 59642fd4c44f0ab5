//! Where the client commands find endpoint and key: the environment, else the profile that `creel login` wrote.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::{Context, bail};
use creel_wire::secret::Secret;
use serde::{Deserialize, Serialize};

use super::client::Credentials;
use super::environment;

/// The profile's file: of the user, and of nobody else.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    endpoint: String,
    access_key_id: String,
    access_key_secret: Secret,
}

/// `$XDG_CONFIG_HOME/creel/profile.json`, else `~/.config/creel/profile.json`.
fn path() -> anyhow::Result<PathBuf> {
    let set = |name| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let config =
        config.context("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for a profile")?;
    Ok(config.join("creel").join("profile.json"))
}

fn read() -> anyhow::Result<Option<Profile>> {
    let Ok(path) = path() else { return Ok(None) };
    match std::fs::read(&path) {
        Ok(bytes) => {
            let profile = serde_json::from_slice(&bytes);
            // The parser's error may quote the file.
            let profile = profile.map_err(|_| anyhow::anyhow!("{} is not a profile", path.display()))?;
            Ok(Some(profile))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// The credentials to use; a variable wins over the profile.
pub(super) fn credentials() -> anyhow::Result<Credentials> {
    let get = |name: &str| environment(name).filter(|value| !value.is_empty());
    let (endpoint, id) = (get("CREEL_ENDPOINT"), get("CREEL_ACCESS_KEY_ID"));
    let secret = get("CREEL_ACCESS_KEY_SECRET").map(Secret::new);
    if id.is_some() != secret.is_some() {
        bail!("set both CREEL_ACCESS_KEY_ID and CREEL_ACCESS_KEY_SECRET, or neither");
    }
    let profile = if endpoint.is_some() && id.is_some() { None } else { read()? };
    let of_profile = profile.map(|profile| Credentials {
        endpoint: profile.endpoint,
        access_key_id: profile.access_key_id,
        access_key_secret: profile.access_key_secret,
    });
    let credentials = match (id, secret, of_profile) {
        (Some(access_key_id), Some(access_key_secret), of_profile) => endpoint
            .or(of_profile.map(|profile| profile.endpoint))
            .map(|endpoint| Credentials { endpoint, access_key_id, access_key_secret }),
        (_, _, Some(profile)) => {
            let endpoint = endpoint.unwrap_or_else(|| profile.endpoint.clone());
            Some(Credentials { endpoint, ..profile })
        }
        (_, _, None) => None,
    };
    credentials.context(
        "no credentials: set CREEL_ENDPOINT, CREEL_ACCESS_KEY_ID and CREEL_ACCESS_KEY_SECRET, or run `creel login`",
    )
}

/// Writes the profile; gives where it is.
pub(super) fn write(credentials: &Credentials) -> anyhow::Result<PathBuf> {
    let path = path()?;
    let profile = Profile {
        endpoint: credentials.endpoint.clone(),
        access_key_id: credentials.access_key_id.clone(),
        access_key_secret: credentials.access_key_secret.clone(),
    };
    let text = serde_json::to_vec_pretty(&profile).context("writing the profile")?;
    let written = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let new = path.with_extension("new");
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?
            .write_all(&text)?;
        std::fs::rename(&new, &path)
    };
    written().with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
