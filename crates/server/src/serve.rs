//! Starts and stops a server: everything that is made once, in order.

mod agents;
mod alerts;
mod audit;
mod first_start;
mod llm;
mod system_providers;

use std::net::SocketAddr;
use std::sync::Arc;

use creel_control::account::{AccountError, Accounts};
use creel_control::audit::{AuditLog, Refusals};
use creel_control::call_limit::CallLimits;
use creel_control::capture::{CapturePolicies, Captures};
use creel_control::channel::Channels;
use creel_control::clock::Clock;
use creel_control::driver::DriverError;
use creel_control::entitlement::Entitlements;
use creel_control::id_gen::IdGen;
use creel_control::ledger::{Credits, Ledger, LedgerError};
use creel_control::message::Messages;
use creel_control::model::{ModelError, Models, ProviderApi};
use creel_control::office_site::OfficeSites;
use creel_control::order::Orders;
use creel_control::principal::{self, Principals};
use creel_control::resource_group::ResourceGroups;
use creel_control::runtime::Runtimes;
use creel_control::skill::Skills;
use creel_control::store::{DbUrl, Store, StoreError};
use creel_control::tasks::Tasks;
use creel_control::user::Users;
use creel_skills::scan::LazyScanner;

use crate::app::{App, Services};
use crate::config::{Config, ConfigError, DataDir, Locks, Role};
use crate::gateway::observe::{BadTelemetry, Observer};
use crate::http::{self, AdminService, AgentService, Listener, Metrics, SHUTDOWN_DEADLINE};
use crate::objects::{self, StorageError};
use crate::order_approval::OrderApproval;
use crate::rpc::{Limits, Nonces};

/// Name of the account that the first start makes.
pub(crate) const ROOT_ACCOUNT: &str = "root";

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    #[error("opening the database")]
    Store(#[from] StoreError),
    #[error("taking up the operator's model providers")]
    SystemProviders(#[from] ModelError),
    #[error("system_provider {name}: its api {api:?} is none that the gateway speaks: {words}", words = ProviderApi::WORDS)]
    SystemProviderApi { name: String, api: String },
    #[error("opening the ledger")]
    Ledger(#[from] LedgerError),
    #[error("opening the call log {}", path.display())]
    CallLog {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("starting the threads that serve agents")]
    Lanes(#[source] std::io::Error),
    #[error("opening the place of objects")]
    Objects(#[from] StorageError),
    #[error(transparent)]
    Telemetry(#[from] BadTelemetry),
    #[error("making the client for model providers and webhooks")]
    Upstream(#[from] rustls::Error),
    #[error("preparing a place for agents")]
    Driver(#[from] DriverError),
    #[error("making the root account and its access key")]
    RootAccount(#[from] AccountError),
    #[error("listening on {address} ({flag})")]
    Listen {
        flag: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// A server that runs in this process.
#[derive(Debug)]
pub struct Server {
    app: App,
    /// Of the gateway, where this process has one.
    observer: Option<Arc<Observer>>,
    admin_url: String,
    agent_url: String,
    ledger: Option<Ledger>,
    _locks: Locks,
}

impl Server {
    /// Starts everything that the configuration asks for; when it returns, both listeners answer.
    ///
    /// # Errors
    /// If any part cannot start; what did start is stopped again.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, ServeError> {
        let tasks = Tasks::new();
        match Self::start_with(config, clock, tasks.clone()).await {
            Ok(server) => Ok(server),
            Err(error) => {
                tasks.shutdown(SHUTDOWN_DEADLINE).await;
                Err(error)
            }
        }
    }

    async fn start_with(config: Config, clock: Arc<dyn Clock>, tasks: Tasks) -> Result<Self, ServeError> {
        let data_dir = DataDir::ensure(&config)?;
        let locks = data_dir.lock(&config)?;
        let sealer = Arc::new(data_dir.ensure_sealer(&config)?);
        let audit_key = data_dir.ensure_audit_key()?;
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Some(http::load_tls(cert, key)?),
            _ => None,
        };
        // Both ports are taken before anything is written, so that a second start by mistake changes nothing.
        let admin = listen("--admin-listen", config.admin_listen, tls.clone()).await?;
        let agent = listen("--agent-listen", config.agent_listen, tls).await?;
        let (admin_url, agent_url) = (admin.url(), agent.url());

        let address: DbUrl = config.database_url().parse()?;
        let store = Store::open(&address, clock.clone(), &tasks).await?;
        store.set_audit_key(audit_key.tag_key());
        let ids = IdGen::new(clock.clone());
        let cluster_key = sealer.mac_key(crate::cluster::KEY_LABEL);
        let accounts = Accounts::new(store.clone(), sealer.clone(), ids.clone());
        let root = first_start::ensure_root(&accounts, &ids, &config, &data_dir).await?;
        let skill_sealer = sealer.clone();
        let objects = objects::open(&config, store.clone(), ids.clone(), sealer.clone(), tasks.clone())?;
        let channels = Channels::new(store.clone(), sealer.clone());
        let captures = Captures::new(store.clone(), sealer.clone());
        let models = Models::new(store.clone(), sealer, ids.clone(), config.gateway.required);
        let credits = Credits::new(store.clone(), ids.clone());
        system_providers::seed(&models, &credits, &accounts, &ids, &config).await?;
        let principals = Principals::new(store.clone(), ids.clone(), accounts.clone());
        let runtimes = Runtimes::new(store.clone(), ids.clone());

        let limits = Limits::new(&config.limits);
        let orders = Orders::new(store.clone(), ids.clone(), config.orders.currency.clone());
        let order_approval = OrderApproval::new(&config.orders, clock.clone())?;
        let scanner = Arc::new(LazyScanner::new(config.skills.known_bad.iter().cloned()));
        let skills = Skills::new(
            store.clone(),
            ids.clone(),
            skill_sealer,
            objects.clone(),
            scanner,
            audit_key.clone(),
        );
        let app = App::new(Services {
            admin_url: admin_url.clone(),
            config,
            clock,
            audit: AuditLog::new(store.clone()),
            refusals: Refusals::new(store.clone(), ids.clone()),
            skills,
            objects,
            office_sites: OfficeSites::new(store.clone(), ids.clone()),
            resource_groups: ResourceGroups::new(store.clone(), ids.clone()),
            tags: creel_control::tag::Tags::new(store.clone()),
            commands: creel_control::command::Commands::new(store.clone(), ids.clone()),
            users: Users::new(store.clone()),
            entitlements: Entitlements::new(store.clone()),
            messages: Messages::new(store.clone(), ids.clone(), runtimes.clone()),
            runtimes,
            models,
            channels,
            credits,
            call_limits: CallLimits::new(store.clone()),
            capture_policies: CapturePolicies::new(store.clone()),
            captures,
            orders,
            order_approval,
            ids,
            store,
            tasks: tasks.clone(),
            accounts,
            operator_account_id: root.id,
            principals,
            cluster_key,
            metrics: Metrics::new(),
            nonces: Nonces::default(),
            limits,
        });
        write_key_uses(&app);
        audit::start(&app, audit_key);
        if app.config.has_role(Role::Controller) {
            alerts::start(&app)?;
        }
        // A new name at each start: links and calls of the process before it are not this one's.
        let replica_id = creel_control::id_gen::random_text(16);
        let links = agents::start(&app, &replica_id, &admin_url, &agent_url).await?;
        let (mut observer, mut cluster, mut ledger) = (None, None, None);
        if app.config.has_role(Role::Gateway) {
            let started = llm::start(&app, &replica_id).await?;
            observer = Some(started.gateway.observer.clone());
            cluster = started.cluster;
            let service = AgentService { app: app.clone(), gateway: started.gateway, guests: links.router() };
            let before = llm::before_writes(&started.ledger);
            http::serve_on_lanes(agent, service, &app.ids, &tasks, &before, "agent-listener")
                .map_err(ServeError::Lanes)?;
            ledger = Some(started.ledger);
        }
        let service = AdminService { app: app.clone(), cluster };
        http::serve(admin, service, &app.ids, &tasks, "admin-listener");
        tracing::info!(admin = admin_url, agent = agent_url, "creel answers at {admin_url} and {agent_url}");
        Ok(Self { app, observer, admin_url, agent_url, ledger, _locks: locks })
    }

    /// Where the API is, such as `http://127.0.0.1:8080`.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Where the gateway and the guest link are.
    pub fn agent_url(&self) -> &str {
        &self.agent_url
    }

    /// The accounts of this server, for whoever embeds it.
    pub fn accounts(&self) -> &Accounts {
        &self.app.accounts
    }

    /// The ledger of this server's gateway, for whoever embeds it; `None` without that role.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// The line that `creel serve` prints once it is ready.
    pub fn ready_line(&self) -> String {
        serde_json::json!({"event": "ready", "admin": self.admin_url, "agent": self.agent_url}).to_string()
    }

    /// Takes no new connections, lets requests that run end, and stops every task; at most 30 seconds. Gives the
    /// number of tasks that had not ended by then.
    pub async fn shutdown(self) -> usize {
        let tasks = self.app.tasks.clone();
        // The store's writer ends when its last user goes: connections hold the others and end first.
        drop((self.app, self.ledger));
        let left = tasks.shutdown(SHUTDOWN_DEADLINE).await;
        if let Some(spans) = self.observer.as_ref().and_then(|observer| observer.spans.as_ref()) {
            spans.shutdown().await;
        }
        left
    }
}

/// Writes once a minute when keys were last used.
fn write_key_uses(app: &App) {
    let (principals, cancelled) = (app.principals.clone(), app.tasks.cancelled());
    app.tasks.spawn("key-uses", async move {
        while cancelled.run_until_cancelled(tokio::time::sleep(principal::FLUSH_EVERY)).await.is_some() {
            if let Err(error) = principals.write_uses().await {
                tracing::warn!(error = %crate::ops::chain(&error), "when keys were last used was not written");
            }
        }
    });
}

async fn listen(
    flag: &'static str,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<Listener, ServeError> {
    Listener::bind(address, tls).await.map_err(|source| ServeError::Listen { flag, address, source })
}
