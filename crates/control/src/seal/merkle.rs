//! RFC 6962, section 2.1: hashes of leaves and nodes are told apart by a first byte.

use ring::digest::{Context, SHA256, digest};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of one row's bytes.
pub fn leaf_hash(row: &[u8]) -> Hash {
    hash(&[&[0], row])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    bytes(context.finish())
}

fn bytes(digest: ring::digest::Digest) -> Hash {
    let mut bytes = Hash::default();
    // Both are 32 bytes long.
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    bytes
}

/// The root of the tree over these leaves, in their order.
pub fn root(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    // Complete subtrees from the left, the largest first, as a binary counter; each with its number of leaves.
    let mut subtrees: Vec<(usize, Hash)> = Vec::new();
    for leaf in leaves {
        let mut new = (1, leaf);
        while let Some((_, left)) = subtrees.pop_if(|(size, _)| *size == new.0) {
            new = (new.0 * 2, node_hash(&left, &new.1));
        }
        subtrees.push(new);
    }
    let Some((_, last)) = subtrees.pop() else { return bytes(digest(&SHA256, &[])) };
    subtrees.into_iter().rev().fold(last, |right, (_, left)| node_hash(&left, &right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The inputs and roots that Certificate Transparency's own tests use.
    const INPUTS: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves: Vec<Hash> = INPUTS.iter().map(|hex| leaf_hash(&hex::decode(hex).unwrap())).collect();
        for (index, expected) in ROOTS.iter().enumerate() {
            assert_eq!(
                hex::encode(root(leaves[..=index].iter().copied())),
                *expected,
                "{} leaves",
                index + 1
            );
        }
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(root([])), empty);
    }

    /// As the RFC writes it: the left half is the largest power of two below the number of leaves.
    fn recursive(leaves: &[Hash]) -> Hash {
        if let [leaf] = leaves {
            return *leaf;
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        node_hash(&recursive(left), &recursive(right))
    }

    proptest! {
        #[test]
        fn it_is_the_recursive_definition(count in 1usize..200) {
            let leaves: Vec<Hash> = (0..count).map(|index| leaf_hash(&index.to_le_bytes())).collect();
            prop_assert_eq!(root(leaves.iter().copied()), recursive(&leaves));
        }
    }
}
