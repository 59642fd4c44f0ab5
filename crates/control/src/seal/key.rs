//! The key that signs roots, its public half, and the key that marks rows as ours.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
// Each row of the ledger takes one HMAC and one hash, and processors without instructions for them are many: there `ring`
// takes half the time of `sha2`.
use ring::hmac;
use zeroize::Zeroizing;

/// What separates the key of tags from every other use of the seed.
const TAG_KEY_LABEL: &[u8] = b"creel row tags v1";
/// Bytes of a tag that are kept: nobody can try a forged one against us more than a few times unnoticed.
const TAG_BYTES: usize = 16;

/// Why a key cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the signing key is not 32 bytes of base64")]
    Private,
    #[error("the public key is not the base64 of an Ed25519 public key")]
    Public,
}

/// Signs roots. Wiped when dropped.
#[derive(Clone)]
pub struct SealKey(SigningKey);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey({})", self.public().to_base64())
    }
}

impl SealKey {
    /// From the base64 text of 32 bytes, as its file holds it.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim()).map_err(|_| KeyError::Private)?);
        let seed =
            <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| KeyError::Private)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// A fresh key as base64 text, for the first start.
    pub fn generate_base64() -> Zeroizing<String> {
        let seed = Zeroizing::new(rand::random::<[u8; 32]>());
        Zeroizing::new(BASE64.encode(seed.as_slice()))
    }

    /// What others check signatures with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The key that marks rows when they are written.
    pub fn tag_key(&self) -> TagKey {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes()), TAG_KEY_LABEL);
        TagKey(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        BASE64.encode(self.0.sign(message).to_bytes())
    }
}

/// Checks signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From the base64 text of 32 bytes.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64.decode(text.trim()).map_err(|_| KeyError::Public)?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Public)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| KeyError::Public)
    }

    /// The base64 text.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0.to_bytes())
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let bytes = BASE64.decode(signature).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        bytes.is_some_and(|bytes| self.0.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok())
    }
}

/// Marks rows when they are written, so that one that somebody else inserted or changed before it was sealed shows.
#[derive(Clone)]
pub struct TagKey(hmac::Key);

impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TagKey")
    }
}

impl TagKey {
    /// The mark of a row, in hexadecimal.
    pub fn tag(&self, row: &[u8]) -> String {
        hex::encode(hmac::sign(&self.0, row).as_ref().get(..TAG_BYTES).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_signed_verifies() {
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let other = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let signature = key.sign(b"root");
        let public = PublicKey::from_base64(&key.public().to_base64()).unwrap();
        assert!(public.verifies(b"root", &signature));
        assert!(!public.verifies(b"roof", &signature));
        assert!(!other.public().verifies(b"root", &signature));
        assert!(!public.verifies(b"root", "not base64"));
        assert_ne!(key.tag_key().tag(b"row"), other.tag_key().tag(b"row"));
        assert_eq!(key.tag_key().tag(b"row").len(), 2 * TAG_BYTES);
    }

    #[test]
    fn malformed_keys_are_refused() {
        for text in ["", "c2hvcnQ=", "%"] {
            assert_eq!(SealKey::from_base64(text).err(), Some(KeyError::Private));
            assert_eq!(PublicKey::from_base64(text).err(), Some(KeyError::Public));
        }
    }
}
