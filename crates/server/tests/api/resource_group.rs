//! Resource groups and the runtimes in them.

use creel_testkit::both_databases;
use serde_json::{Value, json};

use crate::caller::{Caller, Params, text};
use crate::harness::TestApp;

const USER: &str = "2021-03-08";
const CREATE: (&str, &str) = (USER, "CreateResourceGroup");
const DELETE: (&str, &str) = (USER, "DeleteResourceGroup");
const DESCRIBE: (&str, &str) = (USER, "DescribeResourceGroups");
const INTO: (&str, &str) = (USER, "TransferResourcesIntoGroup");
const OUT_OF: (&str, &str) = (USER, "TransferResourcesOutofGroup");

async fn ok(caller: &Caller<'_>, operation: (&str, &str), params: Params<'_>) -> Value {
    let answer = caller.call(operation, params).await;
    answer.assert_ok();
    answer.body
}

async fn create(caller: &Caller<'_>, name: &str) -> String {
    text(&ok(caller, CREATE, &[("ResourceGroupName", name)]).await["ResourceGroupId"])
}

/// Name and number of runtimes of each group that matches.
async fn groups(caller: &Caller<'_>, params: Params<'_>) -> Vec<(String, String)> {
    let body = ok(caller, DESCRIBE, params).await;
    let shown = body["ResourceGroup"].as_array().unwrap().iter();
    shown.map(|group| (text(&group["ResourceGroupName"]), text(&group["ResourceCount"]))).collect()
}

/// The desktops that a filter by resource group finds.
async fn members(caller: &Caller<'_>, group: &str) -> Vec<String> {
    let body = caller.ecd("DescribeDesktops", &[("ResourceGroupId", group)]).await;
    body["Desktops"].as_array().unwrap().iter().map(|desktop| text(&desktop["DesktopId"])).collect()
}

/// The wish's generation, which an agent follows.
async fn generation(caller: &Caller<'_>, desktop: &str) -> i64 {
    let body = ok(caller, ("2026-11-24", "DescribeAgentReceipts"), &[("RuntimeIds.1", desktop)]).await;
    body["Receipts"][0]["DesiredGeneration"].as_i64().unwrap()
}

both_databases! {
    async fn groups_are_made_listed_and_deleted(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let with_token = [("ResourceGroupName", "sales"), ("ClientToken", "t"), ("Platform", "AliyunConsole")];
        let sales = text(&ok(&root, CREATE, &with_token).await["ResourceGroupId"]);
        assert!(sales.starts_with("rg-"));
        assert_eq!(ok(&root, CREATE, &with_token).await["ResourceGroupId"], json!(sales));
        root.refuses(CREATE, &with_token, &[
            (&[("ResourceGroupName", "other")], 400, "IdempotentParameterMismatch"),
            (&[("ClientToken", "")], 400, "ResourceGroup.NameDuplicate"),
            (&[("ResourceGroupName", "")], 400, "MissingResourceGroupName"),
            (&[("ResourceGroupName", &"x".repeat(65)), ("ClientToken", "")], 400, "InvalidResourceGroupName"),
            (&[("ResourceGroupName", "a\nb"), ("ClientToken", "")], 400, "InvalidResourceGroupName"),
            (&[("IsResourceGroupWithOfficeSite", "1")], 400, "UnsupportedParameter"),
            (&[("EnableAliyunResourceGroup", "true")], 400, "UnsupportedParameter"),
        ]).await;
        t.clock.advance(jiff::SignedDuration::from_secs(1));
        let ops = create(&root, "ops").await;

        let page = ok(&root, DESCRIBE, &[("PageNumber", "2"), ("PageSize", "1")]).await;
        let shown = json!({
            "ResourceGroupId": ops, "ResourceGroupName": "ops", "ResourceCount": "0", "AuthCount": "0",
            "CreateTime": "2026-01-02T03:04:06.000000000Z", "Policies": [], "Timers": [], "AppRules": [],
        });
        assert_eq!((&page["TotalCount"], &page["ResourceGroup"]), (&json!("2"), &json!([shown])));
        let zero = |name: &str| (name.to_owned(), "0".to_owned());
        assert_eq!(groups(&root, &[]).await, [zero("sales"), zero("ops")]);
        assert_eq!(groups(&root, &[("ResourceGroupName", "ops")]).await, [zero("ops")]);
        assert_eq!(groups(&root, &[("ResourceGroupName", "op")]).await, []);
        assert_eq!(groups(&root, &[("ResourceGroupIds.1", &sales)]).await, [zero("sales")]);
        root.refuses(DESCRIBE, &[], &[
            (&[("PageSize", "101")], 400, "InvalidPageSize"),
            (&[("PageNumber", "-1")], 400, "InvalidPageNumber"),
            (&[("AgentType", "x")], 400, "UnsupportedParameter"),
        ]).await;

        let stranger = Caller::stranger(&app).await;
        assert_eq!(groups(&stranger, &[("ResourceGroupIds.1", &sales)]).await, []);
        // A name is unique in one account only.
        create(&stranger, "sales").await;
        let foreign = [("ResourceGroupId", sales.as_str())];
        stranger.refuses(DELETE, &foreign, &[
            (&[], 404, "ResourceGroup.NotFound"),
            (&[("ResourceGroupId", "rg-none")], 404, "ResourceGroup.NotFound"),
            (&[("ResourceGroupId", "none")], 404, "ResourceGroup.NotFound"),
            (&[("ResourceGroupId", "")], 400, "MissingResourceGroupId"),
        ]).await;
        // One unknown id leaves all as they were.
        root.refuses(DELETE, &foreign, &[(&[("ResourceGroupIds.1", "rg-none")], 404, "ResourceGroup.NotFound")]).await;
        ok(&root, DELETE, &[("ResourceGroupId", &sales), ("ResourceGroupIds.1", &sales), ("ResourceGroupIds.2", &ops)])
            .await;
        assert_eq!(groups(&root, &[]).await, []);
        create(&root, "sales").await;
    }

    async fn runtimes_move_between_groups_and_get_a_new_wish(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let (a, b) = (create(&root, "a").await, create(&root, "b").await);
        let site = root.office_site().await;
        let desktops = root.desktops(&site, "2").await;
        let (first, second) = (desktops[0].as_str(), desktops[1].as_str());
        root.desktop_in(first, "Running").await;
        let before = generation(&root, first).await;

        let both = [
            ("ResourceGroupId", a.as_str()),
            ("Resources.1.ResourceId", first), ("Resources.1.RegionId", "cn-hangzhou"),
            ("Resources.1.ResourceType", "DESKTOP"), ("Resources.2.ResourceId", second),
        ];
        ok(&root, INTO, &both).await;
        let moved = generation(&root, first).await;
        assert!(moved > before);
        ok(&root, INTO, &both).await;
        assert_eq!(generation(&root, first).await, moved, "nothing changed, so the agent has nothing to follow");
        assert_eq!(members(&root, &a).await.len(), 2);
        assert_eq!(groups(&root, &[("ResourceGroupIds.1", &a)]).await, [("a".to_owned(), "2".to_owned())]);

        let one = [("ResourceGroupId", a.as_str()), ("Resources.1.ResourceId", first)];
        let to_b = [one[0], one[1], ("TargetResourceGroupId", b.as_str())];
        ok(&root, OUT_OF, &to_b).await;
        ok(&root, OUT_OF, &to_b).await;
        assert_eq!((members(&root, &a).await, members(&root, &b).await), (vec![second.to_owned()], vec![first.to_owned()]));
        root.refuses(OUT_OF, &one, &[
            (&[], 400, "ResourceGroup.ResourceNotInGroup"),
            (&[("ResourceGroupId", "rg-none")], 404, "ResourceGroup.NotFound"),
            (&[("ResourceGroupId", "")], 400, "MissingResourceGroupId"),
            (&[("TargetResourceGroupId", "rg-none")], 404, "ResourceGroup.NotFound"),
            (&[("Resources.1.ResourceId", "ecd-none")], 404, "InvalidDesktopId.NotFound"),
            (&[("Resources.1.ResourceId", "")], 400, "MissingResources"),
        ]).await;
        root.refuses(INTO, &one, &[
            (&[("Resources.2.ResourceId", "ecd-none")], 404, "InvalidDesktopId.NotFound"),
            (&[("Resources.1.RegionId", "cn-beijing")], 400, "InvalidRegionId"),
            (&[("Resources.1.ResourceType", "DISK")], 400, "InvalidResources"),
        ]).await;
        root.refuses(DELETE, &[("ResourceGroupId", a.as_str())], &[(&[], 400, "ResourceGroup.NotEmpty")]).await;

        let stranger = Caller::stranger(&app).await;
        let own = create(&stranger, "a").await;
        stranger.refuses(INTO, &one, &[
            (&[], 404, "ResourceGroup.NotFound"),
            (&[("ResourceGroupId", &own)], 404, "InvalidDesktopId.NotFound"),
        ]).await;
        stranger.refuses(OUT_OF, &one, &[(&[], 404, "ResourceGroup.NotFound")]).await;

        ok(&root, OUT_OF, &[("ResourceGroupId", b.as_str()), one[1]]).await;
        root.ecd("DeleteDesktops", &[("DesktopId.1", second)]).await;
        ok(&root, DELETE, &[("ResourceGroupIds.1", &a), ("ResourceGroupIds.2", &b)]).await;
        assert_eq!(groups(&root, &[]).await, []);
    }

    async fn desktops_are_made_in_a_group(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let group = create(&root, "a").await;
        let site = root.office_site().await;
        let good = [
            ("OfficeSiteId", site.as_str()), ("BundleId", "b-openclaw-linux"), ("ResourceGroupId", group.as_str()),
        ];
        let made = root.ecd("CreateDesktops", &good).await;
        assert_eq!(json!(members(&root, &group).await), made["DesktopId"]);
        root.ecd_refuses("CreateDesktops", &good, &[
            (&[("ResourceGroupId", "rg-none")], 404, "ResourceGroup.NotFound"),
            (&[("ResourceGroupId", "none")], 404, "ResourceGroup.NotFound"),
        ]).await;
    }
}
