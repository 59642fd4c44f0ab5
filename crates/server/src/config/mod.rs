//! What the operator sets: `creel.toml`, then the environment (`CREEL_<FLAG>`), then flags; the later wins.
//!
//! Parsed once into [`Config`]; unknown keys are errors; the defaults are [`Config::default`] alone. Secrets are
//! [`Secret`]s and are written out as `[secret]`.

mod data_dir;
mod error;
mod load;
mod skills;
mod system_provider;
mod webhook;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use creel_wire::id::AccessKeyId;
use creel_wire::secret::Secret;
use serde::{Deserialize, Serialize};

pub use data_dir::{DataDir, Locks, RootCredentials};
pub use error::ConfigError;
pub use load::{Environment, ServeArgs, StoreArgs};
pub use skills::{AnalyserConfig, JudgeConfig, OnFailure, SkillsConfig};
pub(crate) use skills::{SARIF_PLACE, SKILL_PLACE};
pub use system_provider::{ModelPrice, SystemModel, SystemProvider};
pub use webhook::WebhookConfig;

/// Everything that the operator can set.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where this process keeps its files: master key, SQLite database, journal, objects, sandboxes.
    pub data_dir: PathBuf,
    /// Address of the API, console, `/metrics`; port 0 takes a free one.
    pub admin_listen: SocketAddr,
    /// Address of the LLM gateway and the guest link; port 0 takes a free one.
    pub agent_listen: SocketAddr,
    /// `sqlite:PATH` or `postgres://…`; `None` is `sqlite:` and `creel.db` in the data directory.
    #[serde(serialize_with = "masked_url")]
    pub database: Option<String>,
    /// Where uploads and contents of skills are: a directory, or `s3://BUCKET` with or without a `/PREFIX`; `None` is
    /// `objects` in the data directory.
    pub objects: Option<String>,
    /// Where agents live.
    pub driver: DriverKind,
    /// What this process does.
    pub roles: BTreeSet<Role>,
    /// PEM file with the certificate chain of both listeners; only together with `tls_key`.
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key to `tls_cert`.
    pub tls_key: Option<PathBuf>,
    /// The one region of this installation.
    pub region: String,
    /// What is logged, such as `info` or `info,creel=debug`.
    pub log: String,
    pub gateway: GatewayConfig,
    pub cluster: ClusterConfig,
    pub telemetry: TelemetryConfig,
    pub audit: AuditConfig,
    pub messages: MessagesConfig,
    pub orders: OrdersConfig,
    pub alerts: AlertsConfig,
    pub limits: LimitsConfig,
    pub process: ProcessConfig,
    pub skills: SkillsConfig,
    /// The operator's LLM providers, from which WuyingCredit providers are copied.
    #[serde(rename = "system_provider")]
    pub system_providers: Vec<SystemProvider>,
    /// Secrets of the environment; never from the file.
    #[serde(skip)]
    pub environment: EnvironmentSecrets,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("creel-data"),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            agent_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            database: None,
            objects: None,
            driver: DriverKind::Process,
            roles: Role::ALL.into(),
            tls_cert: None,
            tls_key: None,
            region: "cn-hangzhou".to_owned(),
            log: "info".to_owned(),
            gateway: GatewayConfig::default(),
            cluster: ClusterConfig::default(),
            telemetry: TelemetryConfig::default(),
            audit: AuditConfig::default(),
            messages: MessagesConfig::default(),
            orders: OrdersConfig::default(),
            alerts: AlertsConfig::default(),
            limits: LimitsConfig::default(),
            process: ProcessConfig::default(),
            skills: SkillsConfig::default(),
            system_providers: Vec::new(),
            environment: EnvironmentSecrets::default(),
        }
    }
}

/// Where agents live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    /// As processes on this machine.
    Process,
    /// As containers.
    Docker,
    /// As pods.
    Kubernetes,
    /// Nowhere: runtimes exist and are billable, and have no agent.
    None,
}

/// What a process does; many processes over one PostgreSQL may share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers the API.
    Api,
    /// Carries LLM calls and guest links.
    Gateway,
    /// Makes wishes true.
    Controller,
}

impl Role {
    /// All roles: what one process alone does.
    pub const ALL: [Role; 3] = [Role::Api, Role::Gateway, Role::Controller];
}

/// The LLM gateway.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// True refuses `EnableWuyingProxy=false`, which would hand a provider's real key to agents.
    pub required: bool,
    /// Megabytes of the call log, `calls/calls.jsonl` in the data directory and its seven older files; 0 keeps none.
    pub call_log_mb: u32,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self { required: true, call_log_mb: 256 }
    }
}

/// Spans of LLM calls, for OpenTelemetry.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Base address of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; without one no spans are
    /// made.
    pub otlp_endpoint: Option<String>,
    /// Of calls without a trace of their own, which part begins one, in percent.
    pub sample_percent: u8,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_percent: 100 }
    }
}

/// Several processes over one PostgreSQL.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Where the other processes reach this one's admin listener, such as `http://10.0.0.7:8080`; `None` is where it
    /// listens, if that is one address.
    pub advertise: Option<String>,
}

/// How many calls of the API are answered; more get `Throttling.User`. Three seconds' worth may come at once. 0 is no limit.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Calls of one access key a second.
    pub key_calls_per_second: u32,
    /// Calls of one account a second, all its keys together.
    pub account_calls_per_second: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { key_calls_per_second: 1_000, account_calls_per_second: 5_000 }
    }
}

/// The audit log.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// The file of signed roots; `None` is `audit/roots.jsonl` in the data directory. Best where the database's
    /// administrator cannot write.
    pub roots: Option<PathBuf>,
    /// The file of signed roots of the ledger; `None` is `audit/ledger-roots.jsonl` in the data directory.
    pub ledger_roots: Option<PathBuf>,
    /// How many days events are kept, at least 1; they are removed within a day after that.
    pub retention_days: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { roots: None, ledger_roots: None, retention_days: 365 }
    }
}

/// Messages to agents, and commands.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessagesConfig {
    /// How many days messages with their answers, and commands with their output, are kept after their end, at least 1;
    /// they are removed within an hour after that.
    pub retention_days: u32,
}

impl Default for MessagesConfig {
    fn default() -> Self {
        Self { retention_days: 90 }
    }
}

/// Orders of credit packs.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrdersConfig {
    /// Who approves them.
    pub approval: ApprovalKind,
    /// What prices are in, as three capital letters.
    pub currency: String,
    /// What is asked, where `approval` is `webhook`.
    pub webhook: Option<WebhookConfig>,
}

impl Default for OrdersConfig {
    fn default() -> Self {
        Self { approval: ApprovalKind::Automatic, currency: "CNY".to_owned(), webhook: None }
    }
}

/// What is told when quotas and packs near their end.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsConfig {
    /// Who is told; `None` is nobody.
    pub webhook: Option<WebhookConfig>,
}

/// Who approves orders of credit packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalKind {
    /// Nobody has to.
    Automatic,
    /// The operator, by `creel admin order`.
    Manual,
    /// An address of the operator's.
    Webhook,
}

/// The process driver.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessConfig {
    /// The Node.js binary that runs OpenClaw; `None` looks in the `PATH`.
    pub node: Option<PathBuf>,
    /// The folder of the installed OpenClaw package; `None` looks in the cache of `make setup`.
    pub openclaw: Option<PathBuf>,
    /// True lets agents run as the server's own user without isolation.
    pub insecure: bool,
    /// First of the user ids that agents get when the server runs as root; `None` is the driver's default.
    pub uid_base: Option<u32>,
}

/// What only the environment gives, so that it stands in no file.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentSecrets {
    /// `CREEL_MASTER_KEY`: base64 of 32 bytes.
    pub master_key: Option<Secret>,
    /// `CREEL_ROOT_ACCESS_KEY_ID` and `CREEL_ROOT_ACCESS_KEY_SECRET`.
    pub root_access_key: Option<(AccessKeyId, Secret)>,
    /// `CREEL_CONSOLE_PASSWORD`.
    pub console_password: Option<Secret>,
}

impl Config {
    /// The address of the database as it was set or by default; may hold a password.
    pub fn database_url(&self) -> String {
        self.database
            .clone()
            .unwrap_or_else(|| format!("sqlite:{}", self.data_dir.join("creel.db").display()))
    }

    /// The file of a SQLite database, `None` for PostgreSQL.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        let url = self.database_url();
        let path = url.strip_prefix("sqlite:")?.split('?').next().unwrap_or_default();
        Some(Path::new(path.strip_prefix("//").unwrap_or(path)).to_path_buf())
    }

    /// The bucket of objects and the prefix in it, `None` for a directory.
    pub fn objects_bucket(&self) -> Option<(&str, &str)> {
        let address = self.objects.as_deref()?.strip_prefix("s3://")?;
        let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
        Some((bucket, prefix.trim_matches('/')))
    }

    /// The directory of objects, unless they are in a bucket.
    pub fn objects_dir(&self) -> PathBuf {
        self.objects.as_ref().map_or_else(|| self.data_dir.join("objects"), PathBuf::from)
    }

    /// The file of signed roots of the audit log.
    pub fn audit_roots(&self) -> PathBuf {
        self.audit.roots.clone().unwrap_or_else(|| self.data_dir.join("audit").join("roots.jsonl"))
    }

    /// The file of signed roots of the ledger.
    pub fn ledger_roots(&self) -> PathBuf {
        let default = || self.data_dir.join("audit").join("ledger-roots.jsonl");
        self.audit.ledger_roots.clone().unwrap_or_else(default)
    }

    /// Whether this process does this.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The whole configuration as TOML with every secret masked: what `creel check-config` prints.
    ///
    /// # Errors
    /// None that a valid configuration can cause; the TOML writer's type demands one.
    pub fn to_masked_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

/// Serialises a database address without its password.
fn masked_url<S: serde::Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    match url {
        None => serializer.serialize_none(),
        Some(url) => serializer.serialize_some(&mask_password(url)),
    }
}

/// `postgres://user:secret@host/db?password=secret` → `postgres://user:[secret]@host/db`.
fn mask_password(url: &str) -> String {
    // Everything behind `?` may be a password as well.
    let (url, options) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?[secret]"));
    let Some((scheme, rest)) = url.split_once("://") else { return format!("{url}{options}") };
    // The password itself may hold an `@`, the host may not.
    let Some((login, host)) = rest.rsplit_once('@') else { return format!("{url}{options}") };
    let login = login.split_once(':').map_or(login.to_owned(), |(user, _)| format!("{user}:[secret]"));
    format!("{scheme}://{login}@{host}{options}")
}

/// Serialises a secret as the text `[secret]`.
fn masked_secret<S: serde::Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        None => serializer.serialize_none(),
        Some(secret) => serializer.serialize_some(&format!("{secret:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_database_addresses_are_masked() {
        for (url, masked) in [
            ("postgres://creel:p@ss:w@db:5432/creel", "postgres://creel:[secret]@db:5432/creel"),
            ("postgres://db/creel?password=p", "postgres://db/creel?[secret]"),
            ("postgres://creel@db/creel", "postgres://creel@db/creel"),
            ("sqlite:/var/lib/creel.db", "sqlite:/var/lib/creel.db"),
        ] {
            assert_eq!(mask_password(url), masked);
        }
    }

    #[test]
    fn objects_are_in_a_directory_or_a_bucket() {
        let config = |objects: Option<&str>| Config {
            data_dir: "/d".into(),
            objects: objects.map(str::to_owned),
            ..Config::default()
        };
        assert_eq!((config(None).objects_bucket(), config(None).objects_dir()), (None, "/d/objects".into()));
        assert_eq!(config(Some("/o")).objects_dir(), PathBuf::from("/o"));
        for (address, found) in [("s3://b", ("b", "")), ("s3://b/", ("b", "")), ("s3://b/p/q/", ("b", "p/q"))]
        {
            assert_eq!(config(Some(address)).objects_bucket(), Some(found));
        }
    }

    #[test]
    fn the_database_is_in_the_data_directory_unless_said_otherwise() {
        let mut config = Config { data_dir: "/d".into(), ..Config::default() };
        assert_eq!(config.database_url(), "sqlite:/d/creel.db");
        assert_eq!(config.sqlite_path(), Some("/d/creel.db".into()));
        config.database = Some("sqlite:///x/y.db?mode=rwc".to_owned());
        assert_eq!(config.sqlite_path(), Some("/x/y.db".into()));
        config.database = Some("postgres://db/creel".to_owned());
        assert_eq!(config.sqlite_path(), None);
    }
}
