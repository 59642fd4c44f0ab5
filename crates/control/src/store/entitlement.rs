//! Rows of who is entitled to runtimes, and of who is promised them.

use creel_wire::id::{AccountId, EndUserId, RuntimeId};
use sea_query::{ColumnRef, Expr, ExprTrait, IntoColumnRef, JoinType, Order, Query, SimpleExpr};

use super::{Store, StoreError, Tx, params};
use crate::entitlement::Entitled;
use crate::runtime::Runtime;

/// Whether the runtime in a column is one that this user is entitled to.
pub(super) fn entitled(runtime_id: impl IntoColumnRef, account_id: &AccountId, to: &Entitled) -> SimpleExpr {
    let runtime_id: ColumnRef = runtime_id.into_column_ref();
    let person = Expr::col(("p", "account_id"))
        .equals(("e", "account_id"))
        .and(Expr::col(("p", "end_user_id")).equals(("e", "end_user_id")));
    let locked_from = Expr::col(("p", "locked_from_ms"));
    let mut select = Query::select();
    select
        .expr(Expr::val(1i64))
        .from_as("runtime_user", "e")
        .join_as(JoinType::InnerJoin, "end_user", "p", person)
        .and_where(Expr::col(("e", "runtime_id")).eq(Expr::col(runtime_id)))
        .and_where(Expr::col(("e", "account_id")).eq(account_id.as_str()))
        .and_where(Expr::col(("e", "end_user_id")).eq(to.end_user.as_str()))
        .and_where(locked_from.clone().is_null().or(locked_from.gt(to.now_ms)));
    Expr::exists(select)
}

/// Whether new users are promised for the runtime `r`.
pub(super) fn assigning() -> SimpleExpr {
    Expr::cust("EXISTS (SELECT 1 FROM runtime_assignment WHERE runtime_assignment.runtime_id = r.id)")
}

impl Store {
    /// Whether this user is entitled to the runtime that an `ecd-…` or `jvs-…` id names.
    pub(crate) async fn is_entitled(
        &self,
        account_id: &AccountId,
        id: &str,
        to: &Entitled,
    ) -> Result<bool, StoreError> {
        let mut select = Query::select();
        select
            .column(("r", "id"))
            .from_as("runtime", "r")
            .and_where(Expr::col(("r", "account_id")).eq(account_id.as_str()))
            .and_where(super::runtime::named("r", &[id.to_owned()]))
            .and_where(entitled(("r", "id"), account_id, to));
        Ok(!self.db().select(&select).await?.is_empty())
    }

    /// Whether new users are promised for this runtime.
    pub(crate) async fn has_assignment(&self, id: &RuntimeId) -> Result<bool, StoreError> {
        let sql = "SELECT runtime_id FROM runtime_assignment WHERE runtime_id = $1";
        Ok(self.db().fetch_optional(sql, params![id.as_str()]).await?.is_some())
    }
}

impl Tx {
    /// Gives a runtime to these users alone.
    pub(crate) async fn set_runtime_users(
        &mut self,
        runtime: &Runtime,
        users: &[EndUserId],
    ) -> Result<(), StoreError> {
        self.execute("DELETE FROM runtime_user WHERE runtime_id = $1", params![runtime.id.as_str()]).await?;
        self.insert_users_of(runtime, users).await
    }

    /// A user brings skills along.
    async fn touch_skills_of_users(&mut self, runtime_id: &RuntimeId) -> Result<(), StoreError> {
        self.execute(
            "UPDATE account SET skill_revision = skill_revision + 1
             WHERE id = (SELECT account_id FROM runtime WHERE id = $1) AND EXISTS (
                 SELECT 1 FROM skill_auth a WHERE a.account_id = account.id AND a.identity_kind = 'User')",
            params![runtime_id.as_str()],
        )
        .await?;
        Ok(())
    }

    /// Gives a runtime to these users, who do not have it yet, too.
    pub(crate) async fn insert_users_of(
        &mut self,
        runtime: &Runtime,
        users: &[EndUserId],
    ) -> Result<(), StoreError> {
        let rows: Vec<(&Runtime, &str)> = users.iter().map(|user| (runtime, user.as_str())).collect();
        self.insert_runtime_users(&rows).await?;
        self.touch_skills_of_users(&runtime.id).await
    }

    /// Takes a runtime from these users, as far as they have it.
    pub(crate) async fn delete_runtime_users(
        &mut self,
        id: &RuntimeId,
        users: &[EndUserId],
    ) -> Result<(), StoreError> {
        let mut delete = Query::delete();
        delete
            .from_table("runtime_user")
            .and_where(Expr::col("runtime_id").eq(id.as_str()))
            .and_where(Expr::col("end_user_id").is_in(users.iter().map(EndUserId::as_str)));
        self.delete(&delete).await?;
        self.touch_skills_of_users(id).await
    }

    pub(crate) async fn count_runtime_users(&mut self, id: &RuntimeId) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM runtime_user WHERE runtime_id = $1";
        let row = self.fetch_optional(sql, params![id.as_str()]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// Promises a runtime these users; what was promised before must be gone.
    pub(crate) async fn insert_assignment(
        &mut self,
        runtime: &Runtime,
        users: &[EndUserId],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let (id, account_id) = (runtime.id.as_str(), runtime.account_id.as_str());
        self.execute(
            "INSERT INTO runtime_assignment (runtime_id, account_id, created_at_ms) VALUES ($1, $2, $3)",
            params![id, account_id, now_ms],
        )
        .await?;
        let rows = users.iter().map(|user| params![id, user.as_str(), account_id]).collect();
        self.insert_many("runtime_assignment_user", &["runtime_id", "end_user_id", "account_id"], rows).await
    }

    pub(crate) async fn delete_assignment(&mut self, id: &RuntimeId) -> Result<(), StoreError> {
        // The promise before its users: whoever else keeps or replaces it waits there.
        for sql in [
            "UPDATE runtime_assignment SET created_at_ms = created_at_ms WHERE runtime_id = $1",
            "DELETE FROM runtime_assignment_user WHERE runtime_id = $1",
            "DELETE FROM runtime_assignment WHERE runtime_id = $1",
        ] {
            self.execute(sql, params![id.as_str()]).await?;
        }
        Ok(())
    }

    /// What is promised for a runtime, kept from others until the transaction ends: its account and users.
    pub(crate) async fn lock_assignment(
        &mut self,
        id: &RuntimeId,
    ) -> Result<Option<(AccountId, Vec<String>)>, StoreError> {
        let sql = if self.is_postgres() {
            "SELECT account_id FROM runtime_assignment WHERE runtime_id = $1 FOR UPDATE"
        } else {
            "SELECT account_id FROM runtime_assignment WHERE runtime_id = $1"
        };
        let Some(row) = self.fetch_optional(sql, params![id.as_str()]).await? else { return Ok(None) };
        let mut select = Query::select();
        select
            .column("end_user_id")
            .from("runtime_assignment_user")
            .and_where(Expr::col("runtime_id").eq(id.as_str()))
            .order_by("end_user_id", Order::Asc);
        let users = self
            .select(&select)
            .await?
            .iter()
            .map(|row| row.text("end_user_id"))
            .collect::<Result<_, _>>()?;
        Ok(Some((row.parse("account_id")?, users)))
    }
}
