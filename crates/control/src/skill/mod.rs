//! Skills: packages that strangers wrote, held until they were read, given to agents by name and exact content.
//!
//! A package is uploaded and parsed ([`package`]), becomes a version of a skill ([`create`]), is scanned ([`scan`]) and
//! judged by the account's policy ([`policy`]). Only a published version reaches an agent ([`desired`]), and only where
//! the skill is authorised ([`auth`]). What guests find is kept and compared ([`inventory`]).

mod auth;
mod create;
mod desired;
mod exchange;
mod inventory;
mod judge;
mod package;
mod policy;
mod scan;
mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use creel_skills::bundle::Record;
use creel_skills::package::Manifest;
use creel_skills::report::Report;
use creel_skills::scan::{LazyScanner, ScannerError};
use creel_wire::id::{AccountId, SkillId};
use creel_wire::secret::Secret;

use crate::access::AccessError;
use crate::id_gen::IdGen;
use crate::object::{ByteStream, ObjectError, Objects};
use crate::page::PageNumber;
use crate::seal::SealKey;
use crate::secrets::{Sealer, SecretsError};
use crate::store::{Store, StoreError};

pub(crate) use auth::Granted;
pub use auth::{AuthedIdentity, Identity, IdentityKind, NamedIdentity, SkillChange};
pub use create::NewSkill;
pub use exchange::{Exported, SOURCE_CREEL};
pub(crate) use inventory::state_from_word;
pub use inventory::{AgentSkill, state_word};
pub(crate) use package::{KEPT_MS, PackageTask};
pub use package::{ParseProgress, ParseStatus};
pub use policy::{Drift, PolicyChange, SkillPolicy};
pub use scan::Analyse;
pub use version::{Decision, REASON_CHARS_MAX, Review};

/// Skills that an account may have.
pub const SKILLS_MAX: i64 = 2_000;
/// Versions that a skill may have.
pub const VERSIONS_MAX: usize = 100;
/// Skills that one identity may be authorised for: what one agent gets must fit into one message to its guest.
pub const SKILLS_OF_IDENTITY_MAX: i64 = 100;
/// Skills that one agent gets, by all its identities.
pub(crate) const SKILLS_OF_AGENT_MAX: i64 = 300;
/// Variables that a skill may be given.
pub const ENV_VARS_MAX: usize = 32;
/// Bytes of a skill's variables together, names and values.
pub const ENV_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a skill's API key.
pub const API_KEY_BYTES_MAX: usize = 4 * 1024;

/// A word of the API that a column holds too.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// As in the API and in the store.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Which of the provider's two editions a skill is shown in.
    Channel { Enterprise = "ENTERPRISE", Business = "BUSINESS" }
}

words! {
    /// Whether agents may get a version.
    PublishStatus {
        /// It is held: not scanned yet, or what was found holds it.
        Draft = "DRAFT",
        Published = "PUBLISHED",
        /// It has left every agent and does not come back.
        Withdrawn = "WITHDRAWN",
    }
}

words! {
    /// What the newest scan came to.
    ScanStatus {
        Scanning = "SCANNING",
        Passed = "PASSED",
        /// Somebody has to approve it.
        Review = "REVIEW",
        Rejected = "REJECTED",
        /// Something in it could not be read.
        Incomplete = "INCOMPLETE",
    }
}

/// A skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    pub id: SkillId,
    pub account_id: AccountId,
    /// `[a-z0-9-]`, unique in the account.
    pub slug: String,
    pub channel: Channel,
    pub display_name: String,
    pub description: String,
    /// As the audit log names it.
    pub author: String,
    pub enabled: bool,
    pub(crate) env_sealed: Option<String>,
    pub(crate) api_key_sealed: Option<String>,
    /// Key of an object.
    pub icon: Option<String>,
    pub pinned_version: Option<String>,
    /// What agents get; `None` while nothing is published.
    pub current_version: Option<String>,
    pub created_at_ms: i64,
}

impl Skill {
    /// Whether it has an API key of its own.
    pub fn has_api_key(&self) -> bool {
        self.api_key_sealed.is_some()
    }
}

/// A version of a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillVersion {
    pub skill_id: SkillId,
    pub account_id: AccountId,
    /// Semantic.
    pub version: String,
    pub content_hash: String,
    /// Of the content as it is stored and fetched.
    pub content_bytes: i64,
    pub manifest: Manifest,
    pub change_log: String,
    pub publish_status: PublishStatus,
    pub scan_status: ScanStatus,
    /// 0 to 100, 100 being clean.
    pub scan_score: Option<i64>,
    /// Why it is not published, in words; empty where it is.
    pub scan_reason: String,
    /// The newest; `None` before the first, and in lists.
    pub report: Option<Report>,
    pub scan_rules: String,
    pub scanned_at_ms: Option<i64>,
    pub scan_attempts: i64,
    pub decision: Option<Decided>,
    pub provenance: Provenance,
    /// What the Creel that exported it says of it; `None` for what was uploaded, and in lists.
    pub origin: Option<Record>,
    /// What waits with it; nothing in lists.
    pub pending: Pending,
    pub created_at_ms: i64,
}

/// What was given for a skill together with a version of it, and is not the skill's until agents get that version. `None`:
/// not given, or the skill's by now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    pub channel: Option<Channel>,
    pub display_name: Option<String>,
    pub description: Option<String>,
    /// Key of an object.
    pub icon: Option<String>,
    pub(crate) env_sealed: Option<String>,
    pub(crate) api_key_sealed: Option<String>,
}

impl Pending {
    /// Whether an API key waits.
    pub fn has_api_key(&self) -> bool {
        self.api_key_sealed.is_some()
    }
}

/// What somebody decided about a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// As the audit log names them.
    pub by: String,
    pub decision: Decision,
    pub reason: String,
    /// The findings that were accepted, as [`judge`] names them.
    pub(crate) accepted: Vec<String>,
    pub at_ms: i64,
}

/// Where a version comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// As the audit log names them.
    pub uploaded_by: String,
    /// An address; empty for the operator.
    pub uploaded_from: String,
    /// SHA-256 of the package as it was uploaded.
    pub package_hash: String,
    /// [`SOURCE_UPLOAD`], or [`SOURCE_CREEL`] and a key.
    pub source: String,
}

/// The source of what was uploaded here.
pub const SOURCE_UPLOAD: &str = "upload";

/// A skill with its versions, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillView {
    pub skill: Skill,
    /// Without reports.
    pub versions: Vec<SkillVersion>,
    /// The names of its variables, with their values.
    pub env: BTreeMap<String, Secret>,
}

/// Filters of the list of skills; an empty one filters nothing.
#[derive(Debug, Clone)]
pub struct SkillFilter {
    pub channel: Channel,
    pub ids: Vec<String>,
    /// Set where a filter asks for something that no skill can have here.
    pub nothing: bool,
}

/// Why an operation on skills failed.
#[derive(Debug, thiserror::Error)]
pub enum SkillError {
    #[error("making the scanner of skills")]
    Scanner(#[from] ScannerError),
    #[error("no skill {0} in this account")]
    NotFound(String),
    #[error("skill {skill_id} has no version {version}")]
    VersionNotFound { skill_id: SkillId, version: String },
    #[error("no task {0}: tasks are forgotten a day after they were made")]
    TaskNotFound(String),
    #[error("the package of task {task_key} is not parsed yet: ask GetParseProgress until it is COMPLETED")]
    TaskRunning { task_key: String },
    #[error("the package of task {task_key} could not be parsed: {reason}")]
    TaskFailed { task_key: String, reason: String },
    #[error("{0} packages of the account wait to be parsed, the most that may")]
    TooManyPackages(i64),
    #[error("the slug must be the name in the package's front matter, {0}: agents look a skill up by it")]
    SlugMismatch(String),
    #[error("{0:?} is not a semantic version such as 1.2.0")]
    BadVersion(String),
    #[error("the package names no version: give SkillVersion")]
    NoVersion,
    #[error("version {0} of this skill exists with other content: versions never change, so use a new one")]
    VersionExists(String),
    #[error("the policy does not allow skills from {0}: SetSkillPolicy's Sources names those that may be")]
    SourceNotAllowed(String),
    #[error("with its record it has more than 32 MiB, which no Creel takes as a package")]
    ExportTooLarge,
    #[error("the account has {SKILLS_MAX} skills, the most that it may")]
    TooManySkills,
    #[error("the skill has {VERSIONS_MAX} versions, the most that it may")]
    TooManyVersions,
    #[error("{0}")]
    BadEnv(String),
    #[error("the icon cannot be used: {0}")]
    BadIcon(String),
    #[error("IconETag is needed with SkillIcon")]
    IconETagMissing,
    #[error("no runtime {0} in this account")]
    RuntimeNotFound(String),
    #[error("no resource group {0} in this account")]
    ResourceGroupNotFound(String),
    #[error("no user {0} in this account")]
    UserNotFound(String),
    #[error("{identity} would be authorised for more than {SKILLS_OF_IDENTITY_MAX} skills")]
    TooManyOfIdentity { identity: String },
    #[error("version {version} is {status}, so it cannot be {action}")]
    WrongStatus { version: String, status: &'static str, action: &'static str },
    #[error("whoever uploaded a version may not approve it")]
    SamePerson,
    #[error("reading or writing objects")]
    Object(#[from] ObjectError),
    #[error("opening or sealing a skill's secrets")]
    Secrets(#[from] SecretsError),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing skills")]
    Store(#[from] StoreError),
}

/// Skills of every account.
#[derive(Debug, Clone)]
pub struct Skills {
    store: Store,
    ids: IdGen,
    sealer: Arc<Sealer>,
    objects: Objects,
    scanner: Arc<LazyScanner>,
    /// Signs what is exported.
    key: SealKey,
}

impl Skills {
    /// Over a store and what holds the content.
    pub fn new(
        store: Store,
        ids: IdGen,
        sealer: Arc<Sealer>,
        objects: Objects,
        scanner: Arc<LazyScanner>,
        key: SealKey,
    ) -> Self {
        Self { store, ids, sealer, objects, scanner, key }
    }

    /// One page of an account's skills, oldest first, and how many there are.
    pub async fn list(
        &self,
        account_id: &AccountId,
        filter: &SkillFilter,
        page: PageNumber,
    ) -> Result<(Vec<SkillView>, i64), SkillError> {
        if filter.nothing {
            return Ok((Vec::new(), 0));
        }
        let (skills, total) = self.store.list_skills(account_id, filter, page).await?;
        let ids: Vec<&SkillId> = skills.iter().map(|skill| &skill.id).collect();
        let mut versions = self.store.versions_of_skills(&ids).await?;
        let view = |skill: Skill| {
            let mut of_skill = versions.remove(&skill.id).unwrap_or_default();
            of_skill.sort_by(|a, b| version::order(&b.version, &a.version));
            let env = self.open_env(&skill.id, skill.env_sealed.as_deref())?.unwrap_or_default();
            Ok(SkillView { skill, versions: of_skill, env })
        };
        let views = skills.into_iter().map(view).collect::<Result<_, SkillError>>()?;
        Ok((views, total))
    }

    /// The content of a version as agents fetch it and its length, where this runtime may have it. `None`: it may not, or
    /// there is none. Whoever fetches it checks it by its hash.
    pub async fn content_for(
        &self,
        runtime_id: &creel_wire::id::RuntimeId,
        content_hash: &str,
    ) -> Result<Option<(u64, ByteStream)>, SkillError> {
        if !self.store.runtime_has_skill(runtime_id, content_hash).await? {
            return Ok(None);
        }
        Ok(Some(self.objects.stream_skill(content_hash).await?))
    }

    fn open_env(
        &self,
        skill_id: &SkillId,
        sealed: Option<&str>,
    ) -> Result<Option<BTreeMap<String, Secret>>, SkillError> {
        let Some(sealed) = sealed else { return Ok(None) };
        let clear = self.sealer.open(&env_context(skill_id), sealed)?;
        let corrupt = |_| StoreError::Corrupt { what: "variables of a skill".to_owned() };
        Ok(Some(serde_json::from_str(clear.expose()).map_err(corrupt)?))
    }

    fn open_api_key(&self, skill: &Skill) -> Result<Option<Secret>, SkillError> {
        let sealed = skill.api_key_sealed.as_deref();
        Ok(sealed.map(|sealed| self.sealer.open(&api_key_context(&skill.id), sealed)).transpose()?)
    }
}

fn env_context(id: &SkillId) -> String {
    format!("skill_env:{id}")
}

fn api_key_context(id: &SkillId) -> String {
    format!("skill_api_key:{id}")
}
