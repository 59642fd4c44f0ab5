//! Chat channels through the API.

use creel_control::store::params;
use creel_testkit::both_databases;
use serde_json::{Value, json};

use crate::model_calls::{Answer, Api, Tenant};
use crate::model_change::create_runtime;

const VERSION: &str = "2021-09-01";
const SIMPLE: &str = r#"{"appKey":"ding1","appSecret":"canary-0123456789"}"#;

type Params<'a> = Vec<(&'a str, &'a str)>;

/// The parameters that every channel operation takes, then `more`, of which the last of a name counts.
fn params_with<'a>(runtimes: &[&'a str], more: &[(&'a str, &'a str)]) -> Params<'a> {
    const NAMES: [&str; 3] = ["RuntimeIds.1", "RuntimeIds.2", "RuntimeIds.3"];
    let mut params: Params<'a> =
        vec![("AgentProvider", "OpenClaw"), ("RuntimeType", "CloudDesktop"), ("Code", "dingtalk-connector")];
    params.extend(NAMES.into_iter().zip(runtimes.iter().copied()));
    for (name, value) in more {
        params.retain(|(known, _)| known != name);
        params.push((name, value));
    }
    params
}

async fn configure(api: &Api, runtimes: &[&str], more: &[(&str, &str)]) -> Answer {
    api.call(VERSION, "ConfigRuntimeChannel", &params_with(runtimes, more)).await
}

/// What GetRuntimeChannel shows of a channel.
async fn shown(api: &Api, runtime: &str, code: &str) -> Value {
    let get = [
        ("AgentProvider", "OpenClaw"),
        ("RuntimeType", "CloudDesktop"),
        ("RuntimeId", runtime),
        ("IncludeRiskInfo", "true"),
    ];
    let answer = api.call(VERSION, "GetRuntimeChannel", &get).await.ok();
    assert_eq!(answer["TotalCount"], json!(5));
    answer["Data"].as_array().unwrap().iter().find(|channel| channel["Code"] == code).unwrap().clone()
}

both_databases! {
    async fn a_channel_is_configured_shown_and_removed(t) {
        let api = Api::over(&t).await;
        let runtime = create_runtime(&api, "b-openclaw-linux").await;
        let before = shown(&api, &runtime, "dingtalk-connector").await;
        assert_eq!(
            before,
            json!({ "Code": "dingtalk-connector", "ChannelType": "System", "Status": "Unconfigured" })
        );
        configure(&api, &[&runtime], &[("Config", SIMPLE), ("Name", "Ding")]).await.ok();
        let after = shown(&api, &runtime, "dingtalk-connector").await;
        assert_eq!(
            after,
            json!({
                "Code": "dingtalk-connector", "ChannelType": "System", "Status": "Configured", "ConfigMode": "Simple",
                "Config": r#"{"appKey":"ding1","appSecret":"****6789"}"#, "RiskType": "Pending",
            })
        );
        assert_eq!(shown(&api, &runtime, "feishu").await["Status"], json!("Unconfigured"));
        let quiet = [("AgentProvider", "OpenClaw"), ("RuntimeType", "CloudDesktop"), ("RuntimeId", runtime.as_str())];
        let quiet = api.call(VERSION, "GetRuntimeChannel", &quiet).await.ok();
        assert!(!quiet.to_string().contains("RiskType"));

        // The same again changes nothing; another mode takes its place.
        configure(&api, &[&runtime], &[("Config", SIMPLE)]).await.ok();
        let custom = r#"{"enabled":true,"clientId":"ding1","clientSecret":"canary-0123456789","dmPolicy":"open"}"#;
        configure(&api, &[&runtime], &[("Config", custom), ("ConfigMode", "Custom")]).await.ok();
        let after = shown(&api, &runtime, "dingtalk-connector").await;
        assert_eq!(
            (&after["ConfigMode"], &after["Config"]),
            (
                &json!("Custom"),
                &json!(r#"{"enabled":true,"clientId":"ding1","clientSecret":"****6789","dmPolicy":"open"}"#)
            )
        );
        for table in ["runtime_channel", "audit", "idempotency"] {
            let sql = match table {
                "runtime_channel" => "SELECT name || config_sealed || COALESCE(bot_id, '') AS line FROM runtime_channel",
                "audit" => "SELECT action || resources_json AS line FROM audit",
                _ => "SELECT response_json AS line FROM idempotency",
            };
            for row in t.store.db().fetch_all(sql, params![]).await.unwrap() {
                assert!(!row.text("line").unwrap().contains("canary"), "{table}");
            }
        }

        let remove = params_with(&[&runtime], &[]);
        for _ in 0..2 {
            api.call(VERSION, "RemoveRuntimeChannel", &remove).await.ok();
            assert_eq!(shown(&api, &runtime, "dingtalk-connector").await, before);
        }
    }

    async fn a_bot_serves_one_runtime(t) {
        let api = Api::over(&t).await;
        let first = create_runtime(&api, "b-openclaw-linux").await;
        let second = create_runtime(&api, "b-openclaw-linux").await;
        configure(&api, &[&first], &[("Config", SIMPLE)]).await.ok();
        let taken = configure(&api, &[&second], &[("Config", SIMPLE)]).await;
        let message = taken.body["Message"].as_str().unwrap().to_owned();
        assert!(message.contains(&first) && !message.contains("canary"), "{message}");
        assert_eq!(taken.refused(), (400, "Channel.BotInUse".to_owned()));
        // Whatever the mode, and whatever the id is called.
        let custom = [("Config", r#"{"clientId":"ding1","clientSecret":"x"}"#), ("ConfigMode", "Custom")];
        assert_eq!(configure(&api, &[&second], &custom).await.refused().1, "Channel.BotInUse");
        let both = r#"{"appKey":"ding2","appSecret":"x"}"#;
        let both = configure(&api, &[&first, &second], &[("Config", both)]).await;
        assert_eq!(both.refused(), (400, "Channel.BotInUse".to_owned()));
        assert_eq!(shown(&api, &second, "dingtalk-connector").await["Status"], json!("Unconfigured"));
        // The same id means another bot in another chat program.
        let feishu = [("Config", r#"{"appId":"ding1","appSecret":"x"}"#), ("Code", "feishu")];
        configure(&api, &[&second], &feishu).await.ok();
        // A channel that names no bot may be given to several at once, each named once or twice.
        let wechat = [("Config", "{}"), ("Code", "wechat")];
        configure(&api, &[&first, &second, &first], &wechat).await.ok();
        assert_eq!(shown(&api, &second, "wechat").await["Status"], json!("Configured"));
        // A deleted runtime sets its bots free.
        let delete = [("RegionId", "cn-hangzhou"), ("DesktopId.1", first.as_str())];
        api.call("2020-09-30", "DeleteDesktops", &delete).await.ok();
        configure(&api, &[&second], &[("Config", SIMPLE)]).await.ok();
    }

    async fn runtimes_are_listed_by_their_channels(t) {
        let api = Api::over(&t).await;
        let with = create_runtime(&api, "b-openclaw-linux").await;
        let without = create_runtime(&api, "b-openclaw-linux").await;
        configure(&api, &[&with], &[("Config", SIMPLE)]).await.ok();
        configure(&api, &[&with], &[("Config", "{}"), ("Code", "wechat")]).await.ok();
        for (filter, runtime, codes) in
            [("true", &with, json!(["dingtalk-connector", "wechat"])), ("false", &without, json!([]))]
        {
            let list = api.call(VERSION, "ListDesktopAgentRuntime", &[("ChannelConfigure", filter)]).await.ok();
            let item = &list["Data"][0];
            assert_eq!((&list["TotalCount"], &item["ResourceId"]), (&json!(1), &json!(runtime)));
            for shown in [item, &item["AgentInstanceInfoList"][0]] {
                assert_eq!(
                    (&shown["ChannelConfigure"], &shown["ChannelConfiguredList"]),
                    (&json!(filter == "true"), &codes)
                );
            }
        }
    }

    async fn what_is_wrong_is_refused_as_a_whole(t) {
        let api = Api::over(&t).await;
        let runtime = create_runtime(&api, "b-openclaw-linux").await;
        for (more, status, code) in [
            (vec![], 400, "MissingConfig"),
            (vec![("Config", "canary")], 400, "InvalidConfig"),
            (vec![("Config", r#"{"appKey":"canary"}"#)], 400, "InvalidConfig"),
            (vec![("Config", "{}"), ("ConfigMode", "Custom")], 400, "InvalidConfig"),
            (vec![("Config", SIMPLE), ("ConfigMode", "simple")], 400, "InvalidConfigMode"),
            (vec![("Config", SIMPLE), ("Code", "telegram")], 400, "InvalidCode"),
            (vec![("Config", SIMPLE), ("AgentProvider", "Robot")], 400, "InvalidAgentProvider"),
            (vec![("Config", SIMPLE), ("AgentProvider", "HermesAgent")], 404, "Runtime.NotFound"),
            (vec![("Config", SIMPLE), ("RuntimeType", "Laptop")], 400, "InvalidRuntimeType"),
            (vec![("Config", SIMPLE), ("Name", " ")], 400, "InvalidName"),
            (vec![("Config", SIMPLE), ("RuntimeIds.2", "ecd-absent")], 404, "Runtime.NotFound"),
        ] {
            let answer = configure(&api, &[&runtime], &more).await;
            assert!(!answer.body.to_string().contains("canary"), "{}", answer.body);
            assert_eq!(answer.refused(), (status, code.to_owned()), "{more:?}");
        }
        assert_eq!(configure(&api, &[], &[("Config", SIMPLE)]).await.refused().1, "MissingRuntimeIds");
        assert_eq!(shown(&api, &runtime, "dingtalk-connector").await["Status"], json!("Unconfigured"));

        configure(&api, &[&runtime], &[("Config", SIMPLE)]).await.ok();
        let named = params_with(&[&runtime], &[("Config", SIMPLE)]);
        let mut one = named.clone();
        one.push(("RuntimeId", &runtime));
        for action in ["ConfigRuntimeChannel", "RemoveRuntimeChannel", "GetRuntimeChannel"] {
            let foreign = api.call_as(Tenant::Other, VERSION, action, &one).await.refused();
            assert_eq!(foreign, (404, "Runtime.NotFound".to_owned()), "{action}");
        }
        let unknown = params_with(&["ecd-absent"], &[]);
        let unknown = api.call(VERSION, "RemoveRuntimeChannel", &unknown).await.refused();
        assert_eq!(unknown, (404, "Runtime.NotFound".to_owned()));
        assert_eq!(shown(&api, &runtime, "dingtalk-connector").await["Status"], json!("Configured"));
    }
}
