//! Searching, each filter by an index, and reading everything in order.

use sea_query::{Expr, ExprTrait, Order, SelectStatement};

use super::super::list::page;
use super::super::{Store, StoreError};
use super::{rows_of_audit, stored_event};
use crate::audit::{Decision, EventFilter, StoredEvent};
use crate::page::{Cursor, Page};

/// The newest rows first that match, after the row that the cursor names.
///
/// Each filter is a column of an index that ends in time and id. Together they narrow what the best one gives.
pub fn audit_search_statement(filter: &EventFilter, after: Option<&Cursor>, limit: u64) -> SelectStatement {
    let mut select = rows_of_audit();
    let equal = |select: &mut SelectStatement, column: &'static str, value: &Option<String>| {
        if let Some(value) = value {
            select.and_where(Expr::col(("audit", column)).eq(value.as_str()));
        }
    };
    // Times and ids stand in both tables; the order must be that of the table whose index is walked.
    let (table, id) = if let Some(resource) = &filter.resource {
        select
            .inner_join("audit_resource", Expr::col(("audit_resource", "audit_id")).equals(("audit", "id")))
            .and_where(Expr::col(("audit_resource", "account_id")).eq(filter.account_id.as_str()))
            .and_where(Expr::col(("audit_resource", "resource")).eq(resource.as_str()));
        ("audit_resource", "audit_id")
    } else {
        ("audit", "id")
    };
    select.and_where(Expr::col(("audit", "account_id")).eq(filter.account_id.as_str()));
    equal(&mut select, "id", &filter.id);
    equal(&mut select, "principal", &filter.principal);
    equal(&mut select, "actor", &filter.key_id);
    equal(&mut select, "action", &filter.action);
    match filter.decision {
        // Written out: an index over some rows serves only a condition that is known when the statement is planned.
        Some(Decision::Denied) => select.and_where(Expr::cust("audit.decision = 'Denied'")),
        Some(Decision::Allowed) => select.and_where(Expr::cust("audit.decision = 'Allowed'")),
        None => &mut select,
    };
    if let Some(from_ms) = filter.from_ms {
        select.and_where(Expr::col((table, "at_ms")).gte(from_ms));
    }
    if let Some(to_ms) = filter.to_ms {
        select.and_where(Expr::col((table, "at_ms")).lt(to_ms));
    }
    if let Some(after) = after {
        let columns = [Expr::col((table, "at_ms")), Expr::col((table, id))];
        let values = [Expr::val(after.key), Expr::val(after.id.as_str())];
        select.and_where(Expr::tuple(columns).lt(Expr::tuple(values)));
    }
    select.order_by((table, "at_ms"), Order::Desc).order_by((table, id), Order::Desc).limit(limit);
    select
}

impl Store {
    /// One page of [`audit_search_statement`]; what matches is not counted.
    pub(crate) async fn search_audit(
        &self,
        filter: &EventFilter,
        after: Option<&Cursor>,
        limit: i64,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let one_more = u64::try_from(limit).unwrap_or(0).saturating_add(1);
        let rows = self.db().select(&audit_search_statement(filter, after, one_more)).await?;
        let items = rows.iter().map(stored_event).collect::<Result<Vec<_>, _>>()?;
        let cursor = |row: &StoredEvent| Cursor { key: row.event.at_ms, id: row.event.id.clone() };
        Ok(page(items, limit, 0, cursor))
    }

    /// Rows of an account, oldest first, behind a time and id.
    pub(crate) async fn list_audit(
        &self,
        account_id: &str,
        after: &(i64, String),
        to_ms: i64,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut select = rows_of_audit();
        select
            .and_where(Expr::col("account_id").eq(account_id))
            .and_where(
                Expr::tuple([Expr::col("at_ms"), Expr::col("id")])
                    .gt(Expr::tuple([Expr::val(after.0), Expr::val(after.1.as_str())])),
            )
            .and_where(Expr::col("at_ms").lt(to_ms))
            .order_by("at_ms", Order::Asc)
            .order_by("id", Order::Asc)
            .limit(limit);
        self.db().select(&select).await?.iter().map(stored_event).collect()
    }

    /// The accounts that have rows, behind one, in the order of their ids.
    pub(crate) async fn next_audited_account(&self, after: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT account_id FROM audit WHERE account_id > $1 ORDER BY account_id, at_ms, id LIMIT 1";
        let row = self.db().fetch_optional(sql, super::super::params![after]).await?;
        row.map(|row| row.text("account_id")).transpose()
    }
}
