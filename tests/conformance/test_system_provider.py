"""The operator's model providers: only the account of the operator has them."""

from driver import happy

ENDPOINT = {"BaseUrl": "https://host/v1"}
KEY = "sk-conformance-0123456789"


@happy("ListSystemProviders")
def list_providers(_):
    return {}


@happy("CreateSystemProvider")
def create(t):
    return {"ProviderName": t.name("system"), "Api": "openai-completions", "Endpoints": [ENDPOINT]}


@happy("UpdateSystemProvider")
@happy("DeleteSystemProvider")
def named(t):
    return {"ProviderName": provider(t)}


@happy("CreateSystemProviderKey")
def create_key(t):
    return named(t) | {"KeyName": "blue", "ApiKey": KEY}


@happy("UpdateSystemProviderKey")
@happy("DeleteSystemProviderKey")
def of_key(t):
    parameters = create_key(t)
    t.call("CreateSystemProviderKey", parameters)
    return {"ProviderName": parameters["ProviderName"], "KeyName": "blue"}


@happy("PutSystemModel")
def put_model(t):
    return named(t) | {"LlmCode": "m"}


@happy("DeleteSystemModel")
def of_model(t):
    parameters = put_model(t)
    t.call("PutSystemModel", parameters)
    return parameters


@happy("SetSystemPrice")
def set_price(t):
    return named(t) | {"LlmCode": "m", "Input": "0.2", "Output": "1.2"}


def provider(t) -> str:
    parameters = create(t)
    t.call("CreateSystemProvider", parameters)
    return parameters["ProviderName"]


def shown(t, name: str) -> dict:
    return t.call("ListSystemProviders", ProviderName=name)["Providers"][0]


def price(t, name: str) -> dict:
    return shown(t, name)["Models"][0]["Price"]


def test_providers_are_made_changed_and_forgotten(tenant):
    with tenant.claim("CreateSystemProvider", "ProviderName", "Api", "Endpoints.BaseUrl", "Endpoints.Weight"):
        addresses = [{"BaseUrl": "https://one/v1/", "Weight": 3}, {"BaseUrl": "https://two/v1"}]
        tenant.call("CreateSystemProvider", ProviderName="lobster", Api="anthropic-messages", Endpoints=addresses)
        told = shown(tenant, "lobster")
        assert (told["Api"], told["Edited"], told["Keys"], told["Models"]) == ("anthropic-messages", True, [], [])
        assert told["Endpoints"] == [{"BaseUrl": "https://one/v1", "Weight": 3}, {"BaseUrl": "https://two/v1", "Weight": 1}]
        tenant.refused("CreateSystemProvider", "EntityAlreadyExists.SystemProvider", create(tenant), ProviderName="lobster")
        tenant.refused("CreateSystemProvider", "InvalidProviderName", create(tenant), ProviderName="a b")
        tenant.refused("CreateSystemProvider", "InvalidEndpoints", create(tenant), Endpoints=[{"BaseUrl": "ftp://x"}])
    with tenant.claim("UpdateSystemProvider", "ProviderName", "Api", "Endpoints.BaseUrl", "Endpoints.Weight"):
        tenant.call("UpdateSystemProvider", ProviderName="lobster", Api="openai-responses")
        assert shown(tenant, "lobster")["Endpoints"] == told["Endpoints"]
        tenant.call("UpdateSystemProvider", ProviderName="lobster", Endpoints=[{"BaseUrl": "https://two/v1", "Weight": 2}])
        assert (shown(tenant, "lobster")["Api"], len(shown(tenant, "lobster")["Endpoints"])) == ("openai-responses", 1)
        tenant.refused("UpdateSystemProvider", "EntityNotExist.SystemProvider", ProviderName="crab", Api="openai-responses")
    with tenant.claim("DeleteSystemProvider", "ProviderName"):
        tenant.call("DeleteSystemProvider", ProviderName="lobster")
        assert tenant.call("ListSystemProviders", ProviderName="lobster")["Providers"] == []
        tenant.refused("DeleteSystemProvider", "EntityNotExist.SystemProvider", ProviderName="lobster")


def test_keys_come_rest_and_go(tenant):
    name = provider(tenant)
    with tenant.claim("CreateSystemProviderKey", "ProviderName", "KeyName", "ApiKey", "BaseUrl", "Weight"):
        more = {"KeyName": "green", "ApiKey": KEY, "BaseUrl": "https://host/v1", "Weight": 5}
        tenant.call("CreateSystemProviderKey", more, ProviderName=name)
        told = shown(tenant, name)["Keys"][0]
        assert told.pop("CreatedTime").endswith("Z")
        assert told == more | {"ApiKey": "sk-****6789", "Status": "Enabled"}
        tenant.refused("CreateSystemProviderKey", "EntityAlreadyExists.SystemProvider", more, ProviderName=name)
        tenant.refused("CreateSystemProviderKey", "InvalidBaseUrl", more, ProviderName=name, KeyName="a", BaseUrl="https://else")
        tenant.refused("CreateSystemProviderKey", "InvalidApiKey", more, ProviderName=name, KeyName="a", ApiKey="a b")
        tenant.refused("CreateSystemProviderKey", "InvalidKeyName", more, ProviderName=name, KeyName="a b")
    tenant.refused("UpdateSystemProvider", "DeleteConflict.SystemProvider", ProviderName=name, Endpoints=[{"BaseUrl": "https://two"}])
    with tenant.claim("UpdateSystemProviderKey", "ProviderName", "KeyName", "Status", "Weight"):
        tenant.call("UpdateSystemProviderKey", ProviderName=name, KeyName="green", Status="Disabled")
        assert (shown(tenant, name)["Keys"][0]["Status"], shown(tenant, name)["Keys"][0]["Weight"]) == ("Disabled", 5)
        tenant.call("UpdateSystemProviderKey", ProviderName=name, KeyName="green", Weight=7)
        assert (shown(tenant, name)["Keys"][0]["Status"], shown(tenant, name)["Keys"][0]["Weight"]) == ("Disabled", 7)
        tenant.refused("UpdateSystemProviderKey", "EntityNotExist.SystemProvider.Key", ProviderName=name, KeyName="red")
    with tenant.claim("DeleteSystemProviderKey", "ProviderName", "KeyName"):
        tenant.call("DeleteSystemProviderKey", ProviderName=name, KeyName="green")
        assert shown(tenant, name)["Keys"] == []
        tenant.refused("DeleteSystemProviderKey", "EntityNotExist.SystemProvider.Key", ProviderName=name, KeyName="green")
    for number in range(8):
        tenant.call("CreateSystemProviderKey", ProviderName=name, KeyName=f"k{number}", ApiKey=KEY)
    tenant.refused("CreateSystemProviderKey", "LimitExceeded.SystemProvider", ProviderName=name, KeyName="more", ApiKey=KEY)


def test_models_are_offered_and_no_more(tenant):
    name = provider(tenant)
    with tenant.claim("PutSystemModel", "ProviderName", "LlmCode", "Name", "ContextWindow", "MaxOutputTokens"):
        more = {"LlmCode": "m", "Name": "Model", "ContextWindow": 1000, "MaxOutputTokens": 100}
        tenant.call("PutSystemModel", more, ProviderName=name)
        assert shown(tenant, name)["Models"] == [more | {"ComingPrices": []}]
        tenant.call("PutSystemModel", ProviderName=name, LlmCode="m")
        assert shown(tenant, name)["Models"] == [{"LlmCode": "m", "Name": "m", "ComingPrices": []}]
        tenant.refused("PutSystemModel", "InvalidLlmCode", ProviderName=name, LlmCode="a b")
    with tenant.claim("PutSystemModel", "Routes.LlmCode", "Routes.ProviderName", "Routes.ContextTokensMax", "RouteOrder"):
        other = of_model(tenant)["ProviderName"]
        routes = [{"LlmCode": "m", "ContextTokensMax": 32000}, {"ProviderName": other, "LlmCode": "m"}]
        tenant.call("PutSystemModel", ProviderName=name, LlmCode="auto", Routes=routes, RouteOrder="price")
        told = shown(tenant, name)["Models"][1]
        assert told["RouteOrder"] == "price"
        assert told["Routes"] == [{"ProviderName": name, "LlmCode": "m", "ContextTokensMax": 32000}, routes[1]]
        for nowhere in ({"LlmCode": "auto"}, {"LlmCode": "none"}, {"ProviderName": "none", "LlmCode": "m"}):
            tenant.refused("PutSystemModel", "InvalidRoutes", ProviderName=name, LlmCode="more", Routes=[nowhere])
    with tenant.claim("DeleteSystemModel", "ProviderName", "LlmCode"):
        tenant.call("DeleteSystemModel", ProviderName=name, LlmCode="m")
        tenant.refused("DeleteSystemModel", "EntityNotExist.SystemProvider.Model", ProviderName=name, LlmCode="m")


def test_a_model_has_a_price(tenant):
    base = of_model(tenant)
    name = base["ProviderName"]
    with tenant.claim("SetSystemPrice", "ProviderName", "LlmCode", "Input", "Output", "CachedInput", "CacheWrite", "Multiplier"):
        tenant.call("SetSystemPrice", base, Input="0.2", Output="1.2")
        same = {"Input": "0.200000", "Output": "1.200000", "CachedInput": "0.200000", "CacheWrite": "0.200000", "Multiplier": "1.000000"}
        told = price(tenant, name)
        assert told.pop("PriceVersion").startswith("pv-") and told.pop("EffectiveFrom") > 1_700_000_000_000
        assert told == same
        tenant.call("SetSystemPrice", base, Input="0.2", Output="1.2", CachedInput="0.02", CacheWrite="0.25", Multiplier="0.5")
        other = same | {"CachedInput": "0.020000", "CacheWrite": "0.250000", "Multiplier": "0.500000"}
        assert other.items() <= price(tenant, name).items()
        tenant.refused("SetSystemPrice", "InvalidInput", base, Input="-1", Output="1")
        tenant.refused("SetSystemPrice", "InvalidOutput", base, Input="1", Output="much")
        tenant.refused("SetSystemPrice", "EntityNotExist.SystemProvider", base, ProviderName="none", Input="1", Output="1")


def test_a_price_begins_later_and_its_factor_has_a_range(tenant):
    base = of_model(tenant)
    name = base["ProviderName"]
    with tenant.claim("SetSystemPrice", "EffectiveFrom", "MultiplierMin", "MultiplierMax"):
        tenant.call("SetSystemPrice", base, Input="0.2", Output="1.2")
        later = 4_000_000_000_000
        ranged = {"Input": "0.3", "Output": "1.5", "Multiplier": "0.9", "MultiplierMin": "0.5", "MultiplierMax": "1"}
        tenant.call("SetSystemPrice", base | ranged, EffectiveFrom=later)
        assert price(tenant, name)["Input"] == "0.200000", "until then the old one is in effect"
        coming = shown(tenant, name)["Models"][0]["ComingPrices"][0]
        assert coming.pop("PriceVersion").startswith("pv-")
        assert coming == {
            "Input": "0.300000", "CachedInput": "0.300000", "CacheWrite": "0.300000", "Output": "1.500000", "Multiplier": "0.900000",
            "MultiplierMin": "0.500000", "MultiplierMax": "1.000000", "EffectiveFrom": later,
        }  # fmt: skip
        tenant.call("SetSystemPrice", base | ranged)
        assert (price(tenant, name)["MultiplierMin"], price(tenant, name)["MultiplierMax"]) == ("0.500000", "1.000000")
        tenant.refused("SetSystemPrice", "InvalidEffectiveFrom", base | ranged, EffectiveFrom=1_000)
        tenant.refused("SetSystemPrice", "InvalidMultiplier", base | ranged, Multiplier="2")
        tenant.refused("SetSystemPrice", "InvalidMultiplierMin", base, Input="1", Output="1", MultiplierMax="2")


def test_providers_are_found_by_name(tenant, world):
    one, other = provider(tenant), provider(tenant)
    names = lambda answer: [found["ProviderName"] for found in answer["Providers"]]  # noqa: E731
    tenant.filters("ListSystemProviders", {}, names, one, {"ProviderName": (one, other)})
    assert {one, other, "wuying-credit"} <= set(names(tenant.call("ListSystemProviders")))
    world.other.refused("ListSystemProviders", "NoPermission")
    world.other.refused("DeleteSystemProvider", "NoPermission", ProviderName=one)
    assert shown(tenant, one)


def test_a_provider_that_groups_use_stays_and_keeps_a_key(tenant):
    credit = shown(tenant, "wuying-credit")
    assert credit["Models"][0]["ContextWindow"] == 200000
    base = {name: value for name, value in tenant.good("CreateModelProviderTemplate").items() if name != "Config"}
    tenant.call("CreateModelProviderTemplate", base | {"ProviderType": "WuyingCredit", "ProviderName": "wuying-credit"})
    tenant.refused("DeleteSystemProvider", "DeleteConflict.SystemProvider", ProviderName="wuying-credit")
    key = credit["Keys"][0]["KeyName"]
    tenant.refused("DeleteSystemProviderKey", "DeleteConflict.SystemProvider", ProviderName="wuying-credit", KeyName=key)
    assert shown(tenant, "wuying-credit") == credit
