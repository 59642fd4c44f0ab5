//! Rows of runtimes, their users and tags.

mod filter;
mod list;

pub(super) use filter::{exists_tag, named};

use creel_wire::id::{AccountId, JvsId, ModelGroupId, OfficeSiteId, ResourceGroupId, RuntimeId};
use sea_query::{Expr, ExprTrait, LockType, Order, Query, SimpleExpr};

use super::entitlement::assigning;
use super::{Row, Store, StoreError, Tx, Value, params};
use crate::runtime::{Management, Power, Runtime, SandboxStatus, provider_from_word, provider_word};

const COLUMNS: [&str; 25] = [
    "id",
    "account_id",
    "region_id",
    "jvs_id",
    "name",
    "host_name",
    "office_site_id",
    "image_id",
    "bundle_id",
    "desktop_type",
    "os_type",
    "agent_provider",
    "agent_platform",
    "charge_type",
    "resource_group_id",
    "model_group_id",
    "attributes_json",
    "power",
    "boot_generation",
    "generation",
    "sandbox",
    "reason",
    "created_at_ms",
    "started_at_ms",
    "deleted_at_ms",
];

fn runtime(row: &Row) -> Result<Runtime, StoreError> {
    let provider = row.text("agent_provider")?;
    Ok(Runtime {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        region_id: row.text("region_id")?,
        jvs_id: row.opt_parse("jvs_id")?,
        name: row.text("name")?,
        host_name: row.text("host_name")?,
        office_site_id: row.parse("office_site_id")?,
        image_id: row.text("image_id")?,
        bundle_id: row.opt_text("bundle_id")?,
        desktop_type: row.text("desktop_type")?,
        os_type: row.text("os_type")?,
        agent_provider: provider_from_word(&provider)
            .ok_or_else(|| StoreError::Corrupt { what: "agent_provider of a runtime".to_owned() })?,
        agent_platform: row.text("agent_platform")?,
        charge_type: row.text("charge_type")?,
        resource_group_id: row.opt_parse("resource_group_id")?,
        model_group_id: row.opt_parse("model_group_id")?,
        attributes: row.json("attributes_json")?,
        power: row.parse_word("power")?,
        boot_generation: row.int("boot_generation")?,
        generation: row.int("generation")?,
        sandbox: row.parse_word("sandbox")?,
        reason: row.text("reason")?,
        created_at_ms: row.int("created_at_ms")?,
        started_at_ms: row.opt_int("started_at_ms")?,
        deleted_at_ms: row.opt_int("deleted_at_ms")?,
    })
}

impl Row {
    fn parse_word<T: std::str::FromStr<Err = ()>>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?
            .parse()
            .map_err(|()| StoreError::Corrupt { what: format!("column {column} holds an unknown word") })
    }
}

fn values(runtime: &Runtime) -> Result<Vec<Value>, StoreError> {
    let attributes = serde_json::to_string(&runtime.attributes)
        .map_err(|_| StoreError::Corrupt { what: "runtime attributes".to_owned() })?;
    Ok(params![
        runtime.id.as_str(),
        runtime.account_id.as_str(),
        &runtime.region_id,
        runtime.jvs_id.as_ref().map(JvsId::as_str),
        &runtime.name,
        &runtime.host_name,
        runtime.office_site_id.as_str(),
        &runtime.image_id,
        runtime.bundle_id.clone(),
        &runtime.desktop_type,
        &runtime.os_type,
        provider_word(runtime.agent_provider),
        &runtime.agent_platform,
        &runtime.charge_type,
        runtime.resource_group_id.as_ref().map(ResourceGroupId::as_str),
        runtime.model_group_id.as_ref().map(ModelGroupId::as_str),
        attributes,
        runtime.power.as_str(),
        runtime.boot_generation,
        runtime.generation,
        runtime.sandbox.as_str(),
        &runtime.reason,
        runtime.created_at_ms,
        runtime.started_at_ms,
        runtime.deleted_at_ms,
    ])
}

/// Rows of the runtime `r` that show this management flag; the counterpart in SQL of
/// [`RuntimeView::management`](crate::runtime::RuntimeView::management).
fn management_is(wanted: Management) -> SimpleExpr {
    let power = Expr::col(("r", "power"));
    let stopped = Expr::col(("r", "sandbox")).eq(SandboxStatus::Stopped.as_str());
    match wanted {
        // Nearly all are: said so that the planner does not look for them in the index of `power`.
        Management::NoFlag => {
            power.is_not_in([Power::Hibernated.as_str(), Power::Waking.as_str()]).and(assigning().not())
        }
        Management::Assigning => assigning(),
        Management::Hibernated => power.eq(Power::Hibernated.as_str()).and(stopped),
        Management::Hibernating => power.eq(Power::Hibernated.as_str()).and(stopped.not()),
        Management::WakingUp => power.eq(Power::Waking.as_str()),
    }
}

impl Store {
    /// A runtime by its own id, deleted or not, of any account: for reconciliation and guests, not for callers.
    pub(crate) async fn find_runtime(&self, id: &RuntimeId) -> Result<Option<Runtime>, StoreError> {
        let mut select = Query::select();
        select.columns(COLUMNS).from("runtime").and_where(Expr::col("id").eq(id.as_str()));
        self.db().select(&select).await?.first().map(runtime).transpose()
    }
}

impl Store {
    /// The runtimes of these ids, deleted or not, of any account: for rows that name them.
    pub(crate) async fn runtimes_of(&self, ids: &[RuntimeId]) -> Result<Vec<Runtime>, StoreError> {
        let mut select = Query::select();
        select
            .columns(COLUMNS)
            .from("runtime")
            .and_where(Expr::col("id").is_in(ids.iter().map(RuntimeId::as_str)))
            .order_by("id", Order::Asc);
        self.db().select(&select).await?.iter().map(runtime).collect()
    }
}

impl Tx {
    /// As [`Store::find_runtime`].
    pub(crate) async fn find_runtime(&mut self, id: &RuntimeId) -> Result<Option<Runtime>, StoreError> {
        let mut select = Query::select();
        select.columns(COLUMNS).from("runtime").and_where(Expr::col("id").eq(id.as_str()));
        self.select(&select).await?.first().map(runtime).transpose()
    }

    pub(crate) async fn office_site_exists(
        &mut self,
        account_id: &AccountId,
        region_id: &str,
        id: &OfficeSiteId,
    ) -> Result<bool, StoreError> {
        let row = self
            .fetch_optional(
                // Locked where the database has row locks, so that it stays until the runtimes are there.
                if self.is_postgres() {
                    "SELECT id FROM office_site WHERE id = $1 AND account_id = $2 AND region_id = $3
                     AND deleted_at_ms IS NULL FOR SHARE"
                } else {
                    "SELECT id FROM office_site WHERE id = $1 AND account_id = $2 AND region_id = $3
                     AND deleted_at_ms IS NULL"
                },
                params![id.as_str(), account_id.as_str(), region_id],
            )
            .await?;
        Ok(row.is_some())
    }

    pub(crate) async fn insert_runtimes(&mut self, runtimes: &[&Runtime]) -> Result<(), StoreError> {
        let rows = runtimes.iter().map(|runtime| values(runtime)).collect::<Result<Vec<_>, _>>()?;
        self.insert_many("runtime", &COLUMNS, rows).await
    }

    pub(crate) async fn insert_runtime_users(
        &mut self,
        users: &[(&Runtime, &str)],
    ) -> Result<(), StoreError> {
        let rows = users
            .iter()
            .map(|(runtime, user)| params![runtime.id.as_str(), *user, runtime.account_id.as_str()])
            .collect();
        self.insert_many("runtime_user", &["runtime_id", "end_user_id", "account_id"], rows).await
    }

    pub(crate) async fn insert_runtime_tags(
        &mut self,
        runtimes: &[&Runtime],
        tags: &[(String, String)],
    ) -> Result<(), StoreError> {
        let rows = runtimes
            .iter()
            .flat_map(|runtime| {
                tags.iter()
                    .map(|(key, value)| params![runtime.id.as_str(), key, value, runtime.account_id.as_str()])
            })
            .collect();
        self.insert_many("runtime_tag", &["runtime_id", "tag_key", "tag_value", "account_id"], rows).await
    }

    /// The runtimes of an account that these `ecd-…` or `jvs-…` ids name, not deleted, in the order of their ids
    /// and locked where the database has row locks.
    pub(crate) async fn lock_runtimes(
        &mut self,
        account_id: &AccountId,
        ids: &[String],
    ) -> Result<Vec<Runtime>, StoreError> {
        let mut select = Query::select();
        select
            .columns(COLUMNS)
            .from("runtime")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col("deleted_at_ms").is_null())
            .and_where(named("runtime", ids))
            .order_by("id", Order::Asc);
        if self.is_postgres() {
            select.lock(LockType::Update);
        }
        self.select(&select).await?.iter().map(runtime).collect()
    }

    pub(crate) async fn set_runtime_power(
        &mut self,
        id: &RuntimeId,
        power: Power,
        boot_generation: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE runtime SET power = $2, boot_generation = $3 WHERE id = $1",
            params![id.as_str(), power.as_str(), boot_generation],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn set_runtime_name(&mut self, id: &RuntimeId, name: &str) -> Result<(), StoreError> {
        self.execute("UPDATE runtime SET name = $2 WHERE id = $1", params![id.as_str(), name]).await?;
        Ok(())
    }

    /// A deleted runtime is in no resource group and uses no model group, so that these can be deleted too.
    pub(crate) async fn delete_runtime(&mut self, id: &RuntimeId, now_ms: i64) -> Result<(), StoreError> {
        self.execute(
            "UPDATE runtime SET deleted_at_ms = $2, power = 'Stopped', resource_group_id = NULL,
                 model_group_id = NULL
             WHERE id = $1 AND deleted_at_ms IS NULL",
            params![id.as_str(), now_ms],
        )
        .await?;
        self.forget_skills_of_runtime(id).await
    }

    /// Records what reconciliation saw or made; a runtime that runs has woken up. `started_at_ms` is set at the first sight of Running of a boot.
    pub(crate) async fn set_runtime_sandbox(
        &mut self,
        id: &RuntimeId,
        sandbox: SandboxStatus,
        reason: &str,
        started_at_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE runtime SET sandbox = $2, reason = $3, started_at_ms = COALESCE($4, started_at_ms),
                 power = CASE WHEN power = 'Waking' AND $2 = 'Running' THEN 'Running' ELSE power END
             WHERE id = $1",
            params![id.as_str(), sandbox.as_str(), reason, started_at_ms],
        )
        .await?;
        Ok(())
    }

    /// Binds a runtime to a model group, or to none, as a new generation of its wish.
    pub(crate) async fn set_runtime_model_group(
        &mut self,
        id: &RuntimeId,
        group_id: Option<&ModelGroupId>,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE runtime SET model_group_id = $2, generation = generation + 1 WHERE id = $1",
            params![id.as_str(), group_id.map(ModelGroupId::as_str)],
        )
        .await?;
        Ok(())
    }
}
