//! Rows of end users.

use creel_wire::id::{AccountId, EndUserId};
use sea_query::{Cond, Expr, ExprTrait, Func, LikeExpr, LockType, Order, Query, SelectStatement, SimpleExpr};

use super::{Row, Store, StoreError, Tx, params};
use crate::page::{Cursor, Page};
use crate::skill::IdentityKind;
use crate::user::{EndUser, OwnerType, UserFilter, UserView};

const COLUMNS: [&str; 10] = [
    "account_id",
    "end_user_id",
    "email",
    "phone",
    "nick_name",
    "remark",
    "owner_type",
    "is_local_admin",
    "locked_from_ms",
    "created_at_ms",
];

fn user_view(row: &Row) -> Result<UserView, StoreError> {
    let owner_type = row.text("owner_type")?;
    let user = EndUser {
        id: row.parse("end_user_id")?,
        account_id: row.parse("account_id")?,
        email: row.opt_text("email")?,
        phone: row.opt_text("phone")?,
        nick_name: row.opt_text("nick_name")?,
        remark: row.opt_text("remark")?,
        owner_type: OwnerType::from_word(&owner_type)
            .ok_or_else(|| StoreError::Corrupt { what: "owner_type of an end user".to_owned() })?,
        is_local_admin: row.flag("is_local_admin")?,
        locked_from_ms: row.opt_int("locked_from_ms")?,
        created_at_ms: row.int("created_at_ms")?,
    };
    Ok(UserView { user, runtime_count: row.int("runtime_count")? })
}

/// How many runtimes, not deleted, a user is entitled to.
fn runtime_count() -> SimpleExpr {
    Expr::cust(
        "(SELECT COUNT(*) FROM runtime_user JOIN runtime ON runtime.id = runtime_user.runtime_id
          WHERE runtime_user.account_id = end_user.account_id
          AND runtime_user.end_user_id = end_user.end_user_id AND runtime.deleted_at_ms IS NULL)",
    )
}

/// Whether a user is entitled to a runtime that is not deleted.
fn has_runtime() -> SimpleExpr {
    Expr::cust(
        "EXISTS (SELECT 1 FROM runtime_user JOIN runtime ON runtime.id = runtime_user.runtime_id
          WHERE runtime_user.account_id = end_user.account_id
          AND runtime_user.end_user_id = end_user.end_user_id AND runtime.deleted_at_ms IS NULL)",
    )
}

/// The pattern as SQL has it: any case, and anywhere in the text unless it has a `*`.
fn like(pattern: &str) -> LikeExpr {
    let mut sql = String::with_capacity(pattern.len() + 2);
    for c in pattern.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            '*' => sql.push('%'),
            '%' | '_' | '!' => sql.extend(['!', c]),
            other => sql.push(other),
        }
    }
    let sql = if pattern.contains('*') { sql } else { format!("%{sql}%") };
    LikeExpr::new(sql).escape('!')
}

fn matching(account_id: &AccountId, filter: &UserFilter, now_ms: i64) -> SelectStatement {
    let mut select = Query::select();
    select.from("end_user").and_where(Expr::col("account_id").eq(account_id.as_str()));
    if !filter.ids.is_empty() {
        select.and_where(Expr::col("end_user_id").is_in(filter.ids.iter().map(String::as_str)));
    }
    if !filter.excluded_ids.is_empty() {
        select.and_where(Expr::col("end_user_id").is_not_in(filter.excluded_ids.iter().map(String::as_str)));
    }
    if let Some(pattern) = &filter.pattern {
        let email = Expr::expr(Func::lower(Expr::col("email"))).like(like(pattern));
        select.cond_where(Cond::any().add(Expr::col("end_user_id").like(like(pattern))).add(email));
    }
    if let Some(is_locked) = filter.is_locked {
        let from = Expr::col("locked_from_ms");
        // Few are locked, or will be: they have an index.
        select.and_where(if is_locked {
            from.clone().is_not_null().and(from.lte(now_ms))
        } else {
            from.clone().is_null().or(from.gt(now_ms))
        });
    }
    if let Some(is_assigned) = filter.is_assigned {
        select.and_where(if is_assigned { has_runtime() } else { has_runtime().not() });
    }
    select
}

/// One page of users by name. Public so that a test can look at its plan.
pub fn user_list_statement(
    account_id: &AccountId,
    filter: &UserFilter,
    after: Option<&Cursor>,
    limit: i64,
    now_ms: i64,
) -> SelectStatement {
    let mut page = matching(account_id, filter, now_ms);
    page.columns(COLUMNS)
        .expr_as(runtime_count(), "runtime_count")
        .order_by("end_user_id", Order::Asc)
        .limit(limit.unsigned_abs());
    if let Some(cursor) = after {
        page.and_where(Expr::col("end_user_id").gt(cursor.id.as_str()));
    }
    page
}

impl Store {
    /// One page of users by name, and how many match in all, up to a second ago.
    pub(crate) async fn list_users(
        &self,
        account_id: &AccountId,
        filter: &UserFilter,
        after: Option<Cursor>,
        limit: i64,
        now_ms: i64,
    ) -> Result<Page<UserView>, StoreError> {
        let page = user_list_statement(account_id, filter, after.as_ref(), limit + 1, now_ms);
        let rows = self.db().select(&page).await?;
        let items = rows.iter().map(user_view).collect::<Result<Vec<_>, _>>()?;
        let all = matching(account_id, filter, now_ms);
        let total = match filter.is_locked {
            // The statement holds the time, so that it never comes again.
            Some(_) => self.count(all).await?,
            None => self.recent_count(account_id, all).await?,
        };
        Ok(super::list::page(items, limit, total, |view| Cursor { key: 0, id: view.user.id.to_string() }))
    }
}

impl Tx {
    pub(crate) async fn count_users(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM end_user WHERE account_id = $1",
                params![account_id.as_str()],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// False if the account has a user of this name: an error would end the whole transaction on PostgreSQL.
    pub(crate) async fn insert_user(&mut self, user: &EndUser) -> Result<bool, StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO end_user (account_id, end_user_id, email, phone, nick_name, remark, owner_type,
                     is_local_admin, locked_from_ms, created_at_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT (account_id, end_user_id) DO NOTHING",
                params![
                    user.account_id.as_str(),
                    user.id.as_str(),
                    user.email.clone(),
                    user.phone.clone(),
                    user.nick_name.clone(),
                    user.remark.clone(),
                    user.owner_type.as_str(),
                    user.is_local_admin,
                    user.locked_from_ms,
                    user.created_at_ms
                ],
            )
            .await?;
        Ok(inserted == 1)
    }

    /// The users of an account that these texts name, in their order, and on PostgreSQL kept from being removed before
    /// the transaction ends.
    pub(crate) async fn lock_users(
        &mut self,
        account_id: &AccountId,
        names: &[String],
    ) -> Result<Vec<EndUserId>, StoreError> {
        let mut select = Query::select();
        select
            .column("end_user_id")
            .from("end_user")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col("end_user_id").is_in(names.iter().map(String::as_str)))
            .order_by("end_user_id", Order::Asc);
        if self.is_postgres() {
            select.lock(LockType::KeyShare);
        }
        self.select(&select).await?.iter().map(|row| row.parse("end_user_id")).collect()
    }

    /// Removes a user, what it is entitled to or promised, and who acts for it; false if there is none. The user goes
    /// first: that waits for transactions that are about to entitle it.
    pub(crate) async fn delete_user(
        &mut self,
        account_id: &AccountId,
        id: &EndUserId,
    ) -> Result<bool, StoreError> {
        let named = || params![account_id.as_str(), id.as_str()];
        let sql = "DELETE FROM end_user WHERE account_id = $1 AND end_user_id = $2";
        if self.execute(sql, named()).await? == 0 {
            return Ok(false);
        }
        for sql in [
            "DELETE FROM runtime_user WHERE account_id = $1 AND end_user_id = $2",
            "DELETE FROM runtime_assignment_user WHERE account_id = $1 AND end_user_id = $2",
        ] {
            self.execute(sql, named()).await?;
        }
        self.forget_skill_identity(account_id, IdentityKind::User, id.as_str()).await?;
        let acting =
            "SELECT id FROM principal WHERE account_id = $1 AND end_user_id = $2 ORDER BY id LIMIT 10000";
        for row in self.fetch_all(acting, named()).await? {
            self.delete_principal(&row.parse("id")?).await?;
        }
        Ok(true)
    }
}
