//! Packs, monthly grants, quotas, and what the engine loads.

use creel_wire::id::{AccountId, CreditPackId, ResourceGroupId, RuntimeId};
use creel_wire::money::Micros;
use sea_query::{Expr, ExprTrait, Order, Query};

use super::super::{Row, Store, StoreError, Topic, Tx, params};
use crate::ledger::{AccountLoad, AgentLoad, Pack, PackLoad, PackSource, UsedUpStrategy};

/// Packs of one account or runtime that are looked at; those that end first come first.
const PACKS_MAX: i64 = 1_000;

const PACK_COLUMNS: &str = "id, account_id, runtime_id, source, total_micros, used_micros, starts_at_ms, \
                            expires_at_ms, created_at_ms, used_up_strategy";

pub(super) fn pack(row: &Row) -> Result<Pack, StoreError> {
    Ok(Pack {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        runtime_id: row.opt_parse("runtime_id")?,
        source: row.text("source")?.parse()?,
        total: Micros(row.int("total_micros")?),
        used: Micros(row.int("used_micros")?),
        starts_at_ms: row.int("starts_at_ms")?,
        expires_at_ms: row.opt_int("expires_at_ms")?,
        created_at_ms: row.int("created_at_ms")?,
        used_up_strategy: row.opt_text("used_up_strategy")?.map(|text| text.parse()).transpose()?,
    })
}

fn load(pack: Pack) -> PackLoad {
    PackLoad {
        id: pack.id,
        monthly: pack.source == PackSource::Monthly,
        postpaid: pack.used_up_strategy == Some(UsedUpStrategy::Postpaid),
        total: pack.total.0,
        used: pack.used.0,
        starts_at_ms: pack.starts_at_ms,
        expires_at_ms: pack.expires_at_ms.unwrap_or(i64::MAX),
    }
}

/// A runtime as the credit operations name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentName {
    pub(crate) runtime_id: RuntimeId,
    /// `jvs-…` where it has one, else the runtime's.
    pub(crate) agent_id: String,
}

pub(super) fn agent_name(row: &Row) -> Result<AgentName, StoreError> {
    Ok(AgentName { runtime_id: row.parse("id")?, agent_id: row.text("agent_id")? })
}

/// Finds a live runtime by its own or its outer id.
const FIND_AGENT: &str = "SELECT id, COALESCE(jvs_id, id) AS agent_id FROM runtime
 WHERE account_id = $1 AND id = $2 AND deleted_at_ms IS NULL
 UNION SELECT id, COALESCE(jvs_id, id) AS agent_id FROM runtime
 WHERE account_id = $1 AND jvs_id = $2 AND deleted_at_ms IS NULL";

impl Store {
    /// Packs that are not spent (or are, and let calls go on) and have not ended, of the account as a whole, and its
    /// settings.
    pub(crate) async fn load_ledger_account(
        &self,
        account_id: &AccountId,
        now_ms: i64,
    ) -> Result<AccountLoad, StoreError> {
        let settings = self
            .db()
            .fetch_optional(
                "SELECT bills_all FROM ledger_account WHERE account_id = $1",
                params![account_id.as_str()],
            )
            .await?;
        let bills_all = settings.map(|row| row.flag("bills_all")).transpose()?.unwrap_or(false);
        let sql = format!(
            "SELECT {PACK_COLUMNS} FROM credit_pack
             WHERE account_id = $1 AND runtime_id IS NULL
               AND (used_micros < total_micros OR used_up_strategy = 'Postpaid')
               AND (expires_at_ms IS NULL OR expires_at_ms > $2)
             ORDER BY expires_at_ms IS NULL, expires_at_ms, id LIMIT $3"
        );
        let rows = self.db().fetch_all(sql, params![account_id.as_str(), now_ms, PACKS_MAX]).await?;
        let packs = rows.iter().map(|row| pack(row).map(load)).collect::<Result<_, _>>()?;
        Ok(AccountLoad { bills_all, packs })
    }

    /// The same of one runtime, with its quota and that of its resource group, and what is used of them.
    pub(crate) async fn load_ledger_agent(
        &self,
        runtime_id: &RuntimeId,
        now_ms: i64,
    ) -> Result<AgentLoad, StoreError> {
        let group = self
            .db()
            .fetch_optional(
                "SELECT resource_group_id FROM runtime WHERE id = $1 AND resource_group_id IS NOT NULL",
                params![runtime_id.as_str()],
            )
            .await?;
        let group = match group.map(|row| row.parse::<ResourceGroupId>("resource_group_id")).transpose()? {
            None => None,
            Some(id) => {
                let limit = self.load_limit(id.as_str(), now_ms).await?;
                Some((id, limit))
            }
        };
        let sql = format!(
            "SELECT {PACK_COLUMNS} FROM credit_pack
             WHERE runtime_id = $1 AND (used_micros < total_micros OR used_up_strategy = 'Postpaid')
               AND (expires_at_ms IS NULL OR expires_at_ms > $2)
             ORDER BY expires_at_ms IS NULL, expires_at_ms, id LIMIT $3"
        );
        let rows = self.db().fetch_all(sql, params![runtime_id.as_str(), now_ms, PACKS_MAX]).await?;
        Ok(AgentLoad {
            limit: self.load_limit(runtime_id.as_str(), now_ms).await?,
            group,
            packs: rows.iter().map(|row| pack(row).map(load)).collect::<Result<_, _>>()?,
        })
    }

    /// The version of each account whose credits were ever changed.
    pub(crate) async fn ledger_versions(&self) -> Result<Vec<(AccountId, i64)>, StoreError> {
        let sql = "SELECT account_id, version FROM ledger_account ORDER BY account_id LIMIT 100000";
        let rows = self.db().fetch_all(sql, Vec::new()).await?;
        rows.iter().map(|row| Ok((row.parse("account_id")?, row.int("version")?))).collect()
    }

    /// Live runtimes that get credits each month and have no pack of `month` yet, what they get and since when.
    pub(crate) async fn list_due_grants(
        &self,
        account_id: &AccountId,
        runtime_id: Option<&RuntimeId>,
        month: i64,
        limit: i64,
    ) -> Result<Vec<(RuntimeId, Micros, i64)>, StoreError> {
        let mut values = params![account_id.as_str(), month, limit];
        let mut sql = "SELECT g.runtime_id, g.micros, g.created_at_ms FROM monthly_grant AS g
             JOIN runtime AS r ON r.id = g.runtime_id AND r.deleted_at_ms IS NULL
             WHERE g.account_id = $1 AND NOT EXISTS
                 (SELECT 1 FROM credit_pack AS p WHERE p.runtime_id = g.runtime_id AND p.month = $2)"
            .to_owned();
        if let Some(runtime_id) = runtime_id {
            sql += " AND g.runtime_id = $4";
            values.push(runtime_id.as_str().into());
        }
        sql += " ORDER BY g.runtime_id LIMIT $3";
        let rows = self.db().fetch_all(sql, values).await?;
        rows.iter()
            .map(|row| Ok((row.parse("runtime_id")?, Micros(row.int("micros")?), row.int("created_at_ms")?)))
            .collect()
    }

    /// The packs that an account may spend now (with those of its runtimes), in the order in which they are spent.
    pub(crate) async fn list_packs(
        &self,
        account_id: &AccountId,
        now_ms: i64,
    ) -> Result<Vec<Pack>, StoreError> {
        let sql = format!(
            "SELECT {PACK_COLUMNS} FROM credit_pack
             WHERE account_id = $1 AND starts_at_ms <= $2 AND (expires_at_ms IS NULL OR expires_at_ms > $2)
             ORDER BY source <> 'monthly', expires_at_ms IS NULL, expires_at_ms, id LIMIT 100000"
        );
        self.db().fetch_all(sql, params![account_id.as_str(), now_ms]).await?.iter().map(pack).collect()
    }

    /// A pack of an account.
    pub(crate) async fn find_pack(
        &self,
        account_id: &AccountId,
        id: &str,
    ) -> Result<Option<Pack>, StoreError> {
        let sql = format!("SELECT {PACK_COLUMNS} FROM credit_pack WHERE account_id = $1 AND id = $2");
        self.db().fetch_optional(sql, params![account_id.as_str(), id]).await?.as_ref().map(pack).transpose()
    }

    /// A pack as balances in memory need it, whether or not it can still be spent.
    pub(crate) async fn load_ledger_pack(
        &self,
        account_id: &AccountId,
        id: &CreditPackId,
    ) -> Result<Option<PackLoad>, StoreError> {
        let sql = format!("SELECT {PACK_COLUMNS} FROM credit_pack WHERE account_id = $1 AND id = $2");
        let row = self.db().fetch_optional(sql, params![account_id.as_str(), id.as_str()]).await?;
        row.as_ref().map(|row| pack(row).map(load)).transpose()
    }

    /// Used up packs whose runtimes are to be stopped and were not yet.
    pub(crate) async fn list_used_up(&self, limit: i64) -> Result<Vec<Pack>, StoreError> {
        let sql = format!(
            "SELECT {PACK_COLUMNS} FROM credit_pack
             WHERE used_up_strategy IN ('Shutdown', 'Maintenance') AND used_up_at_ms IS NULL
               AND used_micros >= total_micros
             ORDER BY id LIMIT $1"
        );
        self.db().fetch_all(sql, params![limit]).await?.iter().map(pack).collect()
    }

    /// A live runtime of an account by `ecd-…` or `jvs-…`.
    pub(crate) async fn find_agent(
        &self,
        account_id: &AccountId,
        id: &str,
    ) -> Result<Option<AgentName>, StoreError> {
        let row = self.db().fetch_optional(FIND_AGENT, params![account_id.as_str(), id]).await?;
        row.as_ref().map(agent_name).transpose()
    }
}

impl Store {
    /// The packs of an account that these ids name, ended or not.
    pub(crate) async fn packs_named(
        &self,
        account_id: &AccountId,
        ids: &[String],
    ) -> Result<Vec<CreditPackId>, StoreError> {
        let mut select = Query::select();
        select
            .column("id")
            .from("credit_pack")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col("id").is_in(ids.iter().map(String::as_str)))
            .order_by("id", Order::Asc);
        self.db().select(&select).await?.iter().map(|row| row.parse("id")).collect()
    }
}

impl Tx {
    /// A live runtime of an account by `ecd-…` or `jvs-…`.
    pub(crate) async fn find_agent(
        &mut self,
        account_id: &AccountId,
        id: &str,
    ) -> Result<Option<AgentName>, StoreError> {
        let row = self.fetch_optional(FIND_AGENT, params![account_id.as_str(), id]).await?;
        row.as_ref().map(agent_name).transpose()
    }

    /// Inserts a pack; of a monthly one that exists already, nothing. A monthly one has the strategy of the one before
    /// it. Gives the number of rows.
    pub(crate) async fn insert_pack(&mut self, pack: &Pack, month: Option<i64>) -> Result<u64, StoreError> {
        self.execute(
            "INSERT INTO credit_pack (id, account_id, runtime_id, source, month, total_micros, used_micros,
                                      starts_at_ms, expires_at_ms, created_at_ms, used_up_strategy)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
                     (SELECT p.used_up_strategy FROM credit_pack AS p
                      WHERE p.runtime_id = $3 AND p.month < $5 ORDER BY p.month DESC LIMIT 1))
             ON CONFLICT (runtime_id, month) DO NOTHING",
            params![
                pack.id.as_str(),
                pack.account_id.as_str(),
                pack.runtime_id.as_ref().map(RuntimeId::as_str),
                pack.source.as_str(),
                month,
                pack.total.0,
                pack.used.0,
                pack.starts_at_ms,
                pack.expires_at_ms,
                pack.created_at_ms,
            ],
        )
        .await
    }

    /// Sets what happens when a pack of an account is used up; 0 if the account has no such pack.
    pub(crate) async fn set_used_up_strategy(
        &mut self,
        account_id: &AccountId,
        pack_id: &str,
        strategy: UsedUpStrategy,
    ) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE credit_pack SET used_up_strategy = $3, used_up_at_ms = NULL WHERE account_id = $1 AND id = $2",
            params![account_id.as_str(), pack_id, strategy.as_str()],
        )
        .await
    }

    /// Notes that what a used up pack's strategy says is done; 0 if somebody else has done it.
    pub(crate) async fn mark_used_up(
        &mut self,
        pack_id: &CreditPackId,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE credit_pack SET used_up_at_ms = $2
                   WHERE id = $1 AND used_up_at_ms IS NULL AND used_micros >= total_micros";
        self.execute(sql, params![pack_id.as_str(), now_ms]).await
    }

    /// The live runtimes of an account, or this one, that have no credits left to spend now.
    pub(crate) async fn runtimes_without_credits(
        &mut self,
        account_id: &AccountId,
        runtime_id: Option<&RuntimeId>,
        now_ms: i64,
    ) -> Result<Vec<RuntimeId>, StoreError> {
        let sql = "SELECT r.id FROM runtime AS r
             WHERE r.account_id = $1 AND (CAST($2 AS TEXT) IS NULL OR r.id = CAST($2 AS TEXT))
               AND r.deleted_at_ms IS NULL AND NOT EXISTS
                 (SELECT 1 FROM credit_pack AS p
                  WHERE p.account_id = $1 AND (p.runtime_id IS NULL OR p.runtime_id = r.id)
                    AND p.used_micros < p.total_micros AND p.starts_at_ms <= $3
                    AND (p.expires_at_ms IS NULL OR p.expires_at_ms > $3))
             ORDER BY r.id LIMIT 100000";
        let values = params![account_id.as_str(), runtime_id.map(RuntimeId::as_str), now_ms];
        self.fetch_all(sql, values).await?.iter().map(|row| row.parse("id")).collect()
    }

    /// Whether a runtime has nothing to spend, and a used up pack of it, or of its account, forbids it to run then.
    pub(crate) async fn is_in_maintenance(
        &mut self,
        account_id: &AccountId,
        runtime_id: &RuntimeId,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS one FROM credit_pack
             WHERE account_id = $1 AND (runtime_id IS NULL OR runtime_id = $2) AND used_up_strategy = 'Maintenance'
               AND used_micros >= total_micros AND (expires_at_ms IS NULL OR expires_at_ms > $3) LIMIT 1";
        let values = params![account_id.as_str(), runtime_id.as_str(), now_ms];
        if self.fetch_optional(sql, values).await?.is_none() {
            return Ok(false);
        }
        Ok(!self.runtimes_without_credits(account_id, Some(runtime_id), now_ms).await?.is_empty())
    }

    /// Sets what a runtime gets each month.
    pub(crate) async fn put_monthly_grant(
        &mut self,
        account_id: &AccountId,
        runtime_id: &RuntimeId,
        micros: Micros,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO monthly_grant (runtime_id, account_id, micros, created_at_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (runtime_id) DO UPDATE SET micros = excluded.micros",
            params![runtime_id.as_str(), account_id.as_str(), micros.0, now_ms],
        )
        .await?;
        Ok(())
    }

    /// Tells every engine that the account's packs, quotas or settings have changed. Last in its transaction: the
    /// row is locked until the end.
    pub(crate) async fn touch_ledger(
        &mut self,
        account_id: &AccountId,
        bills_all: Option<bool>,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO ledger_account (account_id, bills_all, version) VALUES ($1, COALESCE($2, 0), 1)
             ON CONFLICT (account_id) DO UPDATE
             SET version = ledger_account.version + 1, bills_all = COALESCE($2, ledger_account.bills_all)",
            params![account_id.as_str(), bills_all.map(i64::from)],
        )
        .await?;
        self.raise(Topic::Ledger).await
    }
}
