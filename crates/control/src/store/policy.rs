//! Rows of policies and of what they are attached to.

use creel_wire::id::{AccountId, PrincipalId};
use sea_query::{Expr, ExprTrait, Order, Query};

use super::{Row, Store, StoreError, Tx, params};
use crate::page::{Cursor, Page};
use crate::principal::{Attachment, PolicyRow};

fn policy(row: &Row) -> Result<PolicyRow, StoreError> {
    Ok(PolicyRow {
        name: row.text("name")?,
        description: row.text("description")?,
        document: row.text("document_json")?,
        created_at_ms: row.int("created_at_ms")?,
        updated_at_ms: row.int("updated_at_ms")?,
        attachments: row.int("attachments")?,
    })
}

impl Store {
    /// One page of an account's own policies, oldest first; not counted.
    pub(crate) async fn list_policies(
        &self,
        account_id: &AccountId,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<PolicyRow>, StoreError> {
        let mut page = Query::select();
        page.columns(["name", "description", "document_json", "created_at_ms", "updated_at_ms"])
            .expr_as(
                Expr::cust(
                    "(SELECT CAST(COUNT(*) AS BIGINT) FROM policy_attachment a
                      WHERE a.account_id = policy.account_id AND a.policy_name = policy.name)",
                ),
                "attachments",
            )
            .from("policy")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .order_by("created_at_ms", Order::Asc)
            .order_by("name", Order::Asc)
            .limit(limit.unsigned_abs() + 1);
        if let Some(cursor) = &after {
            page.and_where(super::list::after(cursor, "created_at_ms", "name"));
        }
        let rows = self.db().select(&page).await?;
        let items = rows.iter().map(policy).collect::<Result<Vec<_>, _>>()?;
        Ok(super::list::page(items, limit, 0, |item| Cursor {
            key: item.created_at_ms,
            id: item.name.clone(),
        }))
    }

    /// The account's own policy of this name.
    pub(crate) async fn find_policy(
        &self,
        account_id: &AccountId,
        name: &str,
    ) -> Result<Option<PolicyRow>, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT name, description, document_json, created_at_ms, updated_at_ms,
                     (SELECT CAST(COUNT(*) AS BIGINT) FROM policy_attachment a
                      WHERE a.account_id = policy.account_id AND a.policy_name = policy.name) AS attachments
                 FROM policy WHERE account_id = $1 AND name = $2",
                params![account_id.as_str(), name],
            )
            .await?;
        row.as_ref().map(policy).transpose()
    }

    /// What is attached to a principal, in the order of the names; of the account's own policies with their document.
    pub(crate) async fn list_attachments(&self, id: &PrincipalId) -> Result<Vec<Attachment>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT a.policy_name, a.attached_at_ms, p.document_json FROM policy_attachment a
                 LEFT JOIN policy p ON p.account_id = a.account_id AND p.name = a.policy_name
                 WHERE a.principal_id = $1 ORDER BY a.policy_name LIMIT 100",
                params![id.as_str()],
            )
            .await?;
        let attachment = |row: &Row| {
            Ok(Attachment {
                policy: row.text("policy_name")?,
                attached_at_ms: row.int("attached_at_ms")?,
                document: row.opt_text("document_json")?,
            })
        };
        rows.iter().map(attachment).collect()
    }
}

impl Tx {
    /// True if the account has the policy; nobody else deletes it until this transaction ends.
    pub(crate) async fn lock_policy(
        &mut self,
        account_id: &AccountId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let sql = if self.is_postgres() {
            "SELECT name FROM policy WHERE account_id = $1 AND name = $2 FOR UPDATE"
        } else {
            "SELECT name FROM policy WHERE account_id = $1 AND name = $2"
        };
        Ok(self.fetch_optional(sql, params![account_id.as_str(), name]).await?.is_some())
    }

    pub(crate) async fn count_policies(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM policy WHERE account_id = $1";
        let row = self.fetch_optional(sql, params![account_id.as_str()]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// Makes the policy or replaces its document; the description stays where none is given.
    pub(crate) async fn put_policy(
        &mut self,
        account_id: &AccountId,
        name: &str,
        description: Option<&str>,
        document: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO policy (account_id, name, description, document_json, created_at_ms, updated_at_ms)
             VALUES ($1, $2, COALESCE(CAST($3 AS TEXT), ''), $4, $5, $5)
             ON CONFLICT (account_id, name) DO UPDATE SET
                 description = COALESCE(CAST($3 AS TEXT), policy.description),
                 document_json = $4, updated_at_ms = $5",
            params![account_id.as_str(), name, description, document, now_ms],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn delete_policy(
        &mut self,
        account_id: &AccountId,
        name: &str,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM policy WHERE account_id = $1 AND name = $2";
        self.execute(sql, params![account_id.as_str(), name]).await?;
        Ok(())
    }

    pub(crate) async fn count_attachments_of_policy(
        &mut self,
        account_id: &AccountId,
        name: &str,
    ) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM policy_attachment
                   WHERE account_id = $1 AND policy_name = $2";
        let row = self.fetch_optional(sql, params![account_id.as_str(), name]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    pub(crate) async fn count_attachments(&mut self, id: &PrincipalId) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM policy_attachment WHERE principal_id = $1";
        let row = self.fetch_optional(sql, params![id.as_str()]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// `Unique` if it is attached.
    pub(crate) async fn insert_attachment(
        &mut self,
        account_id: &AccountId,
        id: &PrincipalId,
        policy: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO policy_attachment (principal_id, policy_name, account_id, attached_at_ms)
             VALUES ($1, $2, $3, $4)",
            params![id.as_str(), policy, account_id.as_str(), now_ms],
        )
        .await?;
        Ok(())
    }

    /// Gives the number deleted: 0 if it was not attached.
    pub(crate) async fn delete_attachment(
        &mut self,
        id: &PrincipalId,
        policy: &str,
    ) -> Result<u64, StoreError> {
        let sql = "DELETE FROM policy_attachment WHERE principal_id = $1 AND policy_name = $2";
        self.execute(sql, params![id.as_str(), policy]).await
    }
}
