//! The model groups of resource groups: given, taken away, listed, and what they do to runtimes, agents and the gateway.

use std::time::{Duration, Instant};

use creel_testkit::{TestStore, both_databases};
use creel_wire::guest::DesiredState;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::caller::{Caller, Params, text, with};
use crate::guest::Guest;
use crate::harness::TestApp;
use crate::principal::{ours, user};

const APPSTREAM: &str = "2021-09-01";
const CONFIG: (&str, &str) = (APPSTREAM, "ConfigResourceGroupModelTemplate");
const REMOVE: (&str, &str) = (APPSTREAM, "RemoveResourceGroupModelTemplate");
const LIST: (&str, &str) = (APPSTREAM, "ListModelTemplateResourceGroup");
const DELETE: (&str, &str) = (APPSTREAM, "DeleteModelTemplate");
const BIND: (&str, &str) = (APPSTREAM, "ConfigRuntimeModelTemplate");
const SHOW: (&str, &str) = (APPSTREAM, "GetRuntimeModelConfig");
const AGENTS: (&str, &str) = (APPSTREAM, "ListDesktopAgentRuntime");
const CREATE_GROUP: (&str, &str) = ("2021-03-08", "CreateResourceGroup");
const DELETE_GROUP: (&str, &str) = ("2021-03-08", "DeleteResourceGroup");
const INTO: (&str, &str) = ("2021-03-08", "TransferResourcesIntoGroup");
const OUT_OF: (&str, &str) = ("2021-03-08", "TransferResourcesOutofGroup");
const RECEIPTS: (&str, &str) = ("2026-11-24", "DescribeAgentReceipts");

async fn ok(caller: &Caller<'_>, operation: (&str, &str), params: Params<'_>) -> Value {
    let answer = caller.call(operation, params).await;
    answer.assert_ok();
    answer.body
}

async fn resource_group(caller: &Caller<'_>, name: &str) -> String {
    text(&ok(caller, CREATE_GROUP, &[("ResourceGroupName", name)]).await["ResourceGroupId"])
}

async fn model_group(caller: &Caller<'_>, name: &str) -> String {
    let params = [("AgentProvider", "OpenClaw"), ("BizType", "1"), ("Name", name)];
    text(&ok(caller, (APPSTREAM, "CreateModelTemplate"), &params).await["Data"]["ModelTemplateId"])
}

/// A model group with one model, of the same code as the group's name, behind an upstream.
async fn filled(caller: &Caller<'_>, name: &str, upstream: &str) -> String {
    let group = model_group(caller, name).await;
    let config =
        json!({ "api": "openai-completions", "apiKey": "sk-canary-0123456789", "baseUrl": upstream })
            .to_string();
    let params = [
        ("AgentProvider", "OpenClaw"),
        ("BizType", "1"),
        ("ModelTemplateId", &group),
        ("ProviderName", "bailian"),
        ("Config", &config),
    ];
    let made = ok(caller, (APPSTREAM, "CreateModelProviderTemplate"), &params).await;
    let provider = text(&made["Data"]["ProviderTemplateId"]);
    let params = [("ProviderTemplateId", provider.as_str()), ("LlmTemplateItems.1.LlmCode", name)];
    ok(caller, (APPSTREAM, "BatchCreateLlmTemplates"), &params).await;
    group
}

async fn config(caller: &Caller<'_>, group: &str, resource_group: &str) {
    ok(caller, CONFIG, &[("ModelTemplateId", group), ("ResourceGroupId", resource_group)]).await;
}

async fn remove(caller: &Caller<'_>, group: &str, resource_group: &str) {
    let params = [("ModelTemplateId", group), ("ResourceGroupIds.1", resource_group)];
    assert_eq!(ok(caller, REMOVE, &params).await["Data"][0]["Success"], true);
}

async fn bind(caller: &Caller<'_>, group: &str, runtime: &str) {
    let params = [("ModelTemplateId", group), ("RuntimeType", "CloudDesktop"), ("RuntimeIds.1", runtime)];
    ok(caller, BIND, &params).await;
}

async fn bound(caller: &Caller<'_>, params: Params<'_>) -> Vec<String> {
    let body = ok(caller, LIST, params).await;
    body["Data"].as_array().unwrap().iter().map(|item| text(&item["ResourceGroupId"])).collect()
}

/// Group, through what it is effective, and the default model of a runtime, as every read shows them.
async fn shown(caller: &Caller<'_>, runtime: &str) -> (Value, Value, Value) {
    let ask = [("AgentProvider", "OpenClaw"), ("RuntimeType", "CloudDesktop"), ("RuntimeId", runtime)];
    let data = ok(caller, SHOW, &ask).await["Data"].clone();
    let listed = ok(caller, AGENTS, &[("ResourceIds.1", runtime)]).await["Data"][0].clone();
    assert_eq!(listed["ModelTemplateId"], data["ModelTemplateId"]);
    assert_eq!(listed["ModelTemplateName"], data["ModelTemplateName"]);
    assert_eq!(listed["AgentInstanceInfoList"][0]["ModelTemplateId"], data["ModelTemplateId"]);
    assert_eq!(listed["ModelConfigure"], json!(!data["ModelTemplateId"].is_null()));
    assert_eq!(listed["ResourceGroup"]["ResourceGroupId"], data["ResourceGroupId"]);
    (data["ModelTemplateId"].clone(), data["ModelTemplateRefType"].clone(), data["DefaultModel"].clone())
}

/// The runtimes that the filters of the list of agents find.
async fn agents(caller: &Caller<'_>, params: Params<'_>) -> Vec<String> {
    let body = ok(caller, AGENTS, params).await;
    let mut found: Vec<String> =
        body["Data"].as_array().unwrap().iter().map(|item| text(&item["ResourceId"])).collect();
    found.sort();
    found
}

async fn generation(caller: &Caller<'_>, runtime: &str) -> i64 {
    let body = ok(caller, RECEIPTS, &[("RuntimeIds.1", runtime)]).await;
    body["Receipts"][0]["DesiredGeneration"].as_i64().unwrap()
}

both_databases! {
    async fn a_resource_group_is_given_a_model_group_and_loses_it(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let (one, two) = (model_group(&root, "one").await, model_group(&root, "two").await);
        let a = resource_group(&root, "a").await;
        t.clock.advance(jiff::SignedDuration::from_secs(1));
        let (b, c) = (resource_group(&root, "b").await, resource_group(&root, "c").await);
        config(&root, &one, &a).await;
        config(&root, &one, &a).await;
        config(&root, &one, &b).await;
        config(&root, &two, &b).await;
        let of_one = ("ModelTemplateId", one.as_str());
        assert_eq!(bound(&root, &[of_one]).await, [a.as_str()], "another group takes the place of the first");
        config(&root, &one, &b).await;
        let page = ok(&root, LIST, &[of_one, ("PageNumber", "2"), ("PageSize", "1")]).await;
        assert_eq!((&page["TotalCount"], &page["PageNumber"], &page["PageSize"]), (&json!(2), &json!(2), &json!(1)));
        assert_eq!(page["Data"], json!([{ "ResourceGroupId": b }]));
        let first = ok(&root, LIST, &[of_one, ("PageNumber", "0")]).await;
        assert_eq!((&first["PageNumber"], &first["PageSize"]), (&json!(1), &json!(20)));
        let among = [of_one, ("ResourceGroupIds.1", b.as_str()), ("ResourceGroupIds.2", c.as_str()), ("ResourceGroupIds.3", "x")];
        assert_eq!(bound(&root, &among).await, [b.as_str()]);

        let delete = [of_one];
        root.refuses(DELETE, &delete, &[(&[], 400, "ModelTemplate.InUse")]).await;
        config(&root, &two, &c).await;
        let many = [
            of_one, ("ResourceGroupIds.1", a.as_str()), ("ResourceGroupIds.2", "rg-none"), ("ResourceGroupIds.3", c.as_str()),
            ("ResourceGroupIds.4", "none"), ("ResourceGroupIds.5", a.as_str()),
        ];
        let removed = ok(&root, REMOVE, &many).await;
        assert_eq!(removed["TotalCount"], 5);
        let (done, wrong) = (("200", true), ("InvalidParameter.resourceGroupIds", false));
        let results = removed["Data"].as_array().unwrap();
        for (n, (result, (code, success))) in results.iter().zip([done, wrong, wrong, wrong, done]).enumerate() {
            assert_eq!((&result["Code"], &result["Success"]), (&json!(code), &json!(success)), "{result}");
            assert_eq!((&result["ResourceGroupId"], result["Message"].is_string()), (&json!(many[n + 1].1), true));
        }
        assert_eq!(bound(&root, &[of_one]).await, [b.as_str()]);
        root.refuses(DELETE, &delete, &[(&[], 400, "ModelTemplate.InUse")]).await;
        ok(&root, DELETE_GROUP, &[("ResourceGroupId", &b)]).await;
        assert_eq!(bound(&root, &[of_one]).await, Vec::<String>::new(), "who is gone has nothing");
        ok(&root, DELETE, &delete).await;
        root.refuses(LIST, &delete, &[(&[], 404, "ModelTemplate.NotFound")]).await;
    }

    async fn what_is_wrong_or_somebody_elses_is_refused(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let (group, a, b) =
            (model_group(&root, "g").await, resource_group(&root, "a").await, resource_group(&root, "b").await);
        let give = [("ModelTemplateId", group.as_str()), ("ResourceGroupId", a.as_str())];
        let take = [("ModelTemplateId", group.as_str()), ("ResourceGroupIds.1", a.as_str())];
        let list = [("ModelTemplateId", group.as_str())];
        config(&root, &group, &a).await;
        root.refuses(CONFIG, &give, &[
            (&[("ModelTemplateId", "")], 400, "MissingModelTemplateId"),
            (&[("ResourceGroupId", "")], 400, "MissingResourceGroupId"),
            (&[("ModelTemplateId", "mt-none")], 404, "ModelTemplate.NotFound"),
            (&[("ModelTemplateId", "none")], 404, "ModelTemplate.NotFound"),
            (&[("ResourceGroupId", "rg-none")], 404, "ResourceGroup.NotFound"),
            (&[("ResourceGroupId", "none")], 404, "ResourceGroup.NotFound"),
        ]).await;
        let names: Vec<String> = (1..=101).map(|n| format!("ResourceGroupIds.{n}")).collect();
        let too_many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), a.as_str())).collect();
        root.refuses(REMOVE, &take, &[
            (&[("ModelTemplateId", "")], 400, "MissingModelTemplateId"),
            (&[("ResourceGroupIds.1", "")], 400, "MissingResourceGroupIds"),
            (&[("ModelTemplateId", "mt-none")], 404, "ModelTemplate.NotFound"),
            (&too_many, 400, "InvalidResourceGroupIds"),
        ]).await;
        root.refuses(LIST, &list, &[
            (&[("ModelTemplateId", "")], 400, "MissingModelTemplateId"),
            (&[("ModelTemplateId", "mt-none")], 404, "ModelTemplate.NotFound"),
            (&[("PageSize", "0")], 400, "InvalidPageSize"),
            (&[("PageSize", "1001")], 400, "InvalidPageSize"),
            (&[("PageNumber", "-1")], 400, "InvalidPageNumber"),
            (&too_many, 400, "InvalidResourceGroupIds"),
        ]).await;

        let stranger = Caller::stranger(&app).await;
        let own = model_group(&stranger, "own").await;
        for (operation, params) in [(CONFIG, &give[..]), (REMOVE, &take[..]), (LIST, &list[..])] {
            stranger.refuses(operation, params, &[(&[], 404, "ModelTemplate.NotFound")]).await;
        }
        stranger.refuses(CONFIG, &give, &[(&[("ModelTemplateId", &own)], 404, "ResourceGroup.NotFound")]).await;
        let theirs = ok(&stranger, REMOVE, &with(&take, &[("ModelTemplateId", &own)])).await;
        assert_eq!(theirs["Data"][0]["Code"], "InvalidParameter.resourceGroupIds");
        assert_eq!(bound(&stranger, &[("ModelTemplateId", &own), ("ResourceGroupIds.1", &a)]).await, Vec::<String>::new());
        assert_eq!(bound(&root, &list).await, [a.as_str()], "none of it did anything");

        // Whoever may change one resource group may not change another, nor use every model group.
        let clerk = user(&app, "clerk").await;
        let allow = |resource: String| json!({
            "Effect": "Allow", "Action": "appstreaming:*ResourceGroup*", "Resource": resource,
        });
        let document = json!({ "Version": "1", "Statement": [
            allow(format!("acs:eds-user:*:*:resourcegroup/{a}")),
            allow(format!("acs:appstreaming:*:*:modeltemplate/{group}")),
        ]}).to_string();
        ok(&root, ("2026-11-24", "PutPolicy"), &[("PolicyName", "clerk"), ("PolicyDocument", &document)]).await;
        ours(&app, "AttachPolicy", "PolicyName=clerk&PrincipalName=clerk").await.assert_ok();
        let query = |params: Params<'_>| form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        for (operation, good, wrong) in [
            (CONFIG, &give[..], [("ResourceGroupId", b.as_str()), ("ModelTemplateId", "mt-none")]),
            (REMOVE, &take[..], [("ResourceGroupIds.2", b.as_str()), ("ModelTemplateId", "mt-none")]),
            (LIST, &list[..], [("ResourceGroupIds.1", b.as_str()), ("ModelTemplateId", "mt-none")]),
        ] {
            clerk.get(&app, operation, &query(good)).await.assert_ok();
            for change in wrong {
                let denied = clerk.get(&app, operation, &query(&with(good, &[change]))).await;
                denied.assert_refused(403, "NoPermission");
            }
        }
        // The same request does not happen twice.
        for (operation, params) in [(CONFIG, &give[..]), (REMOVE, &take[..]), (LIST, &list[..])] {
            let mut call = app.call(operation);
            call.form = query(params);
            app.send(call.acs3()).await.assert_ok();
            app.send(call.acs3()).await.assert_refused(400, "SignatureNonceUsed");
        }
        let events = ok(&root, ("2026-11-24", "DescribeAuditEvents"), &[("EventName", CONFIG.1)]).await;
        let event = events["Events"].as_array().unwrap().iter().find(|event| event["Outcome"] == "Success").unwrap();
        assert_eq!(event["Resources"], json!([group, a]));
    }

    async fn the_resource_groups_models_win_over_the_runtimes_own(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let shared = filled(&root, "shared", "https://host/v1").await;
        let own = filled(&root, "own", "https://host/v1").await;
        let (members, beside) = (resource_group(&root, "members").await, resource_group(&root, "beside").await);
        let site = root.office_site().await;
        let new = [("OfficeSiteId", site.as_str()), ("BundleId", "b-openclaw-linux"), ("ResourceGroupId", members.as_str())];
        config(&root, &shared, &members).await;
        let inside = text(&root.ecd("CreateDesktops", &new).await["DesktopId"][0]);
        let outside = root.desktops(&site, "1").await.remove(0);
        let by_group = (json!(shared), json!("ResourceGroup"), json!("bailian/shared"));
        let by_itself = (json!(own), json!("Runtime"), json!("bailian/own"));
        let none = (Value::Null, Value::Null, Value::Null);
        assert_eq!(shown(&root, &inside).await, by_group, "from its first moment");
        assert_eq!(shown(&root, &outside).await, none);
        for runtime in [&inside, &outside] {
            bind(&root, &own, runtime).await;
        }
        assert_eq!(shown(&root, &inside).await, by_group);
        assert_eq!(shown(&root, &outside).await, by_itself);
        let mut both = vec![inside.clone(), outside.clone()];
        both.sort();
        assert_eq!(agents(&root, &[("ModelTemplateId", &shared)]).await, [inside.as_str()]);
        assert_eq!(agents(&root, &[("ModelTemplateId", &own)]).await, [outside.as_str()]);
        assert_eq!(agents(&root, &[("ModelConfigure", "true")]).await, both);
        assert_eq!(agents(&root, &[("ModelConfigure", "false")]).await, Vec::<String>::new());

        let desktop = async |more: Params<'_>| {
            let named = [("DesktopId.1", inside.as_str())];
            root.ecd("DescribeDesktops", &with(&named, more)).await["Desktops"][0]["ResourceGroups"].clone()
        };
        let told = json!([{ "Id": members, "Name": "members" }]);
        assert_eq!(desktop(&[]).await, told);
        assert_eq!(desktop(&[("FillResourceGroup", "true"), ("PageNumber", "1")]).await, told);
        assert_eq!(desktop(&[("FillResourceGroup", "false")]).await, Value::Null);
        let listed = ok(&root, AGENTS, &[("ResourceIds.1", &inside)]).await;
        let told = json!({ "ResourceGroupId": members, "ResourceGroupName": "members" });
        assert_eq!(listed["Data"][0]["ResourceGroup"], told);

        // Another group, none, and back; then the group loses its models.
        let moved = [("Resources.1.ResourceId", inside.as_str())];
        ok(&root, OUT_OF, &with(&moved, &[("ResourceGroupId", &members), ("TargetResourceGroupId", &beside)])).await;
        assert_eq!(shown(&root, &inside).await, by_itself);
        ok(&root, OUT_OF, &with(&moved, &[("ResourceGroupId", &beside)])).await;
        assert_eq!(shown(&root, &inside).await, by_itself);
        assert_eq!(desktop(&[]).await, json!([]));
        let listed = ok(&root, AGENTS, &[("ResourceIds.1", &inside)]).await;
        assert!(listed["Data"][0].get("ResourceGroup").is_none());
        ok(&root, INTO, &with(&moved, &[("ResourceGroupId", &members)])).await;
        assert_eq!(shown(&root, &inside).await, by_group);
        let before = generation(&root, &inside).await;
        config(&root, &shared, &members).await;
        assert_eq!(generation(&root, &inside).await, before, "nothing changed, so the agent has nothing to follow");
        remove(&root, &shared, &members).await;
        assert!(generation(&root, &inside).await > before);
        assert_eq!(shown(&root, &inside).await, by_itself);

        config(&root, &shared, &members).await;
        root.ecd("DeleteDesktops", &[("DesktopId.1", &inside)]).await;
        let gone = ok(&root, AGENTS, &[("DesktopStatuses.1", "Deleted")]).await["Data"][0].clone();
        assert_eq!(gone["ResourceId"], json!(inside));
        assert!(gone.get("ResourceGroup").is_none() && gone.get("ModelTemplateId").is_none(), "{gone}");
    }

    async fn agents_and_the_gateway_follow_a_resource_group_at_once(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let upstream = upstream(&t).await;
        let shared = filled(&root, "shared", &upstream).await;
        let own = filled(&root, "own", &upstream).await;
        let members = resource_group(&root, "members").await;
        let site = root.office_site().await;
        let runtimes = root.desktops(&site, "2").await;
        let (inside, outside) = (runtimes[0].as_str(), runtimes[1].as_str());
        for runtime in [inside, outside] {
            root.desktop_in(runtime, "Running").await;
        }
        bind(&root, &own, inside).await;
        let moved = [("ResourceGroupId", members.as_str()), ("Resources.1.ResourceId", inside)];
        ok(&root, INTO, &moved).await;
        let mut guest = Guest::link(&t, &app, inside, true).await;
        let idle = Guest::link(&t, &app, outside, true).await;
        follows(&app, &mut guest, "own", "shared").await;

        config(&root, &shared, &members).await;
        follows(&app, &mut guest, "shared", "own").await;
        remove(&root, &shared, &members).await;
        follows(&app, &mut guest, "own", "shared").await;
        config(&root, &shared, &members).await;
        follows(&app, &mut guest, "shared", "own").await;
        ok(&root, OUT_OF, &moved).await;
        follows(&app, &mut guest, "own", "shared").await;
        ok(&root, INTO, &moved).await;
        follows(&app, &mut guest, "shared", "own").await;

        let nothing = app.gateway(&idle.virtual_key, "/v1/models", None).await;
        assert_eq!(nothing.body["data"], json!([]), "who is not in the group has none of it");
        let refused = chat(&app, &idle, "shared").await;
        assert_eq!(refused, Some("no_model_group".to_owned()));
    }
}

/// The codes of the models that an agent is to use.
fn codes(wish: &DesiredState) -> Vec<&str> {
    let providers = wish.models.iter().flat_map(|models| &models.providers);
    providers.flat_map(|provider| provider.models.iter().map(|model| model.code.as_str())).collect()
}

/// Asks a model by the gateway; gives the reason of a refusal.
async fn chat(app: &TestApp, guest: &Guest, model: &str) -> Option<String> {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
    let answer = app.gateway(&guest.virtual_key, "/v1/chat/completions", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let refusal = answer.headers.get("x-creel-refusal").map(|code| code.to_str().unwrap().to_owned());
    let said = answer.body["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(said == "from upstream", refusal.is_none(), "{}", answer.body);
    refusal
}

/// Waits until the agent is told to use `used` alone, and the gateway serves that and refuses `other`. Both must come
/// within a second of the change, which has just been made; ten are given, for the machine may be busy.
async fn follows(app: &TestApp, guest: &mut Guest, used: &str, other: &str) {
    let start = Instant::now();
    while codes(&guest.desired().await) != [used] {}
    loop {
        let models = app.gateway(&guest.virtual_key, "/v1/models", None).await;
        // Refused at first: the key of a guest that has just enrolled is not known to the gateway yet.
        let listed = models.body["data"].as_array().into_iter().flatten().map(|model| text(&model["id"]));
        if listed.collect::<Vec<_>>() == [used] {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "the gateway still serves {}", models.body);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(chat(app, guest, used).await, None);
    assert_eq!(chat(app, guest, other).await, Some("model_not_allowed".to_owned()));
}

/// An upstream that says the same to everybody.
async fn upstream(t: &TestStore) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (stop, tasks) = (t.tasks.cancelled(), t.tasks.clone());
    t.tasks.spawn("upstream", async move {
        loop {
            let accepted = tokio::select! { a = listener.accept() => a, () = stop.cancelled() => return };
            let (mut stream, _) = accepted.unwrap();
            tasks.spawn("upstream.connection", async move {
                let mut request = Vec::new();
                // It ends with its body, an object.
                while !request.ends_with(b"}") {
                    if stream.read_buf(&mut request).await.unwrap() == 0 {
                        return;
                    }
                }
                let message = json!({ "role": "assistant", "content": "from upstream" });
                let body = json!({
                    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
                    "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
                    "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
                })
                .to_string();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    url
}
