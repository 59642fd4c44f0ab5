//! Signed roots, each of which covers the one before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::merkle;
use super::{Hash, PublicKey, SealKey};

/// What the first root names as the one before it.
const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One row of a batch: its id and the hash of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf(pub Arc<str>, #[serde(with = "hex_text")] pub Hash);

/// What is signed about a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Which table's rows these are.
    pub log: String,
    /// 1, 2, 3 …
    pub batch: i64,
    /// Batches before this one were removed, as the retention says.
    pub kept_from: i64,
    pub rows: i64,
    pub first_at_ms: i64,
    pub last_at_ms: i64,
    pub sealed_at_ms: i64,
    #[serde(with = "hex_text")]
    pub root: Hash,
    /// The digest of the root before, in hexadecimal.
    pub previous: String,
}

/// A root, its signature, and the rows that it covers: a line of the roots file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub root: Root,
    pub signature: String,
    pub leaves: Vec<Leaf>,
}

/// Hashes as hexadecimal.
mod hex_text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Hash;

    pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        hex::encode_to_slice(hash, &mut text).map_err(S::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(&text).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let mut hash = Hash::default();
        hex::decode_to_slice(text.as_bytes(), &mut hash).map_err(D::Error::custom)?;
        Ok(hash)
    }
}

/// Why a record cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    #[error("batch {0}: the signature is not that of this root by this key")]
    Signature(i64),
    #[error("batch {0}: its rows do not make its root")]
    Leaves(i64),
    #[error("batch {0}: it is of another log")]
    Log(i64),
    #[error("batch {found} follows where batch {expected} should")]
    Gap { expected: i64, found: i64 },
    #[error("batch {0}: it does not follow from the batch before it")]
    Previous(i64),
}

impl Root {
    /// The root of a batch that follows `last`, over `leaves` in their order. Times are those of the rows.
    pub fn next(
        log: &str,
        last: Option<&Root>,
        leaves: &[Leaf],
        times: (i64, i64),
        sealed_at_ms: i64,
    ) -> Self {
        Self {
            log: log.to_owned(),
            batch: last.map_or(1, |last| last.batch + 1),
            kept_from: last.map_or(1, |last| last.kept_from),
            rows: i64::try_from(leaves.len()).unwrap_or(i64::MAX),
            first_at_ms: times.0,
            last_at_ms: times.1,
            sealed_at_ms,
            root: merkle::root(leaves.iter().map(|leaf| leaf.1)),
            previous: last.map_or_else(|| NOTHING_BEFORE.to_owned(), Root::digest),
        }
    }

    /// The bytes that the signature is of.
    fn signed_bytes(&self) -> Vec<u8> {
        let Root { log, batch, kept_from, rows, first_at_ms, last_at_ms, sealed_at_ms, root, previous } =
            self;
        let root = hex::encode(root);
        format!(
            "creel-root-v1\n{log}\n{batch}\n{kept_from}\n{rows}\n{first_at_ms}\n{last_at_ms}\n{sealed_at_ms}\n{root}\n{previous}\n"
        )
        .into_bytes()
    }

    /// SHA-256 of what is signed, in hexadecimal: names this root and all before it.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.signed_bytes()))
    }

    /// Signed, with its rows.
    pub fn sign(self, key: &SealKey, leaves: Vec<Leaf>) -> Record {
        let signature = key.sign(&self.signed_bytes());
        Record { root: self, signature, leaves }
    }
}

/// Follows records and tells where they do not follow from each other.
#[derive(Debug, Clone)]
pub struct Chain {
    log: String,
    key: PublicKey,
    last: Option<Root>,
}

impl Chain {
    /// Behind `last`; `None` takes any first record, since older ones may have been removed.
    pub fn new(log: &str, key: PublicKey, last: Option<Root>) -> Self {
        Self { log: log.to_owned(), key, last }
    }

    /// Goes on to this record, whatever is wrong with it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn follow(&mut self, record: &Record) -> Result<(), Break> {
        let checked = self.check(record);
        self.last = Some(record.root.clone());
        checked
    }

    fn check(&self, Record { root, signature, leaves }: &Record) -> Result<(), Break> {
        if root.log != self.log {
            return Err(Break::Log(root.batch));
        }
        if !self.key.verifies(&root.signed_bytes(), signature) {
            return Err(Break::Signature(root.batch));
        }
        let count = i64::try_from(leaves.len()).unwrap_or(i64::MAX);
        if count != root.rows || merkle::root(leaves.iter().map(|leaf| leaf.1)) != root.root {
            return Err(Break::Leaves(root.batch));
        }
        match &self.last {
            None => Ok(()),
            Some(last) if last.batch + 1 != root.batch => {
                Err(Break::Gap { expected: last.batch + 1, found: root.batch })
            }
            Some(last) if last.digest() != root.previous => Err(Break::Previous(root.batch)),
            Some(_) => Ok(()),
        }
    }

    /// The record that was followed last.
    pub fn last(&self) -> Option<&Root> {
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(ids: &[&str]) -> Vec<Leaf> {
        ids.iter().map(|id| Leaf((*id).into(), merkle::leaf_hash(id.as_bytes()))).collect()
    }

    fn records(key: &SealKey) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        for ids in [&["a", "b"][..], &["c"], &["d", "e", "f"]] {
            let leaves = leaves(ids);
            let last = records.last().map(|record| &record.root);
            let root = Root::next("audit", last, &leaves, (1, 2), 3);
            records.push(root.sign(key, leaves));
        }
        records
    }

    #[test]
    fn every_change_of_a_record_breaks_the_chain_where_it_is() {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let breaks = |records: &[Record]| -> Vec<Break> {
            let mut chain = Chain::new("audit", key.public(), None);
            records.iter().filter_map(|record| chain.follow(record).err()).collect()
        };
        let good = records(&key);
        assert_eq!(breaks(&good), []);

        let with = |change: fn(&mut Vec<Record>)| {
            let mut changed = good.clone();
            change(&mut changed);
            breaks(&changed)
        };
        assert_eq!(with(|r| r[1].root.rows = 2), [Break::Signature(2), Break::Previous(3)]);
        assert_eq!(with(|r| r[1].root.kept_from = 2), [Break::Signature(2), Break::Previous(3)]);
        assert_eq!(with(|r| r[1].leaves[0].1 = [0; 32]), [Break::Leaves(2)]);
        assert_eq!(with(|r| r[2].leaves.swap(0, 1)), [Break::Leaves(3)]);
        assert_eq!(with(|r| r[1].root.log = "ledger".into()), [Break::Log(2), Break::Previous(3)]);
        assert_eq!(with(|r| drop(r.remove(1))), [Break::Gap { expected: 2, found: 3 }]);
        assert_eq!(
            with(|r| r.swap(0, 1)),
            [Break::Gap { expected: 3, found: 1 }, Break::Gap { expected: 2, found: 3 }]
        );

        // A root that the key did sign, but for another past.
        let other = records(&key);
        let mut forked = good.clone();
        let leaves = leaves(&["x"]);
        forked[1] = Root::next("audit", Some(&other[0].root), &leaves, (7, 8), 9).sign(&key, leaves);
        assert_eq!(breaks(&forked), [Break::Previous(3)]);
    }

    #[test]
    fn a_record_is_a_line_of_json() {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        for record in records(&key) {
            let line = serde_json::to_string(&record).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        }
    }
}
