"""Resource groups, and which runtimes they hold."""

import pytest
from driver import Tenant, happy
from test_runtime import REGION, make


@happy("CreateResourceGroup")
def create(t):
    return {"ResourceGroupName": t.name("resources")}


@happy("DescribeResourceGroups")
def describe(_):
    return {}


@happy("DeleteResourceGroup")
def delete(t):
    return {"ResourceGroupId": resource_group(t)}


@happy("TransferResourcesIntoGroup")
def move_in(t):
    return {"ResourceGroupId": resource_group(t), "Resources": [resource(make(t))]}


@happy("TransferResourcesOutofGroup")
def move_out(t):
    parameters = move_in(t)
    t.call("TransferResourcesIntoGroup", parameters)
    return parameters


def resource_group(t) -> str:
    return t.call("CreateResourceGroup", create(t))["ResourceGroupId"]


def resource(runtime: str) -> dict:
    return {"ResourceId": runtime, "ResourceType": "DESKTOP", "RegionId": REGION["RegionId"]}


def shown(t, group: str) -> dict:
    return t.call("DescribeResourceGroups", ResourceGroupIds=[group])["ResourceGroup"][0]


def members(t, group: str) -> list[str]:
    listed = t.call("DescribeDesktops", REGION, ResourceGroupId=group, MaxResults=1000)["Desktops"]
    return [desktop["DesktopId"] for desktop in listed]


def test_groups_are_made_found_and_deleted(tenant):
    with tenant.claim("CreateResourceGroup", "ResourceGroupName", "IsResourceGroupWithOfficeSite"):
        made = tenant.call("CreateResourceGroup", ResourceGroupName="harbour", IsResourceGroupWithOfficeSite=0)["ResourceGroupId"]
        assert shown(tenant, made)["ResourceGroupName"] == "harbour"
        tenant.refused("CreateResourceGroup", "ResourceGroup.NameDuplicate", ResourceGroupName="harbour")
        tenant.refused("CreateResourceGroup", "InvalidResourceGroupName", ResourceGroupName="a\tb")
        other = create(tenant) | {"IsResourceGroupWithOfficeSite": 1}
        tenant.refused("CreateResourceGroup", "UnsupportedParameter", other)
    ids = lambda answer: [group["ResourceGroupId"] for group in answer["ResourceGroup"]]  # noqa: E731
    beside = resource_group(tenant)
    rows = {"ResourceGroupIds": ([made], [beside]), "ResourceGroupName": ("harbour", "no such harbour")}
    tenant.filters("DescribeResourceGroups", {"PageSize": 100}, ids, made, rows)
    with tenant.claim("DescribeResourceGroups", "PageNumber", "PageSize"):
        pages = [ids(tenant.call("DescribeResourceGroups", PageNumber=n, PageSize=1)) for n in (0, 1, 2)]
        assert pages[0] == pages[1] != pages[2] and len(pages[1]) == len(pages[2]) == 1
        tenant.refused("DescribeResourceGroups", "InvalidPageSize", PageSize=101)
    with tenant.claim("DeleteResourceGroup", "ResourceGroupId", "ResourceGroupIds"):
        tenant.refused("DeleteResourceGroup", "MissingResourceGroupId")
        tenant.refused("DeleteResourceGroup", "ResourceGroup.NotFound", ResourceGroupId="rg-none")
        tenant.call("DeleteResourceGroup", ResourceGroupId=made)
        tenant.call("DeleteResourceGroup", ResourceGroupIds=[beside])
        assert ids(tenant.call("DescribeResourceGroups", ResourceGroupIds=[made, beside])) == []


@pytest.mark.parametrize("field", ["ResourceId", "ResourceType", "RegionId"])
def test_a_wrong_resource_moves_nothing(tenant, field):
    for action, build in (("TransferResourcesIntoGroup", move_in), ("TransferResourcesOutofGroup", move_out)):
        parameters = build(tenant)
        before = members(tenant, parameters["ResourceGroupId"])
        wrong = parameters | {"Resources": [parameters["Resources"][0] | {field: "nowhere"}]}
        with tenant.claim(action, f"Resources.{field}"):
            assert tenant.attempt(action, wrong).status in (400, 404)
            assert members(tenant, parameters["ResourceGroupId"]) == before
            tenant.call(action, parameters)
            assert members(tenant, parameters["ResourceGroupId"]) != before


def test_runtimes_move_between_groups(tenant):
    one, other, runtime = resource_group(tenant), resource_group(tenant), make(tenant)
    with tenant.claim("TransferResourcesIntoGroup", "ResourceGroupId"):
        tenant.call("TransferResourcesIntoGroup", ResourceGroupId=one, Resources=[resource(runtime)])
        assert (members(tenant, one), shown(tenant, one)["ResourceCount"]) == ([runtime], "1")
        tenant.refused("TransferResourcesIntoGroup", "ResourceGroup.NotFound", move_in(tenant), ResourceGroupId="rg-none")
    tenant.refused("DeleteResourceGroup", "ResourceGroup.NotEmpty", ResourceGroupId=one)
    with tenant.claim("TransferResourcesOutofGroup", "ResourceGroupId", "TargetResourceGroupId"):
        moved = {"ResourceGroupId": one, "Resources": [resource(runtime)]}
        tenant.call("TransferResourcesOutofGroup", moved, TargetResourceGroupId=other)
        assert (members(tenant, one), members(tenant, other)) == ([], [runtime])
        tenant.refused("TransferResourcesOutofGroup", "ResourceGroup.ResourceNotInGroup", moved)
        tenant.call("TransferResourcesOutofGroup", moved, ResourceGroupId=other)
        assert members(tenant, other) == []


def test_a_runtime_is_made_and_found_in_its_group(tenant):
    group, beside = resource_group(tenant), resource_group(tenant)
    with tenant.claim("CreateDesktops", "ResourceGroupId"):
        runtime = make(tenant, ResourceGroupId=group)
        assert members(tenant, group) == [runtime]
        parameters = tenant.good("CreateDesktops")
        tenant.refused("CreateDesktops", "ResourceGroup.NotFound", parameters, ResourceGroupId="rg-none")
    desktops = lambda answer: [desktop["DesktopId"] for desktop in answer["Desktops"]]  # noqa: E731
    agents = lambda answer: [agent["ResourceId"] for agent in answer["Data"]]  # noqa: E731
    row = {"ResourceGroupId": (group, beside)}
    tenant.filters("DescribeDesktops", REGION | {"MaxResults": 1000}, desktops, runtime, row)
    tenant.filters("ListDesktopAgentRuntime", {"PageSize": 1000}, agents, runtime, row)
    question = {"RuntimeId": runtime, "RuntimeType": "CloudDesktop", "AgentProvider": "OpenClaw"}
    assert tenant.call("GetRuntimeModelConfig", question)["Data"]["ResourceGroupId"] == group


def test_an_account_has_only_so_many_groups(world):
    made = world.admin("account", "create", "--name", "grouper")
    grouper = Tenant(world.server, made["AccessKeyId"], made["AccessKeySecret"], world.record, world)
    for _ in range(1000):
        assert grouper.by_hand("CreateResourceGroup", create(grouper)).status == 200
    grouper.refused("CreateResourceGroup", "QuotaExceeded", create(grouper))
