//! What guests find of skills, beside what they should find.

use creel_wire::guest::{SKILLS_SEEN_MAX, SkillInventory, SkillSeen, SkillState};
use creel_wire::id::AccountId;

use super::{SkillError, Skills};
use crate::guest::GuestRow;

/// Most characters of a guest's words that are kept.
const TEXT_CHARS_MAX: usize = 500;

/// A skill on an agent: as it should be, as it was seen, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSkill {
    pub name: String,
    /// What the agent should have; empty for what nobody authorised.
    pub version: String,
    pub content_hash: String,
    /// `None` while its guest has not said anything about it.
    pub seen: Option<SkillSeen>,
    pub observed_at_ms: Option<i64>,
}

impl Skills {
    /// Records what a guest found, in place of what it found before.
    pub async fn observe(&self, guest: &GuestRow, inventory: SkillInventory) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        let (account_id, runtime_id) = (guest.account_id.clone(), guest.runtime_id.clone());
        let seen: Vec<SkillSeen> = inventory.skills.into_iter().take(SKILLS_SEEN_MAX).map(bounded).collect();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    tx.set_runtime_skills(&account_id, &runtime_id, seen, now_ms).await?;
                    Ok(())
                })
            })
            .await
    }

    /// The skills of a runtime, by name: those that it should have, and those that its guest found.
    pub async fn of_agent(
        &self,
        account_id: &AccountId,
        runtime: &str,
    ) -> Result<Vec<AgentSkill>, SkillError> {
        let found = self.store.find_runtime_models_by_name(account_id, runtime).await?;
        let runtime = found.ok_or_else(|| SkillError::RuntimeNotFound(runtime.to_owned()))?;
        let wish = self.store.skill_wish(&runtime.id).await?;
        let mut seen = self.store.runtime_skills(&runtime.id).await?;
        let mut skills: Vec<AgentSkill> = Vec::new();
        for granted in wish.into_iter().flat_map(|wish| wish.granted) {
            let is_it = |(found, _): &(SkillSeen, i64)| {
                is_authorised(found, &granted.skill.slug, &granted.content_hash)
            };
            let matching = seen.iter().position(is_it).map(|index| seen.remove(index));
            let (seen_now, observed_at_ms) =
                matching.map_or((None, None), |(seen, at_ms)| (Some(seen), Some(at_ms)));
            if seen_now.is_none() && !granted.auto_install {
                continue;
            }
            skills.push(AgentSkill {
                name: granted.skill.slug,
                version: granted.version,
                content_hash: granted.content_hash,
                seen: seen_now,
                observed_at_ms,
            });
        }
        skills.extend(seen.into_iter().map(|(seen, at_ms)| AgentSkill {
            name: seen.name.clone(),
            version: String::new(),
            content_hash: String::new(),
            seen: Some(seen),
            observed_at_ms: Some(at_ms),
        }));
        skills.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(skills)
    }
}

/// Whether what was found is the authorised skill itself, in any state.
fn is_authorised(seen: &SkillSeen, name: &str, content_hash: &str) -> bool {
    let same = seen.content_hash.as_deref() == Some(content_hash);
    seen.name == name && (same || !matches!(seen.state, SkillState::Foreign | SkillState::Shadowing))
}

/// A guest is not trusted to be brief.
fn bounded(mut seen: SkillSeen) -> SkillSeen {
    let short = |text: String| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
    seen.name = short(seen.name);
    seen.place = short(seen.place);
    seen.content_hash = seen.content_hash.filter(|hash| hash.len() == 64);
    seen.note = seen.note.map(short);
    seen
}

/// As in the API and in the store.
pub fn state_word(state: SkillState) -> &'static str {
    match state {
        SkillState::Installed => "Installed",
        SkillState::Disabled => "Disabled",
        SkillState::Pending => "Pending",
        SkillState::Failed => "Failed",
        SkillState::Modified => "Modified",
        SkillState::Foreign => "Foreign",
        SkillState::Shadowing => "Shadowing",
    }
}

/// The state that a word names.
pub(crate) fn state_from_word(word: &str) -> Option<SkillState> {
    use SkillState::{Disabled, Failed, Foreign, Installed, Modified, Pending, Shadowing};
    [Installed, Disabled, Pending, Failed, Modified, Foreign, Shadowing]
        .into_iter()
        .find(|state| state_word(*state) == word)
}
