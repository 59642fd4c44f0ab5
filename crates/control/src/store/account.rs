//! Rows of accounts and access keys.

use creel_wire::id::{AccessKeyId, AccountId};

use super::principal::access_key;
use super::{Row, Store, StoreError, Tx, params};
use crate::account::{AccessKeyRow, Account};

fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account { id: row.parse("id")?, name: row.text("name")?, created_at_ms: row.int("created_at_ms")? })
}

impl Store {
    pub(crate) async fn list_accounts(&self) -> Result<Vec<Account>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT id, name, created_at_ms FROM account ORDER BY created_at_ms, id LIMIT 1000",
                Vec::new(),
            )
            .await?;
        rows.iter().map(account).collect()
    }

    pub(crate) async fn find_account_by_name(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let row = self
            .db()
            .fetch_optional("SELECT id, name, created_at_ms FROM account WHERE name = $1", params![name])
            .await?;
        row.as_ref().map(account).transpose()
    }

    pub(crate) async fn find_access_key(&self, id: &AccessKeyId) -> Result<Option<AccessKeyRow>, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT id, account_id, principal_id, secret_sealed, active, created_at_ms, last_used_at_ms
                 FROM access_key WHERE id = $1",
                params![id.as_str()],
            )
            .await?;
        row.as_ref().map(access_key).transpose()
    }

    pub(crate) async fn list_access_keys(
        &self,
        account_id: &AccountId,
    ) -> Result<Vec<AccessKeyRow>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT id, account_id, principal_id, secret_sealed, active, created_at_ms, last_used_at_ms
                 FROM access_key WHERE account_id = $1 ORDER BY id LIMIT 1000",
                params![account_id.as_str()],
            )
            .await?;
        rows.iter().map(access_key).collect()
    }
}

impl Tx {
    pub(crate) async fn insert_account(&mut self, account: &Account) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO account (id, name, created_at_ms) VALUES ($1, $2, $3)",
            params![account.id.as_str(), &account.name, account.created_at_ms],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn insert_access_key(&mut self, key: &AccessKeyRow) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO access_key (id, account_id, principal_id, secret_sealed, active, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![
                key.id.as_str(),
                key.account_id.as_str(),
                key.principal_id.as_str(),
                &key.secret_sealed,
                key.active,
                key.created_at_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// Gives the number of keys changed: 0 if there is none of this id in the account.
    pub(crate) async fn set_access_key_active(
        &mut self,
        account_id: &AccountId,
        id: &AccessKeyId,
        active: bool,
    ) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE access_key SET active = $3 WHERE account_id = $1 AND id = $2",
            params![account_id.as_str(), id.as_str(), active],
        )
        .await
    }
}
