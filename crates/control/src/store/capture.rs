//! Rows of capture policies and of captured calls.

use std::collections::HashMap;

use creel_wire::id::AccountId;
use sea_query::{Cond, Expr, ExprTrait, Order, Query};

use super::entitlement::entitled;
use super::{Row, Store, StoreError, Tx, Value, params};
use crate::call_limit::LimitScope;
use crate::capture::{CapturePolicy, CapturedCall, CapturedFilter, SealedCall, Terms};
use crate::entitlement::Entitled;
use crate::page::{Cursor, Page};

const POLICY: [&str; 5] = ["scope", "scope_id", "retention_days", "bytes_max", "updated_at_ms"];

const CALL: [&str; 10] = [
    "call_id",
    "account_id",
    "runtime_id",
    "model_code",
    "request_bytes",
    "request_kept",
    "answer_bytes",
    "answer_kept",
    "created_at_ms",
    "expires_at_ms",
];

fn policy(row: &Row) -> Result<CapturePolicy, StoreError> {
    let scope = LimitScope::from_row(&row.text("scope")?, &row.text("scope_id")?);
    let scope = scope.ok_or_else(|| StoreError::Corrupt { what: "a capture policy's scope".to_owned() })?;
    let terms = Terms { retention_days: row.int("retention_days")?, bytes_max: row.int("bytes_max")? };
    Ok(CapturePolicy { scope, terms, updated_at_ms: row.int("updated_at_ms")? })
}

fn call(row: &Row) -> Result<CapturedCall, StoreError> {
    Ok(CapturedCall {
        call_id: row.text("call_id")?,
        account_id: row.parse("account_id")?,
        runtime_id: row.text("runtime_id")?,
        model_code: row.text("model_code")?,
        request_bytes: row.int("request_bytes")?,
        request_kept: row.int("request_kept")?,
        answer_bytes: row.int("answer_bytes")?,
        answer_kept: row.int("answer_kept")?,
        created_at_ms: row.int("created_at_ms")?,
        expires_at_ms: row.int("expires_at_ms")?,
    })
}

/// Policies that are about runtimes to which a user is entitled.
fn about(account_id: &AccountId, to: &Entitled) -> Cond {
    let of_user = |column: &'static str| {
        let mut runtimes = Query::select();
        runtimes
            .column(column)
            .from("runtime")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col("deleted_at_ms").is_null())
            .and_where(Expr::col(column).is_not_null())
            .and_where(entitled(("runtime", "id"), account_id, to));
        runtimes
    };
    Cond::any()
        .add(Expr::col("scope").eq("Account"))
        .add(Expr::col("scope_id").in_subquery(of_user("resource_group_id")))
        .add(Expr::col("scope_id").in_subquery(of_user("id")))
}

impl Store {
    /// One page of an account's policies, for an end user only those about its runtimes; not counted.
    pub(crate) async fn list_capture_policies(
        &self,
        account_id: &AccountId,
        entitled_to: Option<&Entitled>,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<CapturePolicy>, StoreError> {
        let mut page = Query::select();
        page.columns(POLICY)
            .from("capture_policy")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .order_by("scope_rank", Order::Asc)
            .order_by("scope_id", Order::Asc)
            .limit(limit.unsigned_abs() + 1);
        if let Some(to) = entitled_to {
            page.cond_where(about(account_id, to));
        }
        if let Some(cursor) = &after {
            page.and_where(super::list::after(cursor, "scope_rank", "scope_id"));
        }
        let rows = self.db().select(&page).await?;
        let items = rows.iter().map(policy).collect::<Result<Vec<_>, _>>()?;
        Ok(super::list::page(items, limit, 0, |item| Cursor {
            key: item.scope.rank(),
            id: item.scope.id().to_owned(),
        }))
    }

    /// The policies of all accounts, for gateways.
    pub(crate) async fn all_capture_policies(&self) -> Result<HashMap<LimitScope, Terms>, StoreError> {
        let mut select = Query::select();
        select.columns(POLICY).from("capture_policy");
        let rows = self.db().select(&select).await?;
        let policies = rows.iter().map(policy).collect::<Result<Vec<_>, _>>()?;
        Ok(policies.into_iter().map(|policy| (policy.scope, policy.terms)).collect())
    }

    /// One page of an account's captured calls that have not expired, newest first; not counted.
    pub(crate) async fn list_captured(
        &self,
        account_id: &AccountId,
        filter: &CapturedFilter,
        now_ms: i64,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<CapturedCall>, StoreError> {
        let mut page = Query::select();
        page.columns(CALL)
            .from("captured_call")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col("expires_at_ms").gt(now_ms))
            .order_by("created_at_ms", Order::Desc)
            .order_by("call_id", Order::Desc)
            .limit(limit.unsigned_abs() + 1);
        for (column, ids) in [("call_id", &filter.call_ids), ("runtime_id", &filter.runtime_ids)] {
            if !ids.is_empty() {
                page.and_where(Expr::col(column).is_in(ids.iter().map(String::as_str)));
            }
        }
        if let Some(from_ms) = filter.from_ms {
            page.and_where(Expr::col("created_at_ms").gte(from_ms));
        }
        if let Some(until_ms) = filter.until_ms {
            page.and_where(Expr::col("created_at_ms").lt(until_ms));
        }
        if let Some(cursor) = &after {
            let row = Expr::tuple([Expr::col("created_at_ms"), Expr::col("call_id")]);
            page.and_where(row.lt(Expr::tuple([Expr::val(cursor.key), Expr::val(cursor.id.as_str())])));
        }
        let rows = self.db().select(&page).await?;
        let items = rows.iter().map(call).collect::<Result<Vec<_>, _>>()?;
        Ok(super::list::page(items, limit, 0, |item| Cursor {
            key: item.created_at_ms,
            id: item.call_id.clone(),
        }))
    }
}

impl Tx {
    /// Sets the policy of a scope.
    pub(crate) async fn put_capture_policy(
        &mut self,
        account_id: &AccountId,
        policy: &CapturePolicy,
    ) -> Result<(), StoreError> {
        let CapturePolicy { scope, terms, updated_at_ms } = policy;
        self.execute(
            "INSERT INTO capture_policy (account_id, scope_rank, scope, scope_id, retention_days, bytes_max, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (account_id, scope_rank, scope_id) DO UPDATE SET
                 retention_days = excluded.retention_days,
                 bytes_max = excluded.bytes_max,
                 updated_at_ms = excluded.updated_at_ms",
            params![
                account_id.as_str(),
                scope.rank(),
                scope.kind(),
                scope.id(),
                terms.retention_days,
                terms.bytes_max,
                *updated_at_ms
            ],
        )
        .await
        .map(|_| ())
    }

    /// Removes the policy of a scope, if it has one.
    pub(crate) async fn delete_capture_policy(
        &mut self,
        account_id: &AccountId,
        scope: &LimitScope,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM capture_policy WHERE account_id = $1 AND scope_rank = $2 AND scope_id = $3";
        self.execute(sql, params![account_id.as_str(), scope.rank(), scope.id()]).await.map(|_| ())
    }

    pub(crate) async fn insert_captured(&mut self, rows: &[SealedCall]) -> Result<(), StoreError> {
        let columns: Vec<&'static str> =
            CALL.into_iter().chain(["request_sealed", "answer_sealed"]).collect();
        let values = |row: &SealedCall| -> Vec<Value> {
            let call = &row.call;
            params![
                &call.call_id,
                call.account_id.as_str(),
                &call.runtime_id,
                &call.model_code,
                call.request_bytes,
                call.request_kept,
                call.answer_bytes,
                call.answer_kept,
                call.created_at_ms,
                call.expires_at_ms,
                &row.request_sealed,
                &row.answer_sealed
            ]
        };
        self.insert_many("captured_call", &columns, rows.iter().map(values).collect()).await
    }

    /// A captured call of a runtime with its sealed content, unless it has expired.
    pub(crate) async fn find_captured(
        &mut self,
        account_id: &AccountId,
        runtime_id: &str,
        call_id: &str,
        now_ms: i64,
    ) -> Result<Option<SealedCall>, StoreError> {
        let sql =
            "SELECT call_id, account_id, runtime_id, model_code, request_bytes, request_kept, answer_bytes,
                          answer_kept, created_at_ms, expires_at_ms, request_sealed, answer_sealed
                   FROM captured_call
                   WHERE call_id = $1 AND account_id = $2 AND runtime_id = $3 AND expires_at_ms > $4";
        let row = self.fetch_optional(sql, params![call_id, account_id.as_str(), runtime_id, now_ms]).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(SealedCall {
            call: call(&row)?,
            request_sealed: row.text("request_sealed")?,
            answer_sealed: row.text("answer_sealed")?,
        }))
    }

    /// Removes what has expired, at most so many; how many they were.
    pub(crate) async fn delete_captured(&mut self, now_ms: i64, limit: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM captured_call WHERE call_id IN
                       (SELECT call_id FROM captured_call WHERE expires_at_ms <= $1 ORDER BY expires_at_ms, call_id LIMIT $2)";
        self.execute(sql, params![now_ms, limit]).await
    }
}
