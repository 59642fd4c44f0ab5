//! The audit log's work beside requests: counts of refused calls and, where this process is a controller, sealing.

use creel_control::audit::{Sealer, SealerConfig};
use creel_control::seal::SealKey;

use crate::app::App;
use crate::config::Role;

pub(super) fn start(app: &App, key: SealKey) {
    app.refusals.start(&app.tasks);
    if !app.config.has_role(Role::Controller) {
        return;
    }
    let config = SealerConfig {
        key,
        roots: app.config.audit_roots(),
        owner_id: creel_control::id_gen::random_text(16),
        retention_days: app.config.audit.retention_days,
        operator_account_id: app.operator_account_id.clone(),
    };
    Sealer::new(app.store.clone(), app.ids.clone(), config).start(&app.tasks);
}
