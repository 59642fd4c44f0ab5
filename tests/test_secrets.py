"""Planted keys must be found nowhere: not in answers, logs, process lists, environments or files."""

import json
import os
import secrets
import uuid

import pytest
from alibabacloud_appstream_center20210901 import models as appstream


@pytest.fixture(scope="module")
def managed(server, first_run):
    """A provider of the customer's own, whose key came by a request. The SDK puts it into the URL."""
    key = "sk-planted-" + secrets.token_hex(16)
    group = server.agents.create_model_template(
        appstream.CreateModelTemplateRequest(agent_provider="OpenClaw", biz_type=1, name="planted-" + uuid.uuid4().hex)
    ).body.data.model_template_id
    config = {"api": "openai-completions", "apiKey": key, "baseUrl": "http://127.0.0.1:9/v1"}
    provider = server.agents.create_model_provider_template(
        appstream.CreateModelProviderTemplateRequest(
            agent_provider="OpenClaw",
            biz_type=1,
            model_template_id=group,
            provider_type="Managed",
            provider_name="bailian",
            name="bailian",
            enable_wuying_proxy=True,
            config=json.dumps(config),
        )
    ).body.data.provider_template_id
    return key, group, provider


@pytest.fixture
def canaries(provider_key, managed) -> list[bytes]:
    return [provider_key.encode(), managed[0].encode()]


def holds(data: bytes, canaries: list[bytes]) -> bool:
    return any(canary in data for canary in canaries)


def test_no_answer_shows_a_provider_key(server, runtime, managed, canaries):
    _, group, provider = managed
    call = server.caller.call
    answers = [
        call("2021-09-01", "GetModelProviderTemplate", {"ProviderTemplateId": provider}),
        call("2021-09-01", "ListModelTemplates", {"BizType": "1"}),
        call("2021-09-01", "ListLlmTemplates", {"ModelTemplateId": group}),
        call(
            "2021-09-01",
            "GetRuntimeModelConfig",
            {"RuntimeId": runtime, "RuntimeType": "CloudDesktop", "AgentProvider": "OpenClaw"},
        ),
        call("2026-11-24", "DescribeAgentReceipts", {"RuntimeIds.1": runtime}),
    ]
    for answer in answers:
        assert answer.status == 200, answer.raw
        assert not holds(answer.raw, canaries), answer.raw
    masked = json.loads(answers[0].body["Data"]["Config"])
    assert masked["apiKey"] and masked["baseUrl"] == "http://127.0.0.1:9/v1", masked


def test_no_log_or_file_holds_a_provider_key(server, runtime, canaries):
    """Everything in the data folder: logs, agents' homes and the store, where keys are sealed."""
    looked_at = 0
    for folder, _, files in os.walk(server.data):
        for name in files:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    content = file.read()
            except OSError:
                continue  # a socket, or gone meanwhile
            looked_at += 1
            assert not holds(content, canaries), f"a provider key is in {path}"
    assert looked_at > 20, "the search looked at next to nothing"


def test_no_process_shows_a_provider_key(server, runtime, canaries):
    theirs = server.processes()
    assert len(theirs) >= 2, theirs
    for process in theirs:
        assert not holds(process.command.encode(), canaries), process.pid
        assert not holds(process.environment.encode(), canaries), process.pid
    # The server's own environment has the key: the operator put it there. Its arguments have not.
    with open(f"/proc/{server.process.pid}/cmdline", "rb") as file:
        assert not holds(file.read(), canaries)


def test_the_agents_own_key_is_not_on_a_command_line(server, runtime):
    """The virtual key is worth money too; and the server keeps only its hash."""
    key = server.admin("agent-key", runtime)
    assert key.returncode == 0, key.stderr
    text = key.stdout.strip().split()[-1].encode()
    for process in server.processes():
        assert text not in process.command.encode() and text not in process.environment.encode()
    for name in os.listdir(server.data):
        path = server.data / name
        if path.is_file():
            assert text not in path.read_bytes(), f"a virtual key is in {path}"
