"""A spent quota: the upstream is not called, and whoever talks to the agent can understand why."""

from alibabacloud_wss20211221 import models as wss


# More than calls that other tests cut off can have cost.
PLENTY = 100_000


def set_quota(server, runtime: str, quota: int):
    request = wss.SetAgentCreditQuotaRequest(agent_ids=[runtime], agent_type="OPEN_CLAW", credit_quota=quota)
    server.credits.set_agent_credit_quota(request)


def test_a_spent_quota_stops_before_the_upstream(server, upstream, runtime):
    entries = len(server.ledger(runtime)["Entries"])
    called = len(upstream.requests)
    set_quota(server, runtime, 1)  # far below what one turn of OpenClaw may cost, and partly used
    try:
        message = server.answer(server.message(runtime, "Are you there?"))
        text = (message.get("Reply") or "") + (message.get("ErrorMessage") or "")
        assert "credit" in text.lower() or "quota" in text.lower(), message
        assert len(upstream.requests) == called, "the upstream was called for an agent without credits"
        billed = server.ledger(runtime)["Entries"]
        assert len(billed) == entries or all(e["Credits"] in ("0", 0) for e in billed[entries:]), billed
    finally:
        set_quota(server, runtime, PLENTY)
    # The agent is not left in a sulk: with credits again, the next message is answered at once.
    again = server.answer(server.message(runtime, "And now, lobster?"))
    assert again["Status"] == "Succeeded" and "lobster" in again["Reply"], again
    assert len(upstream.requests) > called
