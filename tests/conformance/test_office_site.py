"""Office sites."""

from driver import Refused, Tenant, happy

REGION = {"RegionId": "cn-hangzhou"}


@happy("CreateSimpleOfficeSite")
def create_site(t):
    return REGION | {"OfficeSiteName": t.name("site")}


@happy("DescribeOfficeSites")
def describe_sites(t):
    return dict(REGION)


@happy("DeleteOfficeSites")
def delete_site(t):
    return REGION | {"OfficeSiteId": [t.call("CreateSimpleOfficeSite", create_site(t))["OfficeSiteId"]]}


def site(t) -> str:
    """The site that the cases of a tenant share: an account may have only so many."""
    if not hasattr(t, "site"):
        t.site = t.call("CreateSimpleOfficeSite", t.good("CreateSimpleOfficeSite"))["OfficeSiteId"]
    return t.site


def read_site(t):
    def read(answer, _):
        return t.call("DescribeOfficeSites", REGION, OfficeSiteId=[answer["OfficeSiteId"]])["OfficeSites"][0]

    return read


def test_a_site_is_shown_as_it_was_made(tenant):
    tenant.shows(
        "CreateSimpleOfficeSite",
        read_site(tenant),
        {
            "OfficeSiteName": ("a name of its own", lambda s: s["Name"], "a name of its own"),
            "CidrBlock": ("172.16.0.0/12", lambda s: s.get("CidrBlock"), "172.16.0.0/12"),
            "DesktopAccessType": ("VPC", lambda s: s["DesktopAccessType"], "VPC"),
            "EnableAdminAccess": (False, lambda s: s["EnableAdminAccess"], False),
            "EnableInternetAccess": (True, lambda s: s["EnableInternetAccess"], True),
            "NeedVerifyZeroDevice": (True, lambda s: s["NeedVerifyZeroDevice"], True),
            "VpcType": ("standard", lambda s: s["VpcType"], "standard"),
        },
    )
    with tenant.claim("CreateSimpleOfficeSite", "RegionId"):
        made = tenant.call("CreateSimpleOfficeSite", tenant.good("CreateSimpleOfficeSite"))
        assert made["OfficeSiteId"].startswith("cn-hangzhou+dir-")
        elsewhere = tenant.good("CreateSimpleOfficeSite") | {"RegionId": "nowhere"}
        tenant.refused("CreateSimpleOfficeSite", "InvalidRegionId", elsewhere)


def test_sites_are_found_by_what_they_are(tenant):
    one, another = site(tenant), tenant.call("CreateSimpleOfficeSite", create_site(tenant))["OfficeSiteId"]
    tenant.filters(
        "DescribeOfficeSites",
        REGION | {"MaxResults": 500},
        lambda answer: [s["OfficeSiteId"] for s in answer["OfficeSites"]],
        one,
        {
            "OfficeSiteId": ([one], [another]),
            "OfficeSiteType": ("SIMPLE", "AD_CONNECTOR"),
            "RegionId": ("cn-hangzhou", Refused("nowhere", "InvalidRegionId")),
            "SecurityProtection": ("OFF", "SASE"),
            "Status": ("REGISTERED", "ERROR"),
        },
    )
    with tenant.claim("DescribeOfficeSites", "VpcId"):
        assert tenant.call("DescribeOfficeSites", REGION, VpcId="vpc-1")["OfficeSites"] == []
    tenant.pages_by_token("DescribeOfficeSites", REGION, "OfficeSites")


def test_sites_are_deleted_when_they_are_empty(tenant):
    with tenant.claim("DeleteOfficeSites", "RegionId", "OfficeSiteId"):
        gone = delete_site(tenant)
        tenant.refused("DeleteOfficeSites", "InvalidRegionId", gone, RegionId="nowhere")
        tenant.refused("DeleteOfficeSites", "InvalidOfficeSiteId.NotFound", gone, OfficeSiteId=["cn-hangzhou+dir-none"])
        tenant.call("CreateDesktops", REGION, OfficeSiteId=gone["OfficeSiteId"][0], BundleId="b-openclaw-linux")
        tenant.refused("DeleteOfficeSites", "OfficeSite.NotEmpty", gone)
        empty = delete_site(tenant)
        tenant.call("DeleteOfficeSites", empty)
        assert tenant.call("DescribeOfficeSites", REGION, OfficeSiteId=empty["OfficeSiteId"])["OfficeSites"] == []
        assert tenant.call("DescribeOfficeSites", REGION, OfficeSiteId=gone["OfficeSiteId"])["OfficeSites"] != []


def test_an_account_has_only_so_many_sites(world):
    """In an account of its own, for none can be made there afterwards."""
    made = world.admin("account", "create", "--name", "builder")
    builder = Tenant(world.server, made["AccessKeyId"], made["AccessKeySecret"], world.record, world)
    for _ in range(500):
        assert builder.by_hand("CreateSimpleOfficeSite", create_site(builder)).status == 200
    builder.refused("CreateSimpleOfficeSite", "QuotaExceeded", create_site(builder))
