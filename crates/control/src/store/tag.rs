//! Rows of tags.

use creel_wire::id::AccountId;
use sea_query::{Expr, ExprTrait, JoinType, Order, Query};

use super::{Row, Store, StoreError, Tx};
use crate::page::{Cursor, Page};
use crate::runtime::Runtime;
use crate::tag::{TagFilter, TagKeys, TaggedRuntime};

/// Between runtime and key in a cursor; no id has it.
const SEPARATOR: char = '/';

fn tagged(row: &Row) -> Result<TaggedRuntime, StoreError> {
    Ok(TaggedRuntime {
        runtime_id: row.text("runtime_id")?,
        key: row.text("tag_key")?,
        value: row.text("tag_value")?,
    })
}

impl Store {
    /// One page of tags of runtimes that are not deleted, in the order of runtime and key.
    pub(crate) async fn list_runtime_tags(
        &self,
        account_id: &AccountId,
        filter: &TagFilter,
        after: Option<&Cursor>,
        limit: i64,
    ) -> Result<Page<TaggedRuntime>, StoreError> {
        let mut select = Query::select();
        select
            .columns([("t", "runtime_id"), ("t", "tag_key"), ("t", "tag_value")])
            .from_as("runtime_tag", "t")
            .join_as(JoinType::InnerJoin, "runtime", "r", Expr::col(("r", "id")).equals(("t", "runtime_id")))
            .and_where(Expr::col(("t", "account_id")).eq(account_id.as_str()))
            .and_where(Expr::col(("r", "deleted_at_ms")).is_null())
            .order_by(("t", "runtime_id"), Order::Asc)
            .order_by(("t", "tag_key"), Order::Asc)
            .limit(limit.unsigned_abs() + 1);
        if !filter.ids.is_empty() {
            select.and_where(super::runtime::named("r", &filter.ids));
        }
        for (key, value) in &filter.tags {
            select.and_where(super::runtime::exists_tag(key, value.as_deref()));
        }
        if let Some((runtime_id, key)) = after.and_then(|cursor| cursor.id.split_once(SEPARATOR)) {
            select.and_where(
                Expr::tuple([Expr::col(("t", "runtime_id")), Expr::col(("t", "tag_key"))])
                    .gt(Expr::tuple([Expr::val(runtime_id), Expr::val(key)])),
            );
        }
        let rows = self.db().select(&select).await?;
        let items = rows.iter().map(tagged).collect::<Result<Vec<_>, _>>()?;
        Ok(super::list::page(items, limit, 0, |tag| Cursor {
            key: 0,
            id: format!("{}{SEPARATOR}{}", tag.runtime_id, tag.key),
        }))
    }
}

impl Tx {
    pub(crate) async fn delete_runtime_tags(
        &mut self,
        runtimes: &[&Runtime],
        keys: &TagKeys,
    ) -> Result<(), StoreError> {
        let mut delete = Query::delete();
        delete
            .from_table("runtime_tag")
            .and_where(Expr::col("runtime_id").is_in(runtimes.iter().map(|runtime| runtime.id.as_str())));
        if let TagKeys::These(keys) = keys {
            delete.and_where(Expr::col("tag_key").is_in(keys.iter().map(String::as_str)));
        }
        self.delete(&delete).await?;
        Ok(())
    }

    /// One of these runtimes that has more tags than `max`, if any has.
    pub(crate) async fn runtime_with_more_tags_than(
        &mut self,
        runtimes: &[&Runtime],
        max: usize,
    ) -> Result<Option<String>, StoreError> {
        let mut select = Query::select();
        select
            .column("runtime_id")
            .from("runtime_tag")
            .and_where(Expr::col("runtime_id").is_in(runtimes.iter().map(|runtime| runtime.id.as_str())))
            .group_by_col("runtime_id")
            .and_having(Expr::cust("COUNT(*)").gt(i64::try_from(max).unwrap_or(i64::MAX)))
            .order_by("runtime_id", Order::Asc)
            .limit(1);
        self.select(&select).await?.first().map(|row| row.text("runtime_id")).transpose()
    }
}
