"""Providers of models."""

import json

from driver import happy
from test_model_group import group

CONFIG = {"api": "openai-completions", "apiKey": "sk-conformance-key", "baseUrl": "https://models.example/v1"}


@happy("CreateModelProviderTemplate")
def create(t):
    return {
        "AgentProvider": "OpenClaw", "BizType": 1, "ModelTemplateId": group(t), "ProviderName": "provider-" + t.name("p"),
        "ProviderType": "Custom", "Config": json.dumps(CONFIG),
    }  # fmt: skip


@happy("ListModelProviderTemplates")
def list_providers(_):
    return {"AgentProvider": "OpenClaw", "BizType": 1}


@happy("ListModelProviderEndpoints")
def endpoints(_):
    return {}


@happy("UpdateModelProviderTemplate")
def update(t):
    return get(t) | {"Name": t.name("changed")}


@happy("GetModelProviderTemplate")
@happy("DeleteModelProviderTemplate")
def get(t):
    return {"ProviderTemplateId": t.call("CreateModelProviderTemplate", create(t))["Data"]["ProviderTemplateId"]}


def test_a_provider_is_shown_as_it_was_made(tenant):
    def read(made, _):
        return tenant.call("GetModelProviderTemplate", ProviderTemplateId=made["Data"]["ProviderTemplateId"])["Data"]

    other = json.dumps(CONFIG | {"baseUrl": "https://other.example/v1"})
    with tenant.claim("GetModelProviderTemplate", "ProviderTemplateId"):
        tenant.shows(
            "CreateModelProviderTemplate",
            read,
            {
                "Config": (other, lambda p: json.loads(p["Config"])["baseUrl"], "https://other.example/v1"),
                "Description": ("for tests", lambda p: p["Description"], "for tests"),
                "Name": ("a provider", lambda p: p["Name"], "a provider"),
                "ProviderName": ("provider-own", lambda p: p["ProviderName"], "provider-own"),
            },
        )
        tenant.refused("GetModelProviderTemplate", "ModelProviderTemplate.NotFound", ProviderTemplateId="mpt-none")
    assert CONFIG["apiKey"] not in str(tenant.call("GetModelProviderTemplate", get(tenant)))


def test_what_kind_of_provider(tenant):
    """WuyingCredit comes from the operator, Custom brings its own configuration."""
    wuying = {"ProviderType": "WuyingCredit", "ProviderName": "wuying-credit"}
    base = {name: value for name, value in create(tenant).items() if name != "Config"} | wuying
    with tenant.claim("CreateModelProviderTemplate", "ProviderType", "ModelTemplateId", "AgentProvider", "EnableWuyingProxy"):
        made = tenant.call("CreateModelProviderTemplate", base)["Data"]["ProviderTemplateId"]
        models = tenant.call("ListLlmTemplates", ProviderTemplateId=made)["Data"]
        tenant.refused("CreateModelProviderTemplate", "InvalidConfig", base | {"ProviderType": "Custom", "ProviderName": "provider-x"})
        tenant.refused("CreateModelProviderTemplate", "ModelProviderTemplate.NameDuplicate", base)
        tenant.refused("CreateModelProviderTemplate", "ModelTemplate.NotFound", base, ModelTemplateId="mt-none")
        tenant.refused("CreateModelProviderTemplate", "InvalidAgentProvider", base, AgentProvider="HermesAgent")
        tenant.refused("CreateModelProviderTemplate", "Gateway.Required", create(tenant), EnableWuyingProxy=False)


def test_a_provider_is_changed_and_deleted(tenant):
    def read(_, parameters):
        return tenant.call("GetModelProviderTemplate", ProviderTemplateId=parameters["ProviderTemplateId"])["Data"]

    config = lambda name: lambda p: json.loads(p["Config"])[name]  # noqa: E731
    address, masked = "https://changed.example/v1", read({}, get(tenant))
    rows = {
        "Config.ApiType": ("anthropic-messages", config("api"), "anthropic-messages"),
        "Config.BaseUrl": (address, config("baseUrl"), address),
        "Description": ("changed", lambda p: p["Description"], "changed"),
        "Name": ("a changed name", lambda p: p["Name"], "a changed name"),
    }
    with tenant.claim("UpdateModelProviderTemplate", "ProviderTemplateId"):
        tenant.shows("UpdateModelProviderTemplate", read, rows)
    with tenant.claim("UpdateModelProviderTemplate", "Config.ApiKey", "EnableWuyingProxy"):
        parameters = get(tenant)
        tenant.call("UpdateModelProviderTemplate", parameters, Config={"ApiKey": "sk-another-0000000000"})
        assert config("apiKey")(read({}, parameters)) != config("apiKey")(masked)
        tenant.refused("UpdateModelProviderTemplate", "InvalidConfig", parameters, Config={"ApiType": "telegraph"})
        tenant.refused("UpdateModelProviderTemplate", "Gateway.Required", parameters, EnableWuyingProxy=False)
    with tenant.claim("DeleteModelProviderTemplate", "ProviderTemplateId"):
        tenant.call("DeleteModelProviderTemplate", parameters)
        tenant.refused("GetModelProviderTemplate", "ModelProviderTemplate.NotFound", parameters)


def test_providers_are_found(tenant):
    mine = [create(tenant), create(tenant)]
    one, other = (tenant.call("CreateModelProviderTemplate", made)["Data"]["ProviderTemplateId"] for made in mine)
    rows = {
        "AgentPlatform": ("ENTERPRISE", "ENTERPRISE_JVS"),
        "AgentProvider": ("OpenClaw", "HermesAgent"),
        "ModelTemplateId": (mine[0]["ModelTemplateId"], mine[1]["ModelTemplateId"]),
        "ProviderName": (mine[0]["ProviderName"], mine[1]["ProviderName"]),
        "ProviderTemplateIds": ([one], [other]),
    }
    ids = lambda answer: [provider["ProviderTemplateId"] for provider in answer["Data"]]  # noqa: E731
    tenant.filters("ListModelProviderTemplates", list_providers(tenant) | {"PageSize": 1000}, ids, one, rows)
    tenant.pages_by_number("ListModelProviderTemplates", list_providers(tenant))


def test_addresses_of_known_providers(tenant):
    names = lambda **more: [known["ProviderName"] for known in tenant.call("ListModelProviderEndpoints", **more)["Data"]]  # noqa: E731
    with tenant.claim("ListModelProviderEndpoints", "ProviderName", "AgentProvider", "AgentPlatform"):
        every = names()
        assert len(every) > 1 and names(ProviderName=every[0]) == [every[0]]
        assert names(AgentProvider="OpenClaw", AgentPlatform="ENTERPRISE") == every
        tenant.refused("ListModelProviderEndpoints", "InvalidAgentProvider", AgentProvider="Toaster")
        tenant.refused("ListModelProviderEndpoints", "InvalidAgentPlatform", AgentPlatform="Moon")
