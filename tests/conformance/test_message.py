"""Messages to agents, and what guests confirm."""

import pytest
from driver import happy
from test_runtime import REGION, await_status, make, running

TEXT = "Say the word lobster."


@happy("SendAgentMessage")
def send(t):
    return {"RuntimeId": running(t), "Message": TEXT}


@happy("DescribeAgentMessages")
def describe(t):
    return {"InvocationIds": [t.call("SendAgentMessage", send(t))["InvocationId"]]}


@happy("DescribeAgentReceipts")
def receipts(t):
    return {"RuntimeIds": [make(t)]}


@pytest.fixture
def linked(world, tenant):
    """A runtime whose guest answers; runtime and guest."""
    runtime = running(tenant)
    guest = world.guest(runtime)
    guest.report()
    yield runtime, guest
    guest.close()


def message(t, invocation: str) -> dict:
    return t.call("DescribeAgentMessages", InvocationIds=[invocation])["Messages"][0]


def test_a_message_reaches_the_agent_and_its_answer_comes_back(world, tenant, linked):
    runtime, _ = linked

    def said(text, **more):
        sent = tenant.call("SendAgentMessage", RuntimeId=runtime, Message=text, **more)["InvocationId"]
        world.until("an answer", lambda: message(tenant, sent)["Status"] in ("Succeeded", "Failed"))
        return message(tenant, sent)

    with tenant.claim("SendAgentMessage", "RuntimeId", "Message", "SessionKey"):
        answered = said(TEXT, SessionKey="second")
        assert (answered["Reply"], answered["SessionKey"], answered["RuntimeId"]) == (TEXT, "second", runtime)
        assert said(TEXT)["SessionKey"] == "main"
        assert said("fail, please")["ErrorMessage"]
        tenant.refused("SendAgentMessage", "InvalidSessionKey", RuntimeId=runtime, Message=TEXT, SessionKey="a key")
        tenant.refused("SendAgentMessage", "Runtime.NotFound", RuntimeId="ecd-none", Message=TEXT)
        stopped = running(tenant)
        tenant.call("StopDesktops", REGION, DesktopId=[stopped])
        await_status(tenant, stopped, "Stopped")
        tenant.refused("SendAgentMessage", "Agent.NotRunning", RuntimeId=stopped, Message=TEXT)


def test_messages_are_found(tenant):
    one, other = running(tenant), running(tenant)
    sent = [tenant.call("SendAgentMessage", RuntimeId=to, Message=TEXT)["InvocationId"] for to in (one, one, other)]
    ids = lambda answer: [m["InvocationId"] for m in answer["Messages"]]  # noqa: E731
    rows = {"RuntimeId": (one, other), "InvocationIds": ([sent[0]], [sent[2]])}
    tenant.filters("DescribeAgentMessages", {}, ids, sent[0], rows)
    tenant.pages_by_token("DescribeAgentMessages", {"RuntimeId": one}, "Messages")


def test_receipts_tell_how_far_an_agent_is(world, tenant, linked):
    runtime, guest = linked

    def receipt():
        return tenant.call("DescribeAgentReceipts", RuntimeIds=[runtime])["Receipts"][0]

    with tenant.claim("DescribeAgentReceipts", "RuntimeIds"):
        guest.wait_for(lambda wish: True)
        guest.receipt(error="the disk is full", behind=1)
        world.until("the error", lambda: receipt().get("LastError") == "the disk is full")
        assert receipt()["Applied"] is False
        guest.receipt()
        world.until("the receipt", lambda: receipt()["Applied"])
        told = receipt()
        assert (told["GuestOnline"], told["AgentStatus"], told["AgentVersion"]) == (True, "Running", "2026.9.6")
        assert tenant.call("DescribeAgentReceipts", RuntimeIds=["ecd-none"])["Receipts"] == []
