use creel_control::access::Actor;
use creel_control::clock::Clock;
use creel_control::ledger::{Credits, LedgerError, MultiplierRange, Price, PriceOf, PriceSeed};
use creel_control::model::{
    DirectoryRoute, DirectoryTarget, Field, ModelError, NewSystemKey, ProviderApi, RouteOrder,
    SYSTEM_KEYS_MAX, SmartModel, SystemEndpoint, SystemKeyChange, SystemModel, SystemProvider,
    SystemProviderChange, SystemProviderSeed, SystemRoute,
};
use creel_control::store::{StoreError, Topic};
use creel_testkit::{TestStore, both_databases};
use creel_wire::price::RateCard;
use creel_wire::secret::Secret;
use jiff::SignedDuration;

use crate::model::{account, add, count, group, models, new_model, provider, revision, seed, system_model};

const P: &str = "wuying-credit";

fn operator(t: &TestStore, action: &'static str) -> Actor {
    Actor::operator(account("11"), action, t.ids.request_id())
}

fn card(micros: i64) -> RateCard {
    let multiplier_micros = 1_000_000;
    RateCard { input: micros, cached_input: micros, cache_write: micros, output: micros, multiplier_micros }
}

/// Of model `m`, from now on.
fn price(t: &TestStore, micros: i64) -> Price {
    Price {
        of: PriceOf::System(P.to_owned()),
        model_code: "m".to_owned(),
        effective_from_ms: t.clock.now_ms(),
        card: card(micros),
        range: None,
    }
}

fn at(base_url: &str, weight: i64) -> SystemEndpoint {
    SystemEndpoint { base_url: base_url.to_owned(), weight }
}

fn new_key(name: &str) -> NewSystemKey {
    NewSystemKey {
        name: name.to_owned(),
        key: Secret::new(format!("sk-canary-{name}-0123456789")),
        base_url: None,
        weight: 1,
    }
}

async fn add_key(t: &TestStore, key: NewSystemKey) -> Result<(), ModelError> {
    models(t).create_system_key(operator(t, "CreateSystemProviderKey"), P.to_owned(), key).await
}

async fn enable(t: &TestStore, key: &str, enabled: bool) -> Result<(), ModelError> {
    let change = SystemKeyChange { enabled: Some(enabled), weight: None };
    models(t)
        .update_system_key(operator(t, "UpdateSystemProviderKey"), P.to_owned(), key.to_owned(), change)
        .await
}

async fn change(
    t: &TestStore,
    api: Option<ProviderApi>,
    endpoints: Option<Vec<SystemEndpoint>>,
) -> Result<(), ModelError> {
    let change = SystemProviderChange { api, endpoints };
    models(t).update_system_provider(operator(t, "UpdateSystemProvider"), P.to_owned(), change).await
}

async fn create(t: &TestStore, endpoints: Vec<SystemEndpoint>) -> Result<(), ModelError> {
    let (actor, api) = (operator(t, "CreateSystemProvider"), ProviderApi::OpenAiCompletions);
    models(t).create_system_provider(actor, P.to_owned(), api, endpoints).await
}

async fn seeded(t: &TestStore, seed: SystemProviderSeed) -> Vec<String> {
    models(t).seed_system_providers(operator(t, "SeedSystemProviders"), vec![seed]).await.unwrap()
}

async fn only(t: &TestStore) -> SystemProvider {
    let mut found = models(t).list_system_providers().await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Key and number, address, clear key and weight of each target that the gateway gets.
async fn targets(t: &TestStore) -> Vec<(String, String, Option<String>, u32)> {
    let directory = models(t).directory().await.unwrap();
    let shown = |target: &DirectoryTarget| {
        let number = target.number.map(|number| format!("@{number}")).unwrap_or_default();
        let label = format!("{}{number}", target.key_name);
        let clear = target.key.as_ref().map(|key| models(t).open_key(key).unwrap().expose().to_owned());
        (label, target.base_url.clone(), clear, target.weight)
    };
    directory.groups[0].providers[0].targets.iter().map(shown).collect()
}

/// A group that uses the provider, and that the gateway is told of.
async fn used(t: &TestStore) {
    let id = group(t, "g").await;
    provider(t, &id, P).await;
    let bound: Result<u64, StoreError> = t.store.write(move |tx| Box::pin(async move {
        tx.execute(
            "INSERT INTO resource_group (id, account_id, name, created_at_ms, model_group_id) VALUES ('rg-1', '11', 'x', 0, $1)",
            creel_control::store::params![id.as_str()],
        ).await
    })).await;
    bound.unwrap();
}

fn invalid(result: Result<(), ModelError>) -> Field {
    match result {
        Err(ModelError::Invalid { field, .. }) => field,
        other => panic!("not refused as invalid: {other:?}"),
    }
}

both_databases! {
    async fn every_key_goes_with_every_address_that_takes_it(t) {
        create(&t, vec![at("https://a/v1/", 1)]).await.unwrap();
        used(&t).await;
        let a = || "https://a/v1".to_owned();
        assert_eq!(targets(&t).await, [(String::new(), a(), None, 1)]);
        add_key(&t, NewSystemKey { weight: 2, ..new_key("old") }).await.unwrap();
        let old = || Some("sk-canary-old-0123456789".to_owned());
        assert_eq!(targets(&t).await, [("old".to_owned(), a(), old(), 2)]);

        change(&t, None, Some(vec![at("https://a/v1", 3), at("https://b/v1", 1)])).await.unwrap();
        t.clock.advance(jiff::SignedDuration::from_millis(1));
        let mut directory = t.store.topics().subscribe(Topic::Directory);
        directory.mark_unchanged();
        add_key(&t, NewSystemKey { base_url: Some("https://b/v1/".into()), ..new_key("new") }).await.unwrap();
        assert!(directory.has_changed().unwrap(), "gateways are told");
        let new = || Some("sk-canary-new-0123456789".to_owned());
        let b = || "https://b/v1".to_owned();
        let all = [
            ("old@1".to_owned(), a(), old(), 6), ("old@2".to_owned(), b(), old(), 2), ("new@2".to_owned(), b(), new(), 1),
        ];
        assert_eq!(targets(&t).await, all);

        enable(&t, "old", false).await.unwrap();
        assert_eq!(targets(&t).await, all[2..]);
        assert!(matches!(enable(&t, "new", false).await, Err(ModelError::LastSystemKey)));
        let delete = async |key: &str| models(&t).delete_system_key(operator(&t, "DeleteSystemProviderKey"), P.into(), key.into()).await;
        assert!(matches!(delete("new").await, Err(ModelError::LastSystemKey)));
        enable(&t, "old", true).await.unwrap();
        delete("new").await.unwrap();
        assert!(matches!(delete("new").await, Err(ModelError::SystemKeyNotFound(name)) if name == "new"));
        assert_eq!(targets(&t).await, all[..2]);
        let shown = only(&t).await;
        assert_eq!(models(&t).shown_system_key(&shown, &shown.keys[0]), "sk-****6789");
        assert!(!format!("{shown:?}").contains("sealed"));
        for sql in [
            "SELECT COUNT(*) AS total FROM system_key WHERE key_sealed LIKE '%canary%'",
            "SELECT COUNT(*) AS total FROM audit WHERE resources_json LIKE '%canary%'",
        ] {
            assert_eq!(count(&t, sql).await, 0);
        }
        let audited = "SELECT COUNT(*) AS total FROM audit WHERE resources_json = '[\"wuying-credit\",\"new\"]'";
        assert_eq!(count(&t, audited).await, 2, "one row for the key's coming, one for its going");
    }

    async fn the_configuration_seeds_until_somebody_edits(t) {
        assert!(seeded(&t, seed(vec![system_model("a")])).await.is_empty());
        let rotated = || SystemProviderSeed {
            api_key: Some(Secret::new("sk-other-0123456789".into())),
            base_url: "https://elsewhere/v1".into(),
            ..seed(vec![system_model("b")])
        };
        assert!(seeded(&t, rotated()).await.is_empty());
        let before = only(&t).await;
        assert_eq!((before.endpoints[0].base_url.as_str(), before.keys.len()), ("https://elsewhere/v1", 1));
        assert_eq!(before.models, [system_model("b")]);

        add_key(&t, new_key("mine")).await.unwrap();
        for _ in 0..2 {
            assert_eq!(seeded(&t, seed(vec![])).await, [P]);
        }
        let after = only(&t).await;
        assert!(after.edited);
        assert_eq!((after.endpoints, after.keys.len(), after.models), (before.endpoints, 2, before.models));

        // Forgotten, it is seeded again.
        models(&t).delete_system_provider(operator(&t, "DeleteSystemProvider"), P.into()).await.unwrap();
        assert!(seeded(&t, seed(vec![])).await.is_empty());
        assert_eq!((only(&t).await.keys.len(), only(&t).await.edited), (1, false));
    }

    async fn prices_of_an_edited_provider_are_not_seeded(t) {
        let credits = Credits::new(t.store.clone(), t.ids.clone());
        let seed_of = |micros| PriceSeed { provider_name: P.into(), model_code: "m".into(), card: card(micros) };
        let nobodys = credits.set_price(operator(&t, "SetPrice"), price(&t, 1)).await;
        assert!(matches!(nobodys, Err(LedgerError::SystemProviderNotFound(name)) if name == P));
        seeded(&t, seed(vec![system_model("m")])).await;
        credits.seed_system_prices(vec![seed_of(1)]).await.unwrap();
        t.clock.advance(SignedDuration::from_secs(1));
        credits.set_price(operator(&t, "SetPrice"), price(&t, 2)).await.unwrap();
        for seeds in [vec![seed_of(1)], vec![]] {
            credits.seed_system_prices(seeds).await.unwrap();
            assert_eq!(credits.list_system_prices().await.unwrap().last(), Some(&price(&t, 2)));
        }
        assert!(only(&t).await.edited);
    }

    async fn prices_of_the_operator_are_versions_with_a_beginning(t) {
        let credits = Credits::new(t.store.clone(), t.ids.clone());
        create(&t, vec![at("https://a/v1", 1)]).await.unwrap();
        let set = async |price| credits.set_price(operator(&t, "SetPrice"), price).await;
        let in_effect = async || {
            let of = PriceOf::System(P.into());
            credits.price_list().await.unwrap().find(&of, "m").map(|price| price.card.input)
        };
        let now_ms = t.clock.now_ms();
        let coming = Price {
            effective_from_ms: now_ms + 5_000,
            range: Some(MultiplierRange { min_micros: 0, max_micros: Some(1_000_000) }),
            ..price(&t, 2)
        };
        set(price(&t, 1)).await.unwrap();
        set(coming.clone()).await.unwrap();
        assert_eq!(in_effect().await, Some(1));
        assert_eq!(credits.next_price_in().await.unwrap(), Some(std::time::Duration::from_secs(5)));
        let past = Price { effective_from_ms: now_ms - 3_600_000, ..price(&t, 3) };
        assert!(matches!(set(past).await, Err(LedgerError::PriceInThePast)));
        let outside = MultiplierRange { min_micros: 1_000_001, max_micros: None };
        assert!(matches!(
            set(Price { range: Some(outside), ..price(&t, 3) }).await,
            Err(LedgerError::MultiplierOutOfRange)
        ));
        let first = Price { effective_from_ms: now_ms, ..price(&t, 1) };
        t.clock.advance(SignedDuration::from_secs(5));
        assert_eq!(in_effect().await, Some(2));
        assert_eq!(credits.list_system_prices().await.unwrap(), [first, coming], "history stays");
        assert_eq!(credits.list_prices(&account("11")).await.unwrap(), [], "an account's own are others");
    }

    async fn models_are_offered_in_the_order_in_which_they_came(t) {
        create(&t, vec![at("https://a/v1", 1)]).await.unwrap();
        let put = async |model| models(&t).put_system_model(operator(&t, "PutSystemModel"), P.into(), model).await;
        for code in ["z", "a", "z"] {
            put(system_model(code)).await.unwrap();
        }
        assert_eq!(only(&t).await.models, [system_model("z"), system_model("a")]);
        let delete = async |code: &str| models(&t).delete_system_model(operator(&t, "DeleteSystemModel"), P.into(), code.into()).await;
        delete("z").await.unwrap();
        assert!(matches!(delete("z").await, Err(ModelError::SystemModelNotFound(_))));
        assert_eq!(invalid(put(system_model("a b")).await), Field::Code);
        let id = group(&t, "g").await;
        let credit = provider(&t, &id, P).await;
        add(&t, &credit, vec![new_model("a")]).await.unwrap();
        assert!(matches!(add(&t, &credit, vec![new_model("z")]).await, Err(ModelError::Invalid { .. })));
    }

    async fn a_smart_model_leads_to_models_that_are_offered(t) {
        let put = async |model| models(&t).put_system_model(operator(&t, "PutSystemModel"), P.into(), model).await;
        let route = |code: &str, context_tokens_max| SystemRoute {
            provider_name: P.into(), model_code: code.into(), context_tokens_max,
        };
        let smart = |routes| SystemModel {
            smart: Some(SmartModel { order: RouteOrder::Price, routes }), ..system_model("auto")
        };
        create(&t, vec![at("https://a/v1", 1)]).await.unwrap();
        put(system_model("small")).await.unwrap();
        put(system_model("large")).await.unwrap();
        for nowhere in [vec![], vec![route("auto", None)], vec![route("none", None)], vec![route("large", None); 17]] {
            assert_eq!(invalid(put(smart(nowhere)).await), Field::Routes);
        }
        let elsewhere = SystemRoute { provider_name: "none".into(), ..route("large", None) };
        assert_eq!(invalid(put(smart(vec![elsewhere])).await), Field::Routes);
        put(smart(vec![route("large", None)])).await.unwrap();
        let both = || vec![route("small", Some(32_000)), route("large", None)];
        put(smart(both())).await.unwrap();
        assert_eq!(only(&t).await.models, [system_model("small"), system_model("large"), smart(both())]);

        used(&t).await;
        let groups = models(&t).directory().await.unwrap().groups;
        let provider = &groups[0].providers[0];
        add(&t, &provider.id, vec![new_model("small"), new_model("auto")]).await.unwrap();
        let stands = async || {
            let groups = models(&t).directory().await.unwrap().groups;
            let [small, auto] = &groups[0].providers[0].models[..] else { panic!("{groups:?}") };
            assert_eq!(small.smart, None);
            let smart = auto.smart.clone().unwrap();
            assert_eq!(smart.order, RouteOrder::Price);
            let shown = |route: &DirectoryRoute| (route.model_code.clone(), route.context_tokens_max, route.targets.len());
            smart.routes.iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(stands().await, [("small".to_owned(), Some(32_000), 1), ("large".to_owned(), Some(1_000_000), 1)]);
        models(&t).delete_system_model(operator(&t, "DeleteSystemModel"), P.into(), "small".into()).await.unwrap();
        assert_eq!(stands().await, [("large".to_owned(), Some(1_000_000), 1)]);
        put(SystemModel { smart: None, ..smart(vec![]) }).await.unwrap();
        assert_eq!(only(&t).await.models[1], system_model("auto"));
    }

    async fn agents_follow_an_edited_dialect(t) {
        create(&t, vec![at("https://a/v1", 1)]).await.unwrap();
        let id = group(&t, "g").await;
        provider(&t, &id, P).await;
        let before = revision(&t, &id).await;
        for _ in 0..2 {
            change(&t, Some(ProviderApi::AnthropicMessages), None).await.unwrap();
            assert_eq!(revision(&t, &id).await, before + 1);
        }
    }

    async fn edits_that_cannot_be_are_refused_by_name(t) {
        assert!(matches!(add_key(&t, new_key("k")).await, Err(ModelError::NoSystemProvider(name)) if name == P));
        assert_eq!(invalid(create(&t, vec![]).await), Field::Endpoints);
        assert_eq!(invalid(create(&t, vec![at("https://a", 1), at("https://a/", 1)]).await), Field::Endpoints);
        assert_eq!(invalid(create(&t, vec![at("https://a", 0)]).await), Field::Weight);
        assert_eq!(invalid(create(&t, vec![at("ftp://a", 1)]).await), Field::Endpoints);
        create(&t, vec![at("https://a", 1)]).await.unwrap();
        assert!(matches!(create(&t, vec![at("https://a", 1)]).await, Err(ModelError::SystemNameTaken(_))));
        add_key(&t, NewSystemKey { base_url: Some("https://a".into()), ..new_key("k") }).await.unwrap();
        assert!(matches!(add_key(&t, new_key("k")).await, Err(ModelError::SystemNameTaken(name)) if name == "k"));
        let elsewhere = NewSystemKey { base_url: Some("https://b".into()), ..new_key("l") };
        assert_eq!(invalid(add_key(&t, elsewhere).await), Field::BaseUrl);
        let unfit = NewSystemKey { key: Secret::new("a b".into()), ..new_key("l") };
        assert_eq!(invalid(add_key(&t, unfit).await), Field::ApiKey);
        assert_eq!(invalid(add_key(&t, new_key("a b")).await), Field::KeyName);
        assert!(matches!(change(&t, None, Some(vec![at("https://b", 1)])).await, Err(ModelError::EndpointInUse)));
        assert_eq!(only(&t).await.endpoints, [at("https://a", 1)]);
        assert!(matches!(enable(&t, "nobodys", true).await, Err(ModelError::SystemKeyNotFound(_))));
        for number in 1..SYSTEM_KEYS_MAX {
            add_key(&t, new_key(&format!("k{number}"))).await.unwrap();
        }
        assert!(matches!(add_key(&t, new_key("more")).await, Err(ModelError::TooManySystemParts("keys"))));
        let id = group(&t, "g").await;
        provider(&t, &id, P).await;
        let deleted = models(&t).delete_system_provider(operator(&t, "DeleteSystemProvider"), P.into()).await;
        assert!(matches!(deleted, Err(ModelError::SystemProviderInUse(name)) if name == P));
        assert_eq!(only(&t).await.keys.len(), 8);
    }
}
