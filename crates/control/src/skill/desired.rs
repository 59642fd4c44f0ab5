//! What the agent of a runtime is to have.

use creel_wire::guest::{DriftPolicy, Skill as GuestSkill, SkillPin, SkillsConfig};
use creel_wire::id::RuntimeId;

use super::{SkillError, Skills};

impl Skills {
    /// The skills of a runtime, for its guest.
    pub async fn desired(&self, runtime_id: &RuntimeId) -> Result<SkillsConfig, SkillError> {
        let Some(wish) = self.store.skill_wish(runtime_id).await? else {
            let nothing = SkillsConfig {
                install: Vec::new(),
                permitted: Vec::new(),
                secure: false,
                drift: DriftPolicy::Observe,
            };
            return Ok(nothing);
        };
        let (mut install, mut permitted) = (Vec::new(), Vec::new());
        for granted in wish.granted {
            let pin = SkillPin { name: granted.skill.slug.clone(), content_hash: granted.content_hash };
            if !granted.auto_install {
                permitted.push(pin);
                continue;
            }
            install.push(GuestSkill {
                pin,
                version: granted.version,
                archive_bytes: granted.content_bytes.unsigned_abs(),
                enabled: granted.skill.enabled,
                env: self
                    .open_env(&granted.skill.id, granted.skill.env_sealed.as_deref())?
                    .unwrap_or_default(),
                api_key: self.open_api_key(&granted.skill)?,
            });
        }
        Ok(SkillsConfig { install, permitted, secure: wish.secure, drift: wish.drift.into() })
    }
}
