//! Models of a provider.

use std::collections::HashSet;

use creel_wire::id::{AccountId, ModelGroupId, ModelId, ProviderId};
use serde::{Deserialize, Serialize};

use super::config::{ModelConfigText, ModelTraits};
use super::kinds::RefScope;
use super::system::SystemModel;
use super::{CODE_BYTES_MAX, Field, MODELS_MAX, ModelError, Models, check_description, check_name};
use crate::access::Actor;
use crate::id_gen::IdGen;
use crate::page::{Page, PageNumber};
use crate::store::{StoreError, Topic, Tx};

/// Models in one request.
const BATCH_MAX: usize = 200;

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub id: ModelId,
    pub account_id: AccountId,
    pub group_id: ModelGroupId,
    pub provider_id: ProviderId,
    /// As the upstream names it; unique in the provider.
    pub code: String,
    /// For people.
    pub name: String,
    pub description: String,
    pub config_json: String,
    pub created_at_ms: i64,
}

impl Model {
    /// What the model can do.
    pub fn traits(&self) -> ModelTraits {
        // What is stored was checked when it was written; an older rule may have allowed what this one does not.
        ModelConfigText::parse(Some(&self.config_json), &self.code).unwrap_or_default().traits()
    }
}

/// What a new model is to be.
#[derive(Debug, Clone)]
pub struct NewModel {
    pub code: String,
    /// Without one: the configuration's, the system provider's, the code.
    pub name: Option<String>,
    pub description: String,
    /// JSON; what it leaves open comes from the system provider.
    pub config: Option<String>,
    pub is_default: bool,
}

/// Models to add to a provider.
#[derive(Debug, Clone)]
pub struct NewModels {
    pub provider_id: ProviderId,
    /// Must be the provider's where given.
    pub group_id: Option<ModelGroupId>,
    /// At most one of them the default; it replaces the group's default before.
    pub items: Vec<NewModel>,
}

/// A model that was not made, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedModel {
    pub code: String,
    pub reason: String,
}

/// What came of a request to add models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedModels {
    /// In the order given, without the skipped.
    pub ids: Vec<ModelId>,
    pub skipped: Vec<SkippedModel>,
    /// How many were asked for.
    pub submitted: usize,
}

/// Which models to list. Empty lists and `None` do not restrict.
#[derive(Debug, Clone, Default)]
pub struct ModelFilter {
    /// Puts the group's default model first.
    pub group_id: Option<String>,
    pub provider_id: Option<String>,
    /// A part of the code, in any case.
    pub code: Option<String>,
    pub ids: Vec<String>,
    /// Only smart models.
    pub smart: bool,
}

/// A model as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelView {
    pub model: Model,
    pub is_default: bool,
    /// How agents name its provider.
    pub provider_name: String,
    /// Where its prices come from, for a provider of the operator's.
    pub system_provider_name: Option<String>,
    /// Its group's.
    pub ref_scope: RefScope,
}

fn wrong_item<T>(code: &str, problem: &str) -> Result<T, ModelError> {
    Err(ModelError::invalid(Field::Models, format!("has a model {code:?} that {problem}")))
}

fn check_items(items: &[NewModel]) -> Result<(), ModelError> {
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(ModelError::invalid(Field::Models, format!("must be 1 to {BATCH_MAX} models")));
    }
    if items.iter().filter(|item| item.is_default).count() > 1 {
        return Err(ModelError::invalid(
            Field::Models,
            "has more than one default model; a group has at most one",
        ));
    }
    for item in items {
        // No spaces: agents write `<provider>/<code>` on command lines and in chats.
        let code_ok = !item.code.is_empty() && item.code.bytes().all(|byte| byte.is_ascii_graphic());
        if !code_ok || item.code.len() > CODE_BYTES_MAX {
            let problem =
                format!("must have an LlmCode of 1 to {CODE_BYTES_MAX} printable characters without spaces");
            return Err(ModelError::invalid(Field::Models, problem));
        }
        let named = item.name.as_deref().map_or(Ok(()), check_name);
        named.and_then(|()| check_description(&item.description)).or_else(|error| match error {
            ModelError::Invalid { field, problem } => {
                wrong_item(&item.code, &format!("has a {field:?} that {problem}"))
            }
            other => Err(other),
        })?;
        if let Err(problem) = ModelConfigText::parse(item.config.as_deref(), &item.code) {
            return wrong_item(&item.code, &format!("has a Config that {problem}"));
        }
    }
    Ok(())
}

/// The model that an item asks for; `system` holds what the provider offers where it is the operator's.
fn model_of(item: NewModel, system: Option<&[SystemModel]>, place: &Place<'_>) -> Result<Model, ModelError> {
    let Ok(mut config) = ModelConfigText::parse(item.config.as_deref(), &item.code) else {
        return wrong_item(&item.code, "has a malformed Config");
    };
    let offered = match system {
        None => None,
        Some(offered) => match offered.iter().find(|model| model.code == item.code) {
            Some(model) => Some(model),
            None => return wrong_item(&item.code, "the system provider does not offer"),
        },
    };
    let name = item
        .name
        .or_else(|| config.name().map(str::to_owned))
        .or_else(|| offered.map(|model| model.name.clone()));
    let name = name.unwrap_or_else(|| item.code.clone());
    config.fill("id", Some(item.code.as_str()));
    config.fill("name", Some(name.as_str()));
    config.fill("contextWindow", offered.and_then(|model| model.context_window));
    config.fill("maxTokens", offered.and_then(|model| model.max_output_tokens));
    Ok(Model {
        id: place.id.clone(),
        account_id: place.account_id.clone(),
        group_id: place.group_id.clone(),
        provider_id: place.provider_id.clone(),
        code: item.code,
        name,
        description: item.description,
        config_json: config.to_json(),
        created_at_ms: place.now_ms,
    })
}

/// Where a new model goes.
struct Place<'a> {
    id: ModelId,
    account_id: &'a AccountId,
    group_id: &'a ModelGroupId,
    provider_id: &'a ProviderId,
    now_ms: i64,
}

impl Models {
    /// Adds models to a provider; those it has are skipped and named.
    pub async fn create_models(&self, actor: Actor, new: NewModels) -> Result<CreatedModels, ModelError> {
        check_items(&new.items)?;
        let (ids, now_ms) = (self.ids.clone(), self.store.clock().now_ms());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(answer) = actor.replayed(tx).await? {
                        return Ok(answer);
                    }
                    actor.audit(tx, &[new.provider_id.as_str()], now_ms).await?;
                    let created = insert_models(tx, &actor.account_id, new, &ids, now_ms).await?;
                    actor.remember(tx, &created, now_ms).await?;
                    Ok(created)
                })
            })
            .await
    }

    /// One page of models, a group's default first, then by age; and how many match in all.
    pub async fn list_models(
        &self,
        account_id: &AccountId,
        filter: &ModelFilter,
        page: PageNumber,
    ) -> Result<Page<ModelView>, ModelError> {
        Ok(self.store.list_models(account_id, filter, page).await?)
    }
}

async fn insert_models(
    tx: &mut Tx,
    account_id: &AccountId,
    new: NewModels,
    ids: &IdGen,
    now_ms: i64,
) -> Result<CreatedModels, ModelError> {
    let provider = tx.find_model_provider(account_id, &new.provider_id).await?;
    let provider = provider.ok_or_else(|| ModelError::no_provider(&new.provider_id))?;
    if new.group_id.is_some_and(|id| id != provider.group_id) {
        return Err(ModelError::invalid(
            Field::GroupId,
            "must be the model group of the provider, or be left out",
        ));
    }
    // Locks against other changes of the group: they would not see each other's codes.
    let group = tx.lock_model_group(account_id, &provider.group_id).await?;
    let mut group = group.ok_or_else(|| ModelError::no_group(&provider.group_id))?;
    let before = tx.list_model_codes(&provider.id).await?;
    let system = match &provider.system_provider_name {
        None => None,
        Some(name) => Some(tx.list_system_models(name).await?),
    };
    let submitted = new.items.len();
    // Ids made in one millisecond are in no order; sorted, they keep the order of the request.
    let mut fresh: Vec<ModelId> = (0..submitted).map(|_| ids.model()).collect();
    fresh.sort();
    let mut seen = HashSet::new();
    let (mut models, mut skipped) = (Vec::new(), Vec::new());
    for (item, id) in new.items.into_iter().zip(fresh) {
        let reason = if before.contains(&item.code) {
            "The provider has a model of this LlmCode."
        } else if !seen.insert(item.code.clone()) {
            "The LlmCode is given more than once."
        } else {
            let place = Place { id, account_id, group_id: &group.id, provider_id: &provider.id, now_ms };
            if item.is_default {
                group.default_model_id = Some(place.id.clone());
            }
            models.push(model_of(item, system.as_deref(), &place)?);
            continue;
        };
        skipped.push(SkippedModel { code: item.code, reason: reason.to_owned() });
    }
    if i64::try_from(before.len() + models.len()).unwrap_or(i64::MAX) > MODELS_MAX {
        return Err(ModelError::TooManyModels);
    }
    let created: Vec<ModelId> = models.iter().map(|model| model.id.clone()).collect();
    if !models.is_empty() {
        match tx.insert_models(models).await {
            // It was deleted since it was read.
            Err(StoreError::ForeignKey(_)) => return Err(ModelError::no_provider(&provider.id)),
            other => other?,
        }
        tx.update_model_group(&group).await?;
        tx.raise(Topic::Guest).await?;
        tx.raise(Topic::Directory).await?;
    }
    Ok(CreatedModels { ids: created, skipped, submitted })
}
