"""Tags of runtimes."""

from driver import Refused, happy
from test_runtime import REGION, make

BASE = REGION | {"ResourceType": "ALIYUN::GWS::INSTANCE"}
TAG = {"Key": "crew", "Value": "night"}


@happy("TagResources")
def tag(t):
    return BASE | {"ResourceId": [make(t)], "Tag": [TAG]}


@happy("UntagResources")
def untag(t):
    return BASE | {"ResourceId": [tagged(t)], "TagKey": ["crew"]}


@happy("ListTagResources")
def list_tags(t):
    return BASE | {"ResourceId": [tagged(t)]}


def tagged(t, *tags) -> str:
    runtime = make(t)
    t.call("TagResources", BASE, ResourceId=[runtime], Tag=list(tags) or [TAG])
    return runtime


def tags(t, runtime: str) -> dict[str, str]:
    listed = t.call("ListTagResources", BASE, ResourceId=[runtime])["TagResources"]
    return {entry["TagKey"]: entry["TagValue"] for entry in listed}


def test_tags_are_put_and_taken_off(tenant):
    runtime, beside = make(tenant), make(tenant)
    with tenant.claim("TagResources", "RegionId", "ResourceId", "ResourceType", "Tag.Key", "Tag.Value"):
        tenant.call("TagResources", BASE, ResourceId=[runtime], Tag=[TAG, {"Key": "ship", "Value": "one"}])
        assert (tags(tenant, runtime), tags(tenant, beside)) == ({"crew": "night", "ship": "one"}, {})
        tenant.call("TagResources", BASE, ResourceId=[runtime], Tag=[{"Key": "crew", "Value": "day"}])
        assert tags(tenant, runtime)["crew"] == "day"
        more = tag(tenant)
        tenant.refused("TagResources", "InvalidRegionId", more, RegionId="nowhere")
        tenant.refused("TagResources", "InvalidResourceType", more, ResourceType="ALIYUN::GWS::OTHER")
        tenant.refused("TagResources", "InvalidResourceId.NotFound", more, ResourceId=["ecd-none"])
        tenant.refused("TagResources", "InvalidTag", more, Tag=[{"Key": "", "Value": "x"}])
        full = [{"Key": f"k{n}", "Value": "v"} for n in range(20)]
        tenant.refused("TagResources", "QuotaExceeded", BASE | {"ResourceId": [runtime], "Tag": full})
    with tenant.claim("UntagResources", "RegionId", "ResourceId", "ResourceType", "TagKey", "All"):
        tenant.refused("UntagResources", "MissingTagKey", BASE, ResourceId=[runtime])
        tenant.refused("UntagResources", "InvalidRegionId", BASE | {"RegionId": "nowhere"}, ResourceId=[runtime], All=True)
        tenant.refused("UntagResources", "InvalidResourceType", BASE | {"ResourceType": "X"}, ResourceId=[runtime], All=True)
        tenant.call("UntagResources", BASE, ResourceId=[runtime], TagKey=["crew"])
        assert tags(tenant, runtime) == {"ship": "one"}
        tenant.call("UntagResources", BASE, ResourceId=[runtime], All=True)
        assert tags(tenant, runtime) == {}


def test_tags_are_found(tenant):
    one, other = tagged(tenant), tagged(tenant, {"Key": "crew", "Value": "day"}, {"Key": "deck", "Value": "upper"})
    ids = lambda answer: [entry["ResourceId"] for entry in answer["TagResources"]]  # noqa: E731
    rows = {
        "RegionId": ("cn-hangzhou", Refused("nowhere", "InvalidRegionId")),
        "ResourceId": ([one], [other]),
        "ResourceType": (BASE["ResourceType"], Refused("ALIYUN::GWS::OTHER", "InvalidResourceType")),
    }
    tenant.filters("ListTagResources", BASE | {"ResourceId": [one, other]}, ids, one, rows)
    with tenant.claim("ListTagResources", "Tag.Key", "Tag.Value"):
        found = ids(tenant.call("ListTagResources", BASE, Tag=[TAG], MaxResults=100))
        assert one in found and other not in found
        assert one not in ids(tenant.call("ListTagResources", BASE, Tag=[{"Key": "deck"}], MaxResults=100))
    tenant.pages_by_token("ListTagResources", BASE | {"ResourceId": [one, other]}, "TagResources")
