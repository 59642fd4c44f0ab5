//! Rows of resource groups.

use creel_wire::id::{AccountId, ModelGroupId, ResourceGroupId, RuntimeId};
use sea_query::{Expr, ExprTrait, LockType, Order, Query, SelectStatement};

use super::{Row, Store, StoreError, Tx, params};
use crate::page::PageNumber;
use crate::resource_group::{ResourceGroup, ResourceGroupFilter};

const COLUMNS: [&str; 5] = ["id", "account_id", "name", "model_group_id", "created_at_ms"];

fn resource_group(row: &Row) -> Result<ResourceGroup, StoreError> {
    Ok(ResourceGroup {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        name: row.text("name")?,
        model_group_id: row.opt_parse("model_group_id")?,
        created_at_ms: row.int("created_at_ms")?,
        runtime_count: row.int("runtime_count")?,
    })
}

fn matching(account_id: &AccountId, filter: &ResourceGroupFilter) -> SelectStatement {
    let mut select = Query::select();
    select.from("resource_group").and_where(Expr::col("account_id").eq(account_id.as_str()));
    if !filter.ids.is_empty() {
        select.and_where(Expr::col("id").is_in(filter.ids.iter().map(String::as_str)));
    }
    if let Some(name) = &filter.name {
        select.and_where(Expr::col("name").eq(name.as_str()));
    }
    select
}

fn runtime_count() -> Expr {
    Expr::cust(
        "(SELECT COUNT(*) FROM runtime WHERE runtime.resource_group_id = resource_group.id
          AND runtime.deleted_at_ms IS NULL)",
    )
}

impl Store {
    /// One page of groups by age, and how many match in all.
    pub(crate) async fn list_resource_groups(
        &self,
        account_id: &AccountId,
        filter: &ResourceGroupFilter,
        page: PageNumber,
    ) -> Result<(Vec<ResourceGroup>, i64), StoreError> {
        let mut select = matching(account_id, filter);
        select
            .columns(COLUMNS)
            .expr_as(runtime_count(), "runtime_count")
            .order_by("created_at_ms", Order::Asc)
            .order_by("id", Order::Asc)
            .limit(page.size.unsigned_abs())
            .offset(page.offset().unsigned_abs());
        let rows = self.db().select(&select).await?;
        let items = rows.iter().map(resource_group).collect::<Result<Vec<_>, _>>()?;
        Ok((items, self.count(matching(account_id, filter)).await?))
    }
}

impl Tx {
    pub(crate) async fn count_resource_groups(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM resource_group WHERE account_id = $1",
                params![account_id.as_str()],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// `Unique` if the account has a group of this name.
    pub(crate) async fn insert_resource_group(&mut self, group: &ResourceGroup) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO resource_group (id, account_id, name, model_group_id, created_at_ms)
             VALUES ($1, $2, $3, $4, $5)",
            params![
                group.id.as_str(),
                group.account_id.as_str(),
                &group.name,
                group.model_group_id.as_ref().map(ModelGroupId::as_str),
                group.created_at_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// A group of an account, locked where the database has row locks.
    pub(crate) async fn lock_resource_group(
        &mut self,
        account_id: &AccountId,
        id: &ResourceGroupId,
    ) -> Result<Option<ResourceGroup>, StoreError> {
        let mut select = Query::select();
        select
            .columns(COLUMNS)
            .expr_as(runtime_count(), "runtime_count")
            .from("resource_group")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col("id").eq(id.as_str()));
        if self.is_postgres() {
            select.lock(LockType::Update);
        }
        self.select(&select).await?.first().map(resource_group).transpose()
    }

    /// Deleted runtimes do not count: nothing shows what group they were in.
    pub(crate) async fn resource_group_has_runtimes(
        &mut self,
        id: &ResourceGroupId,
    ) -> Result<bool, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT id FROM runtime WHERE resource_group_id = $1 AND deleted_at_ms IS NULL ORDER BY id LIMIT 1",
                params![id.as_str()],
            )
            .await?;
        Ok(row.is_some())
    }

    pub(crate) async fn delete_resource_group(&mut self, id: &ResourceGroupId) -> Result<(), StoreError> {
        self.execute("DELETE FROM resource_group WHERE id = $1", params![id.as_str()]).await?;
        Ok(())
    }

    /// Puts a runtime into a resource group, or into none, as a new generation of its wish: another model group may be
    /// in force there.
    pub(crate) async fn set_runtime_resource_group(
        &mut self,
        id: &RuntimeId,
        group_id: Option<&ResourceGroupId>,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE runtime SET resource_group_id = $2, generation = generation + 1 WHERE id = $1",
            params![id.as_str(), group_id.map(ResourceGroupId::as_str)],
        )
        .await?;
        Ok(())
    }
}
