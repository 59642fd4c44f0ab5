//! Makes tampering show: Merkle trees over batches of rows, signed roots in a chain, and the file that keeps them.
//!
//! Plain data in and out. What a row is, which rows make a batch and where they are stored is the caller's affair;
//! here a row is an id and a hash. Hashing is that of RFC 6962, signing Ed25519, so that anybody can check a file of
//! roots with other tools than ours.
//!
//! The order of trust: a signature covers its root, and the digest of the root before; a root covers the ids and
//! hashes of its rows. So a row cannot be changed without its root, a root not without the key, and none can be taken
//! out of the middle of the file. What is cut off its end shows only to somebody who knows how far it reached.

mod chain;
mod file;
mod key;
mod merkle;

pub use chain::{Break, Chain, Leaf, Record, Root};
pub use file::{FileError, Lines, RootsFile};
pub use key::{KeyError, PublicKey, SealKey, TagKey};
pub use merkle::{Hash, leaf_hash, root};
