//! Layers: defaults, file, environment, flags.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use creel_wire::id::AccessKeyId;
use creel_wire::secret::Secret;

use super::{ApprovalKind, Config, ConfigError, DriverKind, EnvironmentSecrets, Role, SkillsConfig};

/// Where environment variables come from: the process, or a test's table.
pub trait Environment {
    /// The value of a variable, `None` if it is not set or not UTF-8.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Flags of every command that needs the database; each is also `CREEL_<FLAG>` and, but for the file itself, a key of
/// `creel.toml`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StoreArgs {
    /// Configuration file
    #[arg(long, env = "CREEL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where this process keeps its files [default: creel-data]
    #[arg(long, env = "CREEL_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// sqlite:PATH or postgres://… [default: sqlite:DIR/creel.db]
    #[arg(long, env = "CREEL_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
}

/// Flags of `creel serve`; each is also `CREEL_<FLAG>` and a key of `creel.toml`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Address of the API; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "CREEL_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// Address of the LLM gateway and the guest link [default: 127.0.0.1:8081]
    #[arg(long, env = "CREEL_AGENT_LISTEN", value_name = "ADDRESS")]
    pub agent_listen: Option<SocketAddr>,
    /// Where uploads and contents of skills are, a directory or s3://BUCKET [default: DIR/objects]
    #[arg(long, env = "CREEL_OBJECTS", value_name = "PLACE")]
    pub objects: Option<String>,
    /// Where agents live [default: process]
    #[arg(long, env = "CREEL_DRIVER")]
    pub driver: Option<DriverKind>,
    /// What this process does [default: api,gateway,controller]
    #[arg(long, env = "CREEL_ROLES", value_delimiter = ',')]
    pub roles: Option<Vec<Role>>,
    /// Where other processes over the same database reach the API of this one [default: --admin-listen]
    #[arg(long, env = "CREEL_CLUSTER_ADVERTISE", value_name = "URL")]
    pub cluster_advertise: Option<String>,
    /// PEM certificate chain of both listeners
    #[arg(long, env = "CREEL_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM private key to --tls-cert
    #[arg(long, env = "CREEL_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The one region of this installation [default: cn-hangzhou]
    #[arg(long, env = "CREEL_REGION")]
    pub region: Option<String>,
    /// What is logged, such as info or info,creel=debug [default: info]
    #[arg(long, env = "CREEL_LOG")]
    pub log: Option<String>,
    /// Let agents run as the server's own user without isolation (process driver)
    #[arg(long, env = "CREEL_INSECURE")]
    pub insecure: bool,
}

impl Config {
    /// The configuration of a server.
    ///
    /// # Errors
    /// Whatever is wrong with it, by the name under which it was given.
    pub fn for_server(args: &ServeArgs, environment: &dyn Environment) -> Result<Self, ConfigError> {
        let mut config = Self::read(&args.store)?;
        set(&mut config.admin_listen, args.admin_listen);
        set(&mut config.agent_listen, args.agent_listen);
        set(&mut config.driver, args.driver);
        set(&mut config.roles, args.roles.as_ref().map(|roles| BTreeSet::from_iter(roles.iter().copied())));
        set(&mut config.region, args.region.clone());
        set(&mut config.log, args.log.clone());
        set_optional(&mut config.objects, args.objects.clone());
        set_optional(&mut config.cluster.advertise, args.cluster_advertise.clone());
        set_optional(&mut config.tls_cert, args.tls_cert.clone());
        set_optional(&mut config.tls_key, args.tls_key.clone());
        config.process.insecure |= args.insecure;
        for provider in &mut config.system_providers {
            provider.resolve(environment)?;
        }
        if let Some(webhook) = &mut config.orders.webhook {
            webhook.resolve("orders.webhook", environment)?;
        }
        if let Some(webhook) = &mut config.alerts.webhook {
            webhook.resolve("alerts.webhook", environment)?;
        }
        config.skills.resolve()?;
        config.environment = EnvironmentSecrets::read(environment)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration of a command that works on a server's database. Keys of providers are not looked up.
    ///
    /// # Errors
    /// As [`Config::for_server`].
    pub fn for_admin(args: &StoreArgs, environment: &dyn Environment) -> Result<Self, ConfigError> {
        let mut config = Self::read(args)?;
        config.environment = EnvironmentSecrets::read(environment)?;
        Ok(config)
    }

    /// The analysers of skills that a configuration file names, for a command that needs nothing else of it.
    ///
    /// # Errors
    /// As [`Config::for_server`].
    pub fn skills_of(path: PathBuf) -> Result<SkillsConfig, ConfigError> {
        let mut config = Self::read(&StoreArgs { config: Some(path), ..StoreArgs::default() })?;
        config.skills.resolve()?;
        Ok(config.skills)
    }

    fn read(args: &StoreArgs) -> Result<Self, ConfigError> {
        let mut config = match &args.config {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
                Self::parse(&text).map_err(|message| ConfigError::File { path: path.clone(), message })?
            }
        };
        set(&mut config.data_dir, args.data_dir.clone());
        set_optional(&mut config.database, args.database.clone());
        Ok(config)
    }

    /// The error is the place and what is wrong there, without the line's text, which may hold a secret.
    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            format!("line {line}: {}", error.message())
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(ConfigError::value("tls_cert, tls_key", "give both or neither"));
        }
        if !(1..=36_500).contains(&self.audit.retention_days) {
            return Err(ConfigError::value("audit.retention_days", "give 1 to 36500 days"));
        }
        if !(1..=36_500).contains(&self.messages.retention_days) {
            return Err(ConfigError::value("messages.retention_days", "give 1 to 36500 days"));
        }
        if (self.orders.approval == ApprovalKind::Webhook) != self.orders.webhook.is_some() {
            return Err(ConfigError::value(
                "orders",
                "give orders.webhook where approval is webhook, and only there",
            ));
        }
        if self.orders.currency.len() != 3
            || !self.orders.currency.bytes().all(|byte| byte.is_ascii_uppercase())
        {
            return Err(ConfigError::value("orders.currency", "give three capital letters, such as CNY"));
        }
        if let Some(advertise) = &self.cluster.advertise
            && crate::cluster::endpoint(advertise).is_none()
        {
            return Err(ConfigError::value(
                "cluster.advertise",
                "give http://HOST:PORT or https://HOST:PORT",
            ));
        }
        if self.roles.is_empty() {
            return Err(ConfigError::value("roles", "name at least one of api, gateway, controller"));
        }
        let region_is_text = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.region.is_empty() || !self.region.bytes().all(region_is_text) {
            return Err(ConfigError::value(
                "region",
                "use lower-case letters, digits and -, such as cn-hangzhou",
            ));
        }
        let unbuilt = match self.driver {
            DriverKind::Process | DriverKind::None => None,
            DriverKind::Docker => Some("docker"),
            DriverKind::Kubernetes => Some("kubernetes"),
        };
        if let Some(value) = unbuilt {
            return Err(ConfigError::NotBuilt {
                key: "driver",
                value: value.to_owned(),
                instead: "process (agents on this machine) or none (runtimes without agents)",
            });
        }
        let is_bucket = self.objects_bucket().is_some_and(|(bucket, _)| !bucket.is_empty());
        if !is_bucket && self.objects.as_ref().is_some_and(|objects| objects.contains("://")) {
            return Err(ConfigError::value(
                "objects",
                "give a directory, or s3://BUCKET or s3://BUCKET/PREFIX",
            ));
        }
        let mut names = BTreeSet::new();
        for provider in &self.system_providers {
            if !names.insert(&provider.name) {
                return Err(ConfigError::value(
                    "system_provider",
                    format!("{} stands there twice", provider.name),
                ));
            }
        }
        self.database_url()
            .parse::<creel_control::store::DbUrl>()
            .map(|_| ())
            .map_err(|_| ConfigError::value("database", "give sqlite:PATH or postgres://USER@HOST/NAME"))
    }
}

impl EnvironmentSecrets {
    fn read(environment: &dyn Environment) -> Result<Self, ConfigError> {
        let get = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let id = get("CREEL_ROOT_ACCESS_KEY_ID");
        let secret = get("CREEL_ROOT_ACCESS_KEY_SECRET").map(Secret::new);
        let root_access_key = match (id, secret) {
            (Some(id), Some(secret)) => {
                let id = AccessKeyId::parse(&id).map_err(|_| {
                    ConfigError::value("CREEL_ROOT_ACCESS_KEY_ID", "use letters, digits, -, _, + and . only")
                })?;
                Some((id, secret))
            }
            (None, None) => None,
            _ => {
                let names = "CREEL_ROOT_ACCESS_KEY_ID, CREEL_ROOT_ACCESS_KEY_SECRET";
                return Err(ConfigError::value(names, "give both or neither"));
            }
        };
        Ok(Self {
            master_key: get("CREEL_MASTER_KEY").map(Secret::new),
            root_access_key,
            console_password: get("CREEL_CONSOLE_PASSWORD").map(Secret::new),
        })
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn set_optional<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}
