//! Runtimes as desktops: what their operations do and refuse.

use creel_testkit::both_databases;
use serde_json::json;

use crate::caller::{Caller, Refusal};
use crate::harness::TestApp;

const REGION: [Refusal<'_>; 2] =
    [(&[("RegionId", "")], 400, "MissingRegionId"), (&[("RegionId", "cn-beijing")], 400, "InvalidRegionId")];
const NOT_FOUND: &str = "InvalidDesktopId.NotFound";
const WINDOWS: [(&str, &str); 2] = [
    ("DesktopAttachment.ImageId", "imgc-0aae4rxv3pz7idcot"),
    ("DesktopAttachment.DesktopType", "cloud.space.4c.8g"),
];

both_databases! {
    async fn a_new_name_shows(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let ids = root.desktops(&root.office_site().await, "3").await;
        let good = [("DesktopId", ids[0].as_str()), ("DesktopIds.1", ids[1].as_str()), ("NewDesktopName", "钉 new")];
        root.ecd("ModifyDesktopName", &good).await;
        let named = root.ecd("DescribeDesktops", &[("DesktopName", "钉 new")]).await;
        assert_eq!(named["TotalCount"], json!(2));

        let long = "x".repeat(65);
        root.ecd_refuses("ModifyDesktopName", &good, &REGION).await;
        root.ecd_refuses("ModifyDesktopName", &good, &[
            (&[("DesktopId", "")], 400, "MissingDesktopId"),
            (&[("NewDesktopName", "")], 400, "MissingNewDesktopName"),
            (&[("NewDesktopName", &long)], 400, "InvalidNewDesktopName"),
            (&[("NewDesktopName", "a\tb")], 400, "InvalidNewDesktopName"),
            (&[("UserAssignMode", "ALL")], 400, "UnsupportedParameter"),
            (&[("NewDesktopName", "other"), ("DesktopIds.1", "ecd-none")], 404, NOT_FOUND),
        ]).await;
        let stranger = Caller::stranger(&app).await;
        stranger.ecd_refuses("ModifyDesktopName", &good, &[(&[], 404, NOT_FOUND)]).await;
        assert_eq!(root.ecd("DescribeDesktops", &[("DesktopName", "other")]).await["TotalCount"], json!(0));
    }

    async fn a_runtime_hibernates_and_wakes(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        let this = [("DesktopId.1", id.as_str())];
        let shown = root.desktop_in(&id, "Running").await;
        assert_eq!((&shown["ManagementFlags"], &shown["SupportHibernation"]), (&json!(["NoFlag"]), &json!(true)));

        root.ecd("HibernateDesktops", &this).await;
        let shown = root.desktop_when(&id, |shown| shown["ManagementFlag"] == "Hibernated").await;
        assert_eq!(shown["DesktopStatus"], "Stopped");
        let found = root.ecd("DescribeDesktops", &[("ManagementFlag", "Hibernated")]).await;
        assert_eq!(found["TotalCount"], json!(1));
        let list = ("2021-09-01", "ListDesktopAgentRuntime");
        let found = root.call(list, &[("ManagementStatus", "Hibernated")]).await.body;
        assert_eq!(found["Data"][0]["ManagementStatuses"], json!(["Hibernated"]));
        root.ecd_refuses("RebootDesktops", &this, &[(&[], 400, "IncorrectDesktopStatus")]).await;

        root.ecd("WakeupDesktops", &this).await;
        let shown = root.desktop_in(&id, "Running").await;
        assert_eq!(shown["ManagementFlag"], "NoFlag");
        let found = root.call(list, &[]).await.body;
        assert_eq!(found["Data"][0]["ManagementStatuses"], json!([]));
    }

    async fn a_windows_runtime_waits_with_its_reason(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let site = root.office_site().await;
        let new = [&WINDOWS[..], &[("OfficeSiteId", site.as_str())]].concat();
        let id = root.ecd("CreateDesktops", &new).await["DesktopId"][0].as_str().unwrap().to_owned();
        let this = [("DesktopId.1", id.as_str())];
        let reason = "no host that can run Windows has joined yet";
        let waits = async || {
            let shown = root.desktop_in(&id, "Pending").await;
            assert_eq!((&shown["Progress"], &shown["OsType"]), (&json!(reason), &json!("Windows")));
            let receipts = root.call(("2026-11-24", "DescribeAgentReceipts"), &[("RuntimeIds.1", &id)]).await;
            assert_eq!(receipts.body["Receipts"][0]["LastError"], json!(reason));
            assert_eq!(receipts.body["Receipts"][0]["AgentStatus"], "Undeployed");
            let found = root.call(("2021-09-01", "ListDesktopAgentRuntime"), &[("DesktopIds.1", &id)]).await;
            assert_eq!(found.body["Data"][0]["DesktopStatus"], "Pending");
        };
        waits().await;
        root.ecd("StartDesktops", &this).await;
        waits().await;
        root.ecd_refuses("HibernateDesktops", &this, &[(&[], 400, "IncorrectDesktopStatus")]).await;
        root.ecd("StopDesktops", &this).await;
        let shown = root.desktop_in(&id, "Stopped").await;
        assert!(shown.get("Progress").is_none(), "{shown}");
        root.ecd("StartDesktops", &this).await;
        waits().await;
        let message = [("RuntimeId", id.as_str()), ("Message", "hello")];
        root.call(("2026-11-24", "SendAgentMessage"), &message).await.assert_refused(400, "Agent.NotRunning");
        root.ecd("DeleteDesktops", &this).await;
        assert_eq!(root.ecd("DescribeDesktops", &this).await["TotalCount"], json!(0));
    }

    async fn power_is_refused_for_what_is_not_there_or_not_ready(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let stranger = Caller::stranger(&app).await;
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        let good = [("DesktopId.1", id.as_str())];
        let names: Vec<String> = (2..=201).map(|n| format!("DesktopId.{n}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "ecd-1")).collect();
        root.desktop_in(&id, "Running").await;
        for action in
            ["StartDesktops", "StopDesktops", "RebootDesktops", "HibernateDesktops", "WakeupDesktops", "DeleteDesktops"]
        {
            let too_many = if action == "DeleteDesktops" { &many[..] } else { &many[..100] };
            root.ecd_refuses(action, &good, &REGION).await;
            root.ecd_refuses(action, &good, &[
                (&[("DesktopId.1", "")], 400, "MissingDesktopId"),
                (&[("DesktopId.2", "ecd-none")], 404, NOT_FOUND),
                (too_many, 400, "InvalidDesktopId"),
            ]).await;
            stranger.ecd_refuses(action, &good, &[(&[], 404, NOT_FOUND)]).await;
        }
        for action in ["StopDesktops", "RebootDesktops"] {
            root.ecd_refuses(action, &good, &[
                (&[("OsUpdate", "true")], 400, "UnsupportedParameter"),
                (&[("PatchId", "p")], 400, "UnsupportedParameter"),
                (&[("CreateSnapshot", "true")], 400, "UnsupportedParameter"),
            ]).await;
        }
        assert_eq!(root.desktop_in(&id, "Running").await["DesktopId"], json!(id), "nothing was changed");
        root.ecd("StopDesktops", &good).await;
        root.desktop_in(&id, "Stopped").await;
        for action in ["RebootDesktops", "HibernateDesktops", "WakeupDesktops"] {
            root.ecd_refuses(action, &good, &[(&[], 400, "IncorrectDesktopStatus")]).await;
        }
    }

    async fn lists_refuse_what_they_do_not_understand(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        root.ecd_refuses("DescribeDesktops", &[], &REGION).await;
        root.ecd_refuses("DescribeDesktops", &[], &[
            (&[("MaxResults", "0")], 400, "InvalidMaxResults"),
            (&[("MaxResults", "1001")], 400, "InvalidMaxResults"),
            (&[("NextToken", "x")], 400, "InvalidNextToken"),
            (&[("PageSize", "0")], 400, "InvalidPageSize"),
            (&[("PageNumber", "-1")], 400, "InvalidPageNumber"),
            (&[("DesktopStatus", "Asleep")], 400, "InvalidDesktopStatus"),
            (&[("ManagementFlag", "Asleep")], 400, "InvalidManagementFlag"),
            (&[("ChargeType", "Free")], 400, "InvalidChargeType"),
            (&[("OsTypes.1", "Minix")], 400, "InvalidOsTypes"),
            (&[("ExpiredTime", "2030-01-01T00:00:00Z")], 400, "UnsupportedParameter"),
        ]).await;
        root.refuses(("2021-09-01", "ListDesktopAgentRuntime"), &[], &[
            (&[("PageSize", "1001")], 400, "InvalidPageSize"),
            (&[("PageNumber", "-1")], 400, "InvalidPageNumber"),
            (&[("HasRisk", "maybe")], 400, "InvalidHasRisk"),
            (&[("AgentTemplateIds.1", "at-1")], 400, "UnsupportedParameter"),
        ]).await;
    }
}
