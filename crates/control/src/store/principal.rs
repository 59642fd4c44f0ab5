//! Rows of principals and of their access keys.

use creel_wire::id::{AccessKeyId, AccountId, EndUserId, PrincipalId};
use sea_query::{Expr, ExprTrait, Order, Query};

use super::{Row, Store, StoreError, Tx, params};
use crate::account::AccessKeyRow;
use crate::page::{Cursor, Page};
use crate::principal::{Principal, PrincipalFilter};

const COLUMNS: [&str; 8] =
    ["id", "account_id", "kind", "name", "description", "end_user_id", "active", "created_at_ms"];

fn principal(row: &Row) -> Result<Principal, StoreError> {
    Ok(Principal {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        kind: row.parse("kind")?,
        name: row.text("name")?,
        description: row.text("description")?,
        end_user_id: row.opt_parse("end_user_id")?,
        active: row.flag("active")?,
        created_at_ms: row.int("created_at_ms")?,
    })
}

pub(super) fn access_key(row: &Row) -> Result<AccessKeyRow, StoreError> {
    let account_id: AccountId = row.parse("account_id")?;
    Ok(AccessKeyRow {
        id: row.parse("id")?,
        principal_id: row.opt_parse("principal_id")?.unwrap_or_else(|| PrincipalId::of_root(&account_id)),
        account_id,
        secret_sealed: row.text("secret_sealed")?,
        active: row.flag("active")?,
        created_at_ms: row.int("created_at_ms")?,
        last_used_at_ms: row.opt_int("last_used_at_ms")?,
    })
}

impl Store {
    /// One page of an account's principals, oldest first; not counted.
    pub(crate) async fn list_principals(
        &self,
        account_id: &AccountId,
        filter: &PrincipalFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<Principal>, StoreError> {
        let mut page = Query::select();
        page.columns(COLUMNS)
            .from("principal")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .order_by("created_at_ms", Order::Asc)
            .order_by("id", Order::Asc)
            .limit(limit.unsigned_abs() + 1);
        if let Some(name) = &filter.name {
            page.and_where(Expr::col("name").eq(name.as_str()));
        }
        if let Some(end_user) = &filter.end_user_id {
            page.and_where(Expr::col("end_user_id").eq(end_user.as_str()));
        }
        if let Some(cursor) = &after {
            page.and_where(super::list::after(cursor, "created_at_ms", "id"));
        }
        let rows = self.db().select(&page).await?;
        let items = rows.iter().map(principal).collect::<Result<Vec<_>, _>>()?;
        Ok(super::list::page(items, limit, 0, |item| Cursor {
            key: item.created_at_ms,
            id: item.id.to_string(),
        }))
    }

    /// The principal of this id, in whatever account: for a caller whose key was found.
    pub(crate) async fn find_principal_by_id(
        &self,
        id: &PrincipalId,
    ) -> Result<Option<Principal>, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT id, account_id, kind, name, description, end_user_id, active, created_at_ms
                 FROM principal WHERE id = $1",
                params![id.as_str()],
            )
            .await?;
        row.as_ref().map(principal).transpose()
    }

    /// The principal of this name.
    pub(crate) async fn find_principal(
        &self,
        account_id: &AccountId,
        name: &str,
    ) -> Result<Option<Principal>, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT id, account_id, kind, name, description, end_user_id, active, created_at_ms
                 FROM principal WHERE account_id = $1 AND name = $2",
                params![account_id.as_str(), name],
            )
            .await?;
        row.as_ref().map(principal).transpose()
    }

    /// A principal's keys; at most 100.
    pub(crate) async fn list_keys_of(&self, id: &PrincipalId) -> Result<Vec<AccessKeyRow>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT id, account_id, principal_id, secret_sealed, active, created_at_ms, last_used_at_ms
                 FROM access_key WHERE principal_id = $1 ORDER BY id LIMIT 100",
                params![id.as_str()],
            )
            .await?;
        rows.iter().map(access_key).collect()
    }
}

impl Tx {
    pub(crate) async fn insert_principal(&mut self, new: &Principal) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO principal
                 (id, account_id, kind, name, description, end_user_id, active, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            params![
                new.id.as_str(),
                new.account_id.as_str(),
                new.kind.as_str(),
                &new.name,
                &new.description,
                new.end_user_id.as_ref().map(EndUserId::as_str),
                new.active,
                new.created_at_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// The principal of this name; nobody else changes it or gives it keys until this transaction ends.
    pub(crate) async fn lock_principal(
        &mut self,
        account_id: &AccountId,
        name: &str,
    ) -> Result<Option<Principal>, StoreError> {
        let sql = if self.is_postgres() {
            "SELECT id, account_id, kind, name, description, end_user_id, active, created_at_ms
             FROM principal WHERE account_id = $1 AND name = $2 FOR UPDATE"
        } else {
            "SELECT id, account_id, kind, name, description, end_user_id, active, created_at_ms
             FROM principal WHERE account_id = $1 AND name = $2"
        };
        let row = self.fetch_optional(sql, params![account_id.as_str(), name]).await?;
        row.as_ref().map(principal).transpose()
    }

    pub(crate) async fn update_principal(&mut self, changed: &Principal) -> Result<(), StoreError> {
        self.execute(
            "UPDATE principal SET description = $2, active = $3 WHERE id = $1",
            params![changed.id.as_str(), &changed.description, changed.active],
        )
        .await?;
        Ok(())
    }

    /// Deletes a principal with its keys and attachments; gives the keys' ids.
    pub(crate) async fn delete_principal(
        &mut self,
        id: &PrincipalId,
    ) -> Result<Vec<AccessKeyId>, StoreError> {
        let rows = self
            .fetch_all(
                "SELECT id FROM access_key WHERE principal_id = $1 ORDER BY id LIMIT 100",
                params![id.as_str()],
            )
            .await?;
        let keys = rows.iter().map(|row| row.parse("id")).collect::<Result<Vec<_>, _>>()?;
        self.execute("DELETE FROM access_key WHERE principal_id = $1", params![id.as_str()]).await?;
        self.execute("DELETE FROM policy_attachment WHERE principal_id = $1", params![id.as_str()]).await?;
        self.execute("DELETE FROM principal WHERE id = $1", params![id.as_str()]).await?;
        Ok(keys)
    }

    pub(crate) async fn count_principals(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM principal WHERE account_id = $1";
        let row = self.fetch_optional(sql, params![account_id.as_str()]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    pub(crate) async fn count_keys_of(&mut self, id: &PrincipalId) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM access_key WHERE principal_id = $1";
        let row = self.fetch_optional(sql, params![id.as_str()]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// Gives the number of keys changed: 0 if the principal has none of this id.
    pub(crate) async fn set_key_of_active(
        &mut self,
        principal: &PrincipalId,
        id: &AccessKeyId,
        active: bool,
    ) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE access_key SET active = $3 WHERE principal_id = $1 AND id = $2",
            params![principal.as_str(), id.as_str(), active],
        )
        .await
    }

    /// Gives the number of keys deleted: 0 if the principal has none of this id.
    pub(crate) async fn delete_key_of(
        &mut self,
        principal: &PrincipalId,
        id: &AccessKeyId,
    ) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM access_key WHERE principal_id = $1 AND id = $2",
            params![principal.as_str(), id.as_str()],
        )
        .await
    }

    pub(crate) async fn set_key_last_used(&mut self, id: &AccessKeyId, at_ms: i64) -> Result<(), StoreError> {
        self.execute(
            "UPDATE access_key SET last_used_at_ms = $2
             WHERE id = $1 AND (last_used_at_ms IS NULL OR last_used_at_ms < $2)",
            params![id.as_str(), at_ms],
        )
        .await?;
        Ok(())
    }
}
