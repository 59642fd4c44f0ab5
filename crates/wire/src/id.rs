//! Identifiers with the provider's prefixes, one type per kind so that two kinds cannot be swapped.
//!
//! Ids are made only by `control`'s `IdGen`; everything else parses them. Text that is not an id of its kind
//! never becomes one, so the rest of the code need not check again.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Longest id text accepted anywhere, in bytes.
pub const ID_BYTES_MAX: usize = 96;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct IdError {
    /// Which kind was wanted, in words.
    pub kind: &'static str,
}

fn is_id_text(text: &str, marker: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'.');
    text.len() <= ID_BYTES_MAX && text.len() > marker.len() && text.bytes().all(allowed)
}

/// A text that is checked once: `$valid` says whether it is one of this kind.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks shape only, not existence.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(IdError { kind: $kind }) }
            }

            /// The id as it stands on the wire and in the store.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<&$name> for Arc<str> {
            fn from(id: &$name) -> Arc<str> {
                id.0.clone()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.as_str().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
    };
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $test:ident $marker:literal;)+) => {$(
        checked_text! {
            $(#[$doc])*
            $name, $kind, |text| is_id_text(text, $marker) && text.$test($marker)
        }

        impl $name {
            /// What marks an id of this kind: its prefix, or for an office site the part after the region.
            pub const MARKER: &'static str = $marker;
        }
    )+};
}

ids! {
    /// A tenant: every row belongs to one. Shown to SDKs as the numeric AliUid.
    AccountId, "account", starts_with "1";
    /// An access key id, `LTAI…`.
    AccessKeyId, "access key", starts_with "";
    /// Who calls for an account, `prn-…`.
    PrincipalId, "principal", starts_with "prn-";
    /// An agent runtime (a desktop, in the provider's words), `ecd-…`.
    RuntimeId, "runtime", starts_with "ecd-";
    /// The outer id of a JVS Computer or Hermes Agent, `jvs-…`, over its `ecd-…` runtime.
    JvsId, "JVS Computer", starts_with "jvs-";
    /// An office site, `<region>+dir-…`.
    OfficeSiteId, "office site", contains "+dir-";
    /// A model group, `mt-…`.
    ModelGroupId, "model group", starts_with "mt-";
    /// A provider in a model group, `mpt-…`.
    ProviderId, "model provider", starts_with "mpt-";
    /// A model of a provider, `llmt-…`.
    ModelId, "model", starts_with "llmt-";
    /// A resource group, `rg-…`.
    ResourceGroupId, "resource group", starts_with "rg-";
    /// A credit pack, `crp-…`.
    CreditPackId, "credit pack", starts_with "crp-";
    /// One message to an agent or one command, `inv-…`.
    InvocationId, "invocation", starts_with "inv-";
    /// One command in any number of runtimes, `t-…`.
    CommandId, "command", starts_with "t-";
    /// One call through the gateway, from reserve to settle, `call-…`.
    CallId, "call", starts_with "call-";
    /// A skill, `s-…`.
    SkillId, "skill", starts_with "s-";
    /// A virtual key's row, `vk-…`; the key itself is never an id.
    VirtualKeyId, "virtual key", starts_with "vk-";
}

checked_text! {
    /// The name of an end user, chosen by an administrator and unique in its account: 3 to 24 lower-case letters,
    /// digits and underscores, as the provider has it.
    EndUserId, "end user", |text| {
        (3..=24).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }
}

impl AccessKeyId {
    /// How the keys of temporary credentials begin.
    pub const TEMPORARY: &'static str = "STS.";

    /// True for a key that is good only together with its security token.
    pub fn is_temporary(&self) -> bool {
        self.0.starts_with(Self::TEMPORARY)
    }
}

impl PrincipalId {
    /// The root of an account, whose id is made of the account's.
    pub fn of_root(account_id: &AccountId) -> Self {
        Self(format!("{}{account_id}", Self::MARKER).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_the_right_kind_parses() {
        assert!(RuntimeId::parse("ecd-0abc").is_ok());
        assert!(OfficeSiteId::parse("cn-hangzhou+dir-1").is_ok());
        for bad in
            ["", "ecd-", "jvs-1", "ecd-a b", "ecd-a/b", "ecd-\u{e9}", &format!("ecd-{}", "a".repeat(100))]
        {
            assert!(RuntimeId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_end_user_is_named_as_the_provider_allows() {
        for good in ["bob", "a_1", "user001", &"a".repeat(24)] {
            assert!(EndUserId::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "ab", "Bob", "a b", "a-b", "b\u{f6}b", "a@b.c", &"a".repeat(25)] {
            assert!(EndUserId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
