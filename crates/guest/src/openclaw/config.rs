//! Renders `openclaw.json` from the desired state: a pure function, so that drift is a comparison of bytes.
//!
//! The file is ours as a whole. OpenClaw keeps its hands off it because it runs with `OPENCLAW_CONFIG_READONLY=1`;
//! without that it would restore an older file at its next start, because ours lacks the `meta` block it writes.
//! Secrets are not in it: it names files. The exception are variables of skills, for which OpenClaw takes only text.

use std::path::{Path, PathBuf};

use creel_wire::guest::{DesiredState, Model, ModelConfig, ModelProvider, ProviderEndpoint};
use creel_wire::secret::Secret;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::skills;

/// Header by which the gateway knows which provider of the group a call is for.
const PROVIDER_HEADER: &str = "X-Creel-Provider";
/// Named where no model is allowed: an empty list would mean that every model is.
const NO_MODEL: &str = "creel/none";

/// The places in the agent's directory, as the agent sees them or as the guest does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentPaths {
    root: PathBuf,
}

impl AgentPaths {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Configuration and credentials; the agent may read it and not write it.
    pub(crate) fn config_dir(&self) -> PathBuf {
        self.root.join("config")
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.root.join("config/openclaw.json")
    }

    /// Scripts that run or are about to.
    pub(crate) fn commands_dir(&self) -> PathBuf {
        self.root.join("config/commands")
    }

    /// Authorised skills, by name.
    pub(crate) fn skills_dir(&self) -> PathBuf {
        self.root.join("config/skills")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Directories that belong to the agent.
    pub(crate) fn owned_by_agent(&self) -> [PathBuf; 5] {
        [self.home(), self.state(), self.workspace(), self.tmp(), self.logs()]
    }
}

/// What the file depends on beside the desired state.
#[derive(Debug, Clone)]
pub(crate) struct RenderContext<'a> {
    /// As the agent sees them.
    pub(crate) paths: &'a AgentPaths,
    /// Base URL of the agent listener, without a trailing slash.
    pub(crate) server_url: &'a str,
    pub(crate) port: u16,
    pub(crate) gateway_token: &'a Secret,
    pub(crate) virtual_key: &'a Secret,
}

/// A configuration and the files it names.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    /// Bytes of `openclaw.json`.
    pub(crate) config: Vec<u8>,
    /// File names in the configuration directory and their content. A name changes with its content, so that a new
    /// key is a new configuration and is applied like one.
    pub(crate) secrets: Vec<(String, Secret)>,
    /// What the running agent must show once it uses this.
    pub(crate) expected: Expected,
}

/// What is compared with the running agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Models by provider, in the order of the file.
    pub(crate) providers: Vec<(String, Vec<String>)>,
    /// The model that answers by default.
    pub(crate) primary: Option<String>,
    /// As [`skills::view`] gives it.
    pub(crate) skills: Value,
}

/// The file for one desired state.
pub(crate) fn render(desired: &DesiredState, context: &RenderContext<'_>) -> Rendered {
    let no_models = ModelConfig { providers: Vec::new(), default_model: None };
    let models = desired.models.as_ref().unwrap_or(&no_models);
    let mut files = SecretFiles { dir: context.paths.config_dir(), providers: Map::new(), files: Vec::new() };
    let gateway_token = files.reference("gateway", context.gateway_token);
    let mut providers = Map::new();
    for (index, provider) in models.providers.iter().enumerate() {
        providers.insert(provider.name.clone(), render_provider(provider, index, context, &mut files));
    }
    let (expected_providers, expected_primary) = expected_models(models);
    let allowed: Vec<String> = expected_providers
        .iter()
        .flat_map(|(provider, codes)| codes.iter().map(move |code| format!("{provider}/{code}")))
        .collect();
    let allowed = if allowed.is_empty() { vec![NO_MODEL.to_owned()] } else { allowed };
    let primary = expected_primary.as_deref().unwrap_or(NO_MODEL);
    let overlay = desired.skills.as_ref().map(|wanted| skills::overlay(wanted, context.paths, &mut files));
    let mut config = json!({
        "gateway": {
            "mode": "local",
            "port": context.port,
            "bind": "loopback",
            "auth": { "mode": "token", "token": gateway_token },
            "controlUi": { "enabled": false },
            "http": { "endpoints": { "chatCompletions": { "enabled": true } } },
        },
        "update": { "checkOnStart": false, "auto": { "enabled": false } },
        "telemetry": { "enabled": false },
        "discovery": { "mdns": { "mode": "off" } },
        "models": { "mode": "replace", "catalogRefresh": { "enabled": false }, "providers": providers },
        "agents": { "defaults": {
            "model": { "primary": primary, "fallbacks": [] },
            "modelPolicy": { "allow": allowed },
            "workspace": context.paths.workspace(),
            "skipBootstrap": true,
            // Turns that nobody asked for would spend credits.
            "heartbeat": { "every": "0m" },
        } },
        "plugins": { "entries": {
            "admin-http-rpc": { "enabled": true },
            "memory-core": { "config": { "dreaming": { "enabled": false } } },
        } },
        "skills": { "workshop": { "autonomous": { "mode": "off" } } },
        "logging": { "file": context.paths.logs().join("openclaw.log") },
        "secrets": { "providers": files.providers },
    });
    if let Some(overlay) = overlay {
        merge(&mut config, overlay);
    }
    let expected =
        Expected { providers: expected_providers, primary: expected_primary, skills: skills::view(&config) };
    // Indented, because operators read it; a map of strings and numbers always serialises.
    let mut bytes = serde_json::to_vec_pretty(&config).unwrap_or_default();
    bytes.push(b'\n');
    Rendered { config: bytes, secrets: files.files, expected }
}

/// Lays objects over each other; everything else is replaced.
fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                merge(below.entry(name).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

fn expected_models(models: &ModelConfig) -> (Vec<(String, Vec<String>)>, Option<String>) {
    let codes = |provider: &ModelProvider| provider.models.iter().map(|model| model.code.clone()).collect();
    let providers: Vec<(String, Vec<String>)> =
        models.providers.iter().map(|provider| (provider.name.clone(), codes(provider))).collect();
    let has = |wanted: &creel_wire::guest::ModelRef| {
        providers.iter().any(|(name, codes)| *name == wanted.provider && codes.contains(&wanted.code))
    };
    let first = || {
        let (name, codes) = providers.iter().find(|(_, codes)| !codes.is_empty())?;
        Some(format!("{name}/{}", codes.first()?))
    };
    let chosen = models.default_model.as_ref().filter(|wanted| has(wanted));
    let primary = chosen.map(|wanted| format!("{}/{}", wanted.provider, wanted.code)).or_else(first);
    (providers, primary)
}

fn render_provider(
    provider: &ModelProvider,
    index: usize,
    context: &RenderContext<'_>,
    files: &mut SecretFiles,
) -> Value {
    let models: Vec<Value> = provider.models.iter().map(render_model).collect();
    match &provider.endpoint {
        // OpenClaw takes `/v1` off again where it speaks messages.
        ProviderEndpoint::Gateway { api } => json!({
            "baseUrl": format!("{}/v1", context.server_url),
            "apiKey": files.reference("virtual", context.virtual_key),
            "api": api,
            "headers": { PROVIDER_HEADER: provider.name },
            "models": models,
        }),
        ProviderEndpoint::Direct { api, base_url, api_key } => json!({
            "baseUrl": base_url,
            "apiKey": files.reference(&format!("direct{index}"), api_key),
            "api": api,
            "models": models,
        }),
    }
}

fn render_model(model: &Model) -> Value {
    let mut value = Map::new();
    value.insert("id".to_owned(), json!(model.code));
    value.insert("name".to_owned(), json!(model.name));
    value.insert("reasoning".to_owned(), json!(model.reasoning));
    if !model.input.is_empty() {
        value.insert("input".to_owned(), json!(model.input));
    }
    if let Some(tokens) = model.context_window {
        value.insert("contextWindow".to_owned(), json!(tokens));
    }
    if let Some(tokens) = model.max_output_tokens {
        value.insert("maxTokens".to_owned(), json!(tokens));
    }
    Value::Object(value)
}

/// Collects the files that hold secrets and OpenClaw's names for them.
pub(super) struct SecretFiles {
    dir: PathBuf,
    providers: Map<String, Value>,
    files: Vec<(String, Secret)>,
}

impl SecretFiles {
    /// The reference that stands in the configuration instead of `secret`.
    pub(super) fn reference(&mut self, label: &str, secret: &Secret) -> Value {
        let alias = format!("creel-{label}");
        if !self.providers.contains_key(&alias) {
            let file = secret_file_name(label, secret);
            let path = self.dir.join(&file);
            self.providers
                .insert(alias.clone(), json!({ "source": "file", "path": path, "mode": "singleValue" }));
            self.files.push((file, secret.clone()));
        }
        json!({ "source": "file", "provider": alias, "id": "value" })
    }
}

/// Six bytes of a hash: enough to differ, too few to check a guess of a key against.
fn secret_file_name(label: &str, secret: &Secret) -> String {
    let digest = Sha256::digest(secret.expose().as_bytes());
    let prefix: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{label}-{prefix}.secret")
}

/// Whether a file in the configuration directory is one of those that [`render`] names.
pub(crate) fn is_secret_file(name: &str) -> bool {
    name.ends_with(".secret")
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
