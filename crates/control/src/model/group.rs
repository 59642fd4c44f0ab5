//! Model groups.

use creel_wire::guest::ModelRef;
use creel_wire::id::{AccountId, ModelGroupId, ModelId};

use super::kinds::{AgentPlatform, GroupAgent, GroupSource, RefScope};
use super::{Field, GROUPS_MAX, ModelError, Models, check_description, check_name, config};
use crate::access::Actor;
use crate::page::{Page, PageNumber};
use crate::store::{Topic, Tx};

/// A group of providers and their models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelGroup {
    pub id: ModelGroupId,
    pub account_id: AccountId,
    pub name: String,
    pub description: String,
    pub agent: GroupAgent,
    pub platform: AgentPlatform,
    pub ref_scope: RefScope,
    pub source: GroupSource,
    pub default_model_id: Option<ModelId>,
    /// Grows by one with each change of the group, its providers or its models.
    pub revision: i64,
    pub created_at_ms: i64,
}

/// What a new group is to be.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub name: String,
    pub description: String,
    pub agent: GroupAgent,
    /// `None` is ENTERPRISE, for a common group COMMON.
    pub platform: Option<AgentPlatform>,
    /// Honoured for common groups only.
    pub ref_scope: Option<RefScope>,
}

/// What to change; `None` leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct GroupChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub ref_scope: Option<RefScope>,
    /// JSON that names the new default model, in the form of the group's agent.
    pub config: Option<String>,
}

/// Which groups to list. Empty lists and `None` do not restrict.
#[derive(Debug, Clone, Default)]
pub struct GroupFilter {
    pub agents: Vec<GroupAgent>,
    pub platforms: Vec<AgentPlatform>,
    /// A part of the name, in any case.
    pub name: Option<String>,
    pub has_model: Option<bool>,
    pub source: Option<GroupSource>,
    pub ref_scope: Option<RefScope>,
    pub ids: Vec<String>,
}

impl GroupFilter {
    /// The platforms that a list asks for: a single one wins over a list, and without either it is ENTERPRISE only,
    /// so that common groups are shown only where COMMON is asked for.
    pub fn platforms(single: Option<AgentPlatform>, list: Vec<AgentPlatform>) -> Vec<AgentPlatform> {
        match single {
            Some(platform) => vec![platform],
            None if list.is_empty() => vec![AgentPlatform::Enterprise],
            None => list,
        }
    }

    /// The programs that a list asks for: a single one wins over a list, and without either all are.
    pub fn agents(single: Option<GroupAgent>, list: Vec<GroupAgent>) -> Vec<GroupAgent> {
        single.map_or(list, |agent| vec![agent])
    }
}

/// A group as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    pub group: ModelGroup,
    pub model_count: i64,
    pub default_model: Option<ModelRef>,
}

impl GroupView {
    /// JSON that names the default model, in the form of the group's agent.
    pub fn config(&self) -> Option<String> {
        self.default_model.as_ref().map(|model| config::show_default(self.group.agent, model))
    }
}

/// The scope a group gets: the caller's only for a common group, and never the one of the others.
fn ref_scope(agent: GroupAgent, wanted: Option<RefScope>) -> Result<RefScope, ModelError> {
    match (agent, wanted) {
        (GroupAgent::Common, Some(RefScope::ResourceMixed)) => {
            Err(ModelError::invalid(Field::RefScope, "must be ALL_USER or USER_MIXED for a Common group"))
        }
        (GroupAgent::Common, wanted) => Ok(wanted.unwrap_or(RefScope::UserMixed)),
        _ => Ok(RefScope::ResourceMixed),
    }
}

fn platform(agent: GroupAgent, wanted: Option<AgentPlatform>) -> Result<AgentPlatform, ModelError> {
    match (agent, wanted) {
        (GroupAgent::Common, None | Some(AgentPlatform::Common)) => Ok(AgentPlatform::Common),
        (GroupAgent::Common, Some(_)) => {
            Err(ModelError::invalid(Field::AgentPlatform, "must be COMMON for a Common group"))
        }
        (_, Some(AgentPlatform::Common)) => Err(ModelError::invalid(
            Field::AgentPlatform,
            "must be COMMON only where AgentProvider is Common",
        )),
        (_, wanted) => Ok(wanted.unwrap_or(AgentPlatform::Enterprise)),
    }
}

impl Models {
    /// Makes an empty group.
    pub async fn create_group(&self, actor: Actor, new: NewGroup) -> Result<ModelGroupId, ModelError> {
        check_name(&new.name)?;
        check_description(&new.description)?;
        let group = ModelGroup {
            id: self.ids.model_group(),
            account_id: actor.account_id.clone(),
            platform: platform(new.agent, new.platform)?,
            ref_scope: ref_scope(new.agent, new.ref_scope)?,
            name: new.name,
            description: new.description,
            agent: new.agent,
            source: GroupSource::User,
            default_model_id: None,
            revision: 1,
            created_at_ms: self.store.clock().now_ms(),
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(id) = actor.replayed(tx).await? {
                        return Ok(id);
                    }
                    actor.audit(tx, &[group.id.as_str()], group.created_at_ms).await?;
                    // Two calls at once may both see the last free place: the bound keeps lists short, no more.
                    if tx.count_model_groups(&group.account_id).await? >= GROUPS_MAX {
                        return Err(ModelError::TooManyGroups);
                    }
                    tx.insert_model_group(&group).await?;
                    actor.remember(tx, &group.id, group.created_at_ms).await?;
                    Ok(group.id)
                })
            })
            .await
    }

    /// Changes what is given. A new default model must be in the group.
    pub async fn update_group(
        &self,
        actor: Actor,
        id: ModelGroupId,
        change: GroupChange,
    ) -> Result<(), ModelError> {
        change.name.as_deref().map_or(Ok(()), check_name)?;
        change.description.as_deref().map_or(Ok(()), check_description)?;
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[id.as_str()], now_ms).await?;
                    let before = tx.lock_model_group(&actor.account_id, &id).await?;
                    let before = before.ok_or_else(|| ModelError::no_group(&id))?;
                    let after = changed(tx, &before, change).await?;
                    if after != before {
                        tx.update_model_group(&after).await?;
                        tx.raise(Topic::Guest).await?;
                        tx.raise(Topic::Directory).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// One page of groups, oldest first, and how many match in all.
    pub async fn list_groups(
        &self,
        account_id: &AccountId,
        filter: &GroupFilter,
        page: PageNumber,
    ) -> Result<Page<GroupView>, ModelError> {
        Ok(self.store.list_model_groups(account_id, filter, page).await?)
    }
}

/// The group after a change, with its revision as before (storing it raises it).
async fn changed(tx: &mut Tx, before: &ModelGroup, change: GroupChange) -> Result<ModelGroup, ModelError> {
    let mut after = before.clone();
    if let Some(text) = &change.config {
        let default = config::parse_default(text, before.agent)?;
        let found = tx.find_model_id(&before.id, &default.provider, &default.code).await?;
        let Some(id) = found else {
            let problem = format!("names {}/{}, which is not in the group", default.provider, default.code);
            return Err(ModelError::invalid(Field::Config, problem));
        };
        after.default_model_id = Some(id);
    }
    if change.ref_scope.is_some() {
        after.ref_scope = ref_scope(before.agent, change.ref_scope)?;
    }
    after.name = change.name.unwrap_or(after.name);
    after.description = change.description.unwrap_or(after.description);
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_platforms_shows_enterprise_groups_only() {
        use AgentPlatform::{Common, Enterprise, EnterpriseJvs};
        assert_eq!(GroupFilter::platforms(None, vec![]), [Enterprise]);
        assert_eq!(GroupFilter::platforms(Some(Common), vec![Enterprise]), [Common]);
        assert_eq!(GroupFilter::platforms(None, vec![EnterpriseJvs, Common]), [EnterpriseJvs, Common]);
        assert_eq!(
            GroupFilter::agents(Some(GroupAgent::Common), vec![GroupAgent::OpenClaw]),
            [GroupAgent::Common]
        );
    }

    #[test]
    fn only_common_groups_have_a_scope_of_their_own() {
        assert!(matches!(
            ref_scope(GroupAgent::OpenClaw, Some(RefScope::AllUser)),
            Ok(RefScope::ResourceMixed)
        ));
        assert!(matches!(ref_scope(GroupAgent::Common, None), Ok(RefScope::UserMixed)));
        assert!(matches!(ref_scope(GroupAgent::Common, Some(RefScope::AllUser)), Ok(RefScope::AllUser)));
        assert!(ref_scope(GroupAgent::Common, Some(RefScope::ResourceMixed)).is_err());
        assert!(platform(GroupAgent::OpenClaw, Some(AgentPlatform::Common)).is_err());
        assert!(platform(GroupAgent::Common, Some(AgentPlatform::Enterprise)).is_err());
        assert!(matches!(platform(GroupAgent::HermesAgent, None), Ok(AgentPlatform::Enterprise)));
    }
}
