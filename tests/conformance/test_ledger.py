"""The ledger's entries: what calls of models cost."""

import json
import time
from http.client import HTTPConnection

import pytest
from driver import happy
from test_runtime import running

from harness import MODEL


@happy("DescribeLedgerEntries")
def describe(_):
    return {}


@pytest.fixture(scope="module")
def spent(world):
    """Two agents of the account that have called a model, one of them twice."""
    t = world.root
    _ = world.granted
    base = {name: value for name, value in t.good("CreateModelProviderTemplate").items() if name != "Config"}
    wuying = base | {"ProviderType": "WuyingCredit", "ProviderName": "wuying-credit"}
    provider = t.call("CreateModelProviderTemplate", wuying)["Data"]["ProviderTemplateId"]
    t.call("BatchCreateLlmTemplates", ProviderTemplateId=provider, LlmTemplateItems=[{"LlmCode": MODEL}])
    runtimes = [running(t), running(t)]
    binding = {"ModelTemplateId": base["ModelTemplateId"], "RuntimeIds": runtimes, "RuntimeType": "CloudDesktop"}
    t.call("ConfigRuntimeModelTemplate", binding)
    for runtime in (*runtimes, runtimes[0]):
        key = world.admin("agent-key", runtime).strip()
        # Servers see what `creel admin` made within a second.
        world.until("the key to be known", lambda: ask(world.server.agent_listen, key) == 200)
    world.until("the entries", lambda: len(t.call("DescribeLedgerEntries", RuntimeIds=runtimes)["Entries"]) >= 3)
    return runtimes


def ask(address: str, key: str) -> int:
    connection = HTTPConnection(address, timeout=20)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "lobster"}]}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    assert response.status in (200, 401), answer
    return response.status


def test_entries_are_found(tenant, spent):
    one, other = spent
    ids = lambda answer: [entry["EntryId"] for entry in answer["Entries"]]  # noqa: E731
    first = ids(tenant.call("DescribeLedgerEntries", RuntimeIds=[one]))[0]
    now = int(time.time() * 1000)
    hour = 3_600_000
    rows = {
        "RuntimeIds": ([one], [other]),
        "StartTime": (now - hour, now + hour),
        "EndTime": (now + hour, now - hour),
    }
    tenant.filters("DescribeLedgerEntries", {}, ids, first, rows)
    tenant.pages_by_token("DescribeLedgerEntries", {"RuntimeIds": [one]}, "Entries")


def test_an_agent_shows_what_its_models_cost(tenant, spent):
    question = {"RuntimeId": spent[0], "RuntimeType": "CloudDesktop", "AgentProvider": "OpenClaw"}
    models = tenant.call("GetRuntimeModelConfig", question)["Data"]["ModelProviderList"][0]["LlmInfoList"]
    assert models[0]["CreditMultiplier"] == {"Max": 1, "Min": 1}
