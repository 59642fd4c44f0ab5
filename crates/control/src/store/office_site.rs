//! Rows of office sites.

use creel_wire::id::AccountId;
use sea_query::{Expr, ExprTrait, LockType, Order, Query, SelectStatement};

use super::{Row, Store, StoreError, Tx, params};
use crate::office_site::{OfficeSite, OfficeSiteFilter};
use crate::page::{Cursor, Page};

fn office_site(row: &Row) -> Result<OfficeSite, StoreError> {
    Ok(OfficeSite {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        region_id: row.text("region_id")?,
        name: row.text("name")?,
        attributes: row.json("attributes_json")?,
        created_at_ms: row.int("created_at_ms")?,
        runtime_count: row.int("runtime_count")?,
    })
}

fn matching(account_id: &AccountId, filter: &OfficeSiteFilter) -> SelectStatement {
    let mut select = Query::select();
    select
        .from("office_site")
        .and_where(Expr::col("account_id").eq(account_id.as_str()))
        .and_where(Expr::col("region_id").eq(filter.region_id.as_str()))
        .and_where(Expr::col("deleted_at_ms").is_null());
    if !filter.ids.is_empty() {
        select.and_where(Expr::col("id").is_in(filter.ids.iter().map(String::as_str)));
    }
    select
}

impl Store {
    /// One page of sites by age, and how many match in all.
    pub(crate) async fn list_office_sites(
        &self,
        account_id: &AccountId,
        filter: &OfficeSiteFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<OfficeSite>, StoreError> {
        let mut page = matching(account_id, filter);
        page.columns(["id", "account_id", "region_id", "name", "attributes_json", "created_at_ms"])
            .expr_as(
                Expr::cust(
                    "(SELECT COUNT(*) FROM runtime WHERE runtime.account_id = office_site.account_id
                      AND runtime.office_site_id = office_site.id AND runtime.deleted_at_ms IS NULL)",
                ),
                "runtime_count",
            )
            .order_by("created_at_ms", Order::Asc)
            .order_by("id", Order::Asc)
            .limit(limit.unsigned_abs() + 1);
        if let Some(cursor) = &after {
            page.and_where(super::list::after(cursor, "created_at_ms", "id"));
        }
        let rows = self.db().select(&page).await?;
        let items = rows.iter().map(office_site).collect::<Result<Vec<_>, _>>()?;
        let total = self.count(matching(account_id, filter)).await?;
        Ok(super::list::page(items, limit, total, |site| Cursor {
            key: site.created_at_ms,
            id: site.id.to_string(),
        }))
    }
}

impl Tx {
    pub(crate) async fn count_office_sites(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM office_site WHERE account_id = $1
                 AND deleted_at_ms IS NULL",
                params![account_id.as_str()],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// Those of these sites that the account has in this region, locked where the database has row locks: no runtime
    /// is placed in them until the transaction ends.
    pub(crate) async fn lock_office_sites(
        &mut self,
        account_id: &AccountId,
        region_id: &str,
        ids: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let filter = OfficeSiteFilter { region_id: region_id.to_owned(), ids: ids.to_vec() };
        let mut select = matching(account_id, &filter);
        select.column("id").order_by("id", Order::Asc);
        if self.is_postgres() {
            select.lock(LockType::Update);
        }
        self.select(&select).await?.iter().map(|row| row.text("id")).collect()
    }

    /// Runtimes placed in a site that are not deleted.
    pub(crate) async fn count_runtimes_of_site(
        &mut self,
        account_id: &AccountId,
        id: &str,
    ) -> Result<i64, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM runtime
                 WHERE account_id = $1 AND office_site_id = $2 AND deleted_at_ms IS NULL",
                params![account_id.as_str(), id],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    pub(crate) async fn delete_office_site(&mut self, id: &str, now_ms: i64) -> Result<(), StoreError> {
        self.execute("UPDATE office_site SET deleted_at_ms = $2 WHERE id = $1", params![id, now_ms]).await?;
        Ok(())
    }

    pub(crate) async fn insert_office_site(&mut self, site: &OfficeSite) -> Result<(), StoreError> {
        let attributes = serde_json::to_string(&site.attributes)
            .map_err(|_| StoreError::Corrupt { what: "office site attributes".to_owned() })?;
        self.execute(
            "INSERT INTO office_site (id, account_id, region_id, name, attributes_json, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![
                site.id.as_str(),
                site.account_id.as_str(),
                &site.region_id,
                &site.name,
                attributes,
                site.created_at_ms
            ],
        )
        .await?;
        Ok(())
    }
}
