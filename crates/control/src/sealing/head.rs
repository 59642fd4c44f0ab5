//! The end of each log's chain, in the process that may put the next batch behind it.
//!
//! A transaction that seals takes it, so that the batches of one process follow each other, and gives it back with its
//! commit. One that fails loses it, and the sealer's next pass brings it again, as the database then has it. What a
//! process without it commits is sealed by a later pass.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Log;
use crate::seal::{Leaf, Root, SealKey};
use crate::store::StoreError;

/// So many bytes of lines are taken to the roots file before the sealer's next pass.
const WAITING_BYTES_MANY: usize = 512 << 10;
/// Bytes of lines that wait for the roots file at the most; beyond that they are read from the database.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// What the next batch is made with.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) key: SealKey,
    /// Of the lease under which its holder seals.
    pub(crate) epoch: i64,
    pub(crate) last: Option<Root>,
}

/// A sealed batch and its line of the roots file.
pub(crate) type SealedLine = (Root, Arc<str>);

#[derive(Debug, Default)]
enum Place {
    #[default]
    Empty,
    Free(Box<Head>),
    Taken,
}

#[derive(Debug, Default)]
struct Slot {
    place: Place,
    /// Nothing is sealed from here any more.
    is_closed: bool,
    /// What is committed and not in the roots file yet: consecutive batches.
    sealed: Vec<SealedLine>,
    /// That is so much that the file should be written.
    many: Arc<Notify>,
}

/// A place for each log's head.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    audit: Mutex<Slot>,
    ledger: Mutex<Slot>,
}

impl Heads {
    fn slot(&self, log: Log) -> MutexGuard<'_, Slot> {
        let slot = match log {
            Log::Audit => &self.audit,
            Log::Ledger => &self.ledger,
        };
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a head, unless there is one of this lease.
    pub(crate) fn offer(&self, log: Log, head: Head) {
        let mut slot = self.slot(log);
        let is_wanted = match &slot.place {
            Place::Empty => true,
            Place::Free(known) => known.epoch != head.epoch,
            Place::Taken => false,
        };
        if is_wanted && !slot.is_closed {
            slot.place = Place::Free(Box::new(head));
        }
    }

    /// Ends sealing in this process. False while a transaction still does it.
    pub(crate) fn close(&self, log: Log) -> bool {
        let mut slot = self.slot(log);
        slot.is_closed = true;
        let is_taken = matches!(slot.place, Place::Taken);
        if !is_taken {
            slot.place = Place::Empty;
        }
        !is_taken
    }

    /// Tells when so many lines wait that the roots file should be written.
    pub(crate) fn many(&self, log: Log) -> Arc<Notify> {
        self.slot(log).many.clone()
    }

    /// Takes the lines that wait for the roots file.
    pub(crate) fn take_sealed(&self, log: Log) -> Vec<SealedLine> {
        std::mem::take(&mut self.slot(log).sealed)
    }

    /// Takes the head for a transaction; `None` where this process does not seal, or another transaction has it.
    pub(crate) fn take(self: &Arc<Self>, log: Log) -> Option<HeldHead> {
        let mut slot = self.slot(log);
        let head = match std::mem::take(&mut slot.place) {
            Place::Free(head) => *head,
            other => {
                slot.place = other;
                return None;
            }
        };
        slot.place = Place::Taken;
        Some(HeldHead { heads: self.clone(), log, head, sealed: Vec::new(), is_lost: true })
    }
}

/// A head in the hands of a transaction.
#[derive(Debug)]
pub(crate) struct HeldHead {
    heads: Arc<Heads>,
    pub(crate) log: Log,
    head: Head,
    sealed: Vec<SealedLine>,
    /// Until it is given back.
    is_lost: bool,
}

impl HeldHead {
    /// Of the lease under which it seals.
    pub(crate) fn epoch(&self) -> i64 {
        self.head.epoch
    }

    /// How many batches this transaction has sealed.
    pub(crate) fn batches(&self) -> usize {
        self.sealed.len()
    }

    /// Makes the next batch: its number and its signed record. `kept_from` is another than the last root's where an
    /// announcement says so.
    pub(crate) fn next(
        &mut self,
        leaves: Vec<Leaf>,
        times: impl Iterator<Item = i64> + Clone,
        kept_from: Option<i64>,
        now_ms: i64,
    ) -> Result<(i64, Arc<str>), StoreError> {
        let head = &mut self.head;
        let times = (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default());
        let mut root = Root::next(self.log.name(), head.last.as_ref(), &leaves, times, now_ms);
        root.kept_from = kept_from.unwrap_or(root.kept_from);
        let record = root.clone().sign(&head.key, leaves);
        // Some hundred bytes for each row.
        let mut line = Vec::with_capacity((record.leaves.len() + 8) * 128);
        let is_written = serde_json::to_writer(&mut line, &record).is_ok();
        let line = is_written.then_some(line).and_then(|line| String::from_utf8(line).ok());
        let line: Arc<str> =
            line.ok_or_else(|| StoreError::Corrupt { what: "a signed root".to_owned() })?.into();
        head.last = Some(root.clone());
        let batch = root.batch;
        self.sealed.push((root, line.clone()));
        Ok((batch, line))
    }

    /// The transaction is committed.
    pub(crate) fn give_back(mut self) {
        self.is_lost = false;
    }
}

impl Drop for HeldHead {
    fn drop(&mut self) {
        let head = Head { key: self.head.key.clone(), epoch: self.head.epoch, last: self.head.last.take() };
        let mut slot = self.heads.slot(self.log);
        if matches!(slot.place, Place::Taken) {
            slot.place =
                if self.is_lost || slot.is_closed { Place::Empty } else { Place::Free(Box::new(head)) };
        }
        slot.sealed.append(&mut self.sealed);
        let bytes: usize = slot.sealed.iter().map(|(_, line)| line.len()).sum();
        // After a loss nobody here knows what was committed.
        if self.is_lost || bytes > WAITING_BYTES_MAX {
            slot.sealed.clear();
        } else if bytes > WAITING_BYTES_MANY {
            slot.many.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::seal::leaf_hash;

    fn head(epoch: i64) -> Head {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        Head { key, epoch, last: None }
    }

    fn seal(held: &mut HeldHead) -> i64 {
        held.next(vec![Leaf("id".into(), leaf_hash(b""))], [1].into_iter(), None, 2).unwrap().0
    }

    #[test]
    fn one_transaction_has_it_and_the_next_follows_what_was_committed() {
        let heads = Arc::new(Heads::default());
        assert!(heads.take(Log::Ledger).is_none());
        heads.offer(Log::Ledger, head(1));
        let mut held = heads.take(Log::Ledger).unwrap();
        assert!(heads.take(Log::Ledger).is_none() && heads.take(Log::Audit).is_none());
        assert_eq!((seal(&mut held), seal(&mut held)), (1, 2));
        heads.offer(Log::Ledger, head(1));
        held.give_back();
        let mut held = heads.take(Log::Ledger).unwrap();
        assert_eq!(seal(&mut held), 3);
        // Lost, and with it what waits for the file: the database has what was committed.
        drop(held);
        assert!(heads.take(Log::Ledger).is_none());
        assert_eq!(heads.take_sealed(Log::Ledger), []);
    }

    #[test]
    fn who_writes_the_file_is_told_of_many_lines() {
        let heads = Arc::new(Heads::default());
        heads.offer(Log::Ledger, head(1));
        let many = heads.many(Log::Ledger);
        // A line has two digits for each byte of a hash, and an id.
        let leaves: Vec<Leaf> = (0..1_000).map(|_| Leaf("id".into(), leaf_hash(b""))).collect();
        let mut bytes = 0;
        while bytes <= WAITING_BYTES_MANY {
            assert!(many.notified().now_or_never().is_none(), "{bytes}");
            let mut held = heads.take(Log::Ledger).unwrap();
            bytes += held.next(leaves.clone(), [1].into_iter(), None, 2).unwrap().1.len();
            held.give_back();
        }
        assert!(many.notified().now_or_never().is_some());
        let waiting = heads.take_sealed(Log::Ledger);
        assert_eq!(waiting.iter().map(|(_, line)| line.len()).sum::<usize>(), bytes);
    }

    #[test]
    fn what_waits_for_the_file_is_bounded_and_a_head_of_an_older_lease_is_replaced() {
        let heads = Arc::new(Heads::default());
        heads.offer(Log::Ledger, head(1));
        heads.offer(Log::Ledger, head(2));
        let mut held = heads.take(Log::Ledger).unwrap();
        assert_eq!(held.epoch(), 2);
        seal(&mut held);
        held.give_back();
        assert_eq!(heads.take_sealed(Log::Ledger).len(), 1);
        let mut held = heads.take(Log::Ledger).unwrap();
        let leaf = Leaf("x".repeat(WAITING_BYTES_MAX).into(), leaf_hash(b""));
        held.next(vec![leaf], [1].into_iter(), None, 2).unwrap();
        assert!(!heads.close(Log::Ledger));
        held.give_back();
        assert!(heads.close(Log::Ledger));
        assert_eq!(heads.take_sealed(Log::Ledger), []);
        heads.offer(Log::Ledger, head(3));
        assert!(heads.take(Log::Ledger).is_none());
    }
}
