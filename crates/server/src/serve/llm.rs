//! The LLM gateway of this process: the ledger it bills in, the directory it looks things up in.

use std::sync::Arc;
use std::time::Duration;

use creel_control::ledger::{Config as LedgerConfig, JournalPlace, Ledger};

use super::ServeError;
use crate::app::App;
use crate::gateway::observe::{CallLog, CallLogConfig, CallMetrics, Observer, Spans};
use crate::gateway::ports::Directory;
use crate::gateway::{Gateway, Limits};
use crate::llm_access::{LedgerBilling, keep_directory};

/// How long to wait for the ledger of a process that has died, where only its lease tells.
const TAKEOVER_WAIT: Duration = Duration::from_secs(40);

pub(super) async fn start(app: &App) -> Result<Arc<Gateway<LedgerBilling>>, ServeError> {
    let journal = match app.config.sqlite_path() {
        Some(_) => JournalPlace::Directory(app.config.data_dir.join("ledger")),
        None => JournalPlace::Table,
    };
    let owner_id = creel_control::id_gen::random_text(16);
    let config = LedgerConfig { journal, owner_id, takeover_wait: TAKEOVER_WAIT };
    let ledger = Ledger::open(app.store.clone(), &app.tasks, config).await?;
    let directory = Arc::new(Directory::new());
    keep_directory(
        directory.clone(),
        &app.store,
        app.models.clone(),
        app.credits.clone(),
        app.call_limits.clone(),
        &app.tasks,
    );
    let gateway = Gateway::new(
        directory,
        LedgerBilling(ledger),
        app.tasks.clone(),
        app.clock.clone(),
        Limits::default(),
        Arc::new(observer(app)?),
    )?;
    Ok(Arc::new(gateway))
}

/// Where calls are told of, as the configuration says.
fn observer(app: &App) -> Result<Observer, ServeError> {
    let config = &app.config;
    let metrics = CallMetrics::default();
    app.metrics.register(|registry| metrics.register(registry));
    let log = match config.gateway.call_log_mb {
        0 => None,
        megabytes => {
            let path = config.data_dir.join("calls").join("calls.jsonl");
            let bytes_max = usize::try_from(megabytes).unwrap_or(usize::MAX).saturating_mul(1_000_000);
            let opened = CallLog::open(&CallLogConfig { path: path.clone(), bytes_max });
            Some(opened.map_err(|source| ServeError::CallLog { path, source })?)
        }
    };
    let spans = match &config.telemetry.otlp_endpoint {
        None => None,
        Some(endpoint) => Some(Spans::new(endpoint, config.telemetry.sample_percent)?),
    };
    Ok(Observer { metrics, log, spans })
}
