//! Secrets at rest: an envelope per secret.
//!
//! A random data key encrypts the secret; the master key encrypts the data key. Both use XChaCha20-Poly1305 and
//! both authenticate the context (such as `access_key:LTAI…`), so that a sealed text moved to another row does
//! not open. The text form is `v1.<master key id>.<wrapped data key>.<ciphertext>`, base64 without padding.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use creel_wire::secret::Secret;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// Why a secret could not be sealed or opened. Never holds any part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    #[error("the master key is not 32 bytes of base64")]
    BadMasterKey,
    #[error("sealing a secret")]
    Seal,
    #[error("a sealed secret is malformed")]
    Malformed,
    #[error("a sealed secret was sealed with another master key")]
    WrongMasterKey,
    #[error("a sealed secret does not open: it was changed or belongs to another row")]
    NotAuthentic,
}

/// Seals and opens. Holds the master key in memory, wiped when dropped.
pub struct Sealer {
    key: Zeroizing<[u8; KEY_BYTES]>,
    key_id: String,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({})", self.key_id)
    }
}

impl Sealer {
    /// From the base64 text of 32 bytes, as `CREEL_MASTER_KEY` holds it.
    pub fn from_base64(text: &str) -> Result<Self, SecretsError> {
        let mut bytes = base64::engine::general_purpose::STANDARD
            .decode(text.trim())
            .map_err(|_| SecretsError::BadMasterKey)?;
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            bytes.zeroize();
            return Err(SecretsError::BadMasterKey);
        }
        key.copy_from_slice(&bytes);
        bytes.zeroize();
        let digest = Sha256::digest(key.as_slice());
        let key_id = hex::encode(digest.get(..4).unwrap_or_default());
        Ok(Self { key, key_id })
    }

    /// A fresh master key as base64 text, for the first start.
    pub fn generate_base64() -> Zeroizing<String> {
        let key = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
        Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(key.as_slice()))
    }

    /// A key that every process with this master key derives alike, for the use that `label` names.
    pub fn mac_key(&self, label: &str) -> MacKey {
        MacKey(self.key.clone()).derive(&[label.as_bytes()])
    }

    /// Encrypts `clear` for the row named by `context`.
    pub fn seal(&self, context: &str, clear: &Secret) -> Result<String, SecretsError> {
        let data_key = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
        let wrapped = encrypt(&self.key, context, data_key.as_slice())?;
        let body = encrypt(&data_key, context, clear.expose().as_bytes())?;
        Ok(format!("v1.{}.{}.{}", self.key_id, BASE64.encode(wrapped), BASE64.encode(body)))
    }

    /// Decrypts what [`Sealer::seal`] made for the same `context`.
    pub fn open(&self, context: &str, sealed: &str) -> Result<Secret, SecretsError> {
        let mut parts = sealed.split('.');
        let (Some("v1"), Some(key_id), Some(wrapped), Some(body), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SecretsError::Malformed);
        };
        if key_id != self.key_id {
            return Err(SecretsError::WrongMasterKey);
        }
        let wrapped = BASE64.decode(wrapped).map_err(|_| SecretsError::Malformed)?;
        let body = BASE64.decode(body).map_err(|_| SecretsError::Malformed)?;
        let unwrapped = Zeroizing::new(decrypt(&self.key, context, &wrapped)?);
        let mut data_key = Zeroizing::new([0u8; KEY_BYTES]);
        if unwrapped.len() != KEY_BYTES {
            return Err(SecretsError::Malformed);
        }
        data_key.copy_from_slice(&unwrapped);
        let clear = decrypt(&data_key, context, &body)?;
        String::from_utf8(clear).map(Secret::new).map_err(|_| SecretsError::Malformed)
    }
}

fn encrypt(key: &[u8; KEY_BYTES], context: &str, clear: &[u8]) -> Result<Vec<u8>, SecretsError> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let payload = Payload { msg: clear, aad: context.as_bytes() };
    let body = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SecretsError::Seal)?;
    let mut out = Vec::with_capacity(NONCE_BYTES + body.len());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&body);
    Ok(out)
}

fn decrypt(key: &[u8; KEY_BYTES], context: &str, sealed: &[u8]) -> Result<Vec<u8>, SecretsError> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SecretsError::Malformed)?;
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let payload = Payload { msg: body, aad: context.as_bytes() };
    cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SecretsError::NotAuthentic)
}

/// Authenticates messages between processes that have the same master key. Wiped when dropped.
#[derive(Clone)]
pub struct MacKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey")
    }
}

impl MacKey {
    /// The HMAC-SHA256 of these parts, each with its length before it.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; KEY_BYTES] {
        hmac(self.0.as_slice(), parts).finalize().into_bytes().into()
    }

    /// Whether `tag` is that of these parts, or the first bytes of it, at least 16; in constant time.
    pub fn verifies(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        tag.len() >= 16 && hmac(self.0.as_slice(), parts).verify_truncated_left(tag).is_ok()
    }

    /// Another key, for the use that these parts name.
    pub fn derive(&self, parts: &[&[u8]]) -> Self {
        Self(Zeroizing::new(self.tag(parts)))
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length is valid");
    for part in parts {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        mac.update(part);
    }
    mac
}

/// SHA-256 as lower-case hex: how bearer tokens and virtual keys are stored.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::from_base64(&Sealer::generate_base64()).unwrap()
    }

    #[test]
    fn a_secret_opens_only_in_its_own_row() {
        let sealer = sealer();
        let sealed = sealer.seal("row:1", &Secret::new("sk-test".into())).unwrap();
        assert!(!sealed.contains("sk-test"));
        assert_eq!(sealer.open("row:1", &sealed).unwrap().expose(), "sk-test");
        assert_eq!(sealer.open("row:2", &sealed), Err(SecretsError::NotAuthentic));
    }

    #[test]
    fn a_tag_is_of_its_parts_and_its_key_alone() {
        let sealer = sealer();
        let (key, other) = (sealer.mac_key("a"), sealer.mac_key("b"));
        let tag = key.tag(&[b"ab", b"c"]);
        assert!(key.verifies(&[b"ab", b"c"], &tag) && key.verifies(&[b"ab", b"c"], &tag[..16]));
        assert!(!key.verifies(&[b"a", b"bc"], &tag) && !key.verifies(&[b"ab", b"c"], &tag[..15]));
        assert!(!other.verifies(&[b"ab", b"c"], &tag));
    }

    #[test]
    fn another_master_key_is_named_as_such() {
        let sealed = sealer().seal("row:1", &Secret::new("sk-test".into())).unwrap();
        assert_eq!(sealer().open("row:1", &sealed), Err(SecretsError::WrongMasterKey));
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["", "v1", "v1.a.b.c", "v2.a.b.c", "v1.a.b.c.d"] {
            assert!(sealer().open("row", text).is_err(), "{text}");
        }
        assert!(Sealer::from_base64("c2hvcnQ=").is_err());
    }
}
