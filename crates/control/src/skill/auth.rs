//! Who may have a skill, and on which runtimes only such skills may be.

use creel_wire::id::{AccountId, JvsId, ResourceGroupId, RuntimeId};

use super::{Channel, SKILLS_OF_IDENTITY_MAX, Skill, SkillError, Skills, words};
use crate::access::Actor;
use crate::page::PageNumber;
use crate::store::Tx;
use crate::user;

words! {
    /// What an identity is.
    IdentityKind {
        Runtime = "Runtime",
        /// All its runtimes.
        ResourceGroup = "ResourceGroup",
        /// The runtimes that the user is entitled to.
        User = "User",
    }
}

/// An identity as a request names it: `ecd-…`, `jvs-…`, `rg-…` or an end user's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedIdentity(pub String);

/// What a skill may be authorised for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub(crate) kind_word: &'static str,
    pub id: String,
}

impl Identity {
    fn new(kind: IdentityKind, id: impl Into<String>) -> Self {
        Self { kind_word: kind.as_str(), id: id.into() }
    }
}

/// An identity that has a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthedIdentity {
    pub id: String,
    pub auto_install: bool,
}

/// A change of skills and of who may have them: all of it or nothing.
#[derive(Debug, Clone)]
pub enum SkillChange {
    /// Gives skills to identities. With `auto_install` agents get them at once, else they may have them; what was authorised
    /// before takes the new `auto_install`.
    Authorise { channel: Channel, skills: Vec<String>, identities: Vec<NamedIdentity>, auto_install: bool },
    /// Takes skills from identities; where one does not have one, nothing happens.
    Cancel { channel: Channel, skills: Vec<String>, identities: Vec<NamedIdentity> },
    /// Turns skills on or off: off, they stay on agents and are not seen.
    Enable { channel: Option<Channel>, skills: Vec<String>, enabled: bool },
    /// Deletes skills with all versions; they leave every agent. Their content is collected later.
    Delete { channel: Option<Channel>, skills: Vec<String> },
    /// Turns the security policy of runtimes on or off: only authorised skills may be on them.
    Secure { channel: Channel, runtimes: Vec<String>, on: bool },
}

impl SkillChange {
    /// What it names, as the audit log has it.
    fn resources(&self) -> Vec<&str> {
        let none: &[NamedIdentity] = &[];
        let (named, identities) = match self {
            Self::Authorise { skills, identities, .. } | Self::Cancel { skills, identities, .. } => {
                (skills, identities.as_slice())
            }
            Self::Enable { skills, .. } | Self::Delete { skills, .. } => (skills, none),
            Self::Secure { runtimes, .. } => (runtimes, none),
        };
        let identities = identities.iter().map(|identity| identity.0.as_str());
        named.iter().map(String::as_str).chain(identities).collect()
    }

    async fn make(self, tx: &mut Tx, account_id: &AccountId, now_ms: i64) -> Result<(), SkillError> {
        match self {
            Self::Authorise { channel, skills, identities, auto_install } => {
                let skills = lock_skills(tx, account_id, Some(channel), &skills).await?;
                let found = resolve(tx, account_id, &identities).await?;
                tx.delete_skill_auths(&skills, &found).await?;
                tx.insert_skill_auths(account_id, &skills, &found, auto_install, now_ms).await?;
                for identity in &found {
                    if tx.count_skills_of(account_id, identity).await? > SKILLS_OF_IDENTITY_MAX {
                        return Err(SkillError::TooManyOfIdentity { identity: identity.id.clone() });
                    }
                }
            }
            Self::Cancel { channel, skills, identities } => {
                let skills = lock_skills(tx, account_id, Some(channel), &skills).await?;
                let found = resolve(tx, account_id, &identities).await?;
                tx.delete_skill_auths(&skills, &found).await?;
            }
            Self::Enable { channel, skills, enabled } => {
                for skill in lock_skills(tx, account_id, channel, &skills).await? {
                    tx.set_skill_enabled(&skill.id, enabled).await?;
                }
            }
            Self::Delete { channel, skills } => {
                let skills = lock_skills(tx, account_id, channel, &skills).await?;
                tx.delete_skills(&skills).await?;
            }
            Self::Secure { channel, runtimes, on } => {
                let ids = lock_runtimes(tx, account_id, &runtimes).await?;
                tx.set_skill_security(account_id, channel, &ids, on, now_ms).await?;
            }
        }
        Ok(())
    }
}

impl Skills {
    /// Makes a change, which agents follow.
    pub async fn change(&self, actor: Actor, change: SkillChange) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &change.resources(), now_ms).await?;
                    change.make(tx, &actor.account_id, now_ms).await?;
                    Ok(super::version::changed(tx, &actor).await?)
                })
            })
            .await
    }

    /// One page of the identities that have a skill, oldest first, and how many do.
    pub async fn authorised(
        &self,
        account_id: &AccountId,
        channel: Channel,
        skill_id: &str,
        page: PageNumber,
    ) -> Result<(Vec<AuthedIdentity>, i64), SkillError> {
        let skill =
            self.store.find_skill(account_id, skill_id).await?.filter(|skill| skill.channel == channel);
        let skill = skill.ok_or_else(|| SkillError::NotFound(skill_id.to_owned()))?;
        Ok(self.store.list_skill_auths(&skill.id, page).await?)
    }

    /// One page of the runtimes whose security policy is on, oldest first, and how many there are.
    pub async fn secured(
        &self,
        account_id: &AccountId,
        channel: Channel,
        page: PageNumber,
    ) -> Result<(Vec<RuntimeId>, i64), SkillError> {
        Ok(self.store.list_skill_security(account_id, channel, page).await?)
    }
}

/// The skills of an account that these ids name, locked where the database has row locks; all or an error.
pub(super) async fn lock_skills(
    tx: &mut Tx,
    account_id: &AccountId,
    channel: Option<Channel>,
    ids: &[String],
) -> Result<Vec<Skill>, SkillError> {
    let found = tx.lock_skills(account_id, ids).await?;
    let fits = |skill: &Skill| channel.is_none_or(|channel| skill.channel == channel);
    let missing =
        ids.iter().find(|id| !found.iter().any(|skill| skill.id.as_str() == id.as_str() && fits(skill)));
    match missing {
        Some(id) => Err(SkillError::NotFound(id.clone())),
        None => Ok(found),
    }
}

/// The runtimes of an account that these names mean, locked; all or an error.
async fn lock_runtimes(
    tx: &mut Tx,
    account_id: &AccountId,
    names: &[String],
) -> Result<Vec<RuntimeId>, SkillError> {
    let found = tx.lock_runtimes(account_id, names).await?;
    match names.iter().find(|name| !found.iter().any(|runtime| runtime.is_named(name))) {
        Some(name) => Err(SkillError::RuntimeNotFound(name.clone())),
        None => Ok(found.into_iter().map(|runtime| runtime.id).collect()),
    }
}

/// What identities name; each once.
async fn resolve(
    tx: &mut Tx,
    account_id: &AccountId,
    identities: &[NamedIdentity],
) -> Result<Vec<Identity>, SkillError> {
    let (mut found, mut runtimes, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for NamedIdentity(id) in identities {
        if id.starts_with(RuntimeId::MARKER) || id.starts_with(JvsId::MARKER) {
            runtimes.push(id.clone());
        } else if id.starts_with(ResourceGroupId::MARKER) {
            let group = match ResourceGroupId::parse(id) {
                Ok(group) => tx.lock_resource_group(account_id, &group).await?,
                Err(_) => None,
            };
            group.ok_or_else(|| SkillError::ResourceGroupNotFound(id.clone()))?;
            found.push(Identity::new(IdentityKind::ResourceGroup, id.clone()));
        } else {
            users.push(id.clone());
        }
    }
    if !runtimes.is_empty() {
        let locked = lock_runtimes(tx, account_id, &runtimes).await?;
        found.extend(locked.iter().map(|id| Identity::new(IdentityKind::Runtime, id.as_str())));
    }
    let locked = user::lock_named(tx, account_id, &users).await?.map_err(SkillError::UserNotFound)?;
    found.extend(locked.iter().map(|user| Identity::new(IdentityKind::User, user.as_str())));
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// A published version of a skill that a runtime is authorised for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) skill: Skill,
    pub(crate) version: String,
    pub(crate) content_hash: String,
    pub(crate) content_bytes: i64,
    pub(crate) auto_install: bool,
}
