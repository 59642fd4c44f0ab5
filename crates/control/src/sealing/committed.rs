//! Rows that this process has committed and not sealed yet, so that sealing need not read them again.
//!
//! A shortcut and no more: whatever is not in here is found in the database by having no batch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Unsealed;

/// Rows that are kept at the most, some 150 bytes each.
const ROWS_MAX: usize = 20_000;

/// The ledger's newest rows, in the order of their commits.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    is_wanted: AtomicBool,
    rows: Mutex<Vec<Unsealed>>,
}

impl Committed {
    fn rows(&self) -> MutexGuard<'_, Vec<Unsealed>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether this process seals.
    pub(crate) fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
        if !is_wanted {
            *self.rows() = Vec::new();
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Rows that are committed. Where there are too many, all are left to be read.
    pub(crate) fn add(&self, new: &mut Vec<Unsealed>) {
        let mut rows = self.rows();
        if rows.len() + new.len() > ROWS_MAX {
            rows.clear();
        } else {
            rows.append(new);
        }
        new.clear();
    }

    /// Takes out the oldest.
    pub(crate) fn take(&self, count: usize) -> Vec<Unsealed> {
        let mut rows = self.rows();
        let count = count.min(rows.len());
        rows.drain(..count).collect()
    }

    /// These are sealed.
    pub(crate) fn remove(&self, sealed: &[Unsealed]) {
        let mut rows = self.rows();
        if !rows.is_empty() {
            let sealed: std::collections::HashSet<&str> =
                sealed.iter().map(|row| row.leaf.0.as_str()).collect();
            rows.retain(|row| !sealed.contains(row.leaf.0.as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{Leaf, leaf_hash};

    fn rows(numbers: std::ops::Range<usize>) -> Vec<Unsealed> {
        let row = |number: usize| Unsealed {
            leaf: Leaf(number.to_string(), leaf_hash(b"")),
            at_ms: 0,
            index: None,
        };
        numbers.map(row).collect()
    }

    #[test]
    fn rows_come_out_once_in_order_and_not_when_they_were_sealed_meanwhile() {
        let committed = Committed::default();
        committed.add(&mut rows(0..3));
        committed.add(&mut rows(3..6));
        committed.remove(&rows(1..2));
        assert_eq!(committed.take(2), [rows(0..1), rows(2..3)].concat());
        assert_eq!(committed.take(9), rows(3..6));
        assert_eq!(committed.take(9), []);
    }

    #[test]
    fn too_many_are_left_to_be_read() {
        let committed = Committed::default();
        committed.add(&mut rows(0..ROWS_MAX));
        committed.add(&mut rows(0..1));
        assert_eq!(committed.take(1), []);
        committed.add(&mut rows(7..8));
        assert_eq!(committed.take(1), rows(7..8));
    }
}
