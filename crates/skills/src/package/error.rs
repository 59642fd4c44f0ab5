//! Why a package cannot be read, by code.

/// Why a package cannot be read. Its text goes to whoever uploaded it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PackageError {
    /// Such as `Package.TooLarge`; the whole list is [`PackageError::CODES`].
    pub code: &'static str,
    /// What is wrong, where, and what to do about it.
    pub message: String,
}

/// One constant for each code and the list of all, so that no code is missing from the list.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $code;)*

        impl PackageError {
            /// Every code there is, in the order in which a package meets them.
            pub const CODES: &'static [&'static str] = &[$($code),*];
        }
    };
}

codes! {
    /// Not an archive, or a damaged one.
    READ_FAILED = "Package.ReadFailed";
    /// An archive or a compression that is not read here.
    UNSUPPORTED = "Package.Unsupported";
    /// More bytes than a package may have.
    TOO_LARGE = "Package.TooLarge";
    /// More entries or files than a skill may have.
    TOO_MANY_FILES = "Package.TooManyFiles";
    /// One file is too large.
    FILE_TOO_LARGE = "Package.FileTooLarge";
    /// All files together are too large.
    CONTENT_TOO_LARGE = "Package.ContentTooLarge";
    /// Compressed beyond what honest files reach.
    EXPANDS_TOO_MUCH = "Package.ExpandsTooMuch";
    /// Headers that contradict each other, entries that overlap, bytes that no reader shows.
    INCONSISTENT = "Package.Inconsistent";
    /// A password is needed.
    ENCRYPTED = "Package.Encrypted";
    /// A path that leads out of the folder, or that some system reads otherwise.
    UNSAFE_PATH = "Package.UnsafePath";
    /// A path of too many bytes.
    PATH_TOO_LONG = "Package.PathTooLong";
    /// A path of too many folders.
    PATH_TOO_DEEP = "Package.PathTooDeep";
    /// Two entries that are one file on some system.
    DUPLICATE_PATH = "Package.DuplicatePath";
    /// A symbolic or hard link.
    LINK_REFUSED = "Package.LinkRefused";
    /// A device, pipe, socket or sparse file.
    SPECIAL_FILE = "Package.SpecialFile";
    /// A name or `SKILL.md` in an encoding that is not read.
    BAD_ENCODING = "Package.BadEncoding";
    /// No `SKILL.md` at the top.
    NO_SKILL_FILE = "Package.NoSkillFile";
    /// More front matter than is read.
    FRONT_MATTER_TOO_LARGE = "Package.FrontMatterTooLarge";
    /// Front matter that is missing, is not YAML, or lacks what it must say.
    BAD_FRONT_MATTER = "Package.BadFrontMatter";
    /// A name that no agent takes, and none to be made of it.
    BAD_NAME = "Package.BadName";
    /// No description, or too long a one.
    BAD_DESCRIPTION = "Package.BadDescription";
    /// Not a semantic version.
    BAD_VERSION = "Package.BadVersion";
}

pub(crate) fn refuse(code: &'static str, message: impl Into<String>) -> PackageError {
    PackageError { code, message: message.into() }
}

/// A path or a value as a message shows it: short, and with nothing that a terminal or a reader takes for more.
pub(crate) fn shown(text: &str) -> String {
    const CHARS: usize = 100;
    let mut short: String = text.chars().take(CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}
