"""Limits of LLM calls."""

from driver import happy
from test_resource_group import resource_group
from test_runtime import make

FIGURES = {"RequestsPerMinute": 60, "TokensPerMinute": 100_000, "ConcurrentCalls": 4, "OutputTokensMax": 2_048}


@happy("SetCallLimit")
def set_limit(t):
    return {"RuntimeId": make(t), "RequestsPerMinute": 60}


@happy("ListCallLimits")
def list_limits(t):
    t.call("SetCallLimit", RuntimeId=make(t), **FIGURES)
    return {}


def limits(t) -> dict:
    listed = t.call("ListCallLimits", MaxResults=100)["CallLimits"]
    return {(limit["Scope"], limit["ScopeId"]): {name: limit[name] for name in FIGURES if name in limit} for limit in listed}


def test_limits_are_set_for_each_scope(tenant):
    runtime, group = make(tenant), resource_group(tenant)
    with tenant.claim("SetCallLimit", *FIGURES, "RuntimeId", "ResourceGroupId"):
        tenant.call("SetCallLimit", RuntimeId=runtime, **FIGURES)
        assert limits(tenant)["Runtime", runtime] == FIGURES
        tenant.call("SetCallLimit", ResourceGroupId=group, ConcurrentCalls=1)
        assert limits(tenant)["ResourceGroup", group] == {"ConcurrentCalls": 1}
        tenant.call("SetCallLimit", TokensPerMinute=7)
        account = [figures for (scope, _), figures in limits(tenant).items() if scope == "Account"]
        assert account == [{"TokensPerMinute": 7}]
        tenant.call("SetCallLimit", RuntimeId=runtime)
        tenant.call("SetCallLimit")
        left = limits(tenant)
        assert ("Runtime", runtime) not in left and "Account" not in {scope for scope, _ in left}
        tenant.refused("SetCallLimit", "InvalidRuntimeId", RuntimeId=runtime, ResourceGroupId=group, ConcurrentCalls=1)
        tenant.refused("SetCallLimit", "ResourceGroup.NotFound", ResourceGroupId="rg-nothing", ConcurrentCalls=1)
        tenant.refused("SetCallLimit", "Runtime.NotFound", RuntimeId="ecd-nothing", ConcurrentCalls=1)
        for name in FIGURES:
            tenant.refused("SetCallLimit", f"Invalid{name}", {name: 0})
            tenant.refused("SetCallLimit", f"Invalid{name}", {name: 1_000_000_001})
        assert limits(tenant) == left, "what is refused changes nothing"


def test_limits_are_paged_and_go_with_what_they_limit(tenant):
    runtimes = [make(tenant) for _ in range(3)]
    group = resource_group(tenant)
    for scope in [{"RuntimeId": runtime} for runtime in runtimes] + [{"ResourceGroupId": group}, {}]:
        tenant.call("SetCallLimit", scope, RequestsPerMinute=1)
    tenant.pages_by_token("ListCallLimits", {}, "CallLimits")
    scopes = [scope for scope, _ in limits(tenant)]
    assert scopes == sorted(scopes) and scopes.count("Runtime") >= 3, scopes
    tenant.call("DeleteDesktops", RegionId="cn-hangzhou", DesktopId=[runtimes[0]])
    tenant.call("DeleteResourceGroup", ResourceGroupId=group)
    left = limits(tenant)
    assert ("Runtime", runtimes[0]) not in left and ("ResourceGroup", group) not in left
    assert all(("Runtime", runtime) in left for runtime in runtimes[1:])
    # Others call the gateway for this account.
    tenant.call("SetCallLimit")
