//! Names of uploads: `skill/<account>/<place>/<name>` for clients, a path of our own in the storage.

use creel_wire::id::AccountId;
use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::ObjectError;

/// The one bucket, as clients name it.
pub const BUCKET: &str = "creel-skills";
/// Longest name of an upload, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// Deepest name below the prefix.
const DEPTH_MAX: usize = 8;
/// Characters of a place: 142 random bits.
pub(super) const PLACE_CHARS: usize = 24;

/// What is uploaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FileKind {
    /// A package of a skill.
    Skill,
    /// The picture of a skill.
    Icon,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Skill, Self::Icon];

    /// As the API's FileType has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skill => "SKILL",
            Self::Icon => "ICON",
        }
    }

    /// Bytes of one upload at the most.
    pub fn bytes_max(self) -> u64 {
        match self {
            Self::Skill => 32 << 20,
            Self::Icon => 1 << 20,
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Skill => "skill",
            Self::Icon => "icon",
        }
    }

    /// The prefix of a place of an account, without a slash at its end.
    pub(super) fn prefix(self, account_id: &AccountId, place: &str) -> String {
        format!("{}/{account_id}/{place}", self.folder())
    }
}

/// The name of an upload that may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UploadKey {
    pub(super) account_id: AccountId,
    pub(super) kind: FileKind,
    /// Everything before the last part that the client chose: what the token names.
    pub(super) prefix: String,
    pub(super) key: String,
    place: String,
}

impl UploadKey {
    /// Reads what a client names.
    pub(super) fn parse(key: &str) -> Result<Self, ObjectError> {
        if key.len() > KEY_BYTES_MAX {
            return Err(ObjectError::BadKey("has more than 512 bytes"));
        }
        let mut parts = key.splitn(4, '/');
        let (Some(folder), Some(account), Some(place), Some(rest)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ObjectError::ForeignKey);
        };
        let kind = FileKind::ALL.into_iter().find(|kind| kind.folder() == folder);
        let kind = kind.ok_or(ObjectError::ForeignKey)?;
        let account_id = AccountId::parse(account).map_err(|_| ObjectError::ForeignKey)?;
        if place.len() != PLACE_CHARS || !place.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ObjectError::ForeignKey);
        }
        let is_safe = |part: &str| {
            !matches!(part, "" | "." | "..") && !part.contains('\\') && !part.chars().any(char::is_control)
        };
        if !rest.split('/').all(is_safe) {
            return Err(ObjectError::BadKey(
                "has an empty part, `.`, `..`, a backslash or a control character",
            ));
        }
        if rest.split('/').count() > DEPTH_MAX {
            return Err(ObjectError::BadKey("has more than 8 parts below its prefix"));
        }
        let prefix = kind.prefix(&account_id, place);
        Ok(Self { account_id, kind, prefix, key: key.to_owned(), place: place.to_owned() })
    }

    /// Where the whole upload is.
    pub(super) fn path(&self) -> Path {
        let name = hex::encode(Sha256::digest(self.key.as_bytes()));
        Path::from(format!("uploads/{}/{}/{}/{name}", self.account_id, self.kind.folder(), self.place))
    }

    /// Where the parts of a multipart upload are.
    pub(super) fn parts_path(&self, upload_id: &str) -> Result<Path, ObjectError> {
        if upload_id.len() != PLACE_CHARS || !upload_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ObjectError::NoUpload);
        }
        Ok(Path::from(format!("parts/{}/{}/{}/{upload_id}", self.account_id, self.kind.folder(), self.place)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PREFIX: &str = "skill/1000000000000001/ABCDEFGHIJKLMNOPQRSTUVWX";

    #[test]
    fn only_names_below_a_prefix_are_uploads() {
        for name in ["a.zip", "天气 a+b.zip", "a/b/c", "..a", "a..", "a%2Fb"] {
            let key = UploadKey::parse(&format!("{PREFIX}/{name}")).unwrap();
            assert_eq!(key.prefix, PREFIX, "{name}");
        }
        for name in ["", ".", "..", "a/../b", "a//b", "a/", "a\\b", "a\0b", "a\nb", "1/2/3/4/5/6/7/8/9"] {
            let refused = UploadKey::parse(&format!("{PREFIX}/{name}"));
            assert!(matches!(refused, Err(ObjectError::BadKey(_))), "{name:?}");
        }
        let long = format!("{PREFIX}/{}", "a".repeat(KEY_BYTES_MAX));
        assert!(matches!(UploadKey::parse(&long), Err(ObjectError::BadKey(_))));
        for foreign in [
            "",
            "a.zip",
            PREFIX,
            "other/1000000000000001/ABCDEFGHIJKLMNOPQRSTUVWX/a",
            "skill/../ABCDEFGHIJKLMNOPQRSTUVWX/a",
            "skill/1000000000000001/../a",
            "/skill/1000000000000001/ABCDEFGHIJKLMNOPQRSTUVWX/a",
        ] {
            assert!(matches!(UploadKey::parse(foreign), Err(ObjectError::ForeignKey)), "{foreign}");
        }
    }

    proptest! {
        /// Whatever a client names, the path in the storage is made of our own characters and has its depth.
        #[test]
        fn paths_are_ours(name in ".{0,80}") {
            if let Ok(key) = UploadKey::parse(&format!("{PREFIX}/{name}")) {
                let path = key.path();
                prop_assert!(path.as_ref().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/'));
                prop_assert_eq!(path.parts().count(), 5);
            }
        }
    }
}
