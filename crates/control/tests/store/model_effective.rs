use creel_control::access::Actor;
use creel_control::model::{
    BindOutcome, GroupAgent, KeyHolder, ModelError, Models, NewGroup, NewModel, NewProvider, ProviderApi,
    SystemProviderSeed, applied_marker,
};
use creel_control::store::{StoreError, Topic, params};
use creel_testkit::{TestStore, both_databases};
use creel_wire::guest::{ModelRef, ProviderEndpoint};
use creel_wire::id::{ModelGroupId, RuntimeId};

use super::model::{
    KEY, account, actor, actor_of, add, count, group, models, new_model, new_provider, provider, revision,
    seed, system_model,
};

/// A runtime with this program, and a virtual key whose hash is `hash-<id>`.
pub(crate) async fn runtime(
    t: &TestStore,
    account_id: &'static str,
    id: &'static str,
    jvs_id: Option<&'static str>,
    agent: &'static str,
) {
    let made: Result<(), StoreError> = t.store.write(move |tx| Box::pin(async move {
        let site = format!("cn-hangzhou+dir-{account_id}");
        tx.execute(
            "INSERT INTO office_site (id, account_id, region_id, name, attributes_json, created_at_ms)
             VALUES ($1, $2, 'cn-hangzhou', 'site', '{}', 0) ON CONFLICT (id) DO NOTHING",
            params![site.as_str(), account_id],
        ).await?;
        tx.execute(
            "INSERT INTO runtime (id, account_id, region_id, jvs_id, name, host_name, office_site_id, image_id,
                desktop_type, os_type, agent_provider, agent_platform, charge_type, attributes_json, power,
                boot_generation, generation, sandbox, reason, created_at_ms)
             VALUES ($1, $2, 'cn-hangzhou', $3, 'name', 'host', $4, 'imgc-1', 't', 'Linux', $5, 'ENTERPRISE',
                'PostPaid', '{}', 'Running', 1, 1, 'Running', '', 0)",
            params![id, account_id, jvs_id, site.as_str(), agent],
        ).await?;
        tx.execute(
            "INSERT INTO virtual_key (id, account_id, runtime_id, key_hash, holder, created_at_ms)
             VALUES ($1, $2, $3, $4, 'Agent', 0)",
            params![format!("vk-{id}"), account_id, id, format!("hash-{id}")],
        ).await?;
        Ok(())
    })).await;
    made.unwrap();
}

pub(crate) async fn bind(t: &TestStore, group_id: &ModelGroupId, names: &[&str]) -> Vec<BindOutcome> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let bound = models(t)
        .bind_runtimes(actor(t, "ConfigRuntimeModelTemplate"), group_id.clone(), names)
        .await
        .unwrap();
    bound.into_iter().map(|entry| entry.outcome).collect()
}

async fn unbind(t: &TestStore, group_id: &ModelGroupId, names: &[&str]) -> Vec<BindOutcome> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let bound = models(t)
        .unbind_runtimes(actor(t, "RemoveRuntimeModelTemplate"), group_id.clone(), names)
        .await
        .unwrap();
    bound.into_iter().map(|entry| entry.outcome).collect()
}

async fn generation(t: &TestStore, id: &str) -> i64 {
    let rows =
        t.store.db().fetch_all("SELECT generation FROM runtime WHERE id = $1", params![id]).await.unwrap();
    rows[0].int("generation").unwrap()
}

fn through_gateway(api: &str) -> ProviderEndpoint {
    ProviderEndpoint::Gateway { api: api.to_owned() }
}

fn id(text: &str) -> RuntimeId {
    RuntimeId::parse(text).unwrap()
}

both_databases! {
    async fn runtimes_are_bound_one_by_one(t) {
        runtime(&t, "11", "ecd-1", None, "OpenClaw").await;
        runtime(&t, "11", "ecd-2", Some("jvs-2"), "OpenClaw").await;
        runtime(&t, "11", "ecd-3", None, "HermesAgent").await;
        runtime(&t, "12", "ecd-4", None, "OpenClaw").await;
        let one = group(&t, "one").await;
        let mut guest = t.store.topics().subscribe(Topic::Guest);
        let mut directory = t.store.topics().subscribe(Topic::Directory);
        guest.mark_unchanged();
        directory.mark_unchanged();
        let outcomes = bind(&t, &one, &["ecd-1", "jvs-2", "ecd-3", "ecd-4", "ecd-absent", "ecd-1", "nonsense"]).await;
        let mismatch = BindOutcome::AgentMismatch { runtime_agent: "HermesAgent", group_agent: "OpenClaw" };
        assert_eq!(outcomes, [
            BindOutcome::Done, BindOutcome::Done, mismatch, BindOutcome::RuntimeNotFound, BindOutcome::RuntimeNotFound,
            BindOutcome::Done, BindOutcome::RuntimeNotFound,
        ]);
        assert!(guest.has_changed().unwrap() && directory.has_changed().unwrap());
        for (id, expected) in [("ecd-1", 2), ("ecd-2", 2), ("ecd-3", 1), ("ecd-4", 1)] {
            assert_eq!(generation(&t, id).await, expected, "{id}");
        }
        bind(&t, &one, &["ecd-1"]).await;
        assert_eq!(generation(&t, "ecd-1").await, 2, "bound already");

        let two = group(&t, "two").await;
        assert_eq!(unbind(&t, &two, &["ecd-1", "ecd-3", "ecd-4"]).await,
            [BindOutcome::OtherGroup, BindOutcome::Done, BindOutcome::RuntimeNotFound]);
        assert_eq!(bind(&t, &two, &["ecd-1"]).await, [BindOutcome::Done]);
        assert_eq!(unbind(&t, &two, &["ecd-1"]).await, [BindOutcome::Done]);
        assert_eq!(generation(&t, "ecd-1").await, 4);
        assert!(models(&t).desired_models(&id("ecd-1")).await.unwrap().is_none());
        let audited = count(&t, "SELECT COUNT(*) AS total FROM audit WHERE action = 'ConfigRuntimeModelTemplate'").await;
        assert_eq!(audited, 3);

        let foreign = models(&t)
            .bind_runtimes(actor_of(&t, "12", "ConfigRuntimeModelTemplate"), one, vec!["ecd-4".into()]).await;
        assert!(matches!(foreign, Err(ModelError::GroupNotFound(_))));
    }

    async fn a_common_group_fits_every_agent(t) {
        runtime(&t, "11", "ecd-1", None, "HermesAgent").await;
        let common = NewGroup {
            name: "common".into(), description: String::new(), agent: GroupAgent::Common, platform: None, ref_scope: None,
        };
        let common = models(&t).create_group(actor(&t, "CreateModelTemplate"), common).await.unwrap();
        assert_eq!(bind(&t, &common, &["ecd-1"]).await, [BindOutcome::Done]);
    }

    async fn a_proxied_provider_gives_the_guest_no_key(t) {
        runtime(&t, "11", "ecd-1", None, "OpenClaw").await;
        let one = group(&t, "one").await;
        let bailian = provider(&t, &one, "bailian").await;
        provider(&t, &one, "empty").await;
        let config = r#"{"contextWindow":1000,"maxTokens":100,"input":["text","image"],"reasoning":true}"#;
        let big = NewModel { config: Some(config.into()), name: Some("Big".into()), ..new_model("big") };
        add(&t, &bailian, vec![big, NewModel { is_default: true, ..new_model("small") }]).await.unwrap();
        bind(&t, &one, &["ecd-1"]).await;

        let (desired, marker) = models(&t).desired_models(&id("ecd-1")).await.unwrap().unwrap();
        assert_eq!(marker, applied_marker(&one, revision(&t, &one).await));
        assert_eq!(desired.default_model, Some(ModelRef { provider: "bailian".into(), code: "small".into() }));
        assert_eq!(desired.providers.len(), 1, "one without models is left out");
        assert_eq!(desired.providers[0].endpoint, through_gateway("openai-completions"));
        let big = &desired.providers[0].models[0];
        assert_eq!((big.code.as_str(), big.name.as_str(), big.reasoning), ("big", "Big", true));
        assert_eq!((big.context_window, big.max_output_tokens, big.input.len()), (Some(1000), Some(100), 2));
        assert!(!serde_json::to_string(&desired).unwrap().contains("canary"));
    }

    async fn a_direct_provider_gives_the_key_until_the_operator_requires_the_gateway(t) {
        runtime(&t, "11", "ecd-1", None, "OpenClaw").await;
        let one = group(&t, "one").await;
        let lenient = Models::new(t.store.clone(), t.sealer.clone(), t.ids.clone(), false);
        let direct = NewProvider { proxied: Some(false), ..new_provider(&one, "provider-mine") };
        let direct = lenient.create_provider(actor(&t, "CreateModelProviderTemplate"), direct).await.unwrap();
        add(&t, &direct, vec![new_model("m")]).await.unwrap();
        bind(&t, &one, &["ecd-1"]).await;
        let (desired, _) = lenient.desired_models(&id("ecd-1")).await.unwrap().unwrap();
        let ProviderEndpoint::Direct { base_url, api_key, .. } = &desired.providers[0].endpoint else {
            panic!("not direct: {desired:?}")
        };
        assert_eq!((base_url.as_str(), api_key.expose()), ("https://host/v1", KEY));
        let (desired, _) = models(&t).desired_models(&id("ecd-1")).await.unwrap().unwrap();
        assert_eq!(desired.providers[0].endpoint, through_gateway("openai-completions"));
    }

    async fn agents_follow_the_dialect_of_the_operators_provider(t) {
        let speaks = async |api| {
            let seed = SystemProviderSeed { api, ..seed(vec![system_model("qwen")]) };
            let operator = Actor::operator(account("11"), "SeedSystemProviders", t.ids.request_id());
            models(&t).seed_system_providers(operator, vec![seed]).await.unwrap();
        };
        speaks(ProviderApi::AnthropicMessages).await;
        runtime(&t, "11", "ecd-1", None, "OpenClaw").await;
        let (one, other) = (group(&t, "one").await, group(&t, "other").await);
        let credit = provider(&t, &one, "wuying-credit").await;
        provider(&t, &other, "bailian").await;
        add(&t, &credit, vec![new_model("qwen")]).await.unwrap();
        bind(&t, &one, &["ecd-1"]).await;
        let mut guest = t.store.topics().subscribe(Topic::Guest);
        guest.mark_unchanged();
        let before = (revision(&t, &one).await, revision(&t, &other).await);
        for (api, changes) in [
            (ProviderApi::AnthropicMessages, 0), (ProviderApi::OpenAiResponses, 1), (ProviderApi::OpenAiResponses, 1),
        ] {
            speaks(api).await;
            let (desired, _) = models(&t).desired_models(&id("ecd-1")).await.unwrap().unwrap();
            assert_eq!(desired.providers[0].endpoint, through_gateway(api.as_str()));
            assert_eq!((revision(&t, &one).await, revision(&t, &other).await), (before.0 + changes, before.1));
            let view = models(&t).get_provider(&account("11"), &credit).await.unwrap();
            assert_eq!(view.config, format!(r#"{{"api":"{}"}}"#, api.as_str()));
        }
        assert!(guest.has_changed().unwrap());
    }

    async fn models_are_applied_when_the_guest_confirmed_this_revision(t) {
        runtime(&t, "11", "ecd-1", Some("jvs-1"), "OpenClaw").await;
        let unbound = models(&t).effective_models(&account("11"), "ecd-1").await.unwrap();
        assert!(unbound.group.is_none() && unbound.default_model.is_none() && !unbound.applied);
        let one = group(&t, "one").await;
        let bailian = provider(&t, &one, "bailian").await;
        add(&t, &bailian, vec![new_model("first"), new_model("second")]).await.unwrap();
        bind(&t, &one, &["jvs-1"]).await;
        assert!(!models(&t).effective_models(&account("11"), "jvs-1").await.unwrap().applied);
        let (_, marker) = models(&t).desired_models(&id("ecd-1")).await.unwrap().unwrap();
        let confirmed: Result<(), StoreError> = t.store.write(move |tx| Box::pin(async move {
            tx.execute(
                "INSERT INTO runtime_observed (runtime_id, account_id, agent_status, agent_starts, memory_limited,
                    receipt_desired, receipt_observed, applied_models, observed_at_ms)
                 VALUES ('ecd-1', '11', 'Running', 1, 1, 2, 2, $1, 0)",
                params![marker],
            ).await.map(|_| ())
        })).await;
        confirmed.unwrap();
        let effective = models(&t).effective_models(&account("11"), "ecd-1").await.unwrap();
        assert!(effective.applied);
        assert_eq!(effective.default_model, Some(ModelRef { provider: "bailian".into(), code: "first".into() }));
        let codes: Vec<_> = effective.providers[0].models.iter().map(|model| model.code.as_str()).collect();
        assert_eq!(codes, ["first", "second"]);
        add(&t, &bailian, vec![new_model("third")]).await.unwrap();
        assert!(!models(&t).effective_models(&account("11"), "ecd-1").await.unwrap().applied);
        let foreign = models(&t).effective_models(&account("12"), "ecd-1").await;
        assert!(matches!(foreign, Err(ModelError::RuntimeNotFound(name)) if name == "ecd-1"));
    }

    async fn the_directory_holds_what_live_runtimes_use(t) {
        runtime(&t, "11", "ecd-1", None, "OpenClaw").await;
        runtime(&t, "11", "ecd-2", None, "OpenClaw").await;
        runtime(&t, "11", "ecd-3", None, "OpenClaw").await;
        let operator = Actor::operator(account("11"), "SeedSystemProviders", t.ids.request_id());
        models(&t).seed_system_providers(operator, vec![seed(vec![system_model("qwen")])]).await.unwrap();
        let (used, unused) = (group(&t, "used").await, group(&t, "unused").await);
        let bailian = provider(&t, &used, "bailian").await;
        t.clock.advance(jiff::SignedDuration::from_millis(1));
        let credit = provider(&t, &used, "wuying-credit").await;
        let other = provider(&t, &unused, "bailian").await;
        let limited = NewModel { config: Some(r#"{"maxTokens":100}"#.into()), ..new_model("a") };
        add(&t, &bailian, vec![limited, new_model("b")]).await.unwrap();
        add(&t, &credit, vec![new_model("qwen")]).await.unwrap();
        add(&t, &other, vec![new_model("c")]).await.unwrap();
        bind(&t, &used, &["ecd-1"]).await;
        bind(&t, &unused, &["ecd-3"]).await;
        let gone: Result<(), StoreError> = t.store.write(|tx| Box::pin(async move {
            tx.execute("UPDATE runtime SET deleted_at_ms = 1 WHERE id = 'ecd-3'", Vec::new()).await.map(|_| ())
        })).await;
        gone.unwrap();

        let directory = models(&t).directory().await.unwrap();
        let keys: Vec<_> = directory.keys.iter().map(|key| (key.key_hash.as_str(), key.group_id.as_ref())).collect();
        assert_eq!(keys, [("hash-ecd-1", Some(&used)), ("hash-ecd-2", None)]);
        assert_eq!(directory.keys[0].holder, KeyHolder::Agent);
        assert_eq!(directory.groups.len(), 1);
        let [first, second] = directory.groups[0].providers.as_slice() else { panic!("{directory:?}") };
        let [at_first] = &*first.targets else { panic!("{first:?}") };
        assert_eq!((first.name.as_str(), at_first.base_url.as_str()), ("bailian", "https://host/v1"));
        let codes: Vec<_> = first.models.iter().map(|model| (model.code.as_str(), model.max_output_tokens)).collect();
        assert_eq!(codes, [("a", Some(100)), ("b", None)]);
        assert_eq!(models(&t).open_key(at_first.key.as_ref().unwrap()).unwrap().expose(), KEY);
        let [at_second] = &*second.targets else { panic!("{second:?}") };
        assert_eq!((at_second.base_url.as_str(), second.models.len()), ("https://upstream/v1", 1));
        assert_eq!(second.system_provider_name.as_deref(), Some("wuying-credit"));
        assert_eq!(models(&t).open_key(at_second.key.as_ref().unwrap()).unwrap().expose(), "sk-operator-0123456789");
        assert!(!format!("{directory:?}").contains("canary"));
    }
}
