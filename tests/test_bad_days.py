"""Requests that must be refused: the documented code in the documented form, and nothing changed."""

import json
import re
import uuid

import pytest
from alibabacloud_appstream_center20210901 import models as appstream

from signing import Caller

APPSTREAM, ECD = "2021-09-01", "2020-09-30"


def group(name: str, **more) -> dict:
    """A write that would leave a trace: a model group of this name."""
    return {"AgentProvider": "OpenClaw", "BizType": "1", "Name": name} | more


def refused(answer, status: int, code: str):
    assert (answer.status, answer.code) == (status, code), answer.raw
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", answer.body["RequestId"]), answer.raw
    assert answer.body["Message"] and answer.body["HostId"], answer.raw


@pytest.fixture
def trace(server):
    """A name that no model group may have when the test is over."""
    name = "bad-day-" + uuid.uuid4().hex
    yield name
    request = appstream.ListModelTemplatesRequest(biz_type=1, agent_provider="OpenClaw", name=name)
    assert server.agents.list_model_templates(request).body.total_count == 0, "a refused request left a trace"


def test_a_wrong_secret(server, trace):
    refused(
        server.caller.call(APPSTREAM, "CreateModelTemplate", group(trace), secret="wrong"), 400, "SignatureDoesNotMatch"
    )


def test_a_changed_query(server, trace):
    """The signature is of another request: what was signed and what is sent differ."""
    caller = server.caller
    caught = {}
    caller.send = lambda method, target, body, headers: caught.update(headers=headers)
    caller.call(APPSTREAM, "CreateModelTemplate", group("other"))
    answer = server.caller.send("POST", f"/?AgentProvider=OpenClaw&BizType=1&Name={trace}", b"", caught["headers"])
    refused(answer, 400, "SignatureDoesNotMatch")


def test_a_body_that_is_not_the_signed_one(server, trace):
    after = {"x-acs-content-sha256": "0" * 64}
    answer = server.caller.call(APPSTREAM, "CreateModelTemplate", group(trace), body=b"Description=x", after=after)
    refused(answer, 400, "SignatureDoesNotMatch")


def test_an_unknown_key(server, trace):
    caller = Caller(server.endpoint, "LTAIunknown", server.secret)
    refused(caller.call(APPSTREAM, "CreateModelTemplate", group(trace)), 404, "InvalidAccessKeyId.NotFound")


@pytest.mark.parametrize("action", ["ListModelTemplates", "CreateModelTemplate"])
def test_a_replayed_nonce(server, action):
    """A read's nonce is remembered in memory, a write's in the store; both refuse the second use."""
    query = group("replayed-" + uuid.uuid4().hex)
    headers = {"x-acs-signature-nonce": uuid.uuid4().hex}
    assert server.caller.call(APPSTREAM, action, query, headers=headers).status == 200
    refused(server.caller.call(APPSTREAM, action, query, headers=headers), 400, "SignatureNonceUsed")
    request = appstream.ListModelTemplatesRequest(biz_type=1, agent_provider="OpenClaw", name=query["Name"])
    created = 1 if action == "CreateModelTemplate" else 0
    assert server.agents.list_model_templates(request).body.total_count == created


@pytest.mark.parametrize("shift", [-16 * 60, 16 * 60])
def test_a_stale_clock(server, trace, shift):
    answer = server.caller.call(APPSTREAM, "CreateModelTemplate", group(trace), date_shift_seconds=shift)
    refused(answer, 400, "InvalidTimeStamp.Expired")


@pytest.mark.parametrize("shift", [-14 * 60, 14 * 60])
def test_a_clock_within_the_window(server, shift):
    query = {"AgentProvider": "OpenClaw"}
    assert server.caller.call(APPSTREAM, "ListDesktopAgentRuntime", query, date_shift_seconds=shift).status == 200


def test_a_clock_that_is_none(server, trace):
    headers = {"x-acs-date": "yesterday"}
    answer = server.caller.call(APPSTREAM, "CreateModelTemplate", group(trace), headers=headers)
    refused(answer, 400, "InvalidTimeStamp.Format")


@pytest.mark.parametrize(
    ("version", "action"),
    [(APPSTREAM, "MakeCoffee"), ("1999-01-01", "CreateModelTemplate"), (ECD, "CreateModelTemplate")],
)
def test_an_unknown_action(server, trace, version, action):
    refused(server.caller.call(version, action, group(trace)), 404, "InvalidApi.NotFound")


def test_a_missing_parameter(server):
    query = {"AgentProvider": "OpenClaw", "BizType": "1"}
    refused(server.caller.call(APPSTREAM, "CreateModelTemplate", query), 400, "MissingName")


@pytest.mark.parametrize(
    ("action", "query", "code"),
    [
        ("ListDesktopAgentRuntime", {"PageSize": "ten"}, "InvalidPageSize"),
        ("ListDesktopAgentRuntime", {"PageSize": "99999999999999999999"}, "InvalidPageSize"),
        ("CreateModelProviderTemplate", {"EnableWuyingProxy": "maybe"}, "InvalidEnableWuyingProxy"),
        ("ListDesktopAgentRuntime", {"IncludeRiskInfo": "maybe"}, "InvalidIncludeRiskInfo"),
    ],
)
def test_a_parameter_of_the_wrong_type(server, trace, action, query, code):
    refused(server.caller.call(APPSTREAM, action, group(trace, ModelTemplateId="mt-0", ProviderName="bailian") | query), 400, code)


def test_a_malformed_structure(server):
    """A structure travels as JSON text; this one is cut short."""
    query = {"RegionId": "cn-hangzhou", "OfficeSiteId": "cn-hangzhou+dir-none", "DesktopAttachment": '{"ImageId":"'}
    before = len(server.desktops_list())
    refused(server.caller.call(ECD, "CreateDesktops", query), 400, "InvalidDesktopAttachment")
    assert len(server.desktops_list()) == before


def test_an_oversize_body(server, trace):
    body = b"Name=" + trace.encode() + b"&Description=" + b"x" * (32 << 20)
    refused(server.caller.call(APPSTREAM, "CreateModelTemplate", body=body), 413, "RequestEntityTooLarge")


def test_an_oversize_query(server, trace):
    answer = server.caller.call(APPSTREAM, "CreateModelTemplate", group(trace, Description="x" * (1 << 20)))
    assert answer.status in (414, 431), answer.raw
    assert answer.body.get("Code"), f"not our JSON: {answer.raw!r}"


def test_no_signature_at_all(server):
    answer = server.caller.send("POST", "/", b"", {"x-acs-action": "ListSkills", "x-acs-version": "2021-06-02"})
    assert answer.status in (400, 403) and answer.code, answer.raw


def runtime_query(runtime: str) -> dict:
    return {"RuntimeId": runtime, "RuntimeType": "CloudDesktop", "AgentProvider": "OpenClaw"}


def test_an_unknown_runtime(server):
    answer = server.caller.call(APPSTREAM, "GetRuntimeModelConfig", runtime_query("ecd-0unknown0"))
    refused(answer, 404, "Runtime.NotFound")
    body = b"RuntimeId=ecd-0unknown0&Message=hello"
    refused(server.caller.call("2026-11-24", "SendAgentMessage", body=body), 404, "Runtime.NotFound")


@pytest.fixture(scope="module")
def stranger(server) -> Caller:
    """The key of a second account on the same server."""
    made = server.admin("account", "create", "--name", "stranger-" + uuid.uuid4().hex[:8])
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    return Caller(server.endpoint, key["AccessKeyId"], key["AccessKeySecret"])


def test_somebody_elses_runtime_does_not_exist(server, stranger, runtime):
    """The answer is the one for an unknown id, letter by letter: not even existence is told."""
    for version, action, query in [
        (APPSTREAM, "GetRuntimeModelConfig", runtime_query(runtime)),
        ("2026-11-24", "SendAgentMessage", {"RuntimeId": runtime, "Message": "hello"}),
    ]:
        theirs = stranger.call(version, action, query)
        refused(theirs, 404, "Runtime.NotFound")
        unknown = stranger.call(version, action, query | {"RuntimeId": "ecd-0unknown0"})
        assert theirs.body["Message"].replace(runtime, "X") == unknown.body["Message"].replace("ecd-0unknown0", "X")
    listed = stranger.call(APPSTREAM, "ListDesktopAgentRuntime", {"AgentProvider": "OpenClaw"})
    assert (listed.status, listed.body["TotalCount"]) == (200, 0)
    for action in ("DeleteDesktops", "StopDesktops", "RebootDesktops"):
        query = {"RegionId": "cn-hangzhou", "DesktopId.1": runtime}
        refused(stranger.call(ECD, action, query), 404, "InvalidDesktopId.NotFound")
    entries = stranger.call("2026-11-24", "DescribeLedgerEntries", {"RuntimeIds.1": runtime})
    assert not entries.body.get("Entries"), entries.raw
    assert server.agent_status(runtime) == "Running"
