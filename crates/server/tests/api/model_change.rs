//! Changing and deleting groups, providers and models, and the catalogue of endpoints.

use creel_control::store::params;
use creel_testkit::{TestStore, both_databases};
use serde_json::{Value, json};

use crate::model::{config, create_group, create_provider, text};
use crate::model_calls::{Answer, Api, Tenant};

/// Filters, and the providers that they find.
type Found<'a> = (Vec<(&'a str, &'a str)>, Vec<&'a String>);

const VERSION: &str = "2021-09-01";
const DESKTOPS: &str = "2020-09-30";

async fn call(api: &Api, action: &str, params: &[(&str, &str)]) -> Answer {
    api.call(VERSION, action, params).await
}

fn not_found(of: &str) -> (u16, String) {
    (404, format!("{of}.NotFound"))
}

/// A group with the provider bailian, and that provider's id.
async fn group_with_provider(api: &Api, name: &str) -> (String, String) {
    let group = create_group(api, name).await;
    let config = config("openai-completions");
    let made = create_provider(api, &group, "bailian", &[("Config", &config)]).await.ok();
    (group, text(&made["Data"]["ProviderTemplateId"]))
}

async fn add_models(api: &Api, provider: &str, codes: &[&str]) -> Vec<String> {
    let names: Vec<String> = (1..=codes.len()).map(|n| format!("LlmTemplateItems.{n}.LlmCode")).collect();
    let mut params = vec![("ProviderTemplateId", provider)];
    params.extend(names.iter().zip(codes).map(|(name, code)| (name.as_str(), *code)));
    let made = call(api, "BatchCreateLlmTemplates", &params).await.ok();
    made["Data"]["LlmTemplateIds"].as_array().unwrap().iter().map(text).collect()
}

pub(crate) async fn create_runtime(api: &Api, bundle: &str) -> String {
    let site = [("RegionId", "cn-hangzhou"), ("OfficeSiteName", bundle)];
    let site = text(&api.call(DESKTOPS, "CreateSimpleOfficeSite", &site).await.ok()["OfficeSiteId"]);
    let desktop = [
        ("RegionId", "cn-hangzhou"),
        ("OfficeSiteId", site.as_str()),
        ("BundleId", bundle),
        ("ChargeType", "PostPaid"),
        ("DesktopAttachment", r#"{"DesktopType":"cloud.space.4c.8g"}"#),
    ];
    text(&api.call(DESKTOPS, "CreateDesktops", &desktop).await.ok()["DesktopId"][0])
}

async fn default_model(api: &Api, runtime: &str) -> Value {
    let get = [("AgentProvider", "OpenClaw"), ("RuntimeType", "CloudDesktop"), ("RuntimeId", runtime)];
    call(api, "GetRuntimeModelConfig", &get).await.ok()["Data"]["DefaultModel"].clone()
}

async fn audited(t: &TestStore) -> String {
    let rows =
        t.store.db().fetch_all("SELECT resources_json FROM audit ORDER BY id", params![]).await.unwrap();
    rows.iter().map(|row| row.text("resources_json").unwrap()).collect()
}

both_databases! {
    async fn a_provider_is_changed_in_part(t) {
        let api = Api::over(&t).await;
        let (_, id) = group_with_provider(&api, "g").await;
        let new_key = "sk-canary-new-key-wxyz";
        let change = [
            ("ProviderTemplateId", id.as_str()), ("Name", "Bailian"), ("Description", "ours"),
            ("Config", &format!(r#"{{"ApiKey":"{new_key}"}}"#)),
        ];
        call(&api, "UpdateModelProviderTemplate", &change).await.ok();
        let moved = [("ProviderTemplateId", id.as_str()), ("Config.BaseUrl", "https://other/v1/")];
        call(&api, "UpdateModelProviderTemplate", &moved).await.ok();
        let shown = call(&api, "GetModelProviderTemplate", &[("ProviderTemplateId", &id)]).await.ok();
        assert!(!shown.to_string().contains("canary"), "{shown}");
        assert_eq!((&shown["Data"]["Name"], &shown["Data"]["Description"]), (&json!("Bailian"), &json!("ours")));
        let kept: Value = serde_json::from_str(shown["Data"]["Config"].as_str().unwrap()).unwrap();
        assert_eq!(kept, json!({ "api": "openai-completions", "apiKey": "sk-****wxyz", "baseUrl": "https://other/v1" }));
        call(&api, "UpdateModelProviderTemplate", &[("ProviderTemplateId", &id), ("Description", "")]).await.ok();
        let shown = call(&api, "GetModelProviderTemplate", &[("ProviderTemplateId", &id)]).await.ok();
        assert_eq!((&shown["Data"]["Name"], &shown["Data"]["Description"]), (&json!("Bailian"), &json!("")));

        for (more, status, code) in [
            (("Config.ApiType", "ollama"), 400, "InvalidConfig"),
            (("Config.BaseUrl", "ftp://host"), 400, "InvalidConfig"),
            (("Config.ApiKey", "sk-canary with spaces"), 400, "InvalidConfig"),
            (("EnableWuyingProxy", "False"), 403, "Gateway.Required"),
            (("Name", " "), 400, "InvalidName"),
        ] {
            let answer = call(&api, "UpdateModelProviderTemplate", &[("ProviderTemplateId", &id), more]).await;
            assert!(!answer.body.to_string().contains("canary"), "{}", answer.body);
            assert_eq!(answer.refused(), (status, code.to_owned()), "{more:?}");
        }
        for (tenant, id) in [(Tenant::Other, id.as_str()), (Tenant::Root, "mpt-absent"), (Tenant::Root, "x")] {
            let params = [("ProviderTemplateId", id), ("Name", "n")];
            let refused = api.call_as(tenant, VERSION, "UpdateModelProviderTemplate", &params).await.refused();
            assert_eq!(refused, not_found("ModelProviderTemplate"));
        }
        assert!(!audited(&t).await.contains("canary"));
    }

    async fn providers_are_listed_by_every_filter(t) {
        let api = Api::over(&t).await;
        let (one, first) = group_with_provider(&api, "one").await;
        let (_, second) = group_with_provider(&api, "two").await;
        let config = config("openai-completions");
        let third = create_provider(&api, &one, "moonshot", &[("Config", &config)]).await.ok();
        let third = text(&third["Data"]["ProviderTemplateId"]);
        let ids = json!([second]).to_string();
        let expected: [Found<'_>; 7] = [
            (vec![], vec![&first, &second, &third]),
            (vec![("ModelTemplateId", &one)], vec![&first, &third]),
            (vec![("ProviderName", "bailian")], vec![&first, &second]),
            (vec![("ProviderTemplateIds", &ids)], vec![&second]),
            (vec![("AgentPlatform", "ENTERPRISE_JVS")], vec![]),
            (vec![("AgentPlatform", "Enterprise"), ("ModelTemplateId", &one)], vec![&first, &third]),
            (vec![("ModelTemplateId", &one), ("PageSize", "1"), ("PageNumber", "2")], vec![&third]),
        ];
        for (more, ids) in expected {
            let mut params = vec![("AgentProvider", "OpenClaw"), ("BizType", "1")];
            params.extend(&more);
            let list = call(&api, "ListModelProviderTemplates", &params).await.ok();
            assert!(!list.to_string().contains("canary"), "{list}");
            let mut found: Vec<String> =
                list["Data"].as_array().unwrap().iter().map(|item| text(&item["ProviderTemplateId"])).collect();
            let mut wanted: Vec<String> = ids.into_iter().cloned().collect();
            found.sort();
            wanted.sort();
            assert_eq!(found, wanted, "{more:?}");
        }
        let list = [("AgentProvider", "OpenClaw"), ("BizType", "1"), ("ProviderName", "moonshot")];
        let list = call(&api, "ListModelProviderTemplates", &list).await.ok();
        assert_eq!((&list["TotalCount"], &list["PageNumber"], &list["PageSize"]), (&json!(1), &json!(1), &json!(20)));
        let item = &list["Data"][0];
        assert_eq!((&item["ProviderType"], &item["EnableWuyingProxy"]), (&json!("Managed"), &json!(true)));
        assert!(item["Config"].as_str().unwrap().contains("sk-****abcd") && item.get("WuyingProviderKey").is_none());
        let hermes = [("AgentProvider", "HermesAgent"), ("BizType", "1")];
        assert_eq!(call(&api, "ListModelProviderTemplates", &hermes).await.ok()["TotalCount"], json!(0));
        for (params, code) in [
            (vec![("BizType", "1")], "MissingAgentProvider"),
            (vec![("AgentProvider", "OpenClaw")], "MissingBizType"),
            (vec![("AgentProvider", "Robot"), ("BizType", "1")], "InvalidAgentProvider"),
            (vec![("AgentProvider", "OpenClaw"), ("BizType", "1"), ("AgentPlatform", "X")], "InvalidAgentPlatform"),
            (vec![("AgentProvider", "OpenClaw"), ("BizType", "1"), ("PageSize", "1001")], "InvalidPageSize"),
        ] {
            assert_eq!(call(&api, "ListModelProviderTemplates", &params).await.refused().1, code, "{params:?}");
        }
        let own = [("AgentProvider", "OpenClaw"), ("BizType", "1")];
        let foreign = api.call_as(Tenant::Other, VERSION, "ListModelProviderTemplates", &own).await.ok();
        assert_eq!(foreign["TotalCount"], json!(0));
    }

    async fn a_group_in_use_stays_and_a_free_one_goes_with_everything(t) {
        let api = Api::over(&t).await;
        let (group, provider) = group_with_provider(&api, "g").await;
        add_models(&api, &provider, &["qwen"]).await;
        let runtime = create_runtime(&api, "b-openclaw-linux").await;
        let bind =
            [("ModelTemplateId", group.as_str()), ("RuntimeType", "CloudDesktop"), ("RuntimeIds.1", runtime.as_str())];
        call(&api, "ConfigRuntimeModelTemplate", &bind).await.ok();
        let delete = [("ModelTemplateId", group.as_str())];
        assert_eq!(
            call(&api, "DeleteModelTemplate", &delete).await.refused(),
            (400, "ModelTemplate.InUse".to_owned())
        );
        assert_eq!(default_model(&api, &runtime).await, json!("bailian/qwen"), "nothing was deleted");
        let foreign = api.call_as(Tenant::Other, VERSION, "DeleteModelTemplate", &delete).await.refused();
        assert_eq!(foreign, not_found("ModelTemplate"));
        // A deleted runtime uses nothing.
        api.call(DESKTOPS, "DeleteDesktops", &[("RegionId", "cn-hangzhou"), ("DesktopId.1", &runtime)]).await.ok();
        call(&api, "DeleteModelTemplate", &delete).await.ok();
        assert_eq!(call(&api, "DeleteModelTemplate", &delete).await.refused(), not_found("ModelTemplate"));
        let gone = call(&api, "GetModelProviderTemplate", &[("ProviderTemplateId", &provider)]).await.refused();
        assert_eq!(gone, not_found("ModelProviderTemplate"));
        assert_eq!(call(&api, "ListLlmTemplates", &[]).await.ok()["TotalCount"], json!(0));
        assert_eq!(call(&api, "DeleteModelTemplate", &[]).await.refused(), (400, "MissingModelTemplateId".to_owned()));
        assert_eq!(call(&api, "ConfigRuntimeModelTemplate", &bind).await.refused(), not_found("ModelTemplate"));
    }

    async fn models_and_providers_go_from_a_group_in_use(t) {
        let api = Api::over(&t).await;
        let (group, provider) = group_with_provider(&api, "g").await;
        let models = add_models(&api, &provider, &["a", "b"]).await;
        let runtime = create_runtime(&api, "b-openclaw-linux").await;
        let bind =
            [("ModelTemplateId", group.as_str()), ("RuntimeType", "CloudDesktop"), ("RuntimeIds.1", runtime.as_str())];
        call(&api, "ConfigRuntimeModelTemplate", &bind).await.ok();
        let default = r#"{"defaults":{"model":{"primary":"bailian/b"}}}"#;
        call(&api, "UpdateModelTemplate", &[("ModelTemplateId", &group), ("Config", default)]).await.ok();
        assert_eq!(default_model(&api, &runtime).await, json!("bailian/b"));

        let delete = [("LlmTemplateId", models[1].as_str())];
        let foreign = api.call_as(Tenant::Other, VERSION, "DeleteLlmTemplate", &delete).await.refused();
        assert_eq!(foreign, not_found("LlmTemplate"));
        call(&api, "DeleteLlmTemplate", &delete).await.ok();
        assert_eq!(default_model(&api, &runtime).await, json!("bailian/a"), "the oldest takes the default's place");
        let list = call(&api, "ListLlmTemplates", &[("ModelTemplateId", &group)]).await.ok();
        assert_eq!((&list["TotalCount"], &list["Data"][0]["IsDefaultModel"]), (&json!(1), &json!(false)));
        for id in [models[1].as_str(), "llmt-absent", "x"] {
            assert_eq!(
                call(&api, "DeleteLlmTemplate", &[("LlmTemplateId", id)]).await.refused(),
                not_found("LlmTemplate")
            );
        }
        let delete = [("ProviderTemplateId", provider.as_str())];
        let foreign = api.call_as(Tenant::Other, VERSION, "DeleteModelProviderTemplate", &delete).await.refused();
        assert_eq!(foreign, not_found("ModelProviderTemplate"));
        call(&api, "DeleteModelProviderTemplate", &delete).await.ok();
        assert_eq!(default_model(&api, &runtime).await, Value::Null);
        let again = call(&api, "DeleteModelProviderTemplate", &delete).await.refused();
        assert_eq!(again, not_found("ModelProviderTemplate"));
        // The name is free again.
        let config = config("openai-completions");
        create_provider(&api, &group, "bailian", &[("Config", &config)]).await.ok();
    }

    async fn known_endpoints_are_found_by_provider(t) {
        let api = Api::over(&t).await;
        let all = call(&api, "ListModelProviderEndpoints", &[]).await.ok();
        let named = |list: &Value| -> Vec<String> {
            list["Data"].as_array().unwrap().iter().map(|item| text(&item["ProviderName"])).collect()
        };
        assert!(["bailian", "moonshot", "siliconflow", "deepseek"].iter().all(|n| named(&all).contains(&(*n).to_owned())));
        let one = [("ProviderName", "bailian"), ("AgentProvider", "JVS Claw"), ("AgentPlatform", "ENTERPRISE")];
        let one = call(&api, "ListModelProviderEndpoints", &one).await.ok();
        assert_eq!(named(&one), ["bailian"]);
        let endpoint = &one["Data"][0]["Endpoints"][0];
        assert_eq!(
            (&endpoint["ApiType"], &endpoint["BaseUrl"], &endpoint["Tags"][0]),
            (
                &json!("openai-compatible"),
                &json!("https://dashscope.aliyuncs.com/compatible-mode/v1"),
                &json!("cn")
            )
        );
        for field in ["Name", "Description", "ProviderUrl"] {
            assert!(endpoint[field].is_string(), "{endpoint}");
        }
        let none = call(&api, "ListModelProviderEndpoints", &[("ProviderName", "absent")]).await.ok();
        assert_eq!(none["Data"], json!([]));
        for (parameter, code) in
            [("AgentProvider", "InvalidAgentProvider"), ("AgentPlatform", "InvalidAgentPlatform")]
        {
            let refused = call(&api, "ListModelProviderEndpoints", &[(parameter, "Robot")]).await.refused();
            assert_eq!(refused, (400, code.to_owned()));
        }
    }

    async fn every_spelling_of_a_program_is_understood(t) {
        let api = Api::over(&t).await;
        let runtime = create_runtime(&api, "b-openclaw-linux").await;
        for spelling in ["OpenClaw", "OPEN_CLAW", "JVSClaw", "JVS Computer", "AgenticComputer"] {
            let list = call(&api, "ListDesktopAgentRuntime", &[("AgentProvider", spelling)]).await.ok();
            assert_eq!(list["TotalCount"], json!(1), "{spelling}");
            assert_eq!(list["Data"][0]["AgentInstanceInfoList"][0]["AgentProvider"], json!("OpenClaw"));
            let get = [("AgentProvider", spelling), ("RuntimeType", "CloudDesktop"), ("RuntimeId", runtime.as_str())];
            call(&api, "GetRuntimeModelConfig", &get).await.ok();
            let made = [("AgentProvider", spelling), ("BizType", "1"), ("Name", spelling)];
            call(&api, "CreateModelTemplate", &made).await.ok();
        }
        let groups = call(&api, "ListModelTemplates", &[("BizType", "1")]).await.ok();
        let shown = groups["Data"].as_array().unwrap();
        assert!(shown.len() == 5 && shown.iter().all(|group| group["AgentProvider"] == "OpenClaw"), "{groups}");
        for params in [("AgentProvider", "Robot"), ("AgentPlatformList.1", "Robot")] {
            let refused = call(&api, "ListDesktopAgentRuntime", &[params]).await.refused();
            assert_eq!(refused.0, 400, "{params:?}");
        }
        let empty = [("AgentProvider", ""), ("AgentPlatformList.1", "enterprise_jvs")];
        assert_eq!(call(&api, "ListDesktopAgentRuntime", &empty).await.ok()["TotalCount"], json!(1));
    }
}
