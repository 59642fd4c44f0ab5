//! What every list shares: counting, keyset paging, cutting a page.

use sea_query::{Expr, ExprTrait, SelectStatement, SimpleExpr};

use super::{Store, StoreError};
use crate::page::{Cursor, Page};

impl Store {
    /// How many rows a statement without columns, order and limit selects.
    pub(super) async fn count(&self, mut matching: SelectStatement) -> Result<i64, StoreError> {
        matching.expr_as(Expr::cust("CAST(COUNT(*) AS BIGINT)"), "total");
        let rows = self.db().select(&matching).await?;
        rows.first().map_or(Ok(0), |row| row.int("total"))
    }
}

/// The rows after a cursor in the order (key, id), as a row comparison that an index on both serves.
pub(super) fn after(cursor: &Cursor, key: &'static str, id: &'static str) -> SimpleExpr {
    Expr::tuple([Expr::col(key), Expr::col(id)])
        .gt(Expr::tuple([Expr::val(cursor.key), Expr::val(cursor.id.as_str())]))
}

/// Cuts a page out of rows of which one more than `limit` was asked for, to know whether another page follows.
pub(super) fn page<T>(mut items: Vec<T>, limit: i64, total: i64, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, total, next }
}
