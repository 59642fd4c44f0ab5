//! The audit log's work beside requests: counts of refused calls and, where this process is a controller, sealing, of
//! the ledger too.

use creel_control::seal::SealKey;
use creel_control::sealing::{Log, Retention, Sealer, SealerConfig};

use crate::app::App;
use crate::config::Role;

pub(super) fn start(app: &App, key: SealKey) {
    app.refusals.start(&app.tasks);
    if !app.config.has_role(Role::Controller) {
        return;
    }
    let (days, operator_account_id) = (app.config.audit.retention_days, app.operator_account_id.clone());
    for (log, roots, retention) in [
        (Log::Audit, app.config.audit_roots(), Some(Retention { days, operator_account_id })),
        (Log::Ledger, app.config.ledger_roots(), None),
    ] {
        let owner_id = creel_control::id_gen::random_text(16);
        let config = SealerConfig { log, key: key.clone(), roots, owner_id, retention };
        Sealer::new(app.store.clone(), app.ids.clone(), config).start(&app.tasks);
    }
}
