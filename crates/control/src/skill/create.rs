//! A parsed package becomes a version of a skill, new or known by its slug.

use std::collections::BTreeMap;

use creel_skills::package::{Manifest, normal_version};
use creel_wire::id::SkillId;
use creel_wire::secret::Secret;

use super::package::{PackageTask, ParseStatus};
use super::{
    API_KEY_BYTES_MAX, Channel, ENV_BYTES_MAX, ENV_VARS_MAX, Pending, Provenance, PublishStatus, SKILLS_MAX,
    ScanStatus, Skill, SkillError, SkillVersion, Skills, VERSIONS_MAX, api_key_context, env_context,
};
use crate::access::Actor;
use crate::object::{FileKind, ObjectError};
use crate::secrets::{Sealer, SecretsError};
use crate::store::{Topic, Tx};

/// What to make of a parsed package. What is `None` comes from the package, or stays as it is for a skill that exists; the
/// rest is the skill's once agents get the version.
#[derive(Debug, Clone)]
pub struct NewSkill {
    pub task_key: String,
    /// `None`: [`Channel::Business`] for a new skill.
    pub channel: Option<Channel>,
    pub slug: Option<String>,
    pub version: Option<String>,
    pub display_name: Option<String>,
    /// At most 500 characters.
    pub description: Option<String>,
    /// Key and ETag of an uploaded image.
    pub icon: Option<(String, String)>,
    pub env: Option<BTreeMap<String, Secret>>,
    pub api_key: Option<Secret>,
}

impl Skills {
    /// Makes a version of a skill, and the skill where its slug is new; it is scanned before anything can use it. A
    /// repeated call with the same content changes nothing and gives the same id.
    pub async fn create(&self, actor: Actor, new: NewSkill) -> Result<SkillId, SkillError> {
        check_secrets(&new)?;
        let found = self.store.find_package(&actor.account_id, &new.task_key).await?;
        let task = found.ok_or_else(|| SkillError::TaskNotFound(new.task_key.clone()))?;
        let manifest = completed(&task)?;
        if new.slug.as_ref().is_some_and(|slug| *slug != manifest.name) {
            return Err(SkillError::SlugMismatch(manifest.name));
        }
        let version = wanted_version(&new, &manifest)?;
        let icon = match &new.icon {
            Some((key, etag)) => Some(self.keep_icon(&actor, key, etag).await?),
            None => None,
        };
        let (now_ms, new_id, sealer) = (self.store.clock().now_ms(), self.ids.skill(), self.sealer.clone());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(id) = actor.replayed::<String>(tx).await? {
                        return Ok(SkillId::parse(&id).unwrap_or(new_id));
                    }
                    let policy = tx.skill_policy(&actor.account_id).await?;
                    let provenance = Provenance {
                        uploaded_by: task.uploaded_by.clone(),
                        uploaded_from: task.uploaded_from.clone(),
                        package_hash: task.progress.package_hash.clone(),
                        source: task.progress.source.clone(),
                    };
                    if !policy.allows(&provenance.source) {
                        return Err(SkillError::SourceNotAllowed(provenance.source));
                    }
                    let known = tx.lock_skill_of_slug(&actor.account_id, &manifest.name).await?;
                    let skill_id = known.as_ref().map_or(new_id, |skill| skill.id.clone());
                    actor.audit(tx, &[skill_id.as_str(), &version], now_ms).await?;
                    let mut given = given(&sealer, &skill_id, new, icon)?;
                    let skill = match known {
                        Some(skill) => skill,
                        None => {
                            let skill = new_skill(&actor, skill_id, &manifest, &mut given, now_ms);
                            if tx.count_skills(&actor.account_id).await? >= SKILLS_MAX {
                                return Err(SkillError::TooManySkills);
                            }
                            tx.insert_skill(&skill).await?;
                            skill
                        }
                    };
                    insert_version(tx, &skill, &task, manifest, &version, provenance, now_ms).await?;
                    tx.add_pending(&skill.id, &version, &given).await?;
                    if skill.current_version.as_ref() == Some(&version) {
                        super::version::settle_current(tx, &skill.id).await?;
                        super::version::changed(tx, &actor).await?;
                    }
                    actor.remember(tx, &skill.id.as_str(), now_ms).await?;
                    tx.raise(Topic::Skill).await?;
                    Ok(skill.id)
                })
            })
            .await
    }

    async fn keep_icon(&self, actor: &Actor, key: &str, etag: &str) -> Result<String, SkillError> {
        let read = self.objects.read_upload(&actor.account_id, key, etag, FileKind::Icon.bytes_max()).await;
        let bytes = read.map_err(|error| SkillError::BadIcon(error.to_string()))?;
        match self.objects.put_icon(bytes).await {
            Err(error @ ObjectError::NotAnImage) => Err(SkillError::BadIcon(error.to_string())),
            kept => Ok(kept?),
        }
    }
}

/// What was asked for, sealed where it is secret.
fn given(
    sealer: &Sealer,
    skill_id: &SkillId,
    new: NewSkill,
    icon: Option<String>,
) -> Result<Pending, SecretsError> {
    let sealed_env = |env: BTreeMap<String, Secret>| {
        let json = Secret::new(serde_json::to_string(&env).unwrap_or_default());
        sealer.seal(&env_context(skill_id), &json)
    };
    Ok(Pending {
        channel: new.channel,
        display_name: new.display_name,
        description: new.description,
        icon,
        env_sealed: new.env.map(sealed_env).transpose()?,
        api_key_sealed: new.api_key.map(|key| sealer.seal(&api_key_context(skill_id), &key)).transpose()?,
    })
}

/// A skill that has nothing yet that anybody could have approved: lists show it as it was asked for, and no secret is its.
fn new_skill(actor: &Actor, id: SkillId, manifest: &Manifest, given: &mut Pending, now_ms: i64) -> Skill {
    let own_name = || manifest.display_name.clone().unwrap_or_else(|| manifest.name.clone());
    Skill {
        id,
        account_id: actor.account_id.clone(),
        slug: manifest.name.clone(),
        channel: given.channel.take().unwrap_or(Channel::Business),
        display_name: given.display_name.take().unwrap_or_else(own_name),
        description: given.description.take().unwrap_or_else(|| manifest.description.clone()),
        author: actor.principal_name(),
        enabled: true,
        env_sealed: None,
        api_key_sealed: None,
        icon: given.icon.take(),
        pinned_version: None,
        current_version: None,
        created_at_ms: now_ms,
    }
}

async fn insert_version(
    tx: &mut Tx,
    skill: &Skill,
    task: &PackageTask,
    manifest: Manifest,
    version: &str,
    provenance: Provenance,
    now_ms: i64,
) -> Result<(), SkillError> {
    let hashes = tx.version_hashes(&skill.id).await?;
    match hashes.iter().find(|(known, _)| known == version) {
        Some((_, hash)) if *hash == task.progress.content_hash => return Ok(()),
        Some(_) => return Err(SkillError::VersionExists(version.to_owned())),
        None if hashes.len() >= VERSIONS_MAX => return Err(SkillError::TooManyVersions),
        None => {}
    }
    let row = SkillVersion {
        skill_id: skill.id.clone(),
        account_id: skill.account_id.clone(),
        version: version.to_owned(),
        content_hash: task.progress.content_hash.clone(),
        content_bytes: task.progress.content_bytes,
        change_log: manifest.change_log.clone().unwrap_or_default(),
        manifest,
        publish_status: PublishStatus::Draft,
        scan_status: ScanStatus::Scanning,
        scan_score: None,
        scan_reason: "It is being scanned.".to_owned(),
        report: None,
        scan_rules: String::new(),
        scanned_at_ms: None,
        scan_attempts: 0,
        decision: None,
        provenance,
        origin: task.progress.origin.clone(),
        pending: Pending::default(),
        created_at_ms: now_ms,
    };
    Ok(tx.insert_version(&row).await?)
}

fn completed(task: &PackageTask) -> Result<Manifest, SkillError> {
    let task_key = task.task_key.clone();
    match (task.progress.status, &task.progress.manifest) {
        (ParseStatus::Completed, Some(manifest)) => Ok(manifest.clone()),
        (ParseStatus::Failed, _) => {
            Err(SkillError::TaskFailed { task_key, reason: task.progress.error_message.clone() })
        }
        _ => Err(SkillError::TaskRunning { task_key }),
    }
}

/// The caller's version, else the package's; `1.2` is `1.2.0`.
fn wanted_version(new: &NewSkill, manifest: &Manifest) -> Result<String, SkillError> {
    let given = new.version.as_ref().or(manifest.version.as_ref()).ok_or(SkillError::NoVersion)?;
    let bad = || SkillError::BadVersion(given.clone());
    let whole = normal_version(given).map_err(|_| bad())?.ok_or(SkillError::NoVersion)?;
    // Build metadata has no order, so two versions that differ in it alone could not be told apart.
    if whole.contains('+') { Err(bad()) } else { Ok(whole) }
}

fn check_secrets(new: &NewSkill) -> Result<(), SkillError> {
    let bad = |text: String| Err(SkillError::BadEnv(text));
    let name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if let Some(env) = &new.env {
        if env.len() > ENV_VARS_MAX {
            return bad(format!("a skill has at most {ENV_VARS_MAX} variables"));
        }
        if let Some(wrong) = env.keys().find(|key| !name(key)) {
            return bad(format!("{wrong:?} is not the name of a variable: letters, digits and _ only"));
        }
        if let Some(reserved) = env.keys().find(|key| is_reserved(key)) {
            return bad(format!("{reserved} is not a skill's to set: it decides what the agent itself runs"));
        }
        let bytes: usize = env.iter().map(|(key, value)| key.len() + value.expose().len()).sum();
        if bytes > ENV_BYTES_MAX || env.values().any(|value| value.expose().contains('\0')) {
            return bad(format!(
                "a skill's variables have at most {ENV_BYTES_MAX} bytes together, none of them zero"
            ));
        }
    }
    let key_bytes = new.api_key.as_ref().map_or(0, |key| key.expose().len());
    if key_bytes > API_KEY_BYTES_MAX {
        return bad(format!("a skill's API key has at most {API_KEY_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// Variables by which a skill could take over the agent or its supervisor.
fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 9] =
        ["PATH", "HOME", "SHELL", "USER", "IFS", "ENV", "BASH_ENV", "PYTHONPATH", "PYTHONSTARTUP"];
    const PREFIXES: [&str; 6] = ["LD_", "DYLD_", "NODE_", "OPENCLAW_", "HERMES_", "CREEL_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(version: Option<&str>) -> NewSkill {
        NewSkill {
            task_key: String::new(),
            channel: None,
            slug: None,
            version: version.map(str::to_owned),
            display_name: None,
            description: None,
            icon: None,
            env: None,
            api_key: None,
        }
    }

    fn manifest(version: Option<&str>) -> Manifest {
        Manifest {
            name: "a".into(),
            description: "b".into(),
            version: version.map(str::to_owned),
            display_name: None,
            required_env: Vec::new(),
            api_key_env: None,
            required_bins: Vec::new(),
            license: None,
            change_log: None,
        }
    }

    #[test]
    fn a_version_is_the_callers_else_the_packages_and_always_whole() {
        let version =
            |given, own| wanted_version(&new(given), &manifest(own)).map_err(|error| error.to_string());
        assert_eq!(version(Some("2"), Some("1.0.0")).as_deref(), Ok("2.0.0"));
        assert_eq!(version(None, Some("1.4")).as_deref(), Ok("1.4.0"));
        assert_eq!(version(None, Some("1.4.0-rc.1")).as_deref(), Ok("1.4.0-rc.1"));
        for bad in ["one", "1.2.3+build", "1.2.3.4", ""] {
            assert!(version(Some(bad), None).is_err(), "{bad}");
        }
        assert!(matches!(wanted_version(&new(None), &manifest(None)), Err(SkillError::NoVersion)));
    }

    #[test]
    fn variables_that_decide_what_an_agent_runs_are_refused() {
        for (name, ok) in
            [("API_URL", true), ("LD_PRELOAD", false), ("PATH", false), ("A-B", false), ("1A", false)]
        {
            let env = BTreeMap::from([(name.to_owned(), Secret::new("x".into()))]);
            assert_eq!(check_secrets(&NewSkill { env: Some(env), ..new(None) }).is_ok(), ok, "{name}");
        }
        let long = BTreeMap::from([("A".to_owned(), Secret::new("x".repeat(ENV_BYTES_MAX)))]);
        assert!(check_secrets(&NewSkill { env: Some(long), ..new(None) }).is_err());
    }
}
