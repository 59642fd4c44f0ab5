"""Models of providers."""

import json

from driver import happy
from test_model_group import filled, group, provider
from test_model_provider import get

from harness import MODEL


@happy("BatchCreateLlmTemplates")
def create(t):
    return get(t) | {"LlmTemplateItems": [{"LlmCode": "one"}]}


@happy("ListLlmTemplates")
def list_models(t):
    return {"ModelTemplateId": filled(t)[0]}


@happy("DeleteLlmTemplate")
def delete(t):
    return {"LlmTemplateId": t.call("BatchCreateLlmTemplates", create(t))["Data"]["LlmTemplateIds"][0]}


def test_a_model_is_deleted(tenant):
    group_id, provider_id = filled(tenant)
    models = tenant.call("ListLlmTemplates", ProviderTemplateId=provider_id)["Data"]
    with tenant.claim("DeleteLlmTemplate", "LlmTemplateId"):
        tenant.refused("DeleteLlmTemplate", "LlmTemplate.NotFound", LlmTemplateId="llmt-none")
        tenant.call("DeleteLlmTemplate", LlmTemplateId=models[0]["LlmTemplateId"])
        assert tenant.call("ListLlmTemplates", ModelTemplateId=group_id)["Data"] == models[1:]


def test_models_are_shown_as_they_were_made(tenant):
    traits = json.dumps({"contextWindow": 1000, "input": ["text", "image"]})
    item = {"LlmCode": "one", "Name": "First", "Description": "for tests", "Config": traits, "IsDefaultModel": True}
    group_id = group(tenant)
    provider_id = provider(tenant, group_id)
    fields = ["Config", "Description", "IsDefaultModel", "LlmCode", "Name"]
    claimed = [f"LlmTemplateItems.{name}" for name in fields]
    with tenant.claim("BatchCreateLlmTemplates", *claimed, "ProviderTemplateId", "ModelTemplateId"):
        made = tenant.call(
            "BatchCreateLlmTemplates", ProviderTemplateId=provider_id, ModelTemplateId=group_id,
            LlmTemplateItems=[{"LlmCode": "plain"}, item, {"LlmCode": "one"}],
        )["Data"]  # fmt: skip
        assert (made["SuccessCount"], made["TotalCount"]) == (2, 3) and made["SkippedItems"][0]["LlmCode"] == "one"
        models = tenant.call("ListLlmTemplates", ProviderTemplateId=provider_id)["Data"]
        shown = {model["LlmCode"]: model for model in models}
        assert {name: shown["one"][name] for name in fields if name != "Config"} == {n: item[n] for n in fields if n != "Config"}
        assert json.loads(shown["one"]["Config"])["contextWindow"] == 1000
        assert shown["one"]["InferenceMetadata"]["RequestModality"] == ["Text", "Image"]
        assert not shown["plain"]["IsDefaultModel"]
        call = {"ProviderTemplateId": provider_id, "LlmTemplateItems": [{"LlmCode": "two"}]}
        tenant.refused("BatchCreateLlmTemplates", "ModelProviderTemplate.NotFound", call, ProviderTemplateId="mpt-none")
        # The provider is not of that group.
        tenant.refused("BatchCreateLlmTemplates", "InvalidModelTemplateId", call, ModelTemplateId=group(tenant))


def smart_model(tenant) -> str:
    """A model that stands for two others, which the operator put among those that credits are spent on."""
    # The provider is one of the whole server: other cases see it with a model more, and after this with one edit.
    routes = [{"LlmCode": MODEL, "ContextTokensMax": 32000}, {"LlmCode": MODEL}]
    tenant.call("PutSystemModel", ProviderName="wuying-credit", LlmCode="auto", Routes=routes)
    base = {name: value for name, value in tenant.good("CreateModelProviderTemplate").items() if name != "Config"}
    wuying = base | {"ProviderType": "WuyingCredit", "ProviderName": "wuying-credit"}
    made = tenant.call("CreateModelProviderTemplate", wuying)["Data"]["ProviderTemplateId"]
    tenant.call("BatchCreateLlmTemplates", ProviderTemplateId=made, LlmTemplateItems=[{"LlmCode": "auto"}])
    return tenant.call("ListLlmTemplates", ProviderTemplateId=made)["Data"][0]["LlmTemplateId"]


def test_models_are_found_by_what_they_are(tenant):
    group_id, provider_id = filled(tenant)
    other_group, other_provider = filled(tenant)
    models = tenant.call("ListLlmTemplates", ModelTemplateId=group_id)["Data"]
    ids = {model["LlmCode"]: model["LlmTemplateId"] for model in models}
    rows = {
        "LlmCode": ("big", "small"),
        "LlmTemplateIds": ([ids["big"]], [ids["small"]]),
        "ModelTemplateId": (group_id, other_group),
        "ProviderTemplateId": (provider_id, other_provider),
    }
    found = lambda answer: [model["LlmTemplateId"] for model in answer["Data"]]  # noqa: E731
    tenant.filters("ListLlmTemplates", {"PageSize": 1000}, found, ids["big"], rows)
    with tenant.claim("ListLlmTemplates", "SmartModel", "BizType"):
        smart = smart_model(tenant)
        answer = tenant.call("ListLlmTemplates", SmartModel=True, BizType=1, PageSize=1000)
        assert {model["LlmCode"] for model in answer["Data"]} == {"auto"}
        told = next(model for model in answer["Data"] if model["LlmTemplateId"] == smart)
        assert (told["RoutePolicyCount"], told["RefScope"]) == (2, "RESOURCE_MIXED")
        tenant.refused("ListLlmTemplates", "MissingBizType", SmartModel=True)
    tenant.pages_by_number("ListLlmTemplates", {})


def test_a_model_with_a_price_shows_it(tenant):
    base = {name: value for name, value in tenant.good("CreateModelProviderTemplate").items() if name != "Config"}
    wuying = base | {"ProviderType": "WuyingCredit", "ProviderName": "wuying-credit"}
    made = tenant.call("CreateModelProviderTemplate", wuying)["Data"]["ProviderTemplateId"]
    if not tenant.call("ListLlmTemplates", ProviderTemplateId=made)["Data"]:
        tenant.call("BatchCreateLlmTemplates", ProviderTemplateId=made, LlmTemplateItems=[{"LlmCode": MODEL}])
    shown = tenant.call("ListLlmTemplates", ProviderTemplateId=made)["Data"][0]
    assert [price["PriceName"] for price in shown["Prices"][0]["Prices"]] == ["Input", "CachedInput", "CacheWrite", "Output"]
