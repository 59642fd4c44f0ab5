"""The content of LLM calls, which is kept only where a policy says so."""

import json
import time
from http.client import HTTPConnection

from driver import happy
from test_resource_group import resource_group
from test_runtime import make, running

from harness import MODEL

CANARY = "lobster-canary-4711"


@happy("SetCapturePolicy")
def set_policy(t):
    return {"RuntimeId": make(t), "RetentionDays": 7}


@happy("ListCapturePolicies")
def list_policies(t):
    t.call("SetCapturePolicy", set_policy(t))
    return {}


@happy("ListCapturedCalls")
def list_calls(_):
    return {}


@happy("ReadCapturedCall")
def read_call(t):
    return captured(t.world)


def ask(address: str, key: str, **more) -> int:
    connection = HTTPConnection(address, timeout=20)
    body = {"model": MODEL, "messages": [{"role": "user", "content": CANARY}]} | more
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    assert response.status in (200, 401), answer
    return response.status


def captured(world) -> dict:
    """A call of a runtime whose content is kept, made at the first use."""
    if not hasattr(world, "captured"):
        t = world.root
        _ = world.granted
        base = {name: value for name, value in t.good("CreateModelProviderTemplate").items() if name != "Config"}
        wuying = base | {"ProviderType": "WuyingCredit", "ProviderName": "wuying-credit"}
        provider = t.call("CreateModelProviderTemplate", wuying)["Data"]["ProviderTemplateId"]
        t.call("BatchCreateLlmTemplates", ProviderTemplateId=provider, LlmTemplateItems=[{"LlmCode": MODEL}])
        runtime = running(t)
        binding = {"ModelTemplateId": base["ModelTemplateId"], "RuntimeIds": [runtime], "RuntimeType": "CloudDesktop"}
        t.call("ConfigRuntimeModelTemplate", binding)
        t.call("SetCapturePolicy", RuntimeId=runtime, RetentionDays=7, BytesMax=1024)
        key = world.admin("agent-key", runtime).strip()
        found = lambda: t.call("ListCapturedCalls", RuntimeIds=[runtime])["CapturedCalls"]  # noqa: E731
        long = [{"role": "user", "content": CANARY + "x" * 2_000}]
        world.until("the policy and the key to be known", lambda: ask(world.server.agent_listen, key) == 200 and found())
        ask(world.server.agent_listen, key, messages=long)
        world.until("the second call", lambda: any(call["RequestTruncated"] for call in found()))
        oldest = found()[-1]
        world.captured = {"RuntimeId": runtime, "CallId": oldest["CallId"]}
    return world.captured


def policies(t) -> dict:
    listed = t.call("ListCapturePolicies", MaxResults=100)["CapturePolicies"]
    return {(policy["Scope"], policy["ScopeId"]): (policy["RetentionDays"], policy["BytesMax"]) for policy in listed}


def test_policies_are_set_for_each_scope(tenant):
    runtime, group = make(tenant), resource_group(tenant)
    with tenant.claim("SetCapturePolicy", "RuntimeId", "ResourceGroupId", "RetentionDays", "BytesMax"):
        tenant.call("SetCapturePolicy", RuntimeId=runtime, RetentionDays=7, BytesMax=2048)
        assert policies(tenant)["Runtime", runtime] == (7, 2048)
        tenant.call("SetCapturePolicy", ResourceGroupId=group, RetentionDays=30)
        assert policies(tenant)["ResourceGroup", group] == (30, 65_536)
        tenant.call("SetCapturePolicy", RetentionDays=1)
        assert [terms for (scope, _), terms in policies(tenant).items() if scope == "Account"] == [(1, 65_536)]
        tenant.call("SetCapturePolicy")
        tenant.call("SetCapturePolicy", RuntimeId=runtime)
        left = policies(tenant)
        assert ("Runtime", runtime) not in left and "Account" not in {scope for scope, _ in left}
        both = {"RuntimeId": runtime, "ResourceGroupId": group, "RetentionDays": 1}
        tenant.refused("SetCapturePolicy", "InvalidRuntimeId", both)
        tenant.refused("SetCapturePolicy", "ResourceGroup.NotFound", ResourceGroupId="rg-nothing", RetentionDays=1)
        tenant.refused("SetCapturePolicy", "Runtime.NotFound", RuntimeId="ecd-nothing", RetentionDays=1)
        tenant.refused("SetCapturePolicy", "InvalidRetentionDays", RuntimeId=runtime, BytesMax=2048)
        tenant.refused("SetCapturePolicy", "InvalidRetentionDays", RuntimeId=runtime, RetentionDays=366)
        tenant.refused("SetCapturePolicy", "InvalidBytesMax", RuntimeId=runtime, RetentionDays=1, BytesMax=1023)
        assert policies(tenant) == left, "what is refused changes nothing"


def test_policies_are_paged_and_go_with_what_they_are_for(tenant):
    runtimes = [make(tenant) for _ in range(3)]
    group = resource_group(tenant)
    for scope in [{"RuntimeId": runtime} for runtime in runtimes] + [{"ResourceGroupId": group}]:
        tenant.call("SetCapturePolicy", scope, RetentionDays=1)
    tenant.pages_by_token("ListCapturePolicies", {}, "CapturePolicies")
    tenant.call("DeleteDesktops", RegionId="cn-hangzhou", DesktopId=[runtimes[0]])
    tenant.call("DeleteResourceGroup", ResourceGroupId=group)
    left = policies(tenant)
    assert ("Runtime", runtimes[0]) not in left and ("ResourceGroup", group) not in left
    assert all(("Runtime", runtime) in left for runtime in runtimes[1:])


def test_captured_calls_are_found(tenant, world):
    call = captured(world)
    ids = lambda answer: [found["CallId"] for found in answer["CapturedCalls"]]  # noqa: E731
    now, hour = int(time.time() * 1000), 3_600_000
    rows = {
        "CallIds": ([call["CallId"]], ["c-none"]),
        "RuntimeIds": ([call["RuntimeId"]], [make(tenant)]),
        "StartTime": (now - hour, now + hour),
        "EndTime": (now + hour, now - hour),
    }
    tenant.filters("ListCapturedCalls", {}, ids, call["CallId"], rows)
    tenant.pages_by_token("ListCapturedCalls", {"RuntimeIds": [call["RuntimeId"]]}, "CapturedCalls")
    assert CANARY not in json.dumps(tenant.call("ListCapturedCalls"))


def test_content_is_read_and_that_is_recorded(tenant, world):
    call = captured(world)
    with tenant.claim("ReadCapturedCall", "CallId", "RuntimeId"):
        told = tenant.call("ReadCapturedCall", call)
        assert CANARY in told["Request"] and CANARY in told["Answer"], told
        assert (told["RequestTruncated"], told["RequestBytes"]) == (False, len(told["Request"]))
        audited = tenant.call("DescribeAuditEvents", EventName="ReadCapturedCall")["Events"][0]
        assert call["CallId"] in json.dumps(audited), audited
        long = next(found for found in tenant.call("ListCapturedCalls")["CapturedCalls"] if found["RequestTruncated"])
        assert len(tenant.call("ReadCapturedCall", CallId=long["CallId"], RuntimeId=long["RuntimeId"])["Request"]) == 1024
        tenant.refused("ReadCapturedCall", "EntityNotExist.CapturedCall", call, CallId="c-none")
        tenant.refused("ReadCapturedCall", "EntityNotExist.CapturedCall", call, RuntimeId=make(tenant))
    world.other.refused("ReadCapturedCall", "EntityNotExist.CapturedCall", call)
    assert CANARY not in world.server.log.read_text(errors="replace")
