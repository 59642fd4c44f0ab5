//! Office sites.

use creel_testkit::both_databases;
use serde_json::json;

use crate::caller::{Caller, Refusal};
use crate::harness::TestApp;

const REGION: [Refusal<'_>; 2] =
    [(&[("RegionId", "")], 400, "MissingRegionId"), (&[("RegionId", "cn-beijing")], 400, "InvalidRegionId")];

both_databases! {
    async fn a_site_goes_once_it_is_empty(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let stranger = Caller::stranger(&app).await;
        let (first, second) = (root.office_site().await, root.office_site().await);
        let desktop = root.desktops(&first, "1").await.remove(0);
        let both = [("OfficeSiteId.1", second.as_str()), ("OfficeSiteId.2", first.as_str())];
        let count = async || root.ecd("DescribeOfficeSites", &[]).await["TotalCount"].clone();
        root.ecd_refuses("DeleteOfficeSites", &both, &[(&[], 400, "OfficeSite.NotEmpty")]).await;
        assert_eq!(count().await, json!(2), "all of them or none");
        stranger.ecd_refuses("DeleteOfficeSites", &both, &[(&[], 404, "InvalidOfficeSiteId.NotFound")]).await;

        root.ecd("DeleteDesktops", &[("DesktopId.1", &desktop)]).await;
        root.ecd("DeleteOfficeSites", &both).await;
        assert_eq!(count().await, json!(0));
        root.ecd_refuses("DeleteOfficeSites", &both, &[(&[], 404, "InvalidOfficeSiteId.NotFound")]).await;
        let new = [("OfficeSiteId", first.as_str()), ("BundleId", "b-openclaw-linux")];
        root.ecd_refuses("CreateDesktops", &new, &[(&[], 400, "InvalidDirectoryId.NotFound")]).await;
        let deleted = root.ecd("DescribeDesktops", &[("DesktopStatus", "Deleted")]).await;
        assert_eq!(deleted["Desktops"][0]["OfficeSiteName"], json!("site"), "still named by what was in it");
    }

    async fn what_is_refused(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let site = root.office_site().await;
        let long = "x".repeat(256);
        root.ecd_refuses("CreateSimpleOfficeSite", &[("OfficeSiteName", "site")], &REGION).await;
        root.ecd_refuses("CreateSimpleOfficeSite", &[("OfficeSiteName", "site")], &[
            (&[("OfficeSiteName", "x")], 400, "InvalidOfficeSiteName"),
            (&[("OfficeSiteName", &long)], 400, "InvalidOfficeSiteName"),
            (&[("ClientToken", &long)], 400, "InvalidClientToken"),
            (&[("EnableAdminAccess", "maybe")], 400, "InvalidEnableAdminAccess"),
            (&[("CenId", "cen-1")], 400, "UnsupportedParameter"),
            (&[("VSwitchId.1", "vsw-1")], 400, "UnsupportedParameter"),
        ]).await;
        let with_token = [("OfficeSiteName", "other"), ("ClientToken", "t")];
        let made = root.ecd("CreateSimpleOfficeSite", &with_token).await;
        assert_eq!(root.ecd("CreateSimpleOfficeSite", &with_token).await["OfficeSiteId"], made["OfficeSiteId"]);
        root.ecd_refuses("CreateSimpleOfficeSite", &with_token, &[
            (&[("OfficeSiteName", "third")], 400, "IdempotentParameterMismatch"),
        ]).await;

        root.ecd_refuses("DescribeOfficeSites", &[], &REGION).await;
        root.ecd_refuses("DescribeOfficeSites", &[], &[
            (&[("MaxResults", "501")], 400, "InvalidMaxResults"),
            (&[("MaxResults", "x")], 400, "InvalidMaxResults"),
            (&[("NextToken", "x")], 400, "InvalidNextToken"),
        ]).await;
        let stranger = Caller::stranger(&app).await;
        let foreign = stranger.ecd("DescribeOfficeSites", &[("OfficeSiteId.1", &site)]).await;
        assert_eq!(foreign["TotalCount"], json!(0));

        root.ecd_refuses("DeleteOfficeSites", &[("OfficeSiteId.1", &site)], &REGION).await;
        root.ecd_refuses("DeleteOfficeSites", &[("OfficeSiteId.1", &site)], &[
            (&[("OfficeSiteId.1", "")], 400, "MissingOfficeSiteId"),
            (&[("OfficeSiteId.2", "x")], 404, "InvalidOfficeSiteId.NotFound"),
        ]).await;
    }
}
