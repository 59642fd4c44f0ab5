//! Rows of call limits.

use std::collections::HashMap;

use creel_wire::id::AccountId;
use sea_query::{Expr, ExprTrait, Order, Query};

use super::{Row, Store, StoreError, Tx, params};
use crate::call_limit::{CallLimit, CallLimitView, Figures, LimitScope};
use crate::page::{Cursor, Page};

const COLUMNS: [&str; 7] = [
    "scope",
    "scope_id",
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_calls",
    "output_tokens_max",
    "updated_at_ms",
];

fn view(row: &Row) -> Result<CallLimitView, StoreError> {
    let scope = LimitScope::from_row(&row.text("scope")?, &row.text("scope_id")?);
    let scope = scope.ok_or_else(|| StoreError::Corrupt { what: "a call limit's scope".to_owned() })?;
    let figures = Figures {
        requests_per_minute: row.opt_int("requests_per_minute")?,
        tokens_per_minute: row.opt_int("tokens_per_minute")?,
        concurrent_calls: row.opt_int("concurrent_calls")?,
        output_tokens_max: row.opt_int("output_tokens_max")?,
    };
    Ok(CallLimitView { limit: CallLimit { scope, figures }, updated_at_ms: row.int("updated_at_ms")? })
}

impl Store {
    /// One page of an account's limits; not counted.
    pub(crate) async fn list_call_limits(
        &self,
        account_id: &AccountId,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<CallLimitView>, StoreError> {
        let mut page = Query::select();
        page.columns(COLUMNS)
            .from("call_limit")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .order_by("scope_rank", Order::Asc)
            .order_by("scope_id", Order::Asc)
            .limit(limit.unsigned_abs() + 1);
        if let Some(cursor) = &after {
            page.and_where(super::list::after(cursor, "scope_rank", "scope_id"));
        }
        let rows = self.db().select(&page).await?;
        let items = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        Ok(super::list::page(items, limit, 0, |item| Cursor {
            key: item.limit.scope.rank(),
            id: item.limit.scope.id().to_owned(),
        }))
    }

    /// The limits of all accounts, for gateways.
    pub(crate) async fn all_call_limits(&self) -> Result<HashMap<LimitScope, Figures>, StoreError> {
        let mut select = Query::select();
        select.columns(COLUMNS).from("call_limit");
        let rows = self.db().select(&select).await?;
        let views = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        Ok(views.into_iter().map(|view| (view.limit.scope, view.limit.figures)).collect())
    }
}

impl Tx {
    /// Sets all figures of a scope.
    pub(crate) async fn put_call_limit(
        &mut self,
        account_id: &AccountId,
        limit: &CallLimit,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let figures = &limit.figures;
        self.execute(
            "INSERT INTO call_limit (account_id, scope_rank, scope, scope_id, requests_per_minute, tokens_per_minute,
                 concurrent_calls, output_tokens_max, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (account_id, scope_rank, scope_id) DO UPDATE SET
                 requests_per_minute = excluded.requests_per_minute,
                 tokens_per_minute = excluded.tokens_per_minute,
                 concurrent_calls = excluded.concurrent_calls,
                 output_tokens_max = excluded.output_tokens_max,
                 updated_at_ms = excluded.updated_at_ms",
            params![
                account_id.as_str(),
                limit.scope.rank(),
                limit.scope.kind(),
                limit.scope.id(),
                figures.requests_per_minute,
                figures.tokens_per_minute,
                figures.concurrent_calls,
                figures.output_tokens_max,
                now_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// Removes the limits of a scope, if it has any.
    pub(crate) async fn delete_call_limit(
        &mut self,
        account_id: &AccountId,
        scope: &LimitScope,
    ) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM call_limit WHERE account_id = $1 AND scope_rank = $2 AND scope_id = $3",
            params![account_id.as_str(), scope.rank(), scope.id()],
        )
        .await?;
        Ok(())
    }
}
