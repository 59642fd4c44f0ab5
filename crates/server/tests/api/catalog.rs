//! The catalogue: what it refuses.

use creel_testkit::both_databases;

use crate::caller::{Caller, Refusal};
use crate::harness::TestApp;

both_databases! {
    async fn what_is_refused(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let region: [Refusal<'_>; 2] = [
            (&[("RegionId", "")], 400, "MissingRegionId"),
            (&[("RegionId", "cn-beijing")], 400, "InvalidRegionId"),
        ];
        let paged: [Refusal<'_>; 2] = [
            (&[("MaxResults", "x")], 400, "InvalidMaxResults"),
            (&[("NextToken", "x")], 400, "InvalidNextToken"),
        ];
        for action in ["DescribeImages", "DescribeBundles", "DescribeDesktopTypes"] {
            root.ecd_refuses(action, &[], &region).await;
        }
        for action in ["DescribeImages", "DescribeBundles"] {
            root.ecd_refuses(action, &[], &paged).await;
        }
        root.ecd_refuses("DescribeImages", &[], &[
            (&[("ImageType", "OTHER")], 400, "InvalidImageType"),
            (&[("FotaVersion", "1")], 400, "UnsupportedParameter"),
            (&[("GpuDriverVersion", "1")], 400, "UnsupportedParameter"),
        ]).await;
        root.ecd_refuses("DescribeBundles", &[], &[
            (&[("CpuCount", "many")], 400, "InvalidCpuCount"),
            (&[("FotaChannel", "x")], 400, "UnsupportedParameter"),
        ]).await;
        root.ecd_refuses("DescribeDesktopTypes", &[], &[
            (&[("CpuCount", "many")], 400, "InvalidCpuCount"),
            (&[("OrderType", "x")], 400, "UnsupportedParameter"),
            (&[("DesktopIdForModify", "ecd-1")], 400, "UnsupportedParameter"),
        ]).await;
        // What names nothing finds nothing.
        for (action, list, params) in [
            ("DescribeImages", "Images", [("ImageId.1", "m-none")]),
            ("DescribeBundles", "Bundles", [("BundleId.1", "b-none")]),
            ("DescribeDesktopTypes", "DesktopTypes", [("DesktopTypeId", "none")]),
        ] {
            let found = root.ecd(action, &params).await;
            assert_eq!(found[list].as_array().map(Vec::len), Some(0), "{action}: {found}");
        }
    }
}
