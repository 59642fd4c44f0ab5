//! What lists ask again and again, kept for a second: how many rows there are, which on a large account costs far more
//! than the page beside it, and where deep pages begin, which else is found by skipping all rows before.
//!
//! Both are known by their statement, so whatever a list is filtered by is part of the key. Whoever changes an account
//! in this process sees it at once: a transaction forgets what is kept of each account that it has an audit row of,
//! after its commit and before its answer. Other processes' changes, and what guests report, are seen when the second
//! is over.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use creel_wire::id::AccountId;
use sea_query::{Expr, SelectStatement};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::db::build;
use super::{Store, StoreError, Value};
use crate::page::Cursor;

/// How old an answer may be.
const AGE_MS_MAX: i64 = 1_000;
/// Counts in memory at the most, of all accounts; some 200 bytes each.
const COUNTS_MAX: usize = 4_096;
/// Lists whose places are in memory at the most, of all accounts; up to 8 KB each.
const LISTS_MAX: usize = 512;
/// Places of one list at the most.
const PLACES_MAX: usize = 64;

/// A statement and its parameters, hashed: they may be long.
type Key = [u8; 32];

/// What one process keeps.
#[derive(Debug)]
pub(super) struct Recent {
    /// Empty while the first who asked still waits for it; others wait with it.
    counts: Kept<Arc<OnceCell<i64>>>,
    places: Kept<Arc<Places>>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { counts: Kept::new(COUNTS_MAX), places: Kept::new(LISTS_MAX) }
    }
}

impl Recent {
    /// Forgets what is kept of an account.
    pub(super) fn forget(&self, account_id: &str) {
        self.counts.forget(account_id);
        self.places.forget(account_id);
    }
}

/// Known rows of a list, each by the number of rows before it.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<BTreeMap<i64, Cursor>>);

impl Places {
    /// The last known row that is not behind an offset.
    pub(super) fn before(&self, offset: i64) -> Option<(i64, Cursor)> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.range(..=offset).next_back().map(|(offset, row)| (*offset, row.clone()))
    }

    /// Keeps a row; of too many the first goes, for whoever turns pages comes to the later ones.
    pub(super) fn keep(&self, offset: i64, row: Cursor) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert(offset, row);
        if places.len() > PLACES_MAX {
            places.pop_first();
        }
    }
}

/// Answers of all accounts, by account and statement.
#[derive(Debug)]
struct Kept<T> {
    table: Mutex<Table<T>>,
    answers_max: usize,
}

#[derive(Debug)]
struct Table<T> {
    accounts: HashMap<String, HashMap<Key, Answer<T>>>,
    answers: usize,
}

#[derive(Debug)]
struct Answer<T> {
    /// Before the database was asked.
    begun_at_ms: i64,
    told: T,
}

impl<T> Answer<T> {
    fn is_recent(&self, now_ms: i64) -> bool {
        (0..AGE_MS_MAX).contains(&(now_ms - self.begun_at_ms))
    }
}

impl<T: Clone + Default> Kept<T> {
    fn new(answers_max: usize) -> Self {
        Self { table: Mutex::new(Table { accounts: HashMap::new(), answers: 0 }), answers_max }
    }

    /// An answer that is recent, or an empty one. One that finds no place is simply not kept.
    fn cell(&self, account_id: &str, key: Key, now_ms: i64) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.accounts.get(account_id).and_then(|answers| answers.get(&key));
        if let Some(answer) = known.filter(|answer| answer.is_recent(now_ms)) {
            return answer.told.clone();
        }
        if table.answers >= self.answers_max {
            table.drop_old(now_ms);
        }
        let told = T::default();
        if table.answers < self.answers_max {
            let answer = Answer { begun_at_ms: now_ms, told: told.clone() };
            let replaced = table.accounts.entry(account_id.to_owned()).or_default().insert(key, answer);
            table.answers += usize::from(replaced.is_none());
        }
        told
    }

    /// Forgets the answers of an account.
    fn forget(&self, account_id: &str) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answers) = table.accounts.remove(account_id) {
            table.answers -= answers.len();
        }
    }
}

impl<T> Table<T> {
    fn drop_old(&mut self, now_ms: i64) {
        self.accounts.retain(|_, answers| {
            answers.retain(|_, answer| answer.is_recent(now_ms));
            !answers.is_empty()
        });
        self.answers = self.accounts.values().map(HashMap::len).sum();
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
            Value::Text(None) | Value::Int(None) => part(b"-"),
            Value::Text(Some(text)) => part(&[b"t", text.as_bytes()].concat()),
            Value::Shared(text) => part(&[b"t", text.as_bytes()].concat()),
            Value::Int(Some(number)) => part(&[b"i", number.to_le_bytes().as_slice()].concat()),
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
        let counts = &self.inner.recent.counts;
        let cell = counts.cell(account_id.as_str(), key(&sql, &params), self.clock().now_ms());
        let total = cell.get_or_try_init(|| async move {
            let row = self.db().fetch_optional(sql, params).await?;
            row.map_or(Ok(0), |row| row.int("total"))
        });
        total.await.copied()
    }

    /// Rows of a list that were met up to a second ago; `statement` is the list without its offset.
    pub(super) fn places(&self, account_id: &AccountId, statement: &SelectStatement) -> Arc<Places> {
        let (sql, params) = build(self.db().is_postgres(), statement);
        self.inner.recent.places.cell(account_id.as_str(), key(&sql, &params), self.clock().now_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(answers_max: usize) -> Kept<Arc<OnceCell<i64>>> {
        Kept::new(answers_max)
    }

    #[test]
    fn a_count_is_found_again_for_a_second() {
        let counts = counts(COUNTS_MAX);
        counts.cell("a", [1; 32], 5_000).set(7).unwrap();
        assert_eq!(counts.cell("a", [1; 32], 5_999).get(), Some(&7));
        assert_eq!(counts.cell("a", [2; 32], 5_999).get(), None, "another statement");
        assert_eq!(counts.cell("b", [1; 32], 5_999).get(), None, "another account");
        assert_eq!(counts.cell("a", [1; 32], 6_000).get(), None, "too old");
    }

    #[test]
    fn a_clock_set_back_makes_no_count_last() {
        let counts = counts(COUNTS_MAX);
        counts.cell("a", [1; 32], 5_000).set(7).unwrap();
        assert_eq!(counts.cell("a", [1; 32], 4_999).get(), None);
    }

    #[test]
    fn whoever_asked_before_a_change_keeps_its_answer_to_itself() {
        let counts = counts(COUNTS_MAX);
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
        let counts = counts(2);
        let kept = |key: u8, now_ms| {
            let first = counts.cell("a", [key; 32], now_ms);
            Arc::ptr_eq(&first, &counts.cell("a", [key; 32], now_ms))
        };
        assert!(kept(1, 5_000) && kept(2, 5_500));
        assert!(!kept(3, 5_900), "no place");
        assert!(kept(3, 6_000), "the first is over");
        assert_eq!(counts.table.lock().unwrap().answers, 2);
        counts.forget("a");
        assert_eq!(counts.table.lock().unwrap().answers, 0);
    }

    #[test]
    fn keys_tell_parameters_apart() {
        let texts = |a: &str, b: &str| key("", &[a.into(), b.into()]);
        assert_ne!(texts("a", "bc"), texts("ab", "c"));
        assert_ne!(key("1", &[]), key("2", &[]));
        assert_ne!(key("", &[Value::Text(None)]), key("", &["".into()]));
        assert_ne!(key("", &[1i64.into()]), key("", &[2i64.into()]));
    }

    #[test]
    fn the_nearest_place_before_a_page_is_found() {
        let places = Places::default();
        let row = |key: i64| Cursor { key, id: "id".to_owned() };
        places.keep(100, row(9));
        places.keep(300, row(7));
        assert_eq!(places.before(99), None);
        assert_eq!(places.before(100), Some((100, row(9))));
        assert_eq!(places.before(299), Some((100, row(9))));
        assert_eq!(places.before(5_000), Some((300, row(7))));
        for offset in 0..1_000 {
            places.keep(1_000 + offset, row(1));
        }
        assert_eq!(places.0.lock().unwrap().len(), PLACES_MAX);
        assert_eq!(places.before(1_999), Some((1_999, row(1))));
    }
}
