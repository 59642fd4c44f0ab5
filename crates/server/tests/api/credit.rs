//! Credits through the API: monthly packs, quotas, and what is told of them.

use serde_json::{Value, json};

use crate::model_calls::{Api, Tenant};

const VERSION: &str = "2021-12-21";
const OURS: &str = "2026-11-24";

/// A JVS Computer with two credits a month; its own id and its runtime's.
async fn jvs_computer(api: &Api) -> (String, String) {
    let site = [("RegionId", "cn-hangzhou"), ("OfficeSiteName", "site")];
    let site = api.call("2020-09-30", "CreateSimpleOfficeSite", &site).await.ok();
    let desktop = [
        ("RegionId", "cn-hangzhou"),
        ("OfficeSiteId", site["OfficeSiteId"].as_str().unwrap()),
        ("BundleId", "b-openclaw-linux"),
        ("ChargeType", "PostPaid"),
        ("DesktopAttachment", r#"{"DesktopType":"cloud.space.4c.8g"}"#),
        ("PurchaseOptions.MonthlyCredits", "2"),
    ];
    let made = api.call("2020-09-30", "CreateDesktops", &desktop).await.ok();
    let listed = api.call(VERSION, "DescribeCreditPackageAgents", &[]).await.ok();
    let agent = listed["Agents"][0]["AgentId"].as_str().unwrap().to_owned();
    (agent, made["DesktopId"][0].as_str().unwrap().to_owned())
}

async fn agents(api: &Api, params: &[(&str, &str)]) -> Vec<Value> {
    let listed = api.call(VERSION, "DescribeCreditPackageAgents", params).await.ok();
    listed["Agents"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn monthly_credits_and_quotas_are_told_by_either_id() {
    let api = Api::start().await;
    let (jvs_id, runtime_id) = jvs_computer(&api).await;
    assert!(jvs_id.starts_with("jvs-") && runtime_id.starts_with("ecd-"));
    let agent = agents(&api, &[("AgentIds.1", &runtime_id)]).await.remove(0);
    assert_eq!(
        (&agent["AgentId"], &agent["TotalCredit"], &agent["UsedCredit"]),
        (&json!(jvs_id), &json!(2), &json!(0))
    );
    let pack = agent["CreditPackageId"].as_str().unwrap().to_owned();
    assert!(pack.starts_with("crp-") && agent["ExpiredTime"].as_str().unwrap().ends_with("-01 00:00:00"));

    let quota = |id: String, credits: &'static str, kind: &'static str| {
        let api = &api;
        async move {
            let params = [("AgentIds.1", id.as_str()), ("CreditQuota", credits), ("AgentType", kind)];
            api.call(VERSION, "SetAgentCreditQuota", &params).await
        }
    };
    quota(jvs_id.clone(), "7", "JVSClaw").await.ok();
    assert_eq!(agents(&api, &[("AgentType", "JVS_CLAW")]).await[0]["TotalCredit"], json!(7));
    assert!(agents(&api, &[("AgentType", "OPEN_CLAW")]).await.is_empty());
    assert_eq!(
        quota(jvs_id.clone(), "-1", "JVS_CLAW").await.refused(),
        (400, "InvalidCreditQuota".to_owned())
    );
    assert_eq!(quota(jvs_id.clone(), "1", "Claw").await.refused(), (400, "InvalidAgentType".to_owned()));

    let usage = [("UsageType", "Agent"), ("InstanceIds.1", runtime_id.as_str())];
    let told = api.call(VERSION, "DescribeCreditUsageInfo", &usage).await.ok();
    let (key, info) = (&told["UsageInfoList"][0]["UsageInfoKey"], &told["UsageInfoList"][0]["UsageInfo"]);
    assert_eq!((key, &info["TotalCredit"], &info["RemainCredit"]), (&json!(jvs_id), &json!(7), &json!(7)));
    assert_eq!(info["TotalUsed"], json!("0.000000"));
    assert_eq!(info["CreditTrendList"].as_array().unwrap().len(), 24);
    let told = api.call(VERSION, "DescribeCreditUsageInfo", &[]).await.ok();
    assert_eq!(told["UsageInfoList"][0]["UsageInfo"]["TotalCredit"], json!(2));
    let usage = [("UsageType", "CreditPackage"), ("InstanceIds.1", pack.as_str())];
    let told = api.call(VERSION, "DescribeCreditUsageInfo", &usage).await.ok();
    assert_eq!(told["UsageInfoList"][0]["UsageInfo"]["CurrentInstanceId"], json!(pack));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_or_changes_the_credits_of_others() {
    let api = Api::start().await;
    let (jvs_id, runtime_id) = jvs_computer(&api).await;
    for foreign in [&jvs_id, &runtime_id] {
        let params = [("AgentIds.1", foreign.as_str()), ("CreditQuota", "0")];
        let set = api.call_as(Tenant::Other, VERSION, "SetAgentCreditQuota", &params).await.refused();
        assert_eq!(set, (404, "Runtime.NotFound".to_owned()));
        let params = [("UsageType", "Agent"), ("InstanceIds.1", foreign.as_str())];
        let told = api.call_as(Tenant::Other, VERSION, "DescribeCreditUsageInfo", &params).await.refused();
        assert_eq!(told, (404, "Runtime.NotFound".to_owned()));
    }
    // One that is unknown keeps the others from being changed.
    let params = [("AgentIds.1", jvs_id.as_str()), ("AgentIds.2", "ecd-absent"), ("CreditQuota", "0")];
    let set = api.call(VERSION, "SetAgentCreditQuota", &params).await.refused();
    assert_eq!(set, (404, "Runtime.NotFound".to_owned()));
    assert_eq!(agents(&api, &[]).await[0]["TotalCredit"], json!(2));
    let listed = api.call_as(Tenant::Other, VERSION, "DescribeCreditPackageAgents", &[]).await.ok();
    assert_eq!(listed["Agents"], json!([]));
    let entries = api.call_as(Tenant::Other, OURS, "DescribeLedgerEntries", &[]).await.ok();
    assert_eq!((&entries["Entries"], &entries["TotalCredits"]), (&json!([]), &json!("0.000000")));
}
