//! The model groups of resource groups: which group is effective, and what a change of it does to agents and the gateway.

use creel_control::access::Scope;
use creel_control::guest::Guests;
use creel_control::model::{
    BoundBy, GroupAgent, ModelError, NewGroup, UnbindOutcome, UnboundResourceGroup, applied_marker,
};
use creel_control::page::PageNumber;
use creel_control::resource_group::ResourceGroups;
use creel_control::runtime::{RuntimeFilter, Runtimes};
use creel_control::store::{StoreError, Topic, bound_list_statement, params};
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::{ModelGroupId, ResourceGroupId, RuntimeId};

use super::model::{
    account, actor, actor_of, add, assert_indexed, count, group, models, new_model, page, provider,
};
use super::model_effective::{bind, runtime};

const REPLICA: &str = "replica-1";

fn resource_groups(t: &TestStore) -> ResourceGroups {
    ResourceGroups::new(t.store.clone(), t.ids.clone())
}

async fn resource_group(t: &TestStore, name: &str) -> ResourceGroupId {
    resource_groups(t).create(actor(t, "CreateResourceGroup"), name.to_owned()).await.unwrap()
}

async fn group_for(t: &TestStore, agent: GroupAgent) -> ModelGroupId {
    let name = agent.as_str().to_owned();
    let new = NewGroup { name, description: String::new(), agent, platform: None, ref_scope: None };
    models(t).create_group(actor(t, "CreateModelTemplate"), new).await.unwrap()
}

async fn bind_resource_group(t: &TestStore, group_id: &ModelGroupId, id: &ResourceGroupId) {
    let actor = actor(t, "ConfigResourceGroupModelTemplate");
    models(t).bind_resource_group(actor, group_id.clone(), id.clone()).await.unwrap();
}

async fn unbind_resource_groups(
    t: &TestStore,
    group_id: &ModelGroupId,
    ids: &[&str],
) -> Vec<(String, UnbindOutcome)> {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let actor = actor(t, "RemoveResourceGroupModelTemplate");
    let unbound = models(t).unbind_resource_groups(actor, group_id.clone(), ids).await.unwrap();
    unbound.into_iter().map(|UnboundResourceGroup { id, outcome }| (id, outcome)).collect()
}

async fn move_into(t: &TestStore, id: &ResourceGroupId, runtimes: &[&str]) {
    let names = runtimes.iter().map(|name| (*name).to_owned()).collect();
    let actor = actor(t, "TransferResourcesIntoGroup");
    resource_groups(t).move_into(actor, id.clone(), names).await.unwrap();
}

/// Lets this replica hold the links of guests.
async fn link(t: &TestStore, runtimes: &[&'static str]) {
    let runtimes = runtimes.to_vec();
    let linked: Result<(), StoreError> = t
        .store
        .write(move |tx| {
            Box::pin(async move {
                for id in runtimes {
                    tx.execute(
                        "INSERT INTO guest (runtime_id, epoch, replica_id) VALUES ($1, 1, $2)",
                        params![id, REPLICA],
                    )
                    .await?;
                }
                Ok(())
            })
        })
        .await;
    linked.unwrap();
}

/// The generation that the guest of a runtime is to be sent.
async fn wish(t: &TestStore, id: &str) -> i64 {
    let marks = Guests::new(t.store.clone(), t.ids.clone()).wish_marks(REPLICA).await.unwrap();
    marks.iter().find(|mark| mark.runtime_id.as_str() == id).unwrap().generation
}

/// The effective group of a runtime and what it is effective through, which every reader must agree on.
async fn effective(t: &TestStore, id: &'static str) -> Option<(ModelGroupId, BoundBy)> {
    let shown = models(t).effective_models(&account("11"), id).await.unwrap();
    let found = shown.group.map(|group| (group, shown.bound_by));
    let group_id = found.as_ref().map(|(group, _)| group.id.clone());

    let desired = models(t).desired_models(&RuntimeId::parse(id).unwrap()).await.unwrap();
    let marker = found.as_ref().map(|(group, _)| applied_marker(&group.id, group.revision));
    assert_eq!(desired.map(|(_, marker)| marker), marker, "the agent is told");

    let directory = models(t).directory().await.unwrap();
    let key = directory.keys.iter().find(|key| key.runtime_id.as_str() == id).unwrap();
    assert_eq!(key.group_id, group_id, "the gateway routes");

    let runtimes = Runtimes::new(t.store.clone(), t.ids.clone());
    let listed = async |filter| {
        let (views, total) = runtimes.list(&Scope::account(account("11")), filter, page(1)).await.unwrap();
        assert_eq!(i64::try_from(views.len()).unwrap(), total, "the count uses the same filters");
        views
    };
    let only = || RuntimeFilter { ids: vec![id.to_owned()], ..RuntimeFilter::default() };
    let view = listed(only()).await.remove(0);
    assert_eq!(view.model_group_id, group_id, "the list shows");
    assert_eq!(view.model_group_name, found.as_ref().map(|(group, _)| group.name.clone()));
    let revision = found.as_ref().map_or(0, |(group, _)| group.revision);
    assert_eq!(view.shared_revision, revision, "what is applied is measured by it");
    assert_eq!(view.wish_generation(), wish(t, id).await, "a guest confirms what the list waits for");
    for has in [true, false] {
        let filter = RuntimeFilter { has_model_group: Some(has), ..only() };
        assert_eq!(listed(filter).await.len(), usize::from(has == group_id.is_some()), "{has}");
    }
    let all = models(t).list_groups(&account("11"), &Default::default(), page(1)).await.unwrap();
    for other in all.items.into_iter().map(|view| view.group.id) {
        let filter = RuntimeFilter { model_group_id: Some(other.to_string()), ..only() };
        let hit = group_id.as_ref() == Some(&other);
        assert_eq!(listed(filter).await.len(), usize::from(hit), "the filter finds by {other}");
    }
    found.map(|(group, bound_by)| (group.id, bound_by))
}

/// Whether guests and gateway are told to look again.
struct Hints {
    guest: tokio::sync::watch::Receiver<u64>,
    directory: tokio::sync::watch::Receiver<u64>,
    /// PostgreSQL tells of a change when it has been made, some time later.
    is_late: bool,
}

impl Hints {
    fn of(t: &TestStore) -> Self {
        let topics = t.store.topics();
        let (mut guest, mut directory) = (topics.subscribe(Topic::Guest), topics.subscribe(Topic::Directory));
        guest.mark_unchanged();
        directory.mark_unchanged();
        Self { guest, directory, is_late: t.store.db().is_postgres() }
    }

    /// Fails unless both hints are raised, or neither.
    async fn raised(&mut self, expected: bool) {
        for hint in [&mut self.guest, &mut self.directory] {
            if expected {
                tokio::time::timeout(std::time::Duration::from_secs(10), hint.changed())
                    .await
                    .unwrap()
                    .unwrap();
            } else {
                assert!(self.is_late || !hint.has_changed().unwrap());
            }
        }
    }
}

both_databases! {
    async fn a_resource_groups_model_group_wins_wherever_it_fits(t) {
        for (id, agent) in [("ecd-claw", "OpenClaw"), ("ecd-hermes", "HermesAgent")] {
            runtime(&t, "11", id, None, agent).await;
        }
        link(&t, &["ecd-claw", "ecd-hermes"]).await;
        let members = resource_group(&t, "members").await;
        let claw = group_for(&t, GroupAgent::OpenClaw).await;
        let hermes = group_for(&t, GroupAgent::HermesAgent).await;
        let common = group_for(&t, GroupAgent::Common).await;
        let own = group(&t, "own").await;
        assert_eq!(effective(&t, "ecd-claw").await, None);
        bind(&t, &own, &["ecd-claw"]).await;
        assert_eq!(effective(&t, "ecd-claw").await, Some((own.clone(), BoundBy::Runtime)));
        bind_resource_group(&t, &claw, &members).await;
        assert_eq!(effective(&t, "ecd-claw").await, Some((own.clone(), BoundBy::Runtime)), "it is not a member yet");

        move_into(&t, &members, &["ecd-claw", "ecd-hermes"]).await;
        let by_group = |id: &ModelGroupId| Some((id.clone(), BoundBy::ResourceGroup));
        let own = Some((own, BoundBy::Runtime));
        for (bound, of_claw, of_hermes) in [
            (&claw, by_group(&claw), None),
            (&hermes, own.clone(), by_group(&hermes)),
            (&common, by_group(&common), by_group(&common)),
        ] {
            bind_resource_group(&t, bound, &members).await;
            assert_eq!(effective(&t, "ecd-claw").await, of_claw);
            assert_eq!(effective(&t, "ecd-hermes").await, of_hermes);
        }
        unbind_resource_groups(&t, &common, &[members.as_str()]).await;
        assert_eq!(effective(&t, "ecd-claw").await, own);
        assert_eq!(effective(&t, "ecd-hermes").await, None);
    }

    async fn every_change_of_the_effective_group_is_a_newer_wish_for_each_member_and_for_nobody_else(t) {
        for id in ["ecd-1", "ecd-2", "ecd-3"] {
            runtime(&t, "11", id, None, "OpenClaw").await;
        }
        link(&t, &["ecd-1", "ecd-2", "ecd-3"]).await;
        let (members, beside) = (resource_group(&t, "members").await, resource_group(&t, "beside").await);
        move_into(&t, &members, &["ecd-1", "ecd-2"]).await;
        move_into(&t, &beside, &["ecd-3"]).await;
        let (one, two) = (group(&t, "one").await, group(&t, "two").await);
        // Its revision is far above the other's, and yet no change may take a wish back.
        let bailian = provider(&t, &one, "bailian").await;
        for code in ["a", "b", "c"] {
            add(&t, &bailian, vec![new_model(code)]).await.unwrap();
        }
        let mut hints = Hints::of(&t);
        let wishes = async || (wish(&t, "ecd-1").await, wish(&t, "ecd-2").await, wish(&t, "ecd-3").await);
        let mut before = wishes().await;
        for (group_id, binds, changes) in [
            (&one, true, true), (&one, true, false), (&two, true, true), (&one, false, false), (&two, false, true),
            (&two, false, false), (&one, true, true), (&one, false, true),
        ] {
            if binds {
                bind_resource_group(&t, group_id, &members).await;
            } else {
                unbind_resource_groups(&t, group_id, &[members.as_str(), members.as_str()]).await;
            }
            let after = wishes().await;
            assert_eq!((after.0 > before.0, after.1 > before.1, after.2 > before.2), (changes, changes, false));
            assert!(after.0 >= before.0 && after.1 >= before.1, "no wish is ever older");
            hints.raised(changes).await;
            before = after;
        }
        // Out of a group, into another, and when the group itself changes.
        bind_resource_group(&t, &one, &members).await;
        bind_resource_group(&t, &two, &beside).await;
        before = wishes().await;
        for to in [Some(beside.clone()), None, Some(members.clone()), Some(beside.clone()), Some(members.clone())] {
            let from = resource_of(&t, "ecd-1").await;
            let action = actor(&t, "TransferResourcesOutofGroup");
            let names = vec!["ecd-1".to_owned()];
            match (from, to) {
                (Some(from), to) => resource_groups(&t).move_out(action, from, to, names).await.unwrap(),
                (None, Some(to)) => resource_groups(&t).move_into(action, to, names).await.unwrap(),
                (None, None) => {}
            }
            hints.raised(true).await;
            let after = wishes().await;
            assert!(after.0 > before.0 && (after.1, after.2) == (before.1, before.2));
            before = after;
        }
        add(&t, &bailian, vec![new_model("d")]).await.unwrap();
        let after = wishes().await;
        assert!(after.0 > before.0 && after.1 > before.1 && after.2 == before.2);
        hints.raised(true).await;
    }

    async fn resource_groups_are_unbound_one_by_one_and_audited(t) {
        let (one, two) = (group(&t, "one").await, group(&t, "two").await);
        let (a, b, c) =
            (resource_group(&t, "a").await, resource_group(&t, "b").await, resource_group(&t, "c").await);
        bind_resource_group(&t, &one, &a).await;
        bind_resource_group(&t, &two, &b).await;
        let asked = [a.as_str(), b.as_str(), c.as_str(), "rg-none", "nonsense", a.as_str()];
        let outcomes = unbind_resource_groups(&t, &one, &asked).await;
        use UnbindOutcome::{Done, NotFound, OtherGroup};
        let expected = asked.iter().map(|id| (*id).to_owned()).zip([Done, OtherGroup, Done, NotFound, NotFound, Done]);
        assert_eq!(outcomes, expected.collect::<Vec<_>>());
        let bound = |group_id: ModelGroupId| {
            let models = models(&t);
            async move { models.list_resource_groups(&account("11"), &group_id, &[], page(1)).await.unwrap().items }
        };
        assert_eq!((bound(one.clone()).await, bound(two.clone()).await), (vec![], vec![b.clone()]));
        let audited = count(&t, "SELECT COUNT(*) AS total FROM audit WHERE action IN
            ('ConfigResourceGroupModelTemplate', 'RemoveResourceGroupModelTemplate')").await;
        assert_eq!(audited, 3);

        let stranger = || actor_of(&t, "12", "ConfigResourceGroupModelTemplate");
        let foreign = models(&t).bind_resource_group(stranger(), one.clone(), a.clone()).await;
        assert!(matches!(foreign, Err(ModelError::GroupNotFound(id)) if id == one.as_str()));
        let foreign = models(&t).unbind_resource_groups(stranger(), two.clone(), vec![b.to_string()]).await;
        assert!(matches!(foreign, Err(ModelError::GroupNotFound(_))));
        let foreign = models(&t).list_resource_groups(&account("12"), &two, &[], page(1)).await;
        assert!(matches!(foreign, Err(ModelError::GroupNotFound(_))));
        let theirs = resource_groups(&t).create(actor_of(&t, "12", "CreateResourceGroup"), "a".to_owned()).await.unwrap();
        let ours = actor(&t, "ConfigResourceGroupModelTemplate");
        let foreign = models(&t).bind_resource_group(ours, one.clone(), theirs.clone()).await;
        assert!(matches!(foreign, Err(ModelError::ResourceGroupNotFound(id)) if id == theirs.as_str()));
        assert_eq!(bound(two).await, [b], "nothing of it changed anything");
    }

    async fn a_model_group_goes_only_when_no_resource_group_has_it(t) {
        let one = group(&t, "one").await;
        let (a, b) = (resource_group(&t, "a").await, resource_group(&t, "b").await);
        bind_resource_group(&t, &one, &a).await;
        bind_resource_group(&t, &one, &b).await;
        let delete =
            async || models(&t).delete_group(actor(&t, "DeleteModelTemplate"), one.clone()).await;
        assert!(matches!(delete().await, Err(ModelError::GroupInUse(_))));
        unbind_resource_groups(&t, &one, &[a.as_str()]).await;
        assert!(matches!(delete().await, Err(ModelError::GroupInUse(_))));
        resource_groups(&t).delete(actor(&t, "DeleteResourceGroup"), vec![b]).await.unwrap();
        delete().await.unwrap();
        let gone = models(&t).bind_resource_group(actor(&t, "ConfigResourceGroupModelTemplate"), one, a).await;
        assert!(matches!(gone, Err(ModelError::GroupNotFound(_))));
    }

    async fn resource_groups_of_a_model_group_are_listed_by_age(t) {
        let (one, two) = (group(&t, "one").await, group(&t, "two").await);
        let mut ids = Vec::new();
        for name in ["a", "b", "c"] {
            ids.push(resource_group(&t, name).await);
            t.clock.advance(jiff::SignedDuration::from_millis(1));
        }
        let other = resource_group(&t, "other").await;
        bind_resource_group(&t, &two, &other).await;
        for id in ids.iter().rev() {
            bind_resource_group(&t, &one, id).await;
        }
        let list = async |among: &[String], page| {
            models(&t).list_resource_groups(&account("11"), &one, among, page).await.unwrap()
        };
        let all = list(&[], page(1)).await;
        assert_eq!((&all.items, all.total), (&ids, 3));
        let second = list(&[], PageNumber { number: 2, size: 2 }).await;
        assert_eq!((second.items.as_slice(), second.total), (&ids[2..], 3));
        let among = list(&[ids[1].to_string(), other.to_string(), "rg-none".to_owned()], page(1)).await;
        assert_eq!((among.items.as_slice(), among.total), (&ids[1..2], 1));
        for among in [vec![], vec![ids[1].to_string()]] {
            let statement = bound_list_statement(&account("11"), &one, &among, page(2));
            assert_indexed(&t, statement, "resource_group").await;
        }
    }

    async fn the_directory_holds_the_models_of_resource_groups(t) {
        runtime(&t, "11", "ecd-1", None, "OpenClaw").await;
        let (one, unused) = (group(&t, "one").await, group(&t, "unused").await);
        for group_id in [&one, &unused] {
            let bailian = provider(&t, group_id, "bailian").await;
            add(&t, &bailian, vec![new_model("m")]).await.unwrap();
        }
        let members = resource_group(&t, "members").await;
        move_into(&t, &members, &["ecd-1"]).await;
        bind_resource_group(&t, &one, &members).await;
        let directory = models(&t).directory().await.unwrap();
        let [group] = directory.groups.as_slice() else { panic!("{directory:?}") };
        assert_eq!((&group.id, group.providers[0].models.len()), (&one, 1));
        assert_eq!(directory.keys[0].group_id, Some(one));
    }
}

async fn resource_of(t: &TestStore, id: &str) -> Option<ResourceGroupId> {
    models(t).effective_models(&account("11"), id).await.unwrap().resource_group_id
}
