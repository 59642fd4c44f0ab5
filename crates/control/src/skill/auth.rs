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

impl Skills {
    /// Authorises skills for identities: all or nothing. With `auto_install` agents get them at once, else they may have
    /// them. What was authorised before takes the new `auto_install`.
    pub async fn authorise(
        &self,
        actor: Actor,
        channel: Channel,
        skill_ids: Vec<String>,
        identities: Vec<NamedIdentity>,
        auto_install: bool,
    ) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    audit(tx, &actor, &skill_ids, &identities, now_ms).await?;
                    let skills = lock_skills(tx, &actor.account_id, Some(channel), &skill_ids).await?;
                    let found = resolve(tx, &actor.account_id, &identities).await?;
                    tx.delete_skill_auths(&skills, &found).await?;
                    tx.insert_skill_auths(&actor.account_id, &skills, &found, auto_install, now_ms).await?;
                    for identity in &found {
                        if tx.count_skills_of(&actor.account_id, identity).await? > SKILLS_OF_IDENTITY_MAX {
                            return Err(SkillError::TooManyOfIdentity { identity: identity.id.clone() });
                        }
                    }
                    Ok(super::version::changed(tx, &actor).await?)
                })
            })
            .await
    }

    /// Takes skills from identities; where one does not have one, nothing happens.
    pub async fn cancel(
        &self,
        actor: Actor,
        channel: Channel,
        skill_ids: Vec<String>,
        identities: Vec<NamedIdentity>,
    ) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    audit(tx, &actor, &skill_ids, &identities, now_ms).await?;
                    let skills = lock_skills(tx, &actor.account_id, Some(channel), &skill_ids).await?;
                    let found = resolve(tx, &actor.account_id, &identities).await?;
                    tx.delete_skill_auths(&skills, &found).await?;
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

    /// Turns skills on or off: off, they stay on agents and are not seen.
    pub async fn set_enabled(
        &self,
        actor: Actor,
        channel: Option<Channel>,
        skill_ids: Vec<String>,
        enabled: bool,
    ) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    audit(tx, &actor, &skill_ids, &[], now_ms).await?;
                    for skill in lock_skills(tx, &actor.account_id, channel, &skill_ids).await? {
                        tx.set_skill_enabled(&skill.id, enabled).await?;
                    }
                    Ok(super::version::changed(tx, &actor).await?)
                })
            })
            .await
    }

    /// Deletes skills with all versions; they leave every agent. Their content is collected later.
    pub async fn delete(
        &self,
        actor: Actor,
        channel: Option<Channel>,
        skill_ids: Vec<String>,
    ) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    audit(tx, &actor, &skill_ids, &[], now_ms).await?;
                    let skills = lock_skills(tx, &actor.account_id, channel, &skill_ids).await?;
                    tx.delete_skills(&skills).await?;
                    Ok(super::version::changed(tx, &actor).await?)
                })
            })
            .await
    }

    /// Turns the security policy of runtimes on or off: only authorised skills may be on them. All or nothing.
    pub async fn set_security(
        &self,
        actor: Actor,
        channel: Channel,
        runtimes: Vec<String>,
        on: bool,
    ) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let resources: Vec<&str> = runtimes.iter().map(String::as_str).collect();
                    actor.audit(tx, &resources, now_ms).await?;
                    let found = tx.lock_runtimes(&actor.account_id, &runtimes).await?;
                    let missing =
                        runtimes.iter().find(|id| !found.iter().any(|runtime| runtime.is_named(id)));
                    if let Some(id) = missing {
                        return Err(SkillError::RuntimeNotFound(id.clone()));
                    }
                    let ids: Vec<RuntimeId> = found.into_iter().map(|runtime| runtime.id).collect();
                    tx.set_skill_security(&actor.account_id, channel, &ids, on, now_ms).await?;
                    Ok(super::version::changed(tx, &actor).await?)
                })
            })
            .await
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

async fn audit(
    tx: &mut Tx,
    actor: &Actor,
    skills: &[String],
    identities: &[NamedIdentity],
    now_ms: i64,
) -> Result<(), SkillError> {
    let named = identities.iter().map(|identity| identity.0.as_str());
    let resources: Vec<&str> = skills.iter().map(String::as_str).chain(named).collect();
    Ok(actor.audit(tx, &resources, now_ms).await?)
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
        let locked = tx.lock_runtimes(account_id, &runtimes).await?;
        if let Some(id) = runtimes.iter().find(|id| !locked.iter().any(|runtime| runtime.is_named(id))) {
            return Err(SkillError::RuntimeNotFound(id.clone()));
        }
        found.extend(locked.iter().map(|runtime| Identity::new(IdentityKind::Runtime, runtime.id.as_str())));
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
