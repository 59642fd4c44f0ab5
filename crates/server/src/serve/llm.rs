//! The LLM gateway of this process: the ledger it bills in, the directory it looks things up in.

use std::sync::Arc;

use creel_control::ledger::{Cluster as LedgerCluster, Ledger, Place};

use super::ServeError;
use crate::app::App;
use crate::cluster::{Cluster, Dialer};
use crate::gateway::observe::{CallLog, CallLogConfig, CallMetrics, Observer, Spans};
use crate::gateway::ports::Directory;
use crate::gateway::{Capture, Gateway, Limits};
use crate::http::cork::{Before, Unrecorded};
use crate::llm_access::{LedgerBilling, keep_directory};

/// The gateway, and what other processes find at the admin listener.
pub(super) struct Started {
    pub(super) gateway: Arc<Gateway<LedgerBilling>>,
    pub(super) ledger: Ledger,
    /// `None` where no other process can share the database.
    pub(super) cluster: Option<Cluster>,
}

pub(super) async fn start(app: &App, replica_id: &str) -> Result<Started, ServeError> {
    let is_shared = app.config.sqlite_path().is_none();
    let place = if is_shared {
        Place::Table(LedgerCluster {
            replica_id: replica_id.to_owned(),
            address: crate::cluster::address(&app.config, &app.admin_url),
            dial: Arc::new(Dialer::new(app, replica_id)?),
        })
    } else {
        Place::Directory(app.config.data_dir.join("ledger"))
    };
    let ledger = Ledger::open(app.store.clone(), &app.tasks, place).await?;
    let directory = Arc::new(Directory::new());
    keep_directory(
        directory.clone(),
        &app.store,
        app.models.clone(),
        app.credits.clone(),
        app.call_limits.clone(),
        app.capture_policies.clone(),
        &app.tasks,
    );
    let gateway = Gateway::new(
        directory,
        LedgerBilling(ledger.clone()),
        app.tasks.clone(),
        app.clock.clone(),
        Limits::default(),
        Arc::new(observer(app)?),
    )?;
    let cluster = is_shared.then(|| Cluster::new(app, ledger.clone(), replica_id));
    Ok(Started { gateway: Arc::new(gateway), ledger, cluster })
}

/// What comes before anything of a lane leaves: that what was decided for it is in the ledger's journal.
pub(super) fn before_writes(ledger: &Ledger) -> Before {
    let ledger = ledger.clone();
    Arc::new(move || {
        ledger.write_deferred().map_err(|error| {
            tracing::error!(error = %error, "the ledger's journal cannot be written, so no upstream is asked");
            Unrecorded
        })
    })
}

/// Where calls are told of, as the configuration says.
fn observer(app: &App) -> Result<Observer, ServeError> {
    let config = &app.config;
    let metrics = CallMetrics::default();
    let capture = Capture::start(app.captures.clone(), &app.tasks);
    let log = match config.gateway.call_log_mb {
        0 => None,
        megabytes => {
            let path = config.data_dir.join("calls").join("calls.jsonl");
            let bytes_max = usize::try_from(megabytes).unwrap_or(usize::MAX).saturating_mul(1_000_000);
            let opened = CallLog::open(&CallLogConfig { path: path.clone(), bytes_max });
            Some(opened.map_err(|source| ServeError::CallLog { path, source })?)
        }
    };
    app.metrics.register(|registry| {
        metrics.register(registry);
        capture.register(registry);
        if let Some(log) = &log {
            log.register(registry);
        }
    });
    let spans = match &config.telemetry.otlp_endpoint {
        None => None,
        Some(endpoint) => Some(Spans::new(endpoint, config.telemetry.sample_percent)?),
    };
    Ok(Observer { metrics, log, capture: Some(capture), spans })
}
