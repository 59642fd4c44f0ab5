//! Rows of resource groups.

use creel_wire::id::{AccountId, ModelGroupId, ResourceGroupId, RuntimeId};
use sea_query::{Expr, ExprTrait, LockType, Order, Query, SelectStatement};

use super::{Row, Store, StoreError, Tx, params};
use crate::page::{Page, PageNumber};
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

/// The resource groups of an account that have a model group; with `ids` only those among them.
fn bound(account_id: &AccountId, model_group_id: &ModelGroupId, ids: &[String]) -> SelectStatement {
    let filter = ResourceGroupFilter { ids: ids.to_vec(), name: None };
    let mut select = matching(account_id, &filter);
    select.and_where(Expr::col("model_group_id").eq(model_group_id.as_str()));
    select
}

/// One page of them, oldest first. Public so that a test can look at its plan.
pub fn bound_list_statement(
    account_id: &AccountId,
    model_group_id: &ModelGroupId,
    ids: &[String],
    page: PageNumber,
) -> SelectStatement {
    let mut select = bound(account_id, model_group_id, ids);
    select
        .column("id")
        .order_by("created_at_ms", Order::Asc)
        .order_by("id", Order::Asc)
        .limit(page.size.unsigned_abs())
        .offset(page.offset().unsigned_abs());
    select
}

impl Store {
    /// One page of the resource groups that have a model group, oldest first, and how many do.
    pub(crate) async fn list_bound_resource_groups(
        &self,
        account_id: &AccountId,
        model_group_id: &ModelGroupId,
        ids: &[String],
        page: PageNumber,
    ) -> Result<Page<ResourceGroupId>, StoreError> {
        let rows = self.db().select(&bound_list_statement(account_id, model_group_id, ids, page)).await?;
        let items = rows.iter().map(|row| row.parse("id")).collect::<Result<_, _>>()?;
        let total = self.count(bound(account_id, model_group_id, ids)).await?;
        Ok(Page { items, total, next: None })
    }

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
        Ok(self.lock_resource_groups(account_id, &[id.to_string()]).await?.pop())
    }

    /// The groups of an account that these ids name, in the order of their ids and locked where the database has row
    /// locks.
    pub(crate) async fn lock_resource_groups(
        &mut self,
        account_id: &AccountId,
        ids: &[String],
    ) -> Result<Vec<ResourceGroup>, StoreError> {
        let mut select = Query::select();
        select
            .columns(COLUMNS)
            .expr_as(runtime_count(), "runtime_count")
            .from("resource_group")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col("id").is_in(ids.iter().map(String::as_str)))
            .order_by("id", Order::Asc);
        if self.is_postgres() {
            select.lock(LockType::Update);
        }
        self.select(&select).await?.iter().map(resource_group).collect()
    }

    /// Binds a resource group to a model group, or to none, as a new generation of the wish of every runtime in it.
    pub(crate) async fn set_resource_group_model_group(
        &mut self,
        id: &ResourceGroupId,
        model_group_id: Option<&ModelGroupId>,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE resource_group SET model_group_id = $2 WHERE id = $1",
            params![id.as_str(), model_group_id.map(ModelGroupId::as_str)],
        )
        .await?;
        // Runtimes are locked in one order everywhere, so that no two transactions wait for each other.
        let in_order = if self.is_postgres() { "ORDER BY id FOR UPDATE" } else { "" };
        let sql = format!(
            "UPDATE runtime SET generation = generation + 1 WHERE id IN
                 (SELECT id FROM runtime WHERE resource_group_id = $1 AND deleted_at_ms IS NULL {in_order})"
        );
        self.execute(sql, params![id.as_str()]).await?;
        Ok(())
    }

    /// Deleted runtimes do not count.
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
        self.execute(
            "DELETE FROM skill_auth WHERE identity_kind = 'ResourceGroup' AND identity_id = $1
                 AND account_id = (SELECT account_id FROM resource_group WHERE id = $1)",
            params![id.as_str()],
        )
        .await?;
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
