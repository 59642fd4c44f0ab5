use creel_control::access::{AccessError, Actor, Origin, Principal};
use creel_control::model::{
    AgentPlatform, CreatedModels, Field, GroupAgent, GroupChange, GroupFilter, ModelError, ModelFilter,
    Models, NewGroup, NewModel, NewModels, NewProvider, ProviderApi, ProviderType, RefScope, SystemModel,
    SystemProviderSeed,
};
use creel_control::page::PageNumber;
use creel_control::store::{StoreError, group_list_statement, model_list_statement};
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::{AccessKeyId, AccountId, ModelGroupId, ProviderId};
use creel_wire::secret::Secret;

pub(crate) const KEY: &str = "sk-canary-0123456789abcd";

pub(crate) fn models(t: &TestStore) -> Models {
    Models::new(t.store.clone(), t.sealer.clone(), t.ids.clone(), true)
}

pub(crate) fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

/// A request of account 11 with a nonce of its own.
pub(crate) fn actor(t: &TestStore, action: &'static str) -> Actor {
    actor_of(t, "11", action)
}

pub(crate) fn actor_of(t: &TestStore, account_id: &str, action: &'static str) -> Actor {
    Actor {
        account_id: account(account_id),
        principal: Principal::AccessKey(AccessKeyId::parse("LTAItest").unwrap()),
        end_user: None,
        action,
        origin: Origin::default(),
        request_id: t.ids.request_id(),
        nonce: Some(t.ids.request_id()),
        client_token: None,
        request_hash: "hash".to_owned(),
    }
}

fn new_group(name: &str) -> NewGroup {
    NewGroup {
        name: name.to_owned(),
        description: String::new(),
        agent: GroupAgent::OpenClaw,
        platform: None,
        ref_scope: None,
    }
}

pub(crate) async fn group(t: &TestStore, name: &str) -> ModelGroupId {
    models(t).create_group(actor(t, "CreateModelTemplate"), new_group(name)).await.unwrap()
}

pub(crate) fn new_provider(group_id: &ModelGroupId, name: &str) -> NewProvider {
    let config = format!(r#"{{"api":"openai-completions","apiKey":"{KEY}","baseUrl":"https://host/v1"}}"#);
    NewProvider {
        group_id: group_id.clone(),
        agent: GroupAgent::OpenClaw,
        provider_name: name.to_owned(),
        name: None,
        description: String::new(),
        provider_type: None,
        config: (name != "wuying-credit").then(|| Secret::new(config)),
        proxied: None,
    }
}

pub(crate) async fn provider(t: &TestStore, group_id: &ModelGroupId, name: &str) -> ProviderId {
    models(t)
        .create_provider(actor(t, "CreateModelProviderTemplate"), new_provider(group_id, name))
        .await
        .unwrap()
}

pub(crate) fn new_model(code: &str) -> NewModel {
    NewModel {
        code: code.to_owned(),
        name: None,
        description: String::new(),
        config: None,
        is_default: false,
    }
}

pub(crate) async fn add(
    t: &TestStore,
    id: &ProviderId,
    items: Vec<NewModel>,
) -> Result<CreatedModels, ModelError> {
    let new = NewModels { provider_id: id.clone(), group_id: None, items };
    models(t).create_models(actor(t, "BatchCreateLlmTemplates"), new).await
}

pub(crate) async fn revision(t: &TestStore, id: &ModelGroupId) -> i64 {
    let filter = GroupFilter { ids: vec![id.to_string()], ..GroupFilter::default() };
    let page = models(t).list_groups(&account("11"), &filter, page(1)).await.unwrap();
    page.items[0].group.revision
}

pub(crate) fn page(number: i64) -> PageNumber {
    PageNumber { number, size: 20 }
}

pub(crate) fn seed(models: Vec<SystemModel>) -> SystemProviderSeed {
    SystemProviderSeed {
        name: "wuying-credit".to_owned(),
        api: ProviderApi::OpenAiCompletions,
        base_url: "https://upstream/v1".to_owned(),
        api_key: Some(Secret::new("sk-operator-0123456789".to_owned())),
        models,
    }
}

pub(crate) fn system_model(code: &str) -> SystemModel {
    SystemModel {
        code: code.to_owned(),
        name: format!("{code}, as offered"),
        context_window: Some(1_000_000),
        max_output_tokens: Some(65_536),
        smart: None,
    }
}

pub(crate) async fn count(t: &TestStore, sql: &'static str) -> i64 {
    t.store.db().fetch_all(sql, Vec::new()).await.unwrap()[0].int("total").unwrap()
}

fn field(result: Result<impl std::fmt::Debug, ModelError>) -> Field {
    match result {
        Err(ModelError::Invalid { field, .. }) => field,
        other => panic!("not refused as invalid: {other:?}"),
    }
}

both_databases! {
    async fn a_group_is_made_shown_and_audited(t) {
        let id = group(&t, "first").await;
        let page = models(&t).list_groups(&account("11"), &GroupFilter::default(), page(1)).await.unwrap();
        assert_eq!(page.total, 1);
        let view = &page.items[0];
        assert_eq!((&view.group.id, view.group.revision, view.model_count), (&id, 1, 0));
        assert_eq!((view.group.platform, view.group.ref_scope), (AgentPlatform::Enterprise, RefScope::ResourceMixed));
        assert_eq!(view.config(), None);
        let audited = count(&t, "SELECT COUNT(*) AS total FROM audit WHERE action = 'CreateModelTemplate'").await;
        assert_eq!(audited, 1);
        let others = models(&t).list_groups(&account("12"), &GroupFilter::default(), self::page(1)).await.unwrap();
        assert_eq!((others.total, others.items.len()), (0, 0));
    }

    async fn a_client_token_answers_as_the_first_call_did(t) {
        let with_token = |hash: &str| Actor {
            client_token: Some("token".to_owned()),
            request_hash: hash.to_owned(),
            ..actor(&t, "CreateModelTemplate")
        };
        let first = models(&t).create_group(with_token("a"), new_group("g")).await.unwrap();
        assert_eq!(models(&t).create_group(with_token("a"), new_group("g")).await.unwrap(), first);
        let other = models(&t).create_group(with_token("b"), new_group("h")).await;
        assert!(matches!(other, Err(ModelError::Access(AccessError::TokenReused))));
        assert_eq!(count(&t, "SELECT COUNT(*) AS total FROM model_group").await, 1);
        let used = actor(&t, "CreateModelTemplate");
        models(&t).create_group(used.clone(), new_group("i")).await.unwrap();
        let again = Actor { request_id: t.ids.request_id(), ..used };
        let replayed = models(&t).create_group(again, new_group("i")).await;
        assert!(matches!(replayed, Err(ModelError::Access(AccessError::NonceUsed))));
        assert_eq!(count(&t, "SELECT COUNT(*) AS total FROM model_group").await, 2);
    }

    async fn malformed_groups_are_refused(t) {
        let create = |new: NewGroup| { let (m, a) = (models(&t), actor(&t, "CreateModelTemplate")); async move { m.create_group(a, new).await } };
        assert_eq!(field(create(new_group(" ")).await), Field::Name);
        assert_eq!(field(create(new_group(&"x".repeat(129))).await), Field::Name);
        assert_eq!(field(create(NewGroup { description: "x".repeat(2_001), ..new_group("g") }).await), Field::Description);
        let common = NewGroup { agent: GroupAgent::Common, ref_scope: Some(RefScope::ResourceMixed), ..new_group("g") };
        assert_eq!(field(create(common).await), Field::RefScope);
        let wrong = NewGroup { platform: Some(AgentPlatform::Common), ..new_group("g") };
        assert_eq!(field(create(wrong).await), Field::AgentPlatform);
        assert_eq!(count(&t, "SELECT COUNT(*) AS total FROM audit").await, 0);
    }

    async fn a_change_is_one_revision_and_no_change_is_none(t) {
        let id = group(&t, "g").await;
        let qwen = provider(&t, &id, "bailian").await;
        add(&t, &qwen, vec![new_model("qwen"), new_model("Qwen/Qwen3")]).await.unwrap();
        assert_eq!(revision(&t, &id).await, 3);
        let update = |change: GroupChange| {
            let (m, a, id) = (models(&t), actor(&t, "UpdateModelTemplate"), id.clone());
            async move { m.update_group(a, id, change).await }
        };
        let config = |text: &str| GroupChange { config: Some(text.to_owned()), ..GroupChange::default() };
        let primary = r#"{"defaults":{"model":{"primary":"bailian/Qwen/Qwen3"}}}"#;
        update(config(primary)).await.unwrap();
        assert_eq!(revision(&t, &id).await, 4);
        update(config(primary)).await.unwrap();
        update(GroupChange::default()).await.unwrap();
        assert_eq!(revision(&t, &id).await, 4, "nothing changed");
        update(GroupChange { name: Some("new".into()), description: Some("d".into()), ..GroupChange::default() }).await.unwrap();
        assert_eq!(revision(&t, &id).await, 5);

        let missing = update(config(r#"{"defaults":{"model":{"primary":"bailian/absent"}}}"#)).await;
        assert!(matches!(&missing, Err(ModelError::Invalid { field: Field::Config, problem }) if problem.contains("bailian/absent")));
        assert_eq!(field(update(config("{}")).await), Field::Config);
        let page = models(&t).list_groups(&account("11"), &GroupFilter::default(), page(1)).await.unwrap();
        assert_eq!(page.items[0].config().as_deref(), Some(primary));
        assert_eq!((page.items[0].group.name.as_str(), page.items[0].model_count), ("new", 2));

        let foreign = models(&t).update_group(actor_of(&t, "12", "UpdateModelTemplate"), id.clone(), GroupChange::default()).await;
        assert!(matches!(foreign, Err(ModelError::GroupNotFound(name)) if name == id.as_str()));
    }

    async fn groups_are_found_by_every_filter(t) {
        let plain = group(&t, "Plain 100%").await;
        let jvs = NewGroup { platform: Some(AgentPlatform::EnterpriseJvs), agent: GroupAgent::HermesAgent, ..new_group("jvs") };
        let jvs = models(&t).create_group(actor(&t, "CreateModelTemplate"), jvs).await.unwrap();
        let common = NewGroup { agent: GroupAgent::Common, ref_scope: Some(RefScope::AllUser), ..new_group("common_x") };
        let common = models(&t).create_group(actor(&t, "CreateModelTemplate"), common).await.unwrap();
        let qwen = provider(&t, &plain, "bailian").await;
        add(&t, &qwen, vec![new_model("qwen")]).await.unwrap();

        let all = GroupFilter::default;
        for (filter, mut expected) in [
            (all(), vec![&plain, &jvs, &common]),
            (GroupFilter { platforms: vec![AgentPlatform::Enterprise], ..all() }, vec![&plain]),
            (GroupFilter { platforms: vec![AgentPlatform::Common, AgentPlatform::EnterpriseJvs], ..all() }, vec![&jvs, &common]),
            (GroupFilter { agents: vec![GroupAgent::HermesAgent], ..all() }, vec![&jvs]),
            (GroupFilter { name: Some("pLAIN".into()), ..all() }, vec![&plain]),
            (GroupFilter { name: Some("0%".into()), ..all() }, vec![&plain]),
            (GroupFilter { name: Some("n_x".into()), ..all() }, vec![&common]),
            (GroupFilter { name: Some("n%x".into()), ..all() }, vec![]),
            (GroupFilter { has_model: Some(true), ..all() }, vec![&plain]),
            (GroupFilter { has_model: Some(false), ..all() }, vec![&jvs, &common]),
            (GroupFilter { ref_scope: Some(RefScope::AllUser), ..all() }, vec![&common]),
            (GroupFilter { source: Some(creel_control::model::GroupSource::System), ..all() }, vec![]),
            (GroupFilter { ids: vec![jvs.to_string(), "mt-absent".into()], ..all() }, vec![&jvs]),
        ] {
            let page = models(&t).list_groups(&account("11"), &filter, page(1)).await.unwrap();
            let mut found: Vec<_> = page.items.iter().map(|view| &view.group.id).collect();
            found.sort();
            expected.sort();
            assert_eq!((found, page.total), (expected.clone(), expected.len() as i64), "{filter:?}");
        }
    }

    async fn pages_hold_every_group_once(t) {
        for n in 0..5 {
            t.clock.advance(jiff::SignedDuration::from_millis(1));
            group(&t, &format!("g{n}")).await;
        }
        let mut names = Vec::new();
        for number in 1..=3 {
            let page = PageNumber { number, size: 2 };
            let page = models(&t).list_groups(&account("11"), &GroupFilter::default(), page).await.unwrap();
            assert_eq!(page.total, 5);
            names.extend(page.items.into_iter().map(|view| view.group.name));
        }
        assert_eq!(names, ["g0", "g1", "g2", "g3", "g4"]);
    }

    async fn a_providers_key_is_sealed_and_shown_masked(t) {
        let id = group(&t, "g").await;
        let provider_id = provider(&t, &id, "bailian").await;
        assert_eq!(revision(&t, &id).await, 2);
        let view = models(&t).get_provider(&account("11"), &provider_id).await.unwrap();
        assert_eq!(
            view.config,
            r#"{"api":"openai-completions","apiKey":"sk-****abcd","baseUrl":"https://host/v1"}"#
        );
        assert_eq!((view.provider.provider_type, view.provider.name.as_str()), (ProviderType::Managed, "bailian"));
        let rows = t.store.db().fetch_all(
            "SELECT config_json, api_key_sealed, base_url, description FROM model_provider", Vec::new()).await.unwrap();
        for column in ["config_json", "api_key_sealed", "base_url", "description"] {
            assert!(!rows[0].text(column).unwrap().contains("canary"), "{column}");
        }
        let foreign = models(&t).get_provider(&account("12"), &provider_id).await;
        assert!(matches!(foreign, Err(ModelError::ProviderNotFound(_))));
    }

    async fn wrong_providers_are_refused(t) {
        let id = group(&t, "g").await;
        let create = |new: NewProvider| {
            let (m, a) = (models(&t), actor(&t, "CreateModelProviderTemplate"));
            async move { m.create_provider(a, new).await }
        };
        create(new_provider(&id, "bailian")).await.unwrap();
        let taken = create(new_provider(&id, "bailian")).await;
        assert!(matches!(taken, Err(ModelError::ProviderNameTaken(name)) if name == "bailian"));
        assert_eq!(field(create(NewProvider { config: None, ..new_provider(&id, "x") }).await), Field::Config);
        assert_eq!(field(create(new_provider(&id, "a/b")).await), Field::ProviderName);
        let custom = NewProvider { provider_type: Some(ProviderType::Custom), ..new_provider(&id, "x") };
        assert_eq!(field(create(custom).await), Field::ProviderName);
        let hermes = NewProvider { agent: GroupAgent::HermesAgent, ..new_provider(&id, "x") };
        assert_eq!(field(create(hermes).await), Field::AgentProvider);
        let direct = NewProvider { proxied: Some(false), ..new_provider(&id, "x") };
        assert!(matches!(create(direct).await, Err(ModelError::GatewayRequired)));
        let nowhere = ModelGroupId::parse("mt-absent").unwrap();
        assert!(matches!(create(new_provider(&nowhere, "x")).await, Err(ModelError::GroupNotFound(_))));
        let foreign = models(&t).create_provider(actor_of(&t, "12", "CreateModelProviderTemplate"), new_provider(&id, "x")).await;
        assert!(matches!(foreign, Err(ModelError::GroupNotFound(_))));
        let credit = create(new_provider(&id, "wuying-credit")).await;
        assert!(matches!(credit, Err(ModelError::NoSystemProvider(name)) if name == "wuying-credit"));
        let direct = NewProvider { proxied: Some(false), ..new_provider(&id, "wuying-credit") };
        assert_eq!(field(create(direct).await), Field::Proxied);
        let with_key = NewProvider { config: new_provider(&id, "x").config, ..new_provider(&id, "wuying-credit") };
        assert_eq!(field(create(with_key).await), Field::Config);
        assert_eq!(count(&t, "SELECT COUNT(*) AS total FROM model_provider").await, 1);
        assert_eq!(revision(&t, &id).await, 2);
    }

    async fn credit_models_come_from_the_operator(t) {
        let operator = || Actor::operator(account("11"), "SeedSystemProviders", t.ids.request_id());
        let offered = vec![system_model("qwen"), system_model("gone")];
        models(&t).seed_system_providers(operator(), vec![seed(offered)]).await.unwrap();
        models(&t).seed_system_providers(operator(), vec![seed(vec![system_model("qwen")])]).await.unwrap();
        models(&t).seed_system_providers(operator(), vec![seed(vec![system_model("qwen")])]).await.unwrap();
        let seeded = count(&t, "SELECT COUNT(*) AS total FROM audit WHERE action = 'SeedSystemProviders'").await;
        assert_eq!(seeded, 2, "the third changed nothing");
        let bad = SystemProviderSeed { base_url: "ftp://x".into(), ..seed(vec![]) };
        assert_eq!(field(models(&t).seed_system_providers(operator(), vec![bad]).await), Field::Config);

        let id = group(&t, "g").await;
        let credit = provider(&t, &id, "wuying-credit").await;
        let view = models(&t).get_provider(&account("11"), &credit).await.unwrap();
        assert_eq!(view.config, r#"{"api":"openai-completions"}"#);
        assert_eq!(field(add(&t, &credit, vec![new_model("gone")]).await), Field::Models);
        let small = NewModel { config: Some(r#"{"maxTokens":100}"#.into()), ..new_model("qwen") };
        add(&t, &credit, vec![small]).await.unwrap();
        let page = models(&t).list_models(&account("11"), &ModelFilter::default(), page(1)).await.unwrap();
        let model = &page.items[0].model;
        let traits = model.traits();
        assert_eq!((traits.context_window, traits.max_output_tokens), (Some(1_000_000), Some(100)));
        assert_eq!(model.name, "qwen, as offered");
        assert_eq!(page.items[0].system_provider_name.as_deref(), Some("wuying-credit"));
    }

    async fn models_that_exist_are_skipped_and_named(t) {
        let id = group(&t, "g").await;
        let qwen = provider(&t, &id, "bailian").await;
        add(&t, &qwen, vec![NewModel { is_default: true, ..new_model("a") }]).await.unwrap();
        let before = revision(&t, &id).await;
        let created = add(&t, &qwen, vec![new_model("b"), new_model("a"), new_model("b"), new_model("c")]).await.unwrap();
        assert_eq!((created.ids.len(), created.submitted), (2, 4));
        let skipped: Vec<_> = created.skipped.iter().map(|item| item.code.as_str()).collect();
        assert_eq!(skipped, ["a", "b"]);
        assert_eq!(revision(&t, &id).await, before + 1);
        let none = add(&t, &qwen, vec![NewModel { is_default: true, ..new_model("b") }]).await.unwrap();
        assert_eq!((none.ids.len(), none.skipped.len()), (0, 1));
        assert_eq!(revision(&t, &id).await, before + 1, "a skipped model changes nothing, not even the default");

        t.clock.advance(jiff::SignedDuration::from_millis(5));
        add(&t, &qwen, vec![NewModel { is_default: true, ..new_model("d") }]).await.unwrap();
        let filter = ModelFilter { group_id: Some(id.to_string()), ..ModelFilter::default() };
        let page = models(&t).list_models(&account("11"), &filter, page(1)).await.unwrap();
        let listed: Vec<_> = page.items.iter().map(|view| (view.model.code.as_str(), view.is_default)).collect();
        assert_eq!(listed[0], ("d", true), "the default first");
        assert_eq!(listed.iter().filter(|(_, default)| *default).count(), 1);
        assert_eq!(page.total, 4);
        let by_age = models(&t).list_models(&account("11"), &ModelFilter::default(), self::page(1)).await.unwrap();
        assert_eq!(by_age.items[3].model.code, "d");
    }

    async fn a_batch_keeps_its_order(t) {
        let id = group(&t, "g").await;
        let qwen = provider(&t, &id, "bailian").await;
        let codes: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
        add(&t, &qwen, codes.iter().map(|code| new_model(code)).collect()).await.unwrap();
        let page = PageNumber { number: 1, size: 100 };
        let page = models(&t).list_models(&account("11"), &ModelFilter::default(), page).await.unwrap();
        let listed: Vec<_> = page.items.into_iter().map(|view| view.model.code).collect();
        assert_eq!(listed, codes);
    }

    async fn wrong_models_are_refused_and_nothing_is_made(t) {
        let id = group(&t, "g").await;
        let qwen = provider(&t, &id, "bailian").await;
        let default = |code: &str| NewModel { is_default: true, ..new_model(code) };
        for items in [
            vec![],
            vec![default("a"), default("b")],
            vec![new_model("a"), new_model("b c")],
            vec![new_model("a"), new_model("")],
            vec![new_model("a"), NewModel { config: Some("{\"id\":\"b\"}".into()), ..new_model("c") }],
            vec![NewModel { name: Some(String::new()), ..new_model("c") }],
        ] {
            assert_eq!(field(add(&t, &qwen, items).await), Field::Models);
        }
        let other = group(&t, "other").await;
        let new = NewModels { provider_id: qwen.clone(), group_id: Some(other), items: vec![new_model("a")] };
        assert_eq!(field(models(&t).create_models(actor(&t, "BatchCreateLlmTemplates"), new).await), Field::GroupId);
        let new = NewModels { provider_id: qwen, group_id: None, items: vec![new_model("a")] };
        let foreign = models(&t).create_models(actor_of(&t, "12", "BatchCreateLlmTemplates"), new).await;
        assert!(matches!(foreign, Err(ModelError::ProviderNotFound(_))));
        assert_eq!(count(&t, "SELECT COUNT(*) AS total FROM model").await, 0);
    }

    async fn models_are_found_by_every_filter(t) {
        let (one, two) = (group(&t, "one").await, group(&t, "two").await);
        let first = provider(&t, &one, "bailian").await;
        let second = provider(&t, &two, "moonshot").await;
        let made = add(&t, &first, vec![new_model("Qwen3"), new_model("glm")]).await.unwrap();
        add(&t, &second, vec![new_model("kimi")]).await.unwrap();
        let all = ModelFilter::default;
        for (filter, mut expected) in [
            (all(), vec!["Qwen3", "glm", "kimi"]),
            (ModelFilter { group_id: Some(one.to_string()), ..all() }, vec!["Qwen3", "glm"]),
            (ModelFilter { provider_id: Some(second.to_string()), ..all() }, vec!["kimi"]),
            (ModelFilter { code: Some("QWEN".into()), ..all() }, vec!["Qwen3"]),
            (ModelFilter { ids: vec![made.ids[1].to_string()], ..all() }, vec!["glm"]),
            (ModelFilter { group_id: Some("mt-absent".into()), ..all() }, vec![]),
        ] {
            let page = models(&t).list_models(&account("11"), &filter, page(1)).await.unwrap();
            let mut found: Vec<_> = page.items.iter().map(|view| view.model.code.as_str()).collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!((found, page.total), (expected.clone(), expected.len() as i64), "{filter:?}");
        }
        let foreign = models(&t).list_models(&account("12"), &all(), page(1)).await.unwrap();
        assert_eq!(foreign.total, 0);
    }

    async fn bounds_hold(t) {
        let id = group(&t, "g").await;
        for n in 0..50 {
            provider(&t, &id, &format!("p{n}")).await;
        }
        let more = models(&t).create_provider(actor(&t, "CreateModelProviderTemplate"), new_provider(&id, "p50")).await;
        assert!(matches!(more, Err(ModelError::TooManyProviders)));
        let other = group(&t, "h").await;
        let full = provider(&t, &other, "full").await;
        add(&t, &full, (0..200).map(|n| new_model(&format!("m{n}"))).collect()).await.unwrap();
        assert!(matches!(add(&t, &full, vec![new_model("one-more")]).await, Err(ModelError::TooManyModels)));
        let made: Result<(), StoreError> = t.store.write(|tx| Box::pin(async move {
            for n in 0..1_000 {
                tx.execute(
                    "INSERT INTO model_group (id, account_id, name, description, agent_provider, agent_platform, biz_type,
                        ref_scope, source, revision, created_at_ms)
                     VALUES ($1, '13', 'n', '', 'OpenClaw', 'ENTERPRISE', 1, 'RESOURCE_MIXED', 'User', 1, 0)",
                    creel_control::store::params![format!("mt-{n}")],
                ).await?;
            }
            Ok(())
        })).await;
        made.unwrap();
        let more = models(&t).create_group(actor_of(&t, "13", "CreateModelTemplate"), new_group("more")).await;
        assert!(matches!(more, Err(ModelError::TooManyGroups)));
    }

    async fn lists_are_served_by_indexes(t) {
        let all = GroupFilter::default;
        for filter in [
            all(),
            GroupFilter { name: Some("x".into()), platforms: vec![AgentPlatform::Enterprise], ..all() },
            GroupFilter { has_model: Some(true), ..all() },
            GroupFilter { ids: vec!["mt-1".into()], ..all() },
        ] {
            assert_indexed(&t, group_list_statement(&account("11"), &filter, page(2)), "model_group").await;
        }
        let all = ModelFilter::default;
        for filter in [
            all(),
            ModelFilter { group_id: Some("mt-1".into()), ..all() },
            ModelFilter { provider_id: Some("mpt-1".into()), ..all() },
            ModelFilter { code: Some("x".into()), ..all() },
            ModelFilter { ids: vec!["llmt-1".into()], ..all() },
        ] {
            assert_indexed(&t, model_list_statement(&account("11"), &filter, page(2)), "model").await;
        }
    }
}

/// The plan reads no table from end to end. PostgreSQL is told to avoid that where it can: its tables are empty here.
pub(crate) async fn assert_indexed(t: &TestStore, statement: sea_query::SelectStatement, table: &str) {
    if t.store.db().is_postgres() {
        let sql = format!("EXPLAIN {}", statement.to_string(sea_query::PostgresQueryBuilder));
        let plan: Result<String, StoreError> = t
            .store
            .write(move |tx| {
                Box::pin(async move {
                    tx.execute("SET LOCAL enable_seqscan = off", Vec::new()).await?;
                    let rows = tx.fetch_all(sql, Vec::new()).await?;
                    let lines: Result<Vec<_>, _> = rows.iter().map(|row| row.text("QUERY PLAN")).collect();
                    Ok(lines?.join("\n"))
                })
            })
            .await;
        let plan = plan.unwrap();
        assert!(!plan.contains("Seq Scan"), "{plan}");
        assert!(plan.contains(&format!("on {table}")), "{plan}");
    } else {
        let sql = format!("EXPLAIN QUERY PLAN {}", statement.to_string(sea_query::SqliteQueryBuilder));
        let rows = t.store.db().fetch_all(sql, Vec::new()).await.unwrap();
        let lines: Vec<_> = rows.iter().map(|row| row.text("detail").unwrap()).collect();
        assert!(lines.iter().any(|line| line.contains(table)), "{lines:?}");
        assert!(lines.iter().all(|line| !line.starts_with("SCAN")), "{lines:?}");
    }
}
