//! Tags of runtimes.

use creel_testkit::both_databases;
use serde_json::{Value, json};

use crate::caller::{Caller, Refusal, text};
use crate::harness::TestApp;

const TYPE: (&str, &str) = ("ResourceType", "ALIYUN::GWS::INSTANCE");

/// `key=value` of every tag that a list shows, page by page.
async fn listed(caller: &Caller<'_>, params: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let page = [&[TYPE, ("MaxResults", "2"), ("NextToken", &token)], params].concat();
        let body = caller.ecd("ListTagResources", &page).await;
        for tag in body["TagResources"].as_array().unwrap() {
            assert_eq!(tag["ResourceType"], TYPE.1);
            found.push(format!("{}={}", text(&tag["TagKey"]), text(&tag["TagValue"])));
        }
        match body.get("NextToken").and_then(Value::as_str) {
            Some(next) => next.clone_into(&mut token),
            None => return found,
        }
    }
}

both_databases! {
    async fn tags_are_put_listed_found_by_and_taken_off(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let ids = root.desktops(&root.office_site().await, "2").await;
        let (first, second) = (ids[0].as_str(), ids[1].as_str());
        let long = "长".repeat(128);
        root.ecd("TagResources", &[
            TYPE, ("ResourceId.1", first), ("ResourceId.2", second), ("Tag.1.Key", "team"), ("Tag.1.Value", "red"),
            ("Tag.2.Key", &long), ("Tag.2.Value", &long),
        ]).await;
        root.ecd("TagResources", &[TYPE, ("ResourceId.1", second), ("Tag.1.Key", "team"), ("Tag.1.Value", "blue")]).await;
        let long_tag = format!("{long}={long}");
        assert_eq!(listed(&root, &[]).await.len(), 4, "five pages without a gap");
        assert_eq!(listed(&root, &[("ResourceId.1", first)]).await, ["team=red", long_tag.as_str()]);
        let blue = [("Tag.1.Key", "team"), ("Tag.1.Value", "blue")];
        assert_eq!(listed(&root, &blue).await, ["team=blue", long_tag.as_str()], "all tags of what has the tag");
        assert_eq!(listed(&root, &[("Tag.1.Key", "none")]).await, Vec::<String>::new());

        // The filter of DescribeDesktops sees the change, and shows it.
        let found = root.ecd("DescribeDesktops", &blue).await;
        assert_eq!((&found["TotalCount"], &found["Desktops"][0]["DesktopId"]), (&json!(1), &json!(second)));
        assert_eq!(found["Desktops"][0]["Tags"][0], json!({ "Key": "team", "Value": "blue" }));

        root.ecd("UntagResources", &[TYPE, ("ResourceId.1", second), ("TagKey.1", "team"), ("TagKey.2", "none")]).await;
        assert_eq!(listed(&root, &[("ResourceId.1", second)]).await, [long_tag.as_str()]);
        root.ecd("UntagResources", &[TYPE, ("ResourceId.1", first), ("All", "true")]).await;
        assert_eq!(listed(&root, &[("ResourceId.1", first)]).await, Vec::<String>::new());
        root.ecd("DeleteDesktops", &[("DesktopId.1", second)]).await;
        assert_eq!(listed(&root, &[]).await, Vec::<String>::new(), "tags go with their runtime");
    }

    async fn a_runtime_has_at_most_twenty_tags(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        let keys: Vec<String> = (1..=20).map(|n| format!("Tag.{n}.Key")).collect();
        let mut full = vec![TYPE, ("ResourceId.1", id.as_str())];
        full.extend(keys.iter().map(|key| (key.as_str(), key.as_str())));
        root.ecd("TagResources", &full).await;
        root.ecd("TagResources", &full).await;
        let one_more = [TYPE, ("ResourceId.1", id.as_str()), ("Tag.1.Key", "more")];
        root.ecd_refuses("TagResources", &one_more, &[(&[], 400, "QuotaExceeded")]).await;
        assert_eq!(listed(&root, &[]).await.len(), 20, "the refused tag is not there");
    }

    async fn what_is_refused(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let stranger = Caller::stranger(&app).await;
        let id = root.desktops(&root.office_site().await, "1").await.remove(0);
        let names: Vec<String> = (0..100).map(|n| format!("ResourceId.{}", n + 2)).collect();
        let too_many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "ecd-1")).collect();
        let tag_names: Vec<String> = (0..20).map(|n| format!("Tag.{}.Key", n + 2)).collect();
        let too_many_tags: Vec<(&str, &str)> = tag_names.iter().map(|name| (name.as_str(), name.as_str())).collect();
        let key_names: Vec<String> = (0..20).map(|n| format!("TagKey.{}", n + 2)).collect();
        let too_many_keys: Vec<(&str, &str)> = key_names.iter().map(|name| (name.as_str(), name.as_str())).collect();
        let long = "x".repeat(129);
        let common: [Refusal<'_>; 5] = [
            (&[("RegionId", "")], 400, "MissingRegionId"),
            (&[("RegionId", "cn-beijing")], 400, "InvalidRegionId"),
            (&[("ResourceType", "")], 400, "MissingResourceType"),
            (&[("ResourceType", "instance")], 400, "InvalidResourceType"),
            (&too_many, 400, "InvalidResourceId"),
        ];
        let changing: [Refusal<'_>; 2] = [
            (&[("ResourceId.1", "")], 400, "MissingResourceId"),
            (&[("ResourceId.1", "ecd-none")], 404, "InvalidResourceId.NotFound"),
        ];
        let put = [TYPE, ("ResourceId.1", id.as_str()), ("Tag.1.Key", "team"), ("Tag.1.Value", "red")];
        root.ecd_refuses("TagResources", &put, &common).await;
        root.ecd_refuses("TagResources", &put, &changing).await;
        root.ecd_refuses("TagResources", &put, &[
            (&[("Tag.1.Key", ""), ("Tag.1.Value", "")], 400, "MissingTag"),
            (&[("Tag.1.Key", "")], 400, "InvalidTag"),
            (&[("Tag.1.Key", &long)], 400, "InvalidTag"),
            (&[("Tag.1.Value", &long)], 400, "InvalidTag"),
            (&[("Tag.1.Key", "aliyun.x")], 400, "InvalidTag"),
            (&[("Tag.2.Key", "team")], 400, "InvalidTag"),
            (&too_many_tags, 400, "InvalidTag"),
        ]).await;
        stranger.ecd_refuses("TagResources", &put, &[(&[], 404, "InvalidResourceId.NotFound")]).await;

        root.ecd("TagResources", &put).await;
        let remove = [TYPE, ("ResourceId.1", id.as_str()), ("TagKey.1", "team")];
        root.ecd_refuses("UntagResources", &remove, &common).await;
        root.ecd_refuses("UntagResources", &remove, &changing).await;
        root.ecd_refuses("UntagResources", &remove, &[
            (&[("TagKey.1", "")], 400, "MissingTagKey"),
            (&[("TagKey.1", &long)], 400, "InvalidTagKey"),
            (&too_many_keys, 400, "InvalidTagKey"),
        ]).await;
        stranger.ecd_refuses("UntagResources", &remove, &[(&[], 404, "InvalidResourceId.NotFound")]).await;

        root.ecd_refuses("ListTagResources", &[TYPE], &common).await;
        root.ecd_refuses("ListTagResources", &[TYPE], &[
            (&[("MaxResults", "0")], 400, "InvalidMaxResults"),
            (&[("MaxResults", "101")], 400, "InvalidMaxResults"),
            (&[("NextToken", "x")], 400, "InvalidNextToken"),
            (&[("Tag.1.Value", "red")], 400, "InvalidTag"),
        ]).await;
        assert_eq!(listed(&stranger, &[("ResourceId.1", &id)]).await, Vec::<String>::new());
        assert_eq!(listed(&root, &[("ResourceId.1", &id)]).await, ["team=red"]);
    }
}
