//! Counts of lists, kept for a second: on a large account counting costs far more than the page beside it.
//!
//! A count is known by its statement, so whatever a list is filtered by is part of the key. Whoever changes an account
//! in this process sees it counted at once: a transaction forgets the counts of each account that it has an audit row
//! of, after its commit and before its answer. Other processes' changes, and what guests report, are seen when the
//! second is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use creel_wire::id::AccountId;
use sea_query::{Expr, SelectStatement};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::db::build;
use super::{Store, StoreError, Value};

/// How old a count may be.
const AGE_MS_MAX: i64 = 1_000;
/// Counts in memory at the most, of all accounts; some 200 bytes each.
const COUNTS_MAX: usize = 4_096;

/// A statement and its parameters, hashed: they may be long.
type Key = [u8; 32];

/// The counts of one process.
#[derive(Debug)]
pub(super) struct Counts {
    table: Mutex<Table>,
    counts_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    accounts: HashMap<String, HashMap<Key, Count>>,
    count: usize,
}

#[derive(Debug)]
struct Count {
    /// Before the database was asked.
    begun_at_ms: i64,
    /// Empty while the first who asked still waits for it; others wait with it.
    total: Arc<OnceCell<i64>>,
}

impl Count {
    fn is_recent(&self, now_ms: i64) -> bool {
        (0..AGE_MS_MAX).contains(&(now_ms - self.begun_at_ms))
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::new(COUNTS_MAX)
    }
}

impl Counts {
    fn new(counts_max: usize) -> Self {
        Self { table: Mutex::default(), counts_max }
    }

    /// The cell of a count that is recent, or an empty one. One that finds no place is simply not kept.
    fn cell(&self, account_id: &str, key: Key, now_ms: i64) -> Arc<OnceCell<i64>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.accounts.get(account_id).and_then(|counts| counts.get(&key));
        if let Some(count) = known.filter(|count| count.is_recent(now_ms)) {
            return count.total.clone();
        }
        if table.count >= self.counts_max {
            table.drop_old(now_ms);
        }
        let total = Arc::<OnceCell<i64>>::default();
        if table.count < self.counts_max {
            let count = Count { begun_at_ms: now_ms, total: total.clone() };
            let replaced = table.accounts.entry(account_id.to_owned()).or_default().insert(key, count);
            table.count += usize::from(replaced.is_none());
        }
        total
    }

    /// Forgets the counts of an account.
    pub(super) fn forget(&self, account_id: &str) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = table.accounts.remove(account_id) {
            table.count -= counts.len();
        }
    }
}

impl Table {
    fn drop_old(&mut self, now_ms: i64) {
        self.accounts.retain(|_, counts| {
            counts.retain(|_, count| count.is_recent(now_ms));
            !counts.is_empty()
        });
        self.count = self.accounts.values().map(HashMap::len).sum();
    }
}

fn key(sql: &str, params: &[Value]) -> Key {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(bytes.len().to_le_bytes());
        hasher.update(bytes);
    };
    part(sql.as_bytes());
    for value in params {
        match value {
            Value::Text(text) => part(text.as_deref().unwrap_or_default().as_bytes()),
            Value::Int(number) => part(&number.unwrap_or_default().to_le_bytes()),
        }
    }
    hasher.finalize().into()
}

impl Store {
    /// How many rows of an account a statement without columns, order and limit selects, up to a second ago.
    pub(super) async fn recent_count(
        &self,
        account_id: &AccountId,
        mut matching: SelectStatement,
    ) -> Result<i64, StoreError> {
        matching.expr_as(Expr::cust("CAST(COUNT(*) AS BIGINT)"), "total");
        self.recent_total(account_id, &matching).await
    }

    /// The number `total` that a statement over an account gave up to a second ago. Its parameters must be the same
    /// from one call to the next: a time of now would never be found again.
    pub(super) async fn recent_total(
        &self,
        account_id: &AccountId,
        statement: &SelectStatement,
    ) -> Result<i64, StoreError> {
        let (sql, params) = build(self.db().is_postgres(), statement);
        let cell = self.inner.counts.cell(account_id.as_str(), key(&sql, &params), self.clock().now_ms());
        let total = cell.get_or_try_init(|| async move {
            let row = self.db().fetch_optional(sql, params).await?;
            row.map_or(Ok(0), |row| row.int("total"))
        });
        total.await.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_found_again_for_a_second() {
        let counts = Counts::default();
        counts.cell("a", [1; 32], 5_000).set(7).unwrap();
        assert_eq!(counts.cell("a", [1; 32], 5_999).get(), Some(&7));
        assert_eq!(counts.cell("a", [2; 32], 5_999).get(), None, "another statement");
        assert_eq!(counts.cell("b", [1; 32], 5_999).get(), None, "another account");
        assert_eq!(counts.cell("a", [1; 32], 6_000).get(), None, "too old");
    }

    #[test]
    fn a_clock_set_back_makes_no_count_last() {
        let counts = Counts::default();
        counts.cell("a", [1; 32], 5_000).set(7).unwrap();
        assert_eq!(counts.cell("a", [1; 32], 4_999).get(), None);
    }

    #[test]
    fn whoever_asked_before_a_change_keeps_its_answer_to_itself() {
        let counts = Counts::default();
        let before = counts.cell("a", [1; 32], 5_000);
        let other = counts.cell("b", [1; 32], 5_000);
        counts.forget("a");
        before.set(7).unwrap();
        other.set(3).unwrap();
        assert_eq!(counts.cell("a", [1; 32], 5_000).get(), None);
        assert_eq!(counts.cell("b", [1; 32], 5_000).get(), Some(&3));
    }

    #[test]
    fn only_so_many_are_kept() {
        let counts = Counts::new(2);
        let kept = |key: u8, now_ms| {
            let first = counts.cell("a", [key; 32], now_ms);
            Arc::ptr_eq(&first, &counts.cell("a", [key; 32], now_ms))
        };
        assert!(kept(1, 5_000) && kept(2, 5_500));
        assert!(!kept(3, 5_900), "no place");
        assert!(kept(3, 6_000), "the first is over");
        assert_eq!(counts.table.lock().unwrap().count, 2);
        counts.forget("a");
        assert_eq!(counts.table.lock().unwrap().count, 0);
    }

    #[test]
    fn keys_tell_parameters_apart() {
        let texts = |a: &str, b: &str| key("", &[a.into(), b.into()]);
        assert_ne!(texts("a", "bc"), texts("ab", "c"));
        assert_ne!(key("1", &[]), key("2", &[]));
        assert_ne!(key("", &[1i64.into()]), key("", &[2i64.into()]));
    }
}
