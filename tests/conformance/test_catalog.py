"""The catalogue: images, bundles, desktop types."""

from driver import Refused, happy

REGION = {"RegionId": "cn-hangzhou"}
IMAGE, WINDOWS = "imgc-0ae8jvkn4tzatayay", "imgc-0aae4rxv3pz7idcot"
BUNDLE = "b-openclaw-linux"
DESKTOP_TYPE = "cloud.space.4c.8g"
ELSEWHERE = ("cn-hangzhou", Refused("nowhere", "InvalidRegionId"))


@happy("DescribeImages")
@happy("DescribeBundles")
@happy("DescribeDesktopTypes")
def describe(_):
    return dict(REGION)


def test_images(tenant):
    tenant.filters(
        "DescribeImages",
        REGION,
        lambda answer: [image["ImageId"] for image in answer["Images"]],
        IMAGE,
        {
            "GpuCategory": (False, True),
            "ImageId": ([IMAGE], [WINDOWS]),
            "ImageName": ("Ubuntu", "Windows"),
            "ImageStatus": ("Available", "Creating"),
            "ImageType": ("SYSTEM", "CUSTOM"),
            "LanguageType": ("zh-CN", "ja-JP"),
            "OsType": ("Linux", "Windows"),
            "ProtocolType": ("ASP", "HDX"),
            "RegionId": ELSEWHERE,
            "SessionType": ("SINGLE_SESSION", "MULTIPLE_SESSION"),
        },
    )
    tenant.pages_by_token("DescribeImages", REGION, "Images")


def test_bundles(tenant):
    tenant.filters(
        "DescribeBundles",
        REGION,
        lambda answer: [bundle["BundleId"] for bundle in answer["Bundles"]],
        BUNDLE,
        {
            "BundleId": ([BUNDLE], ["b-other"]),
            "BundleType": ("SYSTEM", "CUSTOM"),
            "CpuCount": (4, 8),
            "DesktopTypeFamily": ("cloud.space", "eds.general"),
            "GpuCount": (0, 1),
            "ImageId": ([IMAGE], [WINDOWS]),
            "MemorySize": (8, 4),
            "OsType": ("Linux", "Windows"),
            "ProtocolType": ("ASP", "HDX"),
            "RegionId": ELSEWHERE,
            "SessionType": ("SingleSession", "MultipleSession"),
            "SupportMultiSession": (False, True),
            "VolumeEncryptionEnabled": (False, True),
        },
    )
    with tenant.claim("DescribeBundles", "GpuDriverType", "CheckStock", "MaxResults", "NextToken"):
        assert tenant.call("DescribeBundles", REGION, GpuDriverType="A10")["Bundles"] == []
        assert "StockState" not in tenant.call("DescribeBundles", REGION)["Bundles"][0]
        assert tenant.call("DescribeBundles", REGION, CheckStock=True)["Bundles"][0]["StockState"] == "Sufficient"
        # There is one bundle, so nothing to page through but its bounds.
        assert len(tenant.call("DescribeBundles", REGION, MaxResults=1)["Bundles"]) == 1
        tenant.refused("DescribeBundles", "InvalidMaxResults", REGION, MaxResults=101)
        tenant.refused("DescribeBundles", "InvalidNextToken", REGION, NextToken="nowhere")


def test_desktop_types(tenant):
    def found(answer):
        return [kind["DesktopTypeId"] for kind in answer["DesktopTypes"]]

    tenant.filters(
        "DescribeDesktopTypes",
        REGION,
        found,
        DESKTOP_TYPE,
        {
            "CpuCount": (4, 2),
            "DesktopTypeId": (DESKTOP_TYPE, "eds.general.2c4g"),
            "DesktopTypeIdList": ([DESKTOP_TYPE], ["eds.general.2c4g"]),
            "GpuCount": (0, 1),
            "GpuMemory": (0, 1024),
            "InstanceTypeFamily": ("cloud.space", "eds.general"),
            "MemorySize": (8192, 4096),
            "RegionId": ELSEWHERE,
            "SupportMinSessionCount": (1, 2),
        },
    )
    with tenant.claim("DescribeDesktopTypes", "GpuDriverType", "OrderBy", "SortType"):
        assert tenant.call("DescribeDesktopTypes", REGION, GpuDriverType="A10")["DesktopTypes"] == []
        for by, field in (("Cpu", "CpuCount"), ("Memory", "MemorySize")):
            up = tenant.call("DescribeDesktopTypes", REGION, OrderBy=by, SortType="ASC")["DesktopTypes"]
            sizes = [int(kind[field]) for kind in up]
            assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
            down = tenant.call("DescribeDesktopTypes", REGION, OrderBy=by, SortType="DESC")["DesktopTypes"]
            assert down == up[::-1]
        tenant.refused("DescribeDesktopTypes", "InvalidOrderBy", REGION, OrderBy="Colour")
        tenant.refused("DescribeDesktopTypes", "InvalidSortType", REGION, SortType="sideways")
