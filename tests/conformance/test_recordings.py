"""Recordings of the real service (`creel admin record`), replayed here; and the recorder, with our server as the cloud."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from alibabacloud_ecd20200930 import models as ecd
from alibabacloud_ecd20200930.client import Client as EcdClient
from alibabacloud_tea_openapi import models as openapi
from alibabacloud_tea_openapi.client import Client as GenericClient
from darabonba.runtime import RuntimeOptions
from driver import check_answer, flat, is_id, mapped
from specification import built, leaf_paths, reason_for_absence
from test_catalog import BUNDLE
from test_model_provider import CONFIG
from test_office_site import REGION

from harness import BINARY
from signing import Caller

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))


def pairs(old, new):
    """Ids of a recorded answer and ours at the same place: later calls name them."""
    if isinstance(old, str) and isinstance(new, str) and is_id(old):
        yield old, new
    elif isinstance(old, list) and isinstance(new, list):
        for left, right in zip(old, new, strict=False):
            yield from pairs(left, right)
    elif isinstance(old, dict) and isinstance(new, dict):
        for name in old.keys() & new.keys():
            yield from pairs(old[name], new[name])


def lacking(call: dict, ours) -> set[str]:
    """Fields of the recorded answer that ours has not, without a reason."""
    less = set(leaf_paths(call["answer"])) - set(leaf_paths(ours.body))
    return {path for path in less if ours.status == 200 and reason_for_absence(call["action"], path) is None}


def replay(tenant, lines: list[dict]):
    """Each call in turn: the same status and code, and every field that the recorded answer has."""
    ids: dict[str, str] = {}
    caller = Caller(tenant.server.endpoint, tenant.key_id, tenant.secret)
    for call in lines:
        action = call["action"]
        query, form = (mapped(call[place], lambda text: ids.get(text, text)) for place in ("query", "form"))
        body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
        send = lambda: caller.call(call["version"], action, query, body)  # noqa: E731, B023
        ours = send()
        # What was running when it was recorded may take a moment here.
        if action.startswith(("Describe", "List", "Get")) and lacking(call, ours):
            tenant.world.until(f"what {action} answered", lambda: not lacking(call, send()))  # noqa: B023
            ours = send()
        assert ours.status == call["status"], f"{action}: the service answered {call['answer']}, and Creel {ours.body}"
        assert ours.code == call["answer"].get("Code") or ours.status == 200
        if ours.status != 200:
            continue
        check_answer(built()[action], ours.body, set())
        less = lacking(call, ours)
        assert not less, f"{action}: the service answers {sorted(less)} and Creel does not"
        ids |= dict(pairs(call["answer"], ours.body))


def test_the_service_answers_as_recorded(tenant):
    for recording in RECORDINGS:
        replay(tenant, [json.loads(line) for line in recording.read_text().splitlines()])


@pytest.fixture
def recorder(tenant, tmp_path):
    """`creel admin record` before our own server: where it is, its key id, and its file."""
    out = tmp_path / "recording.jsonl"
    keys = {"ALIBABA_CLOUD_ACCESS_KEY_ID": tenant.key_id, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": tenant.secret}
    process = subprocess.Popen(
        [BINARY, "admin", "record", "--endpoint", f"http://{tenant.server.endpoint}", "--out", out],
        env=os.environ | keys, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    ready = json.loads(process.stdout.readline())
    yield ready, out
    process.terminate()
    assert process.wait(20) == 0


def test_what_is_recorded_can_be_replayed_and_holds_no_secret(world, tenant, recorder):
    ready, out = recorder
    config = openapi.Config(
        access_key_id=ready["access_key_id"], access_key_secret="anything", endpoint=ready["endpoint"], protocol="http",
    )  # fmt: skip
    desktops = EcdClient(config)
    name = tenant.name("recorded")
    site = desktops.create_simple_office_site(ecd.CreateSimpleOfficeSiteRequest(office_site_name=name, **region())).body
    request = ecd.CreateDesktopsRequest(office_site_id=site.office_site_id, bundle_id=BUNDLE, **region())
    runtime = desktops.create_desktops(request).body.desktop_id
    desktops.describe_desktops(ecd.DescribeDesktopsRequest(desktop_id=runtime, **region()))
    with pytest.raises(Exception, match="ecd-none"):
        desktops.start_desktops(ecd.StartDesktopsRequest(desktop_id=["ecd-none"], **region()))
    group = {"AgentProvider": "OpenClaw", "BizType": 1, "AgentPlatform": "ENTERPRISE", "Name": name}
    made = generic(config, "CreateModelTemplate", group)["Data"]["ModelTemplateId"]
    provider = {
        "AgentProvider": "OpenClaw", "BizType": 1, "ModelTemplateId": made, "ProviderName": "provider-recorded",
        "ProviderType": "Custom", "Config": json.dumps(CONFIG),
    }  # fmt: skip
    generic(config, "CreateModelProviderTemplate", provider)

    text = out.read_text()
    for secret in (CONFIG["apiKey"], tenant.secret, tenant.key_id, ready["access_key_id"]):
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["action"] for line in lines] == [
        "CreateSimpleOfficeSite", "CreateDesktops", "DescribeDesktops", "StartDesktops", "CreateModelTemplate",
        "CreateModelProviderTemplate",
    ]  # fmt: skip
    assert lines[3]["answer"]["Code"] == "InvalidDesktopId.NotFound"
    replay(world.other, lines)


def region() -> dict:
    return {"region_id": REGION["RegionId"]}


def generic(config, action: str, parameters: dict) -> dict:
    operation = built()[action]
    params = openapi.Params(
        action=action, version=operation.version, protocol="http", method="POST", pathname="/", style="RPC",
        auth_type="AK", req_body_type="formData", body_type="json",
    )  # fmt: skip
    request = openapi.OpenApiRequest(query=flat(operation, parameters))
    return GenericClient(config).call_api(params, request, RuntimeOptions())["body"]
