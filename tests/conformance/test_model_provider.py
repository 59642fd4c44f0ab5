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


@happy("GetModelProviderTemplate")
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
        print(models)
        tenant.refused("CreateModelProviderTemplate", "InvalidConfig", base | {"ProviderType": "Custom", "ProviderName": "provider-x"})
        tenant.refused("CreateModelProviderTemplate", "ModelProviderTemplate.NameDuplicate", base)
        tenant.refused("CreateModelProviderTemplate", "ModelTemplate.NotFound", base, ModelTemplateId="mt-none")
        tenant.refused("CreateModelProviderTemplate", "InvalidAgentProvider", base, AgentProvider="HermesAgent")
        tenant.refused("CreateModelProviderTemplate", "Gateway.Required", create(tenant), EnableWuyingProxy=False)
