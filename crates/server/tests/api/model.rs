use serde_json::{Value, json};

use crate::model_calls::{Answer, Api, Tenant};

/// A provider's name, the parameters beside it, and the status and code that answer them.
type Refusal<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);

const VERSION: &str = "2021-09-01";
const KEY: &str = "sk-canary-0123456789abcd";

async fn call(api: &Api, action: &str, params: &[(&str, &str)]) -> Answer {
    api.call(VERSION, action, params).await
}

pub(crate) async fn create_group(api: &Api, name: &str) -> String {
    let params = [("AgentProvider", "OpenClaw"), ("BizType", "1"), ("Name", name)];
    let body = call(api, "CreateModelTemplate", &params).await.ok();
    body["Data"]["ModelTemplateId"].as_str().unwrap().to_owned()
}

pub(crate) fn config(api: &str) -> String {
    json!({ "api": api, "apiKey": KEY, "baseUrl": "https://host/v1" }).to_string()
}

pub(crate) async fn create_provider(api: &Api, group: &str, name: &str, more: &[(&str, &str)]) -> Answer {
    let mut params = vec![
        ("AgentProvider", "OpenClaw"),
        ("BizType", "1"),
        ("ModelTemplateId", group),
        ("ProviderName", name),
    ];
    params.extend(more);
    call(api, "CreateModelProviderTemplate", &params).await
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn groups_are_made_changed_and_listed() {
    let api = Api::start().await;
    let group = create_group(&api, "first").await;
    let with_token =
        [("AgentProvider", "OpenClaw"), ("BizType", "1"), ("Name", "second"), ("ClientToken", "t")];
    let second = call(&api, "CreateModelTemplate", &with_token).await.ok();
    assert_eq!(call(&api, "CreateModelTemplate", &with_token).await.ok()["Data"], second["Data"]);
    let mut other = with_token;
    other[2].1 = "third";
    let reused = call(&api, "CreateModelTemplate", &other).await.refused();
    assert_eq!(reused, (400, "IdempotentParameterMismatch".to_owned()));

    for (params, code) in [
        (vec![("BizType", "1"), ("Name", "n")], "MissingAgentProvider"),
        (vec![("AgentProvider", "Robot"), ("BizType", "1"), ("Name", "n")], "InvalidAgentProvider"),
        (vec![("AgentProvider", "OpenClaw"), ("BizType", "1"), ("Name", " ")], "InvalidName"),
        (
            vec![("AgentProvider", "Common"), ("BizType", "1"), ("Name", "n"), ("RefScope", "all_user")],
            "InvalidParameter",
        ),
        (
            vec![("AgentProvider", "OpenClaw"), ("BizType", "1"), ("Name", "n"), ("AgentPlatform", "COMMON")],
            "InvalidAgentPlatform",
        ),
    ] {
        assert_eq!(
            call(&api, "CreateModelTemplate", &params).await.refused(),
            (400, code.to_owned()),
            "{params:?}"
        );
    }

    let rename = [("ModelTemplateId", group.as_str()), ("Name", "renamed")];
    call(&api, "UpdateModelTemplate", &rename).await.ok();
    for (tenant, id) in [(Tenant::Other, group.as_str()), (Tenant::Root, "mt-absent"), (Tenant::Root, "x")] {
        let refused =
            api.call_as(tenant, VERSION, "UpdateModelTemplate", &[("ModelTemplateId", id)]).await.refused();
        assert_eq!(refused, (404, "ModelTemplate.NotFound".to_owned()));
    }
    let list = call(&api, "ListModelTemplates", &[("BizType", "1"), ("PageNumber", "0"), ("PageSize", "1")])
        .await
        .ok();
    assert_eq!(
        (&list["TotalCount"], &list["PageNumber"], &list["PageSize"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let shown = &list["Data"][0];
    assert_eq!(
        (&shown["Name"], &shown["HasModel"], &shown["ModelCount"]),
        (&json!("renamed"), &json!(false), &json!(0))
    );
    assert!(shown.get("UserCount").is_none() && shown.get("Config").is_none());
    let ids = json!([group]).to_string();
    let by_id =
        call(&api, "ListModelTemplates", &[("BizType", "1"), ("ModelTemplateIdList", &ids)]).await.ok();
    assert_eq!(by_id["TotalCount"], json!(1));
    let foreign = api.call_as(Tenant::Other, VERSION, "ListModelTemplates", &[("BizType", "1")]).await.ok();
    assert_eq!(foreign["TotalCount"], json!(0));
    let page = call(&api, "ListModelTemplates", &[("BizType", "1"), ("PageSize", "0")]).await.refused();
    assert_eq!(page, (400, "InvalidPageSize".to_owned()));
}

#[tokio::test]
async fn a_common_group_shows_its_users() {
    let api = Api::start().await;
    let params = [("AgentProvider", "Common"), ("BizType", "1"), ("Name", "common")];
    call(&api, "CreateModelTemplate", &params).await.ok();
    let hidden = call(&api, "ListModelTemplates", &[("BizType", "1")]).await.ok();
    assert_eq!(hidden["TotalCount"], json!(0));
    let asked = [("BizType", "1"), ("AgentPlatformList.1", "COMMON")];
    let shown = call(&api, "ListModelTemplates", &asked).await.ok();
    assert_eq!(
        (&shown["Data"][0]["RefScope"], &shown["Data"][0]["UserCount"]),
        (&json!("USER_MIXED"), &json!(0))
    );
}

#[tokio::test]
async fn providers_are_made_and_shown_without_their_key() {
    let api = Api::start().await;
    let group = create_group(&api, "g").await;
    let config = config("openai-completions");
    let made =
        create_provider(&api, &group, "bailian", &[("Config", &config), ("ClientToken", "t")]).await.ok();
    let again =
        create_provider(&api, &group, "bailian", &[("Config", &config), ("ClientToken", "t")]).await.ok();
    assert_eq!(made["Data"], again["Data"]);
    let id = text(&made["Data"]["ProviderTemplateId"]);
    let shown = call(&api, "GetModelProviderTemplate", &[("ProviderTemplateId", &id)]).await.ok();
    assert!(!shown.to_string().contains("canary"), "{shown}");
    let shown_config: Value = serde_json::from_str(shown["Data"]["Config"].as_str().unwrap()).unwrap();
    assert_eq!(
        shown_config,
        json!({ "api": "openai-completions", "apiKey": "sk-****abcd", "baseUrl": "https://host/v1" })
    );
    assert_eq!(shown["Data"]["EnableWuyingProxy"], json!(true));
    for (name, api_word) in [("openai", "openai-responses"), ("anthropic", "anthropic-messages")] {
        let config = self::config(api_word);
        let made = create_provider(&api, &group, name, &[("Config", &config)]).await.ok();
        let id = text(&made["Data"]["ProviderTemplateId"]);
        let shown = call(&api, "GetModelProviderTemplate", &[("ProviderTemplateId", &id)]).await.ok();
        assert!(shown["Data"]["Config"].as_str().unwrap().contains(api_word), "{shown}");
    }
    let foreign = [("ProviderTemplateId", id.as_str())];
    let foreign = api.call_as(Tenant::Other, VERSION, "GetModelProviderTemplate", &foreign).await.refused();
    assert_eq!(foreign, (404, "ModelProviderTemplate.NotFound".to_owned()));

    let other_api = self::config("google-generative-ai");
    let refusals: [Refusal<'_>; 8] = [
        ("bailian", &[("Config", &config)], 400, "ModelProviderTemplate.NameDuplicate"),
        ("moonshot", &[], 400, "InvalidConfig"),
        ("moonshot", &[("Config", &other_api)], 400, "InvalidConfig"),
        ("moonshot", &[("Config", &config), ("EnableWuyingProxy", "False")], 403, "Gateway.Required"),
        ("moonshot", &[("Config", &config), ("ProviderType", "Custom")], 400, "InvalidProviderName"),
        ("moonshot", &[("Config", &config), ("ProviderType", "Other")], 400, "InvalidProviderType"),
        ("wuying-credit", &[("EnableWuyingProxy", "false")], 400, "InvalidEnableWuyingProxy"),
        ("wuying-credit", &[], 400, "InvalidProviderType"),
    ];
    for (name, more, status, code) in refusals {
        let answer = create_provider(&api, &group, name, more).await;
        assert!(!answer.body.to_string().contains("canary"), "{}", answer.body);
        assert_eq!(answer.refused(), (status, code.to_owned()), "{name} {more:?}");
    }
    let nowhere = create_provider(&api, "mt-absent", "moonshot", &[("Config", &config)]).await.refused();
    assert_eq!(nowhere, (404, "ModelTemplate.NotFound".to_owned()));
}

#[tokio::test]
async fn an_operator_may_let_agents_have_the_key() {
    let api = Api::start_with(|config| config.gateway.required = false).await;
    let group = create_group(&api, "g").await;
    let config = config("openai-completions");
    create_provider(&api, &group, "moonshot", &[("Config", &config), ("EnableWuyingProxy", "false")])
        .await
        .ok();
}

#[tokio::test]
async fn models_are_made_in_batches_and_listed() {
    let api = Api::start().await;
    let group = create_group(&api, "g").await;
    let provider_config = config("openai-completions");
    let made = create_provider(&api, &group, "bailian", &[("Config", &provider_config)]).await.ok();
    let provider = text(&made["Data"]["ProviderTemplateId"]);
    let params = [
        ("ProviderTemplateId", provider.as_str()),
        ("LlmTemplateItems.1.LlmCode", "qwen3.6-plus"),
        ("LlmTemplateItems.1.Name", "Qwen3.6-Plus"),
        ("LlmTemplateItems.1.Config", r#"{"contextWindow":1000000,"input":["text","image"]}"#),
        ("LlmTemplateItems.2.LlmCode", "glm"),
        ("LlmTemplateItems.2.IsDefaultModel", "True"),
        ("LlmTemplateItems.3.LlmCode", "glm"),
        ("ClientToken", "t"),
    ];
    let created = call(&api, "BatchCreateLlmTemplates", &params).await.ok();
    assert_eq!((&created["Data"]["SuccessCount"], &created["Data"]["TotalCount"]), (&json!(2), &json!(3)));
    assert_eq!(created["Data"]["SkippedItems"][0]["LlmCode"], json!("glm"));
    assert_eq!(call(&api, "BatchCreateLlmTemplates", &params).await.ok()["Data"], created["Data"]);

    let list = call(&api, "ListLlmTemplates", &[("ModelTemplateId", &group)]).await.ok();
    assert_eq!((&list["TotalCount"], &list["PageSize"]), (&json!(2), &json!(10)));
    assert_eq!(
        (&list["Data"][0]["LlmCode"], &list["Data"][0]["IsDefaultModel"]),
        (&json!("glm"), &json!(true))
    );
    assert_eq!(list["Data"][1]["InferenceMetadata"]["RequestModality"], json!(["Text", "Image"]));
    assert_eq!(list["Data"][1]["Name"], json!("Qwen3.6-Plus"));
    assert!(list["Data"][1].get("CreditMultiplier").is_none());
    let groups = call(&api, "ListModelTemplates", &[("BizType", "1"), ("HasModel", "true")]).await.ok();
    assert_eq!(groups["Data"][0]["Config"], json!(r#"{"defaults":{"model":{"primary":"bailian/glm"}}}"#));

    let default = r#"{"defaults":{"model":{"primary":"bailian/qwen3.6-plus"}}}"#;
    call(&api, "UpdateModelTemplate", &[("ModelTemplateId", &group), ("Config", default)]).await.ok();
    let absent = r#"{"defaults":{"model":{"primary":"bailian/absent"}}}"#;
    let refused =
        call(&api, "UpdateModelTemplate", &[("ModelTemplateId", &group), ("Config", absent)]).await.refused();
    assert_eq!(refused, (400, "InvalidConfig".to_owned()));
    let fuzzy = call(&api, "ListLlmTemplates", &[("LlmCode", "QWEN")]).await.ok();
    assert_eq!((&fuzzy["TotalCount"], &fuzzy["Data"][0]["IsDefaultModel"]), (&json!(1), &json!(true)));
    assert_eq!(call(&api, "ListLlmTemplates", &[("SmartModel", "true")]).await.refused().1, "MissingBizType");
    let smart = call(&api, "ListLlmTemplates", &[("SmartModel", "true"), ("BizType", "1")]).await.ok();
    assert_eq!(smart["TotalCount"], json!(0));

    let wrong = [("ProviderTemplateId", provider.as_str()), ("LlmTemplateItems.1.LlmCode", "a b")];
    assert_eq!(
        call(&api, "BatchCreateLlmTemplates", &wrong).await.refused(),
        (400, "InvalidLlmTemplateItems".to_owned())
    );
    let good = [("ProviderTemplateId", provider.as_str()), ("LlmTemplateItems.1.LlmCode", "a")];
    let foreign = api.call_as(Tenant::Other, VERSION, "BatchCreateLlmTemplates", &good).await.refused();
    assert_eq!(foreign, (404, "ModelProviderTemplate.NotFound".to_owned()));
    let elsewhere = create_group(&api, "elsewhere").await;
    let elsewhere = [good[0], good[1], ("ModelTemplateId", elsewhere.as_str())];
    assert_eq!(call(&api, "BatchCreateLlmTemplates", &elsewhere).await.refused().1, "InvalidModelTemplateId");
}

#[tokio::test]
async fn a_runtime_gets_and_loses_its_models() {
    let api = Api::start().await;
    let site = [("RegionId", "cn-hangzhou"), ("OfficeSiteName", "site")];
    let site = api.call("2020-09-30", "CreateSimpleOfficeSite", &site).await.ok();
    let site = text(&site["OfficeSiteId"]);
    let desktop = [
        ("RegionId", "cn-hangzhou"),
        ("OfficeSiteId", site.as_str()),
        ("BundleId", "b-openclaw-linux"),
        ("ChargeType", "PostPaid"),
        ("DesktopAttachment", r#"{"DesktopType":"cloud.space.4c.8g"}"#),
    ];
    let made = api.call("2020-09-30", "CreateDesktops", &desktop).await.ok();
    let runtime = text(&made["DesktopId"][0]);
    let group = create_group(&api, "g").await;
    let provider_config = config("openai-completions");
    let provider = create_provider(&api, &group, "bailian", &[("Config", &provider_config)]).await.ok();
    let provider = text(&provider["Data"]["ProviderTemplateId"]);
    let model = [("ProviderTemplateId", provider.as_str()), ("LlmTemplateItems.1.LlmCode", "qwen")];
    call(&api, "BatchCreateLlmTemplates", &model).await.ok();

    let bind = [
        ("ModelTemplateId", group.as_str()),
        ("RuntimeType", "CloudDesktop"),
        ("RuntimeIds.1", runtime.as_str()),
        ("RuntimeIds.2", "ecd-absent"),
    ];
    let bound = call(&api, "ConfigRuntimeModelTemplate", &bind).await.ok();
    assert_eq!(bound["TotalCount"], json!(2));
    assert_eq!(bound["Data"][0]["RuntimeId"], json!(runtime));
    assert_eq!((&bound["Data"][0]["Code"], &bound["Data"][0]["Success"]), (&json!("200"), &json!(true)));
    assert_eq!(
        (&bound["Data"][1]["Code"], &bound["Data"][1]["HttpStatusCode"]),
        (&json!("Runtime.NotFound"), &json!(404))
    );
    let foreign = api.call_as(Tenant::Other, VERSION, "ConfigRuntimeModelTemplate", &bind).await.refused();
    assert_eq!(foreign, (404, "ModelTemplate.NotFound".to_owned()));

    let get = [
        ("AgentProvider", "OpenClaw"),
        ("RuntimeType", "CloudDesktop"),
        ("RuntimeId", runtime.as_str()),
        ("IncludeRiskInfo", "true"),
    ];
    let shown = call(&api, "GetRuntimeModelConfig", &get).await.ok();
    let data = &shown["Data"];
    assert_eq!(
        (&data["DefaultModel"], &data["ModelTemplateRefType"]),
        (&json!("bailian/qwen"), &json!("Runtime"))
    );
    assert_eq!((&data["ModelTemplateId"], &data["ModelTemplateName"]), (&json!(group), &json!("g")));
    let model = &data["ModelProviderList"][0]["LlmInfoList"][0];
    assert_eq!((&model["LlmCode"], &model["RiskType"]), (&json!("qwen"), &json!("Pending")));
    let quiet = call(&api, "GetRuntimeModelConfig", &get[..3]).await.ok();
    assert!(quiet["Data"]["ModelProviderList"][0]["LlmInfoList"][0].get("RiskType").is_none());
    let not_found = (404, "Runtime.NotFound".to_owned());
    assert_eq!(api.call_as(Tenant::Other, VERSION, "GetRuntimeModelConfig", &get).await.refused(), not_found);
    let mut hermes = get;
    hermes[0].1 = "HermesAgent";
    assert_eq!(call(&api, "GetRuntimeModelConfig", &hermes).await.refused(), not_found);
    let mut wrong = get;
    wrong[1].1 = "Laptop";
    assert_eq!(
        call(&api, "GetRuntimeModelConfig", &wrong).await.refused(),
        (400, "InvalidRuntimeType".to_owned())
    );

    let removed = call(&api, "RemoveRuntimeModelTemplate", &bind).await.ok();
    assert_eq!(
        (&removed["Data"][0]["Success"], &removed["Data"][1]["Success"]),
        (&json!(true), &json!(false))
    );
    let after = call(&api, "GetRuntimeModelConfig", &get).await.ok();
    assert!(
        after["Data"].get("ModelTemplateRefType").is_none() && after["Data"].get("DefaultModel").is_none()
    );
}
