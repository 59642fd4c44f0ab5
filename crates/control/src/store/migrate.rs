//! Forward-only migrations, the same text on both databases, never edited after they are merged.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::{Db, StoreError};

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../../../../migrations/0001_initial.sql")),
    (2, "ledger", include_str!("../../../../migrations/0002_ledger.sql")),
    (4, "channels", include_str!("../../../../migrations/0004_channels.sql")),
    (5, "users", include_str!("../../../../migrations/0005_users.sql")),
    (6, "access", include_str!("../../../../migrations/0006_access.sql")),
    (7, "audit content", include_str!("../../../../migrations/0007_audit_content.sql")),
    (8, "desktops", include_str!("../../../../migrations/0008_desktops.sql")),
    (9, "commands", include_str!("../../../../migrations/0009_commands.sql")),
    (10, "runtime lists", include_str!("../../../../migrations/0010_runtime_lists.sql")),
    (11, "retention", include_str!("../../../../migrations/0011_retention.sql")),
    (12, "agent versions", include_str!("../../../../migrations/0012_agent_versions.sql")),
    (17, "audit seal", include_str!("../../../../migrations/0017_audit_seal.sql")),
    (18, "system keys", include_str!("../../../../migrations/0018_system_keys.sql")),
    (19, "smart models", include_str!("../../../../migrations/0019_smart_models.sql")),
    (20, "orders", include_str!("../../../../migrations/0020_orders.sql")),
    (21, "quotas", include_str!("../../../../migrations/0021_quotas.sql")),
    (22, "price ranges", include_str!("../../../../migrations/0022_price_ranges.sql")),
    (23, "ledger owner address", include_str!("../../../../migrations/0023_ledger_owner_address.sql")),
    (25, "call limits", include_str!("../../../../migrations/0025_call_limits.sql")),
    (26, "ledger seals", include_str!("../../../../migrations/0026_ledger_seals.sql")),
    (27, "skills", include_str!("../../../../migrations/0027_skills.sql")),
    (28, "content capture", include_str!("../../../../migrations/0028_content_capture.sql")),
    (29, "operators prices", include_str!("../../../../migrations/0029_operators_prices.sql")),
    (30, "skill sources", include_str!("../../../../migrations/0030_skill_sources.sql")),
    (31, "skill pending", include_str!("../../../../migrations/0031_skill_pending.sql")),
    (32, "ledger indexes", include_str!("../../../../migrations/0032_ledger_indexes.sql")),
    (33, "ledger batches", include_str!("../../../../migrations/0033_ledger_batches.sql")),
];

pub(super) async fn run(db: &Db) -> Result<(), StoreError> {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, name, sql)| {
            Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let migrator = Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT };
    match db {
        Db::Sqlite { pool, .. } => migrator.run(pool).await,
        Db::Postgres { pool } => migrator.run(pool).await,
    }
    .map_err(StoreError::Migrate)
}
