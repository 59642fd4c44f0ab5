"""Model groups, and which runtime uses them."""

import json

from driver import happy
from test_resource_group import resource, resource_group
from test_runtime import REGION, agent, desktop, make, running

RUNTIME_TYPE = {"RuntimeType": "CloudDesktop"}


@happy("CreateModelTemplate")
def create(t):
    return {"AgentProvider": "OpenClaw", "Name": t.name("group"), "BizType": 1, "AgentPlatform": "ENTERPRISE"}


@happy("UpdateModelTemplate")
def update(t):
    return {"ModelTemplateId": group(t), "Name": t.name("renamed")}


@happy("DeleteModelTemplate")
def delete(t):
    return {"ModelTemplateId": group(t)}


@happy("ListModelTemplates")
def list_groups(_):
    return {"BizType": 1}


@happy("ConfigRuntimeModelTemplate")
def bind(t):
    return RUNTIME_TYPE | {"ModelTemplateId": group(t), "RuntimeIds": [make(t)]}


@happy("RemoveRuntimeModelTemplate")
def unbind(t):
    parameters = bind(t)
    t.call("ConfigRuntimeModelTemplate", parameters)
    return parameters


@happy("ConfigResourceGroupModelTemplate")
def bind_resources(t):
    return {"ModelTemplateId": group(t), "ResourceGroupId": resource_group(t)}


@happy("RemoveResourceGroupModelTemplate")
def unbind_resources(t):
    parameters = bind_resources(t)
    t.call("ConfigResourceGroupModelTemplate", parameters)
    return {"ModelTemplateId": parameters["ModelTemplateId"], "ResourceGroupIds": [parameters["ResourceGroupId"]]}


@happy("ListModelTemplateResourceGroup")
def list_resources(t):
    return {"ModelTemplateId": unbind_resources(t)["ModelTemplateId"]}


@happy("GetRuntimeModelConfig")
def config(t):
    return RUNTIME_TYPE | {"RuntimeId": unbind(t)["RuntimeIds"][0], "AgentProvider": "OpenClaw"}


def group(t, **more) -> str:
    return t.call("CreateModelTemplate", create(t), **more)["Data"]["ModelTemplateId"]


def shown(t, group_id: str) -> dict:
    everywhere = {"BizType": 1, "AgentPlatformList": ["ENTERPRISE", "ENTERPRISE_JVS", "COMMON"]}
    return t.call("ListModelTemplates", everywhere, ModelTemplateIdList=[group_id])["Data"][0]


def provider(t, group_id: str) -> str:
    made = t.call("CreateModelProviderTemplate", t.good("CreateModelProviderTemplate"), ModelTemplateId=group_id)
    return made["Data"]["ProviderTemplateId"]


def filled(t) -> tuple[str, str]:
    """A group with a provider of two models, `big` and `small`; group and provider."""
    group_id = group(t)
    provider_id = provider(t, group_id)
    models = [{"LlmCode": "big"}, {"LlmCode": "small"}]
    t.call("BatchCreateLlmTemplates", ProviderTemplateId=provider_id, LlmTemplateItems=models)
    return group_id, provider_id


def test_a_group_is_shown_as_it_was_made_and_changed(tenant):
    rows = {
        "AgentPlatform": ("ENTERPRISE_JVS", lambda g: g["AgentPlatform"], "ENTERPRISE_JVS"),
        "AgentProvider": ("HermesAgent", lambda g: g["AgentProvider"], "HermesAgent"),
        "Description": ("for tests", lambda g: g["Description"], "for tests"),
        "Name": ("a group of its own", lambda g: g["Name"], "a group of its own"),
    }
    tenant.shows("CreateModelTemplate", lambda made, _: shown(tenant, made["Data"]["ModelTemplateId"]), rows)
    rows = {
        "Description": ("changed", lambda g: g["Description"], "changed"),
        "Name": ("a new name", lambda g: g["Name"], "a new name"),
    }
    tenant.shows("UpdateModelTemplate", lambda _, given: shown(tenant, given["ModelTemplateId"]), rows)
    with tenant.claim("UpdateModelTemplate", "ModelTemplateId", "Config"):
        group_id, provider_id = filled(tenant)
        name = tenant.call("GetModelProviderTemplate", ProviderTemplateId=provider_id)["Data"]["ProviderName"]
        default = {"defaults": {"model": {"primary": f"{name}/small"}}}
        tenant.call("UpdateModelTemplate", ModelTemplateId=group_id, Config=json.dumps(default))
        assert json.loads(shown(tenant, group_id)["Config"]) == default
    # Only a group for every agent has a scope of its own.
    common = {"AgentProvider": "Common", "AgentPlatform": "COMMON"}
    with tenant.claim("CreateModelTemplate", "RefScope"), tenant.claim("UpdateModelTemplate", "RefScope"):
        group_id = group(tenant, **common, RefScope="ALL_USER")
        assert shown(tenant, group_id)["RefScope"] == "ALL_USER"
        tenant.call("UpdateModelTemplate", ModelTemplateId=group_id, RefScope="USER_MIXED")
        told = shown(tenant, group_id)
        assert (told["RefScope"], told["UserCount"], told["UserGroupCount"]) == ("USER_MIXED", 0, 0)
        tenant.refused("CreateModelTemplate", "InvalidParameter", create(tenant), RefScope="everywhere")
    for action in ("UpdateModelTemplate", "ConfigRuntimeModelTemplate"):
        tenant.refused(action, "ModelTemplate.NotFound", tenant.good(action) | {"ModelTemplateId": "mt-none"})


def test_groups_are_found_by_what_they_are(tenant):
    group_id, _ = filled(tenant)
    name = shown(tenant, group_id)["Name"]
    empty = group(tenant, RefScope="RESOURCE_MIXED", AgentProvider="HermesAgent", AgentPlatform="ENTERPRISE_JVS")
    rows = {
        "AgentPlatform": ("ENTERPRISE", "ENTERPRISE_JVS"),
        "AgentPlatformList": (["ENTERPRISE"], ["ENTERPRISE_JVS"]),
        "AgentProvider": ("OpenClaw", "HermesAgent"),
        "AgentProviderList": (["OpenClaw"], ["HermesAgent"]),
        "HasModel": (True, False),
        "ModelTemplateIdList": ([group_id], [empty]),
        "Name": (name, "no such name"),
        "RefScope": (shown(tenant, group_id)["RefScope"], "USER_MIXED"),
        "Source": ("User", "System"),
    }
    ids = lambda answer: [g["ModelTemplateId"] for g in answer["Data"]]  # noqa: E731
    tenant.filters("ListModelTemplates", {"BizType": 1, "PageSize": 1000}, ids, group_id, rows)
    tenant.pages_by_number("ListModelTemplates", {"BizType": 1})


def test_a_runtime_uses_the_group_it_is_given(tenant):
    group_id, provider_id = filled(tenant)
    runtime, beside = make(tenant), make(tenant)
    binding = RUNTIME_TYPE | {"ModelTemplateId": group_id, "RuntimeIds": [runtime, "ecd-none"]}
    with tenant.claim("ConfigRuntimeModelTemplate", "ModelTemplateId", "RuntimeIds", "RuntimeType"):
        results = tenant.call("ConfigRuntimeModelTemplate", binding)["Data"]
        assert [r["Code"] for r in results] == ["200", "Runtime.NotFound"]
        assert agent(tenant, runtime)["ModelTemplateId"] == group_id
        assert "ModelTemplateId" not in agent(tenant, beside)
        tenant.refused("ConfigRuntimeModelTemplate", "InvalidRuntimeType", binding | {"RuntimeType": "Toaster"})
    question = RUNTIME_TYPE | {"RuntimeId": runtime, "AgentProvider": "OpenClaw"}
    with tenant.claim("GetRuntimeModelConfig", "RuntimeId", "AgentProvider", "RuntimeType", "IncludeRiskInfo"):
        plain = tenant.call("GetRuntimeModelConfig", question)["Data"]
        assert plain["ModelTemplateId"] == group_id
        assert plain["ModelProviderList"][0]["ModelProviderTemplateId"] == provider_id
        risky = tenant.call("GetRuntimeModelConfig", question, IncludeRiskInfo=True)["Data"]
        assert risky["ModelProviderList"][0]["LlmInfoList"][0]["RiskType"] == "Pending"
        assert "ModelTemplateId" not in tenant.call("GetRuntimeModelConfig", question, RuntimeId=beside)["Data"]
        tenant.refused("GetRuntimeModelConfig", "Runtime.NotFound", question, AgentProvider="HermesAgent")
        tenant.refused("GetRuntimeModelConfig", "InvalidRuntimeType", question, RuntimeType="Toaster")
        tenant.refused("GetRuntimeModelConfig", "Runtime.NotFound", question, RuntimeId="ecd-none")
    with tenant.claim("RemoveRuntimeModelTemplate", "ModelTemplateId", "RuntimeIds", "RuntimeType"):
        wrong = binding | {"ModelTemplateId": group(tenant), "RuntimeIds": [runtime]}
        assert tenant.call("RemoveRuntimeModelTemplate", wrong)["Data"][0]["Code"] == "InvalidParameter"
        tenant.refused("RemoveRuntimeModelTemplate", "InvalidRuntimeType", binding | {"RuntimeType": "Toaster"})
        assert agent(tenant, runtime)["ModelTemplateId"] == group_id
        assert tenant.call("RemoveRuntimeModelTemplate", binding)["Data"][0]["Success"] is True
        assert "ModelTemplateId" not in agent(tenant, runtime)


def bound_to(t, group_id: str, **more) -> list[str]:
    listed = t.call("ListModelTemplateResourceGroup", ModelTemplateId=group_id, **more)["Data"]
    return [item["ResourceGroupId"] for item in listed]


def effective(t, runtime: str) -> tuple:
    """The group of a runtime, as everything shows it, and what it is effective through."""
    question = RUNTIME_TYPE | {"RuntimeId": runtime, "AgentProvider": "OpenClaw"}
    told, listed = t.call("GetRuntimeModelConfig", question)["Data"], agent(t, runtime)
    for name in ("ModelTemplateId", "ModelTemplateName"):
        assert told.get(name) == listed.get(name)
    assert told.get("ResourceGroupId") == listed.get("ResourceGroup", {}).get("ResourceGroupId")
    return told.get("ModelTemplateId"), told.get("ModelTemplateRefType")


def test_a_resource_group_is_given_a_group_and_loses_it(tenant):
    group_id, other_id = group(tenant), group(tenant)
    one, two, beside = (resource_group(tenant) for _ in range(3))
    with tenant.claim("ConfigResourceGroupModelTemplate", "ModelTemplateId", "ResourceGroupId"):
        for members in (one, two, one):
            tenant.call("ConfigResourceGroupModelTemplate", ModelTemplateId=group_id, ResourceGroupId=members)
        tenant.call("ConfigResourceGroupModelTemplate", ModelTemplateId=other_id, ResourceGroupId=beside)
        assert (bound_to(tenant, group_id), bound_to(tenant, other_id)) == ([one, two], [beside])
        good = {"ModelTemplateId": group_id, "ResourceGroupId": one}
        tenant.refused("ConfigResourceGroupModelTemplate", "ModelTemplate.NotFound", good, ModelTemplateId="mt-none")
        tenant.refused("ConfigResourceGroupModelTemplate", "ResourceGroup.NotFound", good, ResourceGroupId="rg-none")
    with tenant.claim("ListModelTemplateResourceGroup", "ModelTemplateId"):
        tenant.refused("ListModelTemplateResourceGroup", "ModelTemplate.NotFound", ModelTemplateId="mt-none")
    ids = lambda answer: [item["ResourceGroupId"] for item in answer["Data"]]  # noqa: E731
    base = {"ModelTemplateId": group_id}
    tenant.filters("ListModelTemplateResourceGroup", base, ids, one, {"ResourceGroupIds": ([one, beside], [two])})
    tenant.pages_by_number("ListModelTemplateResourceGroup", base)
    tenant.refused("DeleteModelTemplate", "ModelTemplate.InUse", base)
    with tenant.claim("RemoveResourceGroupModelTemplate", "ModelTemplateId", "ResourceGroupIds"):
        asked = [one, "rg-none", beside]
        removed = tenant.call("RemoveResourceGroupModelTemplate", base, ResourceGroupIds=asked)
        assert [item["ResourceGroupId"] for item in removed["Data"]] == asked and removed["TotalCount"] == 3
        assert [item["Success"] for item in removed["Data"]] == [True, False, False]
        assert [item["Code"] for item in removed["Data"]] == ["200"] + ["InvalidParameter.resourceGroupIds"] * 2
        assert (bound_to(tenant, group_id), bound_to(tenant, other_id)) == ([two], [beside])
        gone = {"ModelTemplateId": "mt-none", "ResourceGroupIds": [two]}
        tenant.refused("RemoveResourceGroupModelTemplate", "ModelTemplate.NotFound", gone)
    tenant.call("DeleteResourceGroup", ResourceGroupId=two)
    tenant.call("DeleteModelTemplate", base)


def test_a_resource_groups_group_wins_over_the_runtimes_own(tenant):
    (shared, _), (own, _), members = filled(tenant), filled(tenant), resource_group(tenant)
    runtime = make(tenant, ResourceGroupId=members)
    tenant.call("ConfigRuntimeModelTemplate", RUNTIME_TYPE, ModelTemplateId=own, RuntimeIds=[runtime])
    assert effective(tenant, runtime) == (own, "Runtime")
    tenant.call("ConfigResourceGroupModelTemplate", ModelTemplateId=shared, ResourceGroupId=members)
    assert effective(tenant, runtime) == (shared, "ResourceGroup")
    ids = lambda answer: [item["ResourceId"] for item in answer["Data"]]  # noqa: E731
    tenant.filters("ListDesktopAgentRuntime", {"ResourceIds": [runtime]}, ids, runtime, {"ModelTemplateId": (shared, own)})
    name = tenant.call("DescribeResourceGroups", ResourceGroupIds=[members])["ResourceGroup"][0]["ResourceGroupName"]
    assert agent(tenant, runtime)["ResourceGroup"] == {"ResourceGroupId": members, "ResourceGroupName": name}
    with tenant.claim("DescribeDesktops", "FillResourceGroup"):
        asked = REGION | {"DesktopId": [runtime]}
        for fill in (True, None):
            told = tenant.call("DescribeDesktops", asked | ({"FillResourceGroup": fill} if fill else {}))
            assert told["Desktops"][0]["ResourceGroups"] == [{"Id": members, "Name": name}]
        told = tenant.call("DescribeDesktops", asked, FillResourceGroup=False)
        assert "ResourceGroups" not in told["Desktops"][0]
    moved = {"ResourceGroupId": members, "Resources": [resource(runtime)]}
    tenant.call("TransferResourcesOutofGroup", moved)
    assert effective(tenant, runtime) == (own, "Runtime")
    assert desktop(tenant, runtime)["ResourceGroups"] == [] and "ResourceGroup" not in agent(tenant, runtime)
    tenant.call("TransferResourcesIntoGroup", moved)
    assert effective(tenant, runtime) == (shared, "ResourceGroup")
    tenant.call("RemoveResourceGroupModelTemplate", ModelTemplateId=shared, ResourceGroupIds=[members])
    assert effective(tenant, runtime) == (own, "Runtime")


def test_agents_follow_their_resource_group(world, tenant):
    codes = lambda wish: [m["code"] for p in (wish["models"] or {"providers": []})["providers"] for m in p["models"]]  # noqa: E731
    (shared, _), members = filled(tenant), resource_group(tenant)
    runtime = running(tenant, ResourceGroupId=members)
    guest = world.guest(runtime)
    try:
        guest.wait_for(lambda wish: codes(wish) == [])
        binding = {"ModelTemplateId": shared, "ResourceGroupId": members}
        tenant.call("ConfigResourceGroupModelTemplate", binding)
        guest.wait_for(lambda wish: codes(wish) == ["big", "small"])
        guest.receipt()
        receipt = lambda: tenant.call("DescribeAgentReceipts", RuntimeIds=[runtime])["Receipts"][0]  # noqa: E731
        world.until("the receipt to show", lambda: receipt()["Applied"])
        tenant.call("TransferResourcesOutofGroup", ResourceGroupId=members, Resources=[resource(runtime)])
        guest.wait_for(lambda wish: codes(wish) == [])
        assert not receipt()["Applied"]
        tenant.call("TransferResourcesIntoGroup", ResourceGroupId=members, Resources=[resource(runtime)])
        guest.wait_for(lambda wish: codes(wish) == ["big", "small"])
        tenant.call("RemoveResourceGroupModelTemplate", ModelTemplateId=shared, ResourceGroupIds=[members])
        guest.wait_for(lambda wish: codes(wish) == [])
    finally:
        guest.close()


def test_an_agent_is_told_and_its_receipt_shows(world, tenant):
    group_id, _ = filled(tenant)
    runtime = running(tenant)
    guest = world.guest(runtime)
    try:
        tenant.call("ConfigRuntimeModelTemplate", RUNTIME_TYPE, ModelTemplateId=group_id, RuntimeIds=[runtime])
        wish = guest.wait_for(lambda wish: wish["models"])
        assert [model["code"] for model in wish["models"]["providers"][0]["models"]] == ["big", "small"]
        guest.report()
        guest.receipt()
        question = RUNTIME_TYPE | {"RuntimeId": runtime, "AgentProvider": "OpenClaw", "IncludeRiskInfo": True}

        def risk():
            data = tenant.call("GetRuntimeModelConfig", question)["Data"]
            return data["ModelProviderList"][0]["LlmInfoList"][0]["RiskType"]

        world.until("the receipt to show", lambda: risk() == "Normal")
    finally:
        guest.close()


def test_a_group_is_deleted_when_nothing_uses_it(tenant):
    parameters = bind(tenant)
    named = {"ModelTemplateId": parameters["ModelTemplateId"]}
    with tenant.claim("DeleteModelTemplate", "ModelTemplateId"):
        tenant.call("ConfigRuntimeModelTemplate", parameters)
        tenant.refused("DeleteModelTemplate", "ModelTemplate.InUse", named)
        tenant.call("RemoveRuntimeModelTemplate", parameters)
        beside = group(tenant)
        tenant.call("DeleteModelTemplate", named)
        tenant.refused("DeleteModelTemplate", "ModelTemplate.NotFound", named)
        assert shown(tenant, beside)["ModelTemplateId"] == beside
