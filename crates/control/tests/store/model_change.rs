//! What a change or a deletion does to agents and to the gateway.

use creel_control::model::{
    GroupAgent, ModelError, NewModel, ProviderChange, ProviderConfigChange, ProviderFilter,
};
use creel_control::store::{Topic, params, provider_list_statement};
use creel_testkit::both_databases;
use creel_wire::guest::ModelRef;
use creel_wire::id::RuntimeId;
use creel_wire::secret::Secret;

use super::model::{
    account, actor, add, assert_indexed, count, group, models, new_model, page, provider, revision,
};
use super::model_effective::{bind, runtime};

both_databases! {
    async fn a_deleted_model_is_neither_desired_nor_routed(t) {
        runtime(&t, "11", "ecd-1", None, "OpenClaw").await;
        let one = group(&t, "one").await;
        let bailian = provider(&t, &one, "bailian").await;
        let default = NewModel { is_default: true, ..new_model("b") };
        let made = add(&t, &bailian, vec![new_model("a"), default]).await.unwrap();
        bind(&t, &one, &["ecd-1"]).await;
        let before = revision(&t, &one).await;
        let mut guest = t.store.topics().subscribe(Topic::Guest);
        let mut directory = t.store.topics().subscribe(Topic::Directory);
        guest.mark_unchanged();
        directory.mark_unchanged();
        models(&t).delete_model(actor(&t, "DeleteLlmTemplate"), made.ids[1].clone()).await.unwrap();
        assert!(guest.has_changed().unwrap() && directory.has_changed().unwrap());
        assert_eq!(revision(&t, &one).await, before + 1);
        let id = RuntimeId::parse("ecd-1").unwrap();
        let (desired, _) = models(&t).desired_models(&id).await.unwrap().unwrap();
        assert_eq!(desired.default_model, Some(ModelRef { provider: "bailian".into(), code: "a".into() }));
        let codes: Vec<_> = desired.providers[0].models.iter().map(|model| model.code.as_str()).collect();
        assert_eq!(codes, ["a"]);
        let routed = models(&t).directory().await.unwrap();
        assert_eq!(routed.groups[0].providers[0].models.len(), 1);
        let again = models(&t).delete_model(actor(&t, "DeleteLlmTemplate"), made.ids[1].clone()).await;
        assert!(matches!(again, Err(ModelError::ModelNotFound(_))));

        models(&t).delete_provider(actor(&t, "DeleteModelProviderTemplate"), bailian).await.unwrap();
        assert_eq!(revision(&t, &one).await, before + 2);
        let (desired, _) = models(&t).desired_models(&id).await.unwrap().unwrap();
        assert!(desired.providers.is_empty() && desired.default_model.is_none());
        assert!(models(&t).directory().await.unwrap().groups.is_empty());
        let used = models(&t).delete_group(actor(&t, "DeleteModelTemplate"), one).await;
        assert!(matches!(used, Err(ModelError::GroupInUse(_))));
    }

    async fn prices_and_entries_outlive_what_they_are_of(t) {
        let one = group(&t, "one").await;
        let bailian = provider(&t, &one, "bailian").await;
        add(&t, &bailian, vec![new_model("a")]).await.unwrap();
        let id = bailian.to_string();
        let priced: Result<(), creel_control::store::StoreError> = t.store.write(move |tx| Box::pin(async move {
            tx.execute(
                "INSERT INTO price (account_id, provider, model_code, effective_from_ms, input_micros,
                    cached_input_micros, cache_write_micros, output_micros, multiplier_micros)
                 VALUES ('11', $1, 'a', 0, 1, 1, 1, 1, 1)",
                params![id.as_str()],
            ).await?;
            tx.execute(
                "INSERT INTO ledger_entry (id, call_id, part, account_id, runtime_id, provider_id, provider_name,
                    model_code, label, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens,
                    reasoning_tokens, micros, unbilled_micros, month, hour, created_at_ms)
                 VALUES ('c/0', 'c', 0, '11', 'ecd-1', $1, 'bailian', 'a', 'exact', 1, 0, 0, 1, 0, 2, 0, 202601, 1, 0)",
                params![id.as_str()],
            ).await.map(|_| ())
        })).await;
        priced.unwrap();
        models(&t).delete_group(actor(&t, "DeleteModelTemplate"), one).await.unwrap();
        assert_eq!(count(&t, "SELECT COUNT(*) AS total FROM price").await, 1);
        assert_eq!(count(&t, "SELECT COUNT(*) AS total FROM ledger_entry").await, 1);
    }

    async fn a_new_key_is_sealed_and_routed_and_an_equal_one_changes_nothing(t) {
        runtime(&t, "11", "ecd-1", None, "OpenClaw").await;
        let one = group(&t, "one").await;
        let bailian = provider(&t, &one, "bailian").await;
        add(&t, &bailian, vec![new_model("a")]).await.unwrap();
        bind(&t, &one, &["ecd-1"]).await;
        let before = revision(&t, &one).await;
        let key = || ProviderChange {
            config: ProviderConfigChange { api_key: Some(Secret::new("sk-canary-other".into())), ..Default::default() },
            ..ProviderChange::default()
        };
        assert!(!format!("{:?}", key()).contains("canary"));
        for after in [before + 1, before + 1] {
            let change = actor(&t, "UpdateModelProviderTemplate");
            models(&t).update_provider(change, bailian.clone(), key()).await.unwrap();
            assert_eq!(revision(&t, &one).await, after);
        }
        let directory = models(&t).directory().await.unwrap();
        let routed = directory.groups[0].providers[0].targets[0].key.as_ref().unwrap();
        assert_eq!(models(&t).open_key(routed).unwrap().expose(), "sk-canary-other");
        let clear = count(
            &t,
            "SELECT COUNT(*) AS total FROM model_provider WHERE api_key_sealed LIKE '%canary%' OR config_json LIKE '%canary%'",
        );
        assert_eq!(clear.await, 0);
    }

    async fn lists_of_providers_are_served_by_indexes(t) {
        let all = ProviderFilter {
            agent: GroupAgent::OpenClaw, platform: None, group_id: None, provider_name: None, ids: Vec::new(),
        };
        for filter in [
            all.clone(),
            ProviderFilter { group_id: Some("mt-1".into()), ..all.clone() },
            ProviderFilter { provider_name: Some("bailian".into()), ..all.clone() },
            ProviderFilter { ids: vec!["mpt-1".into()], ..all },
        ] {
            assert_indexed(&t, provider_list_statement(&account("11"), &filter, page(2)), "model_provider").await;
        }
    }
}
