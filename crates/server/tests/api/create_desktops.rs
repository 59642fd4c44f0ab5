//! CreateDesktops to its last parameter.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_control::message::Messages;
use creel_control::runtime::Runtimes;
use creel_testkit::both_databases;
use creel_wire::guest::{CommandEnd, CommandResult, InvocationOutcome, InvocationRequest};
use creel_wire::id::RuntimeId;
use serde_json::json;

use crate::caller::{Caller, Params, Refusal, text, with};
use crate::harness::TestApp;
use crate::user::create as create_users;

const LINUX: (&str, &str) = ("DesktopAttachment.ImageId", "imgc-0ae8jvkn4tzatayay");
const WINDOWS: (&str, &str) = ("DesktopAttachment.ImageId", "imgc-0aae4rxv3pz7idcot");
const SIZE: (&str, &str) = ("DesktopAttachment.DesktopType", "eds.general.2c4g");

async fn made(caller: &Caller<'_>, params: Params<'_>) -> Vec<String> {
    let body = caller.ecd("CreateDesktops", params).await;
    body["DesktopId"].as_array().unwrap().iter().map(text).collect()
}

async fn shown(caller: &Caller<'_>, id: &str) -> serde_json::Value {
    caller.ecd("DescribeDesktops", &[("DesktopId.1", id)]).await["Desktops"][0].clone()
}

both_databases! {
    async fn what_was_asked_for_shows(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        create_users(&root, &["alice"]).await;
        let site = root.office_site().await;
        let id = made(&root, &[
            ("OfficeSiteId", &site), LINUX, SIZE, ("DesktopName", "agent"), ("EndUserId.1", "alice"),
            ("DesktopAttachment.SystemDiskSize", "80"), ("DesktopAttachment.SystemDiskCategory", "cloud_auto"),
            ("DesktopAttachment.SystemDiskPerLevel", "PL0"), ("DesktopAttachment.DataDiskSize", "40"),
            ("DesktopAttachment.DataDiskCategory", "cloud_essd"), ("DesktopAttachment.DataDiskPerLevel", "PL1"),
            ("PolicyGroupId", "system-all-enabled-policy"), ("ChargeType", "PrePaid"),
            ("Tag.1.Key", "team"), ("Tag.1.Value", "red"), ("Tag.2.Key", "bare"),
            // Read past: what they are about does not exist here.
            ("AutoPay", "true"), ("AutoRenew", "true"), ("Period", "1"), ("PeriodUnit", "Month"),
            ("DesktopAttachment.DefaultLanguage", "ja-JP"), ("PromotionId", "1"), ("ExtendInfo", "{}"),
        ]).await.remove(0);
        let desktop = shown(&root, &id).await;
        for (field, value) in [
            ("DesktopName", json!("agent")), ("ChargeType", json!("PrePaid")), ("EndUserIds", json!(["alice"])),
            ("DesktopType", json!("eds.general.2c4g")), ("Cpu", json!(2)), ("Memory", json!(4096)),
            ("SystemDiskSize", json!(80)), ("SystemDiskCategory", json!("cloud_auto")),
            ("DataDiskSize", json!("40")), ("DataDiskCategory", json!("cloud_essd")),
            ("Disks", json!([
                { "DiskCategory": "cloud_auto", "DiskSize": 80, "DiskType": "SYSTEM", "PerformanceLevel": "PL0" },
                { "DiskCategory": "cloud_essd", "DiskSize": 40, "DiskType": "DATA", "PerformanceLevel": "PL1" },
            ])),
            ("PolicyGroupId", json!("system-all-enabled-policy")),
            ("PolicyGroupIdList", json!(["system-all-enabled-policy"])),
            ("Tags", json!([{ "Key": "bare", "Value": "" }, { "Key": "team", "Value": "red" }])),
            ("HostName", json!(id)),
        ] {
            assert_eq!(desktop[field], value, "{field}");
        }
        let plain = made(&root, &[("DirectoryId", &site), ("BundleId", "b-openclaw-linux")]).await.remove(0);
        let plain = shown(&root, &plain).await;
        assert_eq!((&plain["SystemDiskSize"], plain.get("DataDiskSize")), (&json!(40), None));
        assert_eq!(plain["Disks"].as_array().unwrap().len(), 1);
    }

    async fn names_and_users_are_dealt_out(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let site = root.office_site().await;
        let base = [("OfficeSiteId", site.as_str()), LINUX, SIZE, ("DesktopName", "agent")];
        let numbered = json!(["agent0001", "agent0002"]);
        let cases: [(Params<'_>, serde_json::Value); 6] = [
            (&[], json!(["agent"])),
            (&[("DesktopNameSuffix", "true")], json!(["agent0001"])),
            (&[("Amount", "2")], numbered.clone()),
            (&[("Amount", "2"), ("DesktopNameModel", r#"{"DesktopNameIsSuffix":true}"#)], numbered.clone()),
            (&[("Amount", "2"), ("DesktopNameModel", r#"{"DesktopNameIsSuffix":false}"#)], json!(["agent", "agent"])),
            (&[("DesktopNameModel", r#"{"DesktopNameIsSuffix":true}"#)], json!(["agent0001"])),
        ];
        for (change, expected) in cases {
            let mut names = Vec::new();
            for id in made(&root, &with(&base, change)).await {
                names.push(text(&shown(&root, &id).await["DesktopName"]));
            }
            names.sort();
            assert_eq!(json!(names), expected, "{change:?}");
        }
        create_users(&root, &["alice", "bob_1", "carol"]).await;
        let users = [("Amount", "2"), ("EndUserId.1", "alice"), ("EndUserId.2", "bob_1")];
        for (mode, expected) in
            [("ALL", [json!(["alice", "bob_1"]), json!(["alice", "bob_1"])]), ("PER_USER", [json!(["alice"]), json!(["bob_1"])])]
        {
            let ids = made(&root, &with(&base, &[&users[..], &[("UserAssignMode", mode)]].concat())).await;
            for (id, expected) in ids.iter().zip(expected) {
                assert_eq!(shown(&root, id).await["EndUserIds"], expected, "{mode}");
            }
        }
        let models = [
            ("OfficeSiteId", site.as_str()), ("BundleModels.1.BundleId", "b-openclaw-linux"),
            ("BundleModels.1.Amount", "2"), ("BundleModels.1.DesktopName", "m"), ("BundleModels.1.EndUserIds.1", "carol"),
            ("BundleModels.2.BundleId", "b-openclaw-linux"), ("BundleModels.2.Amount", "1"), ("PolicyGroupId", "pg-1"),
        ];
        let ids = made(&root, &models).await;
        assert_eq!(ids.len(), 3);
        let first = shown(&root, &ids[0]).await;
        assert_eq!((&first["DesktopName"], &first["EndUserIds"]), (&json!("m0001"), &json!(["carol"])));
        assert_eq!(shown(&root, &ids[2]).await["PolicyGroupId"], "pg-1");
    }

    async fn windows_runtimes_have_host_names(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let (site, other) = (root.office_site().await, root.office_site().await);
        let base = [("OfficeSiteId", site.as_str()), WINDOWS, SIZE];
        let ids = made(&root, &with(&base, &[("Amount", "2"), ("Hostname", "pc-[9,2]-x")])).await;
        let mut names = Vec::new();
        for id in &ids {
            names.push(text(&shown(&root, id).await["HostName"]));
        }
        assert_eq!(names, ["pc-09-x", "pc-10-x"]);
        root.ecd_refuses("CreateDesktops", &base, &[
            (&[("Hostname", "PC-09-X")], 400, "ExistedHostname"),
            (&[("Hostname", "same"), ("Amount", "2")], 400, "ExistedHostname"),
            (&[("Hostname", "x")], 400, "InvalidHostname"),
            (&[("Hostname", "much-too-long-name")], 400, "InvalidHostname"),
            (&[("Hostname", "pc-09-x"), LINUX], 400, "HostnameCannotCustomizeForLinux"),
            (
                &[("BundleModels.1.BundleId", "b-openclaw-linux"), ("BundleModels.1.Amount", "1"),
                  ("BundleModels.1.Hostname", "pc-1")],
                400, "HostnameCannotCustomizeForLinux",
            ),
        ]).await;
        made(&root, &with(&base, &[("OfficeSiteId", &other), ("Hostname", "pc-09-x")])).await;
        root.ecd("DeleteDesktops", &[("DesktopId.1", &ids[0])]).await;
        made(&root, &with(&base, &[("Hostname", "pc-09-x")])).await;
    }

    async fn commands_of_the_first_start_run_one_after_the_other(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let site = root.office_site().await;
        let second = STANDARD.encode("echo two");
        let ids = made(&root, &[
            ("OfficeSiteId", &site), ("BundleId", "b-openclaw-linux"), ("Amount", "2"),
            ("UserCommands.1.Content", "echo one"), ("UserCommands.1.ContentEncoding", "PlainText"),
            ("UserCommands.1.ContentType", "RunShellScript"),
            ("UserCommands.2.Content", &second), ("UserCommands.2.ContentType", "RunShellScript"),
        ]).await;
        let messages = Messages::new(t.store.clone(), t.ids.clone(), Runtimes::new(t.store.clone(), t.ids.clone()));
        let listed = root.ecd("DescribeInvocations", &[("ContentEncoding", "PlainText")]).await;
        let mut contents: Vec<String> =
            listed["Invocations"].as_array().unwrap().iter().map(|command| text(&command["CommandContent"])).collect();
        contents.sort();
        assert_eq!(contents, ["echo one", "echo two"]);
        assert_eq!(listed["Invocations"][0]["InvokeDesktopCount"], json!(2));

        // Stopped before it ever ran: they wait.
        root.ecd("StopDesktops", &[("DesktopId.1", &ids[0])]).await;
        t.clock.advance(jiff::SignedDuration::from_hours(24 * 30));
        messages.expire().await.unwrap();
        let runtime = RuntimeId::parse(&ids[0]).unwrap();
        for (script, code) in [("echo one", 1), ("echo two", 0)] {
            let waiting = messages.to_send(&runtime, false).await.unwrap();
            assert_eq!(waiting.len(), 1, "one at a time");
            assert!(matches!(&waiting[0].request, InvocationRequest::Command { script: sent } if sent == script));
            messages.mark_sent(&waiting[0].id).await.unwrap();
            assert!(messages.to_send(&runtime, false).await.unwrap().is_empty(), "not while one runs");
            let result = CommandResult { end: CommandEnd::Exited { code }, output: String::new(), dropped: 0 };
            messages.finish(&runtime, &waiting[0].id, InvocationOutcome::Ran(result)).await.unwrap();
        }
        assert!(messages.to_send(&runtime, false).await.unwrap().is_empty());
        root.ecd("DeleteDesktops", &[("DesktopId.1", &ids[1])]).await;
        let statuses = async |status| {
            let found = root.ecd("DescribeInvocations", &[("InvokeStatus", status)]).await;
            found["Invocations"].as_array().unwrap().len()
        };
        assert_eq!((statuses("Failed").await, statuses("PartialFailed").await), (1, 1));
    }

    async fn each_documented_error_comes_where_it_can(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let site = root.office_site().await;
        create_users(&root, &["abc", "abd"]).await;
        let base = [("OfficeSiteId", site.as_str()), LINUX, SIZE];
        let shell = [("UserCommands.1.ContentType", "RunShellScript"), ("UserCommands.1.Content", "eA==")];
        let (long, bad_command) = ("x".repeat(129), ("UserCommands.1.Content", "%%%"));
        let rows: [Refusal<'_>; 44] = [
            (&[("VolumeEncryptionEnabled", "true")], 400, "InvalidEncryptionKey.Missing"),
            (&[("VolumeEncryptionEnabled", "true"), ("VolumeEncryptionKey", "k")], 400, "InvalidEncryptionKey.NotFound"),
            (&[("VolumeEncryptionKey", "k")], 400, "InvalidEncryptionEnabled.Invalid"),
            (&[("BundleModels.1.VolumeEncryptionEnabled", "true")], 400, "InvalidEncryptionKey.Missing"),
            (&[("DesktopAttachment.ImageId", "m-none")], 400, "InvalidImageStatus.NotValid"),
            (&[("DesktopMemberIp", "10.0.0.1"), ("Amount", "2")], 400, "InvalidMemberIp.DesktopAmount"),
            (&[("DesktopMemberIp", "10.0.0.1")], 400, "UnsupportedParameter"),
            (&[("Hostname", "pc-1")], 400, "HostnameCannotCustomizeForLinux"),
            (&[("Amount", "301")], 400, "InvalidAmount"),
            (&[("Amount", "0")], 400, "InvalidAmount"),
            (&[("BundleModels.1.BundleId", "b-openclaw-linux"), ("BundleModels.1.Amount", "300")], 400, "InvalidAmount"),
            (
                &[("Amount", "3"), ("UserAssignMode", "PER_USER"), ("EndUserId.1", "abc"), ("EndUserId.2", "abd")],
                400, "InvalidAmount.NotTimesOfUsers",
            ),
            (&[("BundleId", "b-none")], 400, "InvalidDesktopBundle.NotFound"),
            (&[("OfficeSiteId", "cn-hangzhou+dir-none")], 400, "InvalidDirectoryId.NotFound"),
            (&[("OfficeSiteId", "x")], 400, "InvalidDirectoryId.NotFound"),
            (&[("OfficeSiteId", "")], 400, "MissingOfficeSiteId"),
            (&[("RegionId", "")], 400, "MissingRegionId"),
            (&[("RegionId", "cn-beijing")], 400, "InvalidRegionId"),
            (&[("DesktopAttachment.ImageId", "")], 400, "MissingBundleId"),
            (&[("DesktopAttachment.DesktopType", "eds.none")], 400, "InvalidDesktopType"),
            (&[("DesktopAttachment.SystemDiskSize", "30")], 400, "InvalidDesktopAttachment"),
            (&[("DesktopAttachment.DataDiskSize", "45")], 400, "InvalidDesktopAttachment"),
            (&[("DesktopAttachment.DataDiskSize", "2050")], 400, "InvalidDesktopAttachment"),
            (&[("DesktopName", &long)], 400, "InvalidDesktopName"),
            (&[("EndUserId.1", "Not Valid")], 404, "InvalidEndUserId.NotFound"),
            (&[("ChargeType", "Free")], 400, "InvalidChargeType"),
            (&[("UserAssignMode", "SOME")], 400, "InvalidUserAssignMode"),
            (&[("PurchaseOptions.MonthlyCredits", "0")], 400, "InvalidPurchaseOptions"),
            (&[("PurchaseOptions.CreditPackagePeriod", "1")], 400, "UnsupportedParameter"),
            (&[("Tag.1.Value", "v")], 400, "InvalidTag"),
            (&[("Tag.1.Key", "aliyun")], 400, "InvalidTag"),
            (&[("Tag.1.Key", "k"), ("Tag.2.Key", "k")], 400, "InvalidTag"),
            (&[shell[0]], 400, "MissingContent"),
            (&[shell[1]], 400, "MissingContentType"),
            (&[shell[0], bad_command], 400, "InvalidUserCommands"),
            (&[("UserCommands.1.ContentType", "RunBatScript"), shell[1]], 400, "InvalidUserCommands"),
            (&[("AppRuleId", "bwr-1")], 400, "UnsupportedParameter"),
            (&[("GroupId", "dg-1")], 400, "UnsupportedParameter"),
            (&[("OuPath", "a/b")], 400, "UnsupportedParameter"),
            (&[("QosRuleId", "qos-1")], 400, "UnsupportedParameter"),
            (&[("SnapshotPolicyId", "sp-1")], 400, "UnsupportedParameter"),
            (&[("SubnetId", "vsw-1")], 400, "UnsupportedParameter"),
            (&[("TimerGroupId", "ccg-1")], 400, "UnsupportedParameter"),
            (&[("VpcId", "vpc-1")], 400, "UnsupportedParameter"),
        ];
        root.ecd_refuses("CreateDesktops", &base, &rows).await;
        let stranger = Caller::stranger(&app).await;
        stranger.ecd_refuses("CreateDesktops", &base, &[(&[], 400, "InvalidDirectoryId.NotFound")]).await;
        assert_eq!(root.ecd("DescribeDesktops", &[]).await["TotalCount"], json!(0), "nothing was made");
        assert_eq!(root.ecd("DescribeInvocations", &[]).await["Invocations"], json!([]));

        let token = [("ClientToken", "t"), shell[0], shell[1]];
        let with_token = with(&base, &token);
        assert_eq!(made(&root, &with_token).await, made(&root, &with_token).await);
        assert_eq!(root.ecd("DescribeInvocations", &[]).await["Invocations"].as_array().unwrap().len(), 1);
        root.ecd_refuses("CreateDesktops", &with_token, &[(&[("Amount", "2")], 400, "IdempotentParameterMismatch")]).await;
    }
}
