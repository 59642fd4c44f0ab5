//! Keeps the gateway's directory up to date: read anew whenever models, keys or prices have changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use creel_control::call_limit::{CallLimitError, CallLimits};
use creel_control::capture::{CaptureError, CapturePolicies};
use creel_control::ledger::{Credits, LedgerError, PriceList, PriceOf};
use creel_control::model::{
    DirectoryProvider, DirectoryRoute, DirectorySmart, DirectoryTarget, KeyHolder, ModelError, Models,
    ProviderApi, ProviderType, RouteOrder, SealedKey,
};
use creel_control::store::{Store, Topic};
use creel_control::tasks::Tasks;
use creel_wire::id::ModelGroupId;

use crate::gateway::ports::{
    AgentAccess, Directory, Group, KeyHash, KeyKind, Model, Order, Provider, Route, Smart, Snapshot, Target,
    Tier, Upstream, UpstreamKey,
};

/// How soon after a failure the directory is read again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How often it is read without a sign of change.
const REFRESH_EVERY: Duration = Duration::from_secs(60);

/// After a reading the task rests so many times as long as that took, at the most [`REST_MAX`]. With few agents that is
/// some milliseconds, with a hundred thousand a second or two.
const REST_FACTOR: u32 = 4;
const REST_MAX: Duration = Duration::from_secs(2);

/// Why the directory could not be read.
#[derive(Debug, thiserror::Error)]
enum DirectoryError {
    #[error("reading keys, groups and providers")]
    Models(#[from] ModelError),
    #[error("reading prices")]
    Prices(#[from] LedgerError),
    #[error("reading call limits")]
    Limits(#[from] CallLimitError),
    #[error("reading capture policies")]
    Captures(#[from] CaptureError),
}

/// Starts the task that keeps `directory`; until it has succeeded once, the gateway tells callers to come again.
pub(crate) fn keep_directory(
    directory: Arc<Directory>,
    store: &Store,
    models: Models,
    credits: Credits,
    limits: CallLimits,
    captures: CapturePolicies,
    tasks: &Tasks,
) {
    let mut changes = store.topics().subscribe(Topic::Directory);
    let cancel = tasks.cancelled();
    tasks.spawn("gateway-directory", async move {
        let mut targets = Targets::default();
        loop {
            let begun = Instant::now();
            let pause = match read(&models, &credits, &limits, &captures, &mut targets).await {
                Ok((snapshot, next_price)) => {
                    directory.replace(snapshot);
                    next_price.map_or(REFRESH_EVERY, |next| REFRESH_EVERY.min(next))
                }
                Err(error) => {
                    tracing::warn!(error = %crate::ops::chain(&error), "reading the gateway's directory failed");
                    RETRY_EVERY
                }
            };
            // While one change follows the other, reading all again and again takes a part of the processor only.
            let rest = (begun.elapsed() * REST_FACTOR).min(REST_MAX);
            let next = async {
                tokio::time::sleep(rest).await;
                // Without a sender the process ends, and this task with it.
                let _ = tokio::time::timeout(pause, changes.changed()).await;
            };
            if cancel.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    });
}

/// The directory, and in how long a price comes into effect that is not in it.
async fn read(
    models: &Models,
    credits: &Credits,
    limits: &CallLimits,
    captures: &CapturePolicies,
    targets: &mut Targets,
) -> Result<(Snapshot, Option<Duration>), DirectoryError> {
    let found = models.directory().await?;
    let prices = credits.price_list().await?;
    let limits = limits.in_force().await?;
    let captures = captures.in_force().await?;
    let mut groups: HashMap<ModelGroupId, Arc<Group>> = HashMap::new();
    targets.begin();
    for group in found.groups {
        let providers =
            group.providers.into_iter().filter_map(|provider| route(models, &prices, targets, provider));
        groups.insert(group.id, Arc::new(Group::new(providers.map(Arc::new).collect())));
    }
    let mut by_key = hashbrown::HashMap::with_capacity(found.keys.len());
    for key in found.keys {
        let Some(hash) = KeyHash::from_hex(&key.key_hash) else { continue };
        let access = AgentAccess {
            limits: limits.of(&key.account_id, key.resource_group_id.as_ref(), &key.runtime_id),
            capture: captures.of(&key.account_id, key.resource_group_id.as_ref(), &key.runtime_id),
            account: key.account_id,
            runtime: key.runtime_id,
            key_kind: match key.holder {
                KeyHolder::Agent => KeyKind::Agent,
                KeyHolder::Person => KeyKind::Person,
            },
            group: key.group_id.and_then(|id| groups.get(&id).cloned()),
        };
        by_key.insert(hash, Arc::new(access));
    }
    Ok((Snapshot { by_key }, credits.next_price_in().await?))
}

/// The targets of the snapshot in force: those that a new one has too go on knowing how they have fared, and all
/// copies of one of the operator's providers share them.
#[derive(Debug, Default)]
struct Targets {
    before: HashMap<TargetKey, Arc<Target>>,
    now: HashMap<TargetKey, Arc<Target>>,
}

/// Whose target it is, its dialect, and the target, its weight left out.
type TargetKey = (String, ProviderApi, DirectoryTarget);

impl Targets {
    /// What the new snapshot does not ask for is forgotten at the next.
    fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn get(
        &mut self,
        models: &Models,
        found: &DirectoryProvider,
        target: &DirectoryTarget,
    ) -> Option<Arc<Target>> {
        let (owner, name) = match &found.system_provider_name {
            Some(system) => (system.clone(), system),
            None => (found.id.to_string(), &found.name),
        };
        let key = (owner, found.api, DirectoryTarget { weight: 0, ..target.clone() });
        if let Some(known) = self.now.get(&key).or_else(|| self.before.get(&key)) {
            let known = known.clone();
            self.now.insert(key, known.clone());
            return Some(known);
        }
        let sealed = target.key.clone().map(|sealed| opener(models.clone(), sealed));
        match Target::new(name, found.api, &target.key_name, target.number, &target.base_url, sealed) {
            Ok(target) => {
                let target = Arc::new(target);
                self.now.insert(key, target.clone());
                Some(target)
            }
            Err(error) => {
                tracing::warn!(provider.id = %found.id, error = %error, "provider {} cannot be called", found.id);
                None
            }
        }
    }
}

/// A provider with its upstream. An address that cannot be called is left out and logged, for others still work.
fn route(
    models: &Models,
    prices: &PriceList,
    targets: &mut Targets,
    found: DirectoryProvider,
) -> Option<Provider> {
    let callable = |target: &DirectoryTarget| Some((targets.get(models, &found, target)?, target.weight));
    let callable: Vec<_> = found.targets.iter().filter_map(callable).collect();
    if callable.is_empty() && !found.targets.is_empty() {
        return None;
    }
    let upstream = Upstream::new(found.api, callable);
    let of = match &found.system_provider_name {
        Some(system) => PriceOf::System(system.clone()),
        None => PriceOf::Own(found.account_id.clone(), found.id.clone()),
    };
    let card = |code: &str| prices.find(&of, code).map(|price| price.card);
    let tiers = |smart: &DirectorySmart, targets: &mut Targets| {
        let order = match smart.order {
            RouteOrder::Declared => Order::Declared,
            RouteOrder::Price => Order::Price,
        };
        let tiers = smart.routes.iter().filter_map(|route| tier(models, prices, targets, &found, route));
        Arc::new(Smart { order, tiers: tiers.collect() })
    };
    let models = found
        .models
        .iter()
        .map(|model| Model {
            smart: model.smart.as_ref().map(|smart| tiers(smart, targets)),
            code: model.code.as_str().into(),
            name: model.name.as_str().into(),
            context_tokens_max: model.context_window,
            output_tokens_max: model.max_output_tokens,
            card: card(&model.code),
        })
        .map(Arc::new)
        .collect();
    Some(Provider {
        id: found.id,
        name: found.name.into(),
        upstream,
        billed: found.provider_type == ProviderType::WuyingCredit,
        models,
    })
}

/// A model of one of the operator's providers, as `found`'s smart model stands for it: what it costs is paid as `found`'s calls
/// are.
fn tier(
    models: &Models,
    prices: &PriceList,
    targets: &mut Targets,
    found: &DirectoryProvider,
    route: &DirectoryRoute,
) -> Option<Tier> {
    let model = Model {
        code: route.model_code.as_str().into(),
        name: route.model_code.as_str().into(),
        context_tokens_max: route.context_tokens_max,
        output_tokens_max: route.max_output_tokens,
        card: prices
            .find(&PriceOf::System(route.provider_name.clone()), &route.model_code)
            .map(|price| price.card),
        smart: None,
    };
    let provider = DirectoryProvider {
        name: route.provider_name.clone(),
        system_provider_name: Some(route.provider_name.clone()),
        api: route.api,
        targets: route.targets.clone(),
        models: Vec::new(),
        id: found.id.clone(),
        account_id: found.account_id.clone(),
        provider_type: found.provider_type,
    };
    let provider = self::route(models, prices, targets, provider)?;
    let route_to = Route { provider: Arc::new(provider), model: Arc::new(model) };
    Some(Tier { context_tokens_max: route.context_tokens_max, route: route_to })
}

fn opener(models: Models, sealed: SealedKey) -> UpstreamKey {
    UpstreamKey::sealed(move || match models.open_key(&sealed) {
        Ok(key) => Some(key),
        Err(error) => {
            tracing::error!(error = %error, "a provider's key does not open");
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use creel_testkit::{Database, open};
    use creel_wire::id::{AccountId, ProviderId};

    use super::*;

    fn provider(id: &str, system: Option<&str>, base_url: &str, weight: u32) -> DirectoryProvider {
        let target = DirectoryTarget {
            key_name: String::new(),
            number: None,
            base_url: base_url.to_owned(),
            key: None,
            weight,
        };
        DirectoryProvider {
            id: ProviderId::parse(id).expect("an id"),
            account_id: AccountId::parse("1000000000000001").expect("an id"),
            name: "p".to_owned(),
            provider_type: ProviderType::Managed,
            system_provider_name: system.map(str::to_owned),
            api: ProviderApi::OpenAiCompletions,
            targets: [target].into(),
            models: Vec::new(),
        }
    }

    #[tokio::test]
    async fn targets_know_how_they_have_fared_over_snapshots_and_groups() {
        let t = open(Database::Sqlite).await;
        let models = Models::new(t.store.clone(), t.sealer.clone(), t.ids.clone(), true);
        let mut targets = Targets::default();
        let get = |targets: &mut Targets, found: &DirectoryProvider| {
            targets.get(&models, found, &found.targets[0]).expect("an address")
        };
        let own = get(&mut targets, &provider("mpt-1", None, "https://a", 1));
        let other = get(&mut targets, &provider("mpt-2", None, "https://a", 1));
        assert!(!Arc::ptr_eq(&own, &other), "two providers of users have nothing in common");
        let system = get(&mut targets, &provider("mpt-3", Some("s"), "https://a", 1));
        let copy = get(&mut targets, &provider("mpt-4", Some("s"), "https://a", 1));
        assert!(Arc::ptr_eq(&system, &copy), "two groups share the operator's");

        targets.begin();
        let reweighed = get(&mut targets, &provider("mpt-1", None, "https://a", 7));
        assert!(Arc::ptr_eq(&own, &reweighed), "another share of the calls makes no other target");
        let moved = get(&mut targets, &provider("mpt-3", Some("s"), "https://b", 1));
        assert!(!Arc::ptr_eq(&system, &moved));
        for _ in 0..2 {
            targets.begin();
        }
        assert!(targets.before.is_empty() && targets.now.is_empty(), "what no snapshot has is forgotten");
        assert!(!Arc::ptr_eq(&own, &get(&mut targets, &provider("mpt-1", None, "https://a", 1))));
    }
}
