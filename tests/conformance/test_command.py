"""Commands in runtimes."""

import base64

import pytest
from driver import Refused, happy
from test_runtime import REGION, make, running

SCRIPT = {"CommandContent": "echo lobster", "Type": "RunShellScript"}


@happy("RunCommand")
def run(t):
    return REGION | SCRIPT | {"DesktopId": [make(t)]}


@happy("DescribeInvocations")
def describe(t):
    return REGION | {"InvokeId": t.call("RunCommand", run(t))["InvokeId"]}


def invocation(t, invoke: str, **more) -> dict:
    return t.call("DescribeInvocations", REGION, InvokeId=invoke, **more)["Invocations"][0]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def crew(world, tenant):
    """Two runtimes whose guests run commands."""
    runtimes = [running(tenant), running(tenant)]
    guests = [world.guest(runtime) for runtime in runtimes]
    for guest in guests:
        guest.report()
    yield runtimes
    for guest in guests:
        guest.close()


def test_a_command_runs_and_tells_its_end(world, tenant, crew):
    one, other = crew

    def ran(**more):
        invoke = tenant.call("RunCommand", REGION | SCRIPT | {"DesktopId": [one]} | more)["InvokeId"]
        done = lambda: invocation(tenant, invoke)["InvocationStatus"] not in ("Pending", "Running")  # noqa: E731
        world.until("the command's end", done)
        return invocation(tenant, invoke, IncludeOutput=True, ContentEncoding="PlainText")

    claimed = ["RegionId", "CommandContent", "ContentEncoding", "DesktopId", "EndUserId", "Timeout", "Type"]
    with tenant.claim("RunCommand", *claimed):
        told = ran()
        result = told["InvokeDesktops"][0]
        assert (told["CommandContent"], told["InvocationStatus"]) == ("echo lobster", "Success")
        assert (result["DesktopId"], result["Output"], result["ExitCode"]) == (one, "lobster", 0)
        assert ran(CommandContent=encoded("echo crab"), ContentEncoding="Base64")["CommandContent"] == "echo crab"
        assert ran(EndUserId="ann")["EndUserId"] == "ann"
        assert ran(DesktopId=[one, other])["InvokeDesktopSucceedCount"] == 2
        failed = ran(CommandContent="echo fail")["InvokeDesktops"][0]
        assert failed["ErrorInfo"] and failed["ErrorCode"], failed
        assert ran(CommandContent="echo timeout", Timeout=7)["InvokeDesktops"][0]["Output"] == "7000"
        good = run(tenant)
        tenant.refused("RunCommand", "InvalidRegionId", good, RegionId="nowhere")
        tenant.refused("RunCommand", "InvalidType", good, Type="RunPowerShellScript")
        tenant.refused("RunCommand", "InvalidTimeout", good, Timeout=0)
        tenant.refused("RunCommand", "InvalidCommandContent", good, CommandContent="?", ContentEncoding="Base64")
        tenant.refused("RunCommand", "InvalidDesktopId.NotFound", good, DesktopId=["ecd-none"])


def test_invocations_are_found(tenant, crew):
    one, other = crew
    mine = tenant.call("RunCommand", REGION, **SCRIPT, DesktopId=[one], EndUserId="zoe")["InvokeId"]
    tenant.call("RunCommand", REGION, **SCRIPT, DesktopId=[other])
    ids = lambda answer: [found["InvokeId"] for found in answer["Invocations"]]  # noqa: E731
    tenant.world.until("the end", lambda: invocation(tenant, mine)["InvocationStatus"] == "Success")
    rows = {
        "CommandType": ("RunShellScript", "RunBatScript"),
        "DesktopId": (one, other),
        "DesktopIds": ([one], [other]),
        "EndUserId": ("zoe", "ann"),
        "InvokeId": (mine, "inv-none"),
        "InvokeStatus": ("Success", "Failed"),
        "RegionId": ("cn-hangzhou", Refused("nowhere", "InvalidRegionId")),
    }
    tenant.filters("DescribeInvocations", REGION | {"MaxResults": 50, "EndUserId": "zoe"}, ids, mine, rows)
    with tenant.claim("DescribeInvocations", "IncludeInvokeDesktops", "IncludeOutput", "ContentEncoding"):
        assert "InvokeDesktops" not in invocation(tenant, mine)
        assert "Output" not in invocation(tenant, mine, IncludeInvokeDesktops=True)["InvokeDesktops"][0]
        told = invocation(tenant, mine, IncludeOutput=True)
        assert told["InvokeDesktops"][0]["Output"] == encoded("lobster") and told["CommandContent"] == encoded("echo lobster")
        assert invocation(tenant, mine, ContentEncoding="PlainText")["CommandContent"] == "echo lobster"
    tenant.pages_by_token("DescribeInvocations", REGION, "Invocations")
