"""Regions."""

from driver import happy


@happy("DescribeRegions")
def describe_regions(_):
    return {"RegionId": "cn-hangzhou"}


def test_regions_are_named_in_the_language_asked_for(tenant):
    with tenant.claim("DescribeRegions", "AcceptLanguage"):
        names = {
            tenant.call("DescribeRegions", RegionId="cn-hangzhou", AcceptLanguage=language)["Regions"][0]["LocalName"]
            for language in ("zh-CN", "en-US")
        }
        assert len(names) == 2
